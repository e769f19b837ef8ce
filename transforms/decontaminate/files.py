"""Benchmark files: where they lie, what they are called, and their rows as mappings."""

import csv
import io
from collections.abc import Iterator
from glob import glob, has_magic
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.decontaminate import Decontaminate
from schemas.errors import GristmillError

SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")
COMPRESSED = (".gz", ".zst", ".bz2", ".lz4")

_LISTS = ("examples", "data", "items", "questions", "instances", "rows", "test")
_NAMES = {"question", "query", "prompt", "problem", "input", "instruction", "answer", "target", "output", "choices"}
"""A table whose first row holds one of these has a head."""


def locate(settings: Decontaminate, base: Path) -> dict[str, Path]:
    """Benchmark name -> file. A file is named by its stem; below a folder or a glob's fixed part, with its folders."""
    asked = settings.benchmarks
    pairs = list(asked.items()) if isinstance(asked, dict) else [("", one) for one in asked]
    found: dict[str, Path] = {}
    for name, text in pairs:
        for inner, path in _expand(text, base):
            full = "/".join(part for part in (name, inner if not (name and inner == _stem(Path(text))) else "") if part)
            if full in found and found[full] != path:
                raise GristmillError(
                    f"decontaminate.benchmarks: {found[full]} and {path} are both called {full!r}; name them: "
                    "write a mapping of name to path"
                )
            found[full] = path
    return found


def _expand(text: str, base: Path) -> list[tuple[str, Path]]:
    path = (base / Path(text).expanduser()).resolve() if not has_magic(text) else base / Path(text).expanduser()
    if has_magic(text):
        fixed = path
        while has_magic(str(fixed)):
            fixed = fixed.parent
        files = [Path(name) for name in glob(str(path), recursive=True) if Path(name).is_file()]
        root = fixed
    elif path.is_dir():
        root, files = path, [one for one in path.rglob("*") if one.is_file() and _known(one)]
    elif path.is_file():
        root, files = path.parent, [path]
    else:
        raise GristmillError(f"decontaminate.benchmarks: {path} does not exist; give a file, a folder or a glob")
    if not files:
        raise GristmillError(
            f"decontaminate.benchmarks: nothing to read in {path}; benchmark files end in {', '.join(SUFFIXES)}"
        )
    return [("/".join((*one.relative_to(root).parts[:-1], _stem(one))), one) for one in sorted(files)]


def _stem(path: Path) -> str:
    name = path.name
    for suffix in (*COMPRESSED, *SUFFIXES):
        name = name.removesuffix(suffix)
    return name


def _known(path: Path) -> bool:
    name = path.name
    for suffix in COMPRESSED:
        name = name.removesuffix(suffix)
    return name.endswith(SUFFIXES) and not name.startswith(".")


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of a file as mappings.

    Raises:
        GristmillError: the file cannot be read as what its name says.
    """
    name = path.name
    for suffix in COMPRESSED:
        name = name.removesuffix(suffix)
    try:
        if name.endswith(".parquet"):
            yield from pq.read_table(path).to_pylist()
            return
        with pa.input_stream(str(path), compression="detect") as stream:
            data = stream.read()
        if name.endswith((".tsv", ".csv")):
            yield from _table(data.decode("utf-8-sig"), "\t" if name.endswith(".tsv") else ",")
        else:
            yield from _json(data.removeprefix(b"\xef\xbb\xbf"))
    except (OSError, ValueError, pa.ArrowException, csv.Error, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise GristmillError(
            f"decontaminate.benchmarks: {path} cannot be read ({reason}); repair it or take it off the list"
        ) from None


def _json(data: bytes) -> Iterator[dict[str, Any]]:
    try:
        whole = orjson.loads(data)
    except orjson.JSONDecodeError:
        for number, line in enumerate(data.split(b"\n"), 1):
            if line.strip():
                try:
                    row = orjson.loads(line)
                except orjson.JSONDecodeError as error:
                    raise ValueError(f"line {number}: {error}") from None
                if isinstance(row, dict):
                    yield row
        return
    if isinstance(whole, dict):
        inner = next((whole[key] for key in _LISTS if isinstance(whole.get(key), list)), None)
        whole = inner if inner is not None else [whole]
    yield from (row for row in whole if isinstance(row, dict)) if isinstance(whole, list) else ()


def _table(text: str, delimiter: str) -> Iterator[dict[str, Any]]:
    csv.field_size_limit(1 << 30)
    lines = io.StringIO(text, newline="")
    plain = delimiter == "\t"
    reader = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE) if plain else csv.reader(lines, delimiter=",")
    rows = [row for row in reader if row]
    if not rows:
        return
    if _NAMES & {cell.strip().lower() for cell in rows[0]}:
        head, rows = [cell.strip() for cell in rows[0]], rows[1:]
    else:  # MGSM: no head, question first, answer last
        head = ["question", *(f"column {number}" for number in range(2, len(rows[0]))), "answer"][: len(rows[0])]
    for row in rows:
        yield dict(zip(head, row, strict=False))
