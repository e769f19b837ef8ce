"""``gristmill why``: what became of a record, and because of which other record; from the release's files alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.markup import escape

from pipelines.open_release import open_manifest
from pipelines.report import harmless, stdout_console
from schemas.errors import GristmillError
from schemas.ledger import DROPPED, KEPT, LEDGER, QUARANTINED
from schemas.manifest import Manifest
from transforms.parquet import Parquet

SNIPPET = 160


def why(release: Path, record: str, console: Console | None = None) -> None:
    """Print the story of a record named by id (or a unique beginning of one, 8 digits at least) or FILE:INDEX.

    Raises:
        GristmillError: no such record was read.
    """
    console = console or stdout_console()
    manifest = open_manifest(release)
    for row in find(release, manifest, record):
        _tell(release, manifest, row, console)


def find(release: Path, manifest: Manifest, record: str) -> list[dict[str, Any]]:
    """The ledger rows that ``record`` names.

    Raises:
        GristmillError: none, with what is there instead.
    """
    file, separator, index = record.rpartition(":")
    if separator and index.isascii() and index.isdigit():
        known = {one.name: one for account in manifest.sources.values() for one in account.files}
        if file not in known:
            raise GristmillError(f"{release}: no input file is called {file!r}; files: {_some(sorted(known))}")
        if len(index) < 19:  # a number of more digits may not fit into a column
            rows = _ledger(
                release, manifest, (pc.field("file") == file) & (pc.field("index") == int(index)), "file", "index"
            )
            if rows:
                return rows
        raise GristmillError(
            f"{release}: {file} has {known[file].rows:,} rows, counted from 0; row {index} gave no record of its own"
            + ("; inner messages of a tree are part of the records that end below them" if known[file].consumed else "")
        )
    if len(record) < 8 or set(record) - set("0123456789abcdef"):
        raise GristmillError(f"{record!r} is neither an id (hex digits, 8 at least) nor FILE:INDEX")
    rows = _ledger(release, manifest, pc.starts_with(pc.field("id"), record), "id")
    ids = sorted({row["id"] for row in rows})
    if not ids:
        raise GristmillError(f"{release}: no record with id {record} was read")
    if len(ids) > 1:
        raise GristmillError(f"{release}: {len(ids)} ids begin with {record}: {_some(ids)}; give more digits")
    return rows


def _ledger(release: Path, manifest: Manifest, condition: pc.Expression, *by: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for file in manifest.files:
        if file.path.startswith("ledger/"):
            found += _read(release, file.path, condition, by, LEDGER.names).to_pylist()
    return found


def _read(release: Path, path: str, condition: pc.Expression, by: Sequence[str], columns: Sequence[str]) -> pa.Table:
    try:
        return Parquet(release / path).where(condition, by, columns)
    except (OSError, KeyError, pa.ArrowException) as error:  # KeyError: a column is not there
        first = str(error).strip().splitlines()[0]
        raise GristmillError(
            f"{release / path} cannot be read ({first}); gristmill verify tells what is damaged"
        ) from None


def _tell(release: Path, manifest: Manifest, row: dict[str, Any], console: Console) -> None:
    part = f" part {row['part']}" if row["part"] else ""
    place = f"{harmless(row['file'])}:{row['index']}{part} of source {row['source']}"
    if row["verdict"] == QUARANTINED:
        console.print(
            f"[bold]{escape(place)}[/] could not be read and is quarantined: {escape(harmless(row['rule']))}",
            highlight=False,
        )
        raw = _quarantined(release, row)
        console.print(f"  {escape(_short(raw))}", highlight=False)
        return
    console.print(f"[bold]{escape(place)}[/], id {row['id']}", highlight=False)
    if row["verdict"] == KEPT:
        times = "once" if row["copies"] == 1 else f"{row['copies']} times"
        console.print(f"  kept, {times}, in split {row['split']}")
        shown = _released(release, manifest, row["id"])
        if shown:
            console.print(f"  {escape(shown)}", highlight=False)
        return
    console.print(f"  dropped by {row['stage']}, {_reason(row)}", highlight=False)
    if row["stage"] == "decontaminate":
        console.print(f"    item {escape(harmless(row['representative'] or 'unknown'))}", highlight=False)
    elif row["representative"]:
        _tell_representative(release, manifest, row, console)


def _reason(row: dict[str, Any]) -> str:
    if row["stage"] == "mix":
        return "mix.target: its source had more than its share, and others come first in the seeded order"
    if row["stage"] == "exact_dedup":
        return f"rule {row['rule']}: the same text, apart from case and white space, as"
    if row["stage"] == "near_dedup":
        return f"rule {row['rule']}: similarity {row['value']:.4f} reaches {row['threshold']:g}, to"
    told = _SELECTION.get(row["rule"])
    if told is not None:
        return f"rule {row['rule']}: {told.format(value=_number(row['value']), threshold=_number(row['threshold']))}"
    return f"rule {row['rule']}: value {_number(row['value'])}, threshold {_number(row['threshold'])}"


# What value and threshold mean where they are not what a filter measured.
_SELECTION = {
    "decontaminate.question": "{value} of a benchmark's question stands in it, {threshold} is enough:",
    "decontaminate.answer": "{value} of a benchmark's answer stands in it, {threshold} is enough:",
    "decontaminate.passage": "{value} of a benchmark's passage stands in it, {threshold} is enough:",
    "decontaminate.whole": "a benchmark's whole question stands in it:",
    "balance.length": "its bin of lengths had {value} records and may give {threshold}; others come first by chance",
    "diversity.opening": "{value} answers open with these words, at most {threshold} may",
    "diversity.verb_noun": "{value} prompts ask for this, at most {threshold} may",
    "diversity.similarity": "similarity {value} is above {threshold}, to",
    "diversity.cluster": "its cluster had {value} records and may give {threshold}; others come first",
    "best.similarity": "similarity {value} is above {threshold}, to the better",
    "best.size": "others come first: its score is {value}, the lowest that fitted into the budget {threshold}",
}


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:,.4f}".rstrip("0").rstrip(".")


def _tell_representative(release: Path, manifest: Manifest, row: dict[str, Any], console: Console) -> None:
    stays = _ledger(release, manifest, pc.field("id") == row["representative"], "id")
    # Of rows with the same content the one that stays comes first; it may have gone for another reason afterwards.
    best = min(stays, key=lambda one: (one["verdict"] == DROPPED, one["stage"] == "exact_dedup"), default=None)
    if best is None:
        console.print(f"    record {row['representative']}")
        return
    fate = "kept" if best["verdict"] == KEPT else f"itself dropped by {best['stage']}"
    where = f"{harmless(best['file'])}:{best['index']} of source {best['source']}"
    console.print(f"    record {row['representative']}, {escape(where)}, {fate}", highlight=False)
    shown = _released(release, manifest, row["representative"])
    if shown:
        console.print(f"    {escape(shown)}", highlight=False)


def _released(release: Path, manifest: Manifest, record: str) -> str | None:
    """The beginning of a released record's first question and last answer."""
    for file in manifest.files:
        if file.path.startswith("data/"):
            found = _read(release, file.path, pc.field("id") == record, ["id"], ["messages"])
            if found.num_rows:
                messages = found["messages"][0].as_py()
                shown = {one["role"]: one["content"] for one in reversed(messages) if one["role"] == "user"}
                shown |= {one["role"]: one["content"] for one in messages if one["role"] == "assistant"}
                return " | ".join(f"{role}: {_short(text)}" for role, text in shown.items())
    return None


def _quarantined(release: Path, row: dict[str, Any]) -> str:
    condition = (pc.field("file") == row["file"]) & (pc.field("index") == row["index"])
    condition &= pc.field("source") == row["source"]
    found = _read(release, "quarantine/rows.parquet", condition, ["file", "index", "source"], ["raw"])
    return bytes(found["raw"][0].as_py()).decode("utf-8", "replace") if found.num_rows else ""


def _short(text: str) -> str:
    """One line without control characters: data must not steer the terminal."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= SNIPPET else line[: SNIPPET - 1] + "…"


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
