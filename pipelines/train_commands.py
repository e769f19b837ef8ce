"""``gristmill train``, ``masks`` and ``rows``: the trainer, asked from the command. Only ``train`` needs torch."""

import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import typer

from pipelines.report import harmless, stdout_console
from schemas.errors import GristmillError
from trainer.config import TrainConfig, load_config
from trainer.masks import rows_of as rows_with_id
from trainer.masks import show_masks
from trainer.outcome import TRAINED, Fate
from trainer.plan.ledger import Entry, rows_of, steps_of
from trainer.prepare import Prepared, prepare
from trainer.report import plan_report
from trainer.shards import Shards

_NAMED = ("id", "source", "provenance")
_HEAD = ("step", "slot", "id", "source", "tokens", "supervised", "epoch", "in the release", "from")
_RIGHT = {"step", "slot", "tokens", "supervised", "epoch"}
_OUT = {
    Fate.DROPPED: "it is longer than a sequence",
    Fate.REFUSED: "the template does not take it",
    Fate.MASKED: "no token in it is learned",
    Fate.STRADDLE: "a token lies across the border of what is learned",
    Fate.BROKEN: "it does not hold what masks promise",
}


def train(path: Path, overrides: Sequence[str], planning: bool) -> None:
    """Train and print the last checkpoint's folder, or print the plan.

    Raises:
        GristmillError: a mistake in configuration, release or model, or torch is not installed.
    """
    config = load_config(path, list(overrides))
    if planning:
        with closing(prepare(config, path.parent)) as data:
            typer.echo(plan_report(data.plan, data.checked))
        return
    if find_spec("torch") is None:
        raise GristmillError(
            "training needs torch, which is not installed; run pip install -c constraints.txt -e '.[train]' (--plan, "
            "masks and rows work without it)"
        )
    from trainer.train import train as run

    last = run(config, path.parent)
    if os.environ.get("RANK", "0") == "0":  # under torchrun every process comes here
        typer.echo(last.resolve())  # without the .. of a path that is relative to the configuration


def masks(path: Path, overrides: Sequence[str], show: int, id: str | None) -> None:
    """Print rows as they would be trained on.

    Raises:
        GristmillError: see :func:`trainer.masks.show_masks`.
    """
    show_masks(load_config(path, list(overrides)), path.parent, stdout_console(), show, id)


def rows(path: Path, overrides: Sequence[str], step: int | None, id: str | None) -> None:
    """Print the records of a step, counted from 1 as ``metrics.jsonl`` counts, or every step that holds a record.

    Raises:
        GristmillError: not just one of the two is asked for, or there is no such step or record.
    """
    if (step is None) == (id is None):
        raise GristmillError("rows answers one question: --step K for the records of a step, or --id ID for its steps")
    config = load_config(path, list(overrides))
    with closing(prepare(config, path.parent)) as data:
        plan = data.plan
        if step is not None:
            if not 1 <= step <= plan.steps:
                raise GristmillError(f"there is no step {step}; the plan has {plan.steps:,}, counted from 1")
            found = rows_of(plan, step - 1)
            told = [f"step {step} of {plan.steps:,}: {len(found):,} rows, N = {plan.weight(step - 1):g}"]
        else:
            found, told = _of_record(data, str(id))
        for line in [*_table(config, data, found), *told]:
            typer.echo(line)


def _of_record(data: Prepared, id: str) -> tuple[list[Entry], list[str]]:
    """Where a record is trained on, and one line a row of it."""
    mine = rows_with_id(data.rows[data.pin.split], id=id)
    found, told = [], []
    for row in mine:
        entries = steps_of(data.plan, row)
        found += entries
        fate = Fate(int(data.checked.fate[row]))
        if entries:
            why = f"in {len(entries):,} of {data.plan.steps:,} steps"
        elif fate in TRAINED:
            why = "in no step: steps or mixture end before it is reached"
        else:
            why = f"in no step: {_OUT[fate]}; gristmill masks --id says more"
        told.append(f"row {row}: {why}")
    return sorted(found), told


def _table(config: TrainConfig, data: Prepared, entries: Sequence[Entry]) -> Iterator[str]:
    """A head and a line an entry, in columns."""
    if not entries:
        return
    shards = data.release.open(config.split, _NAMED)
    try:
        batch = shards.take(np.array([entry.row for entry in entries], np.int64))
        named = batch.to_pylist()
        places = places_of(shards, [entry.row for entry in entries])
    finally:
        shards.close()
    lines: list[tuple[str, ...]] = [_HEAD]
    for entry, place, one in zip(entries, places, named):
        origin = one["provenance"] or {}
        part = f":{origin['part']}" if origin.get("part") is not None else ""
        lines.append(
            (
                str(entry.step + 1), str(entry.slot), harmless(one["id"]), harmless(entry.source), f"{entry.tokens:,}",
                f"{entry.supervised:,}", str(entry.epoch + 1), place,
                harmless(f"{origin.get('file')}:{origin.get('index')}{part}"),
            )
        )  # fmt: skip
    widths = [max(len(line[at]) for line in lines) for at in range(len(_HEAD))]
    for line in lines:
        cells = [
            cell.rjust(width) if name in _RIGHT else cell.ljust(width) for cell, width, name in zip(line, widths, _HEAD)
        ]
        yield "  ".join(cells).rstrip()


def places_of(shards: Shards, rows: Sequence[int]) -> list[str]:
    """Where each row [n] stands in the release: its shard's name, and its number within it from 0."""
    first = np.concatenate([[0], np.cumsum(np.bincount(shards.files, weights=np.diff(shards.starts)))]).astype(np.int64)
    files = np.searchsorted(first, rows, side="right") - 1
    return [f"{shards.shards[file].name}:{row - int(first[file])}" for row, file in zip(rows, files.tolist())]
