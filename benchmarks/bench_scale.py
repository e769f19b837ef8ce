"""Growth from 100,000 to 1,000,000 rows, deduplication against a bare rensa loop, and peak memory.

    python -m benchmarks.bench_scale [--rounds 3] [--rows 100000 1000000]

The rows come from ``perturbed_rows``: 20 % near duplicates, 5 % exact copies. Every round runs, one after the
other: the small size from nothing and with its signals removed, the rensa loop on the same rows (the first
100,000, one core), the large size in both ways. Memory is sampled in runs of their own. Prints a section of
Markdown.
"""

import argparse
import json
import shutil
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks import runs
from benchmarks.export_rows import export
from benchmarks.perturbed_rows import write
from benchmarks.runs import BUILD, Command, Run, median, ratio, spread, verdict

FOLDER = BUILD / "scale"
WORKERS, LOOP_ROWS = 2, 100_000
FIXED_BYTES, PER_BYTE = 400e6, 4
RECIPE = """name: scale
version: 1.0.0
seed: 1
sources:
  rows: {{path: {rows}, max_loss: 60 %}}
dedup:
  near: {{similarity: 0.8, recall: 99 %}}
"""


class Size:
    """Runs over one number of rows."""

    def __init__(self, rows: int):
        self.rows = rows
        path = FOLDER / f"rows-{rows}.jsonl"
        self.kinds = write(rows, path)
        self.bytes = path.stat().st_size
        recipe = FOLDER / f"recipe-{rows}.yaml"
        recipe.write_text(RECIPE.format(rows=json.dumps(path.name)), encoding="utf-8")
        self.command = Command(recipe, FOLDER / f"ours-{rows}", WORKERS)
        self.cold: list[Run] = []
        self.part: list[Run] = []

    def run(self) -> None:
        self.cold.append(self.command.cold())
        self.part.append(self.command.without_signals())

    @property
    def whole(self) -> list[float]:
        return [run.seconds for run in self.cold]

    @property
    def dedup(self) -> list[float]:
        return [runs.dedup_seconds(run) for run in self.part]

    @property
    def rates(self) -> list[float]:
        """Rows per second and core."""
        return [self.rows / seconds / WORKERS for seconds in self.dedup]


def kept_bytes(release: Path) -> int:
    """UTF-8 bytes of the contents of all released messages."""
    total = 0
    for path in sorted((release / "data").glob("*.parquet")):
        for batch in pq.ParquetFile(path).iter_batches(columns=["messages"]):
            content = batch["messages"].flatten().field("content")
            total += pc.sum(pc.binary_length(content)).as_py() or 0
    return int(total)


def bench(rounds: int, counts: tuple[int, int]) -> str:
    reason = runs.why_not(peers=False)
    if reason:
        return f"## Growth\n\nSkipped: {reason}.\n"
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    small, large = sizes = [Size(count) for count in sorted(counts)]
    loop: list[float] = []
    for _ in range(rounds):
        small.run()
        if runs.why_not() is None:
            if not loop:
                export(small.command.work_dir, FOLDER / "texts", files=1, limit=LOOP_ROWS)
            loop.append(runs.minhash_loop_rate(FOLDER / "texts" / "00000.jsonl"))
        large.run()
    title = f"{small.rows:,} and {large.rows:,} rows, {WORKERS} workers, {rounds} rounds."
    lines = ["## Growth", "", title, "", "| figure | measured | target | |", "|---|---|---|---|"]
    most = 1.1 * large.rows / small.rows
    for name, ours, base in (
        ("whole run", large.whole, small.whole),
        ("deduplication part", large.dedup, small.dedup),
    ):
        grown = ratio(ours, base)
        lines.append(f"| time of the {name}, large to small | {grown:.1f} | {most:.0f} | {verdict(grown, most)} |")
    for size in sizes:
        if loop:
            rate = ratio(size.rates, loop)
            lines.append(
                f"| deduplication of {size.rows:,} rows, rate per core, to the rensa loop | {rate:.2f} | 1 "
                f"| {verdict(rate, 1, at_least=True)} |"
            )
    for size in sizes:
        kept = kept_bytes(size.part[-1].release)
        limit = FIXED_BYTES + PER_BYTE * kept
        memory = size.command.memory(0.02 if size is small else 0.1)
        title = f"peak memory (PSS) at {size.rows:,} rows, {kept / 1e6:,.0f} MB of text kept"
        lines.append(f"| {title} | {memory.pss / 1e6:,.0f} MB | {limit / 1e6:,.0f} MB | {verdict(memory.pss, limit)} |")
    lines += ["", "Seconds, median (least to greatest):", "", "| rows | | whole | stages | rows/s per core |"]
    lines += ["|---|---|---|---|---|"]
    for size in sizes:
        for what, measured in (("from nothing", size.cold), ("signals removed", size.part)):
            stages = runs.stage_medians([run.stages for run in measured])
            rate_cell = f"{median(size.rates):,.0f}" if measured is size.part else ""
            whole = spread([run.seconds for run in measured])
            lines.append(f"| {size.rows:,} ({size.bytes / 1e6:,.0f} MB) | {what} | {whole} | {stages} | {rate_cell} |")
    if loop:
        lines.append(f"| {LOOP_ROWS:,} | rensa loop, one core | | | {median(loop):,.0f} |")
    else:
        lines += ["", f"Comparison with rensa skipped: {runs.why_not()}."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, nargs=2, default=(100_000, 1_000_000), metavar=("SMALL", "LARGE"))
    arguments = parser.parse_args()
    print(bench(arguments.rounds, tuple(arguments.rows)))
