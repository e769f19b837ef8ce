"""Small recipes for tests: rows to files, a run in this process, and the release read back as plain Python."""

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
import yaml

from pipelines.curate import curate
from pipelines.engine import Engine
from pipelines.open_release import open_manifest
from pipelines.report import Report
from schemas.manifest import Manifest

Row = dict[str, Any] | bytes  # bytes: a line as it is, readable or not


def chat(prompt: str, answer: str, **more: Any) -> dict[str, Any]:
    """A row in the ``messages`` shape."""
    return {"messages": [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]} | more


def lines(rows: list[Row]) -> bytes:
    return b"".join((row if isinstance(row, bytes) else orjson.dumps(row)) + b"\n" for row in rows)


def write_recipe(
    folder: Path,
    files: dict[str, dict[str, list[Row]]],
    sources: dict[str, dict[str, Any]] | None = None,
    **settings: Any,
) -> Path:
    """``files``: by source, by file name, the rows. ``sources`` adds settings to a source, ``settings`` to the recipe.

    All rows may be lost and unreadable unless ``settings`` say otherwise. Returns the recipe's path.
    """
    made: dict[str, dict[str, Any]] = {}
    for source, by_file in files.items():
        (folder / source).mkdir(parents=True, exist_ok=True)
        for name, rows in by_file.items():
            (folder / source / name).write_bytes(lines(rows))
        made[source] = {
            "path": f"{source}/*.jsonl",
            "container": "jsonl",
            "max_bad": "100 %",
            "max_loss": "100 %",
        }
        made[source] |= (sources or {}).get(source, {})
    recipe = {"name": "small", "version": "1.0.0", "sources": made} | settings
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return path


@dataclass(frozen=True)
class Published:
    """A release as plain Python."""

    path: Path

    @property
    def manifest(self) -> Manifest:
        return open_manifest(self.path)

    @property
    def ledger(self) -> list[dict[str, Any]]:
        """Rows about records, in address order, then those of quarantined rows."""
        files = [
            *sorted((self.path / "ledger").glob("records-*.parquet")),
            self.path / "ledger" / "quarantined.parquet",
        ]
        return [row for file in files for row in read(file)]

    @property
    def quarantine(self) -> list[dict[str, Any]]:
        return read(self.path / "quarantine" / "rows.parquet")

    def rows(self, split: str = "train") -> list[dict[str, Any]]:
        """Released rows in the order of the shards."""
        return [row for file in sorted((self.path / "data").glob(f"{split}-*.parquet")) for row in read(file)]

    def contents(self) -> dict[str, bytes]:
        """Every file but run.json, which holds times and hosts."""
        files = sorted(file for file in self.path.rglob("*") if file.is_file() and file.name != "run.json")
        return {file.relative_to(self.path).as_posix(): file.read_bytes() for file in files}


def read(file: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(file).to_pylist()
    return rows


def run(recipe: Path, out: Path, work: Path | None = None, workers: int = 1, engine: str | None = None) -> Published:
    """Curate, with the local runner unless another is named; the work folder is inside ``out`` unless named."""
    with Engine(workers, engine) as one:
        return Published(curate(recipe, out, work or out / ".gristmill", one, Report(quiet=True)))


def published(out: Path) -> list[Path]:
    """Everything under ``out`` that could be taken for a release, hidden names left out."""
    if not out.is_dir():
        return []
    found = [path for name in out.iterdir() if not name.name.startswith(".") for path in name.iterdir()]
    return [path for path in found if not path.name.startswith(".")]


def leftovers(out: Path) -> list[str]:
    """Hidden files and folders under ``out`` that a finished run should not leave, the work folder itself aside."""
    return sorted(
        path.relative_to(out).as_posix() for path in out.rglob(".*") if path.name != ".gristmill" and path.exists()
    )


@contextlib.contextmanager
def fresh(folder: Path) -> Iterator[Path]:
    """An empty folder, gone afterwards: Hypothesis runs many examples in one test."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
