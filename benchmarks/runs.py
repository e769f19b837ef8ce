"""Runs of the ``gristmill`` command, each a fresh process, and what they say of themselves."""

import json
import os
import re
import shutil
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.processes import Memory, peak_memory, timed

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
BUILD = ROOT / "build" / "bench"
PEERS_PYTHON = Path(os.environ.get("GRISTMILL_PEERS_PYTHON", ROOT / ".venv-peers" / "bin" / "python"))


@dataclass(frozen=True)
class Run:
    """A measured run: seconds from process start to end, and of the stages that ``run.json`` lists."""

    seconds: float
    stages: dict[str, float]
    release: Path


@dataclass(frozen=True)
class Command:
    """``gristmill curate`` with a recipe, a folder of its own below ``folder`` and a number of workers."""

    recipe: Path
    folder: Path
    workers: int = 2

    @property
    def work_dir(self) -> Path:
        return self.folder / "work"

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def line(self, recipe: Path | None = None) -> list[str]:
        options = [
            "--out",
            str(self.out),
            "--work-dir",
            str(self.work_dir),
            "--workers",
            str(self.workers),
            "--quiet",
        ]
        return [sys.executable, "-m", "pipelines.cli", "curate", str(recipe or self.recipe), *options]

    def cold(self) -> Run:
        """From nothing."""
        shutil.rmtree(self.folder, ignore_errors=True)
        return self._run(self.recipe)

    def again(self, recipe: Path) -> Run:
        """With what the last run left in the work folder."""
        shutil.rmtree(self.out, ignore_errors=True)
        return self._run(recipe)

    def without_signals(self) -> Run:
        """With the text of the last run, but none of its signals."""
        shutil.rmtree(self.work_dir / "corpus" / "signals", ignore_errors=True)
        return self.again(self.recipe)

    def memory(self, interval: float = 0.02) -> Memory:
        """Peak memory of a run from nothing."""
        shutil.rmtree(self.folder, ignore_errors=True)
        return peak_memory(self.line(), interval)

    def _run(self, recipe: Path) -> Run:
        seconds, said = timed(self.line(recipe))
        release = Path(said.strip().split("\n")[-1])
        return Run(seconds, json.loads((release / "run.json").read_text())["stages"], release)


def dedup_seconds(run: Run) -> float:
    """The deduplication part of a run ``without_signals``: signals from stored text, then all decisions.

    That is more than deduplication: lengths and counts are among the signals, filters among the decisions.
    """
    return run.stages["ingest"] + run.stages["decide"]


def write_recipe(name: str, target: Path, changes: Sequence[tuple[str, str]] = ()) -> Path:
    """A recipe of this folder with other values, able to lie anywhere."""
    text = (ROOT / "benchmarks" / name).read_text(encoding="utf-8").replace("../../shared/", f"{SHARED}/")
    for pattern, value in changes:
        text, count = re.subn(pattern, value, text)
        if count != 1:
            raise ValueError(f"{pattern!r} is {count} times in {name}, not once")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")
    return target


def minhash_loop_rate(rows: Path) -> float:
    """Records per second and core of the bare rensa loop over exported rows, from text to signature."""
    script = ROOT / "benchmarks" / "minhash_rate.py"
    _, said = timed([str(PEERS_PYTHON), str(script), "rensa", "--rows", str(rows)])
    result: dict[str, Any] = json.loads(said)
    return float(result["records"] / result["warm"]["total"])


def why_not(peers: bool = True) -> str | None:
    """The reason why a comparison cannot be made here, or None."""
    if not (SHARED / "data").is_dir():
        return "there is no ../shared/data beside the repository"
    if peers and not PEERS_PYTHON.exists():
        return "there is no environment with datatrove and rensa; make bench makes one"
    return None


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Median of the ratios within each round: both sides of a ratio ran next to each other."""
    return statistics.median(one / other for one, other in zip(ours, theirs, strict=True))


def stage_medians(stages: Sequence[dict[str, float]]) -> str:
    """``name seconds`` of every stage."""
    return ", ".join(f"{name} {median([one[name] for one in stages]):.2f}" for name in stages[0])


def spread(values: Sequence[float]) -> str:
    """``median (least to greatest)``."""
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def verdict(value: float, limit: float, at_least: bool = False) -> str:
    if at_least:
        return "reached" if value >= limit else "**missed**"
    return "reached" if value <= limit else "**missed**"
