"""What a run moves and what it costs, stage by stage: messages, rows and bytes through each shuffle, CPU seconds.

    python -m benchmarks.shuffles RECIPE [--out FOLDER] [--rows 1000000]

Runs the recipe in this process (one worker, nothing spilled to disk), so every batch that reaches a stage can be
counted as Beam would send it: encoded. Bytes are before the runner's own framing and compression. CPU is the stage's
thread, so without Beam and the coder. With ``--rows`` the recipe is one over that many rows of ``perturbed_rows``, and
figures are also given per million of them.
"""

import argparse
import json
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import Any

import pyarrow as pa


@dataclass
class Stage:
    """What one stage got, gave and used."""

    name: str
    shuffled: bool
    messages: int = 0
    rows: int = 0
    bytes: int = 0
    largest: int = 0  # rows of the largest part
    cpu: float = 0.0


class Meter:
    """Counts what passes the one DoFn that all stages run in."""

    def __init__(self) -> None:
        self.stages: dict[str, Stage] = {}

    def install(self) -> None:
        from transforms import blocks

        process = blocks._Apply.process
        code = blocks.RecordBatchCoder()

        @wraps(process)
        def metered(apply: Any, element: tuple[bytes, Any], *extra: Any) -> Iterator[Any]:
            stage = self.stages.setdefault(apply._stage, Stage(apply._stage, apply._grouped))
            key, rows = element
            if apply._grouped:
                rows = list(rows)
                stage.messages += len(rows)
                stage.bytes += sum(len(code.encode(batch)) for batch in rows)
                count = sum(batch.num_rows for batch in rows)
                stage.rows, stage.largest = stage.rows + count, max(stage.largest, count)
            begin = time.thread_time()
            for one in process(apply, (key, rows), *extra):
                stage.cpu += time.thread_time() - begin
                yield one
                begin = time.thread_time()
            stage.cpu += time.thread_time() - begin

        blocks._Apply.process = metered  # type: ignore[method-assign, assignment]


def measure(recipe: Path, folder: Path) -> tuple[list[Stage], float]:
    """The stages in the order they began, and CPU seconds of the whole command."""
    from pipelines import curate, outcome
    from pipelines.engine import Engine
    from pipelines.report import Report

    meter = Meter()
    meter.install()
    planned: Callable[..., Any] = outcome.decide_plan

    def unspilled(*given: Any, **named: Any) -> Any:
        return replace(planned(*given, **named), spill=None)

    curate.decide_plan = unspilled
    began = time.process_time()
    with Engine(1) as engine:
        curate.curate(recipe, folder / "out", folder / "work", engine, Report(quiet=True))
    return list(meter.stages.values()), time.process_time() - began


def table(stages: list[Stage], total: float, million: float) -> str:
    """Markdown; ``million``: how many million rows were read."""
    lines = [
        "| stage | shuffle | messages | rows | MB | rows / million | MB / million | largest part | CPU s / million |",
        "|---" * 9 + "|",
    ]
    for one in stages:
        moved = (
            f"{one.messages:,} | {one.rows:,} | {one.bytes / 1e6:,.2f} | {one.rows / million:,.0f} "
            f"| {one.bytes / 1e6 / million:,.1f} | {one.largest:,}"
            if one.shuffled
            else "| | | | | "
        )
        lines.append(f"| {one.name} | {'yes' if one.shuffled else ''} | {moved} | {one.cpu / million:,.1f} |")
    shuffled = Counter({name: sum(getattr(one, name) for one in stages) for name in ("messages", "rows", "bytes")})
    lines.append(
        f"| all | {sum(one.shuffled for one in stages)} | {shuffled['messages']:,} | {shuffled['rows']:,} "
        f"| {shuffled['bytes'] / 1e6:,.2f} | {shuffled['rows'] / million:,.0f} "
        f"| {shuffled['bytes'] / 1e6 / million:,.1f} | | {total / million:,.1f} (the command) |"
    )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Shuffled bytes and CPU seconds by stage.")
    parser.add_argument("recipe", type=Path, nargs="?")
    parser.add_argument("--out", type=Path, help="folder for the run; default: a temporary one")
    parser.add_argument("--rows", type=int, help="make this many rows, and a recipe over them")
    arguments = parser.parse_args()
    if (arguments.recipe is None) == (arguments.rows is None):
        parser.error("give a recipe or --rows")
    with tempfile.TemporaryDirectory() as temporary:
        folder: Path = arguments.out or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        recipe = arguments.recipe
        if recipe is None:
            from benchmarks.bench_scale import RECIPE
            from benchmarks.perturbed_rows import write

            path = folder / f"rows-{arguments.rows}.jsonl"
            if not path.exists():
                write(arguments.rows, path)
            recipe = folder / "recipe.yaml"
            recipe.write_text(RECIPE.format(rows=json.dumps(path.name)), encoding="utf-8")
        for name in ("out", "work"):
            shutil.rmtree(folder / name, ignore_errors=True)
        stages, total = measure(recipe, folder)
        release = next((folder / "out").glob("*/*/manifest.json"))
        read = sum(one["records"] for one in json.loads(release.read_text())["sources"].values())
        print(f"{read:,} records, pyarrow {pa.__version__}\n\n{table(stages, total, read / 1e6)}")


if __name__ == "__main__":
    main()
