"""Planning a training run: rows per second on one core, how full packs are, and going on with other ranks.

    python -m benchmarks.plan_rate [--runs 3] [--rows 1000000 10000000]

Lengths are made: lognormal with σ 0.9, clipped to the capacity, of two sources and in row groups of 2,000 rows. A run
is ``make_plan`` from lengths in memory to all packs, weights and the digest; the median of the runs is shown, in
seconds of CPU (the plan uses one thread). Going on is what a run does that continues with other ranks: the whole plan
anew, its digest compared, and the micro-batches of one rank at a step in the middle.
"""

import argparse
import statistics
import time

import numpy as np

from trainer.plan.lengths import Lengths
from trainer.plan.plan import Plan, PlanSettings, make_plan

SIZES = (1_000_000, 10_000_000)
TARGET_RATE, TARGET_FULL, TARGET_RESUME = 1e6, 0.995, 1.0
MIXTURE = (("a", 0.5), ("b", 0.5))
KINDS: dict[str, tuple[float, int, tuple[tuple[str, float], ...] | None]] = {  # median length, capacity, mixture
    "median 350, capacity 4,096": (350, 4096, None),
    "median 350, capacity 8,192": (350, 8192, None),
    "median 1,200, capacity 8,192": (1200, 8192, None),
    "median 350, capacity 4,096, mixture 50 : 50 of sources 70 : 30": (350, 4096, MIXTURE),
}


def made(rows: int, median: float, capacity: int) -> Lengths:
    rng = np.random.default_rng(0)
    tokens = np.clip(rng.lognormal(np.log(median), 0.9, rows), 8, capacity).astype(np.int32)
    supervised = tokens * 2 // 3
    return Lengths(
        tokens,
        supervised,
        supervised.astype(np.float64),
        (rng.random(rows) < 0.3).astype(np.int16),
        ("a", "b"),
        np.zeros(rows, np.int16),
        (np.arange(rows) // 2000).astype(np.int32),
    )


def bench(runs: int, sizes: tuple[int, ...] = SIZES) -> str:
    """The section of ``make bench``."""
    lines = [
        "| lengths | rows | seconds | rows/s | target | full | target |",
        "|---" * 7 + "|",
    ]
    going_on = []
    for title, (median, capacity, mixture) in KINDS.items():
        for rows in sizes if title == next(iter(KINDS)) else sizes[:1]:
            lengths = made(rows, median, capacity)
            settings = PlanSettings(seed=0, capacity=capacity, packs_per_step=32, streams=8, mixture=mixture)
            took, resumed = [], []
            for _ in range(runs):
                begin = time.process_time()
                plan = make_plan(lengths, settings, "release")
                took.append(time.process_time() - begin)
                resumed.append(_go_on(plan))
            seconds, summary = statistics.median(took), plan.summary()
            lines.append(
                f"| {title} | {rows:,} | {seconds:.2f} | {summary.rows / seconds:,.0f} | {TARGET_RATE:,.0f} "
                f"| {summary.efficiency:.2%} | {TARGET_FULL:.1%} |"
            )
            going_on.append(f"{rows:,} rows ({title}): {statistics.median(resumed):.2f} s")
    lines += [
        "",
        f"Going on at a step in the middle as rank 5 of 8 (target {TARGET_RESUME:.0f} s for a million rows):",
        "",
        *(f"- {one}" for one in going_on),
    ]
    return "\n".join(["## Planning", "", *lines, ""])


def _go_on(before: Plan) -> float:
    """Seconds of CPU."""
    begin = time.process_time()
    plan = make_plan(before.lengths, before.settings, before.identity)
    if plan.digest != before.digest:
        raise AssertionError("the same lengths gave another plan")
    plan.owned(plan.steps // 2, 5, 8)
    return time.process_time() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description="Rows planned per second on one core.")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--rows", type=int, nargs="+", default=list(SIZES))
    arguments = parser.parse_args()
    print(bench(arguments.runs, tuple(arguments.rows)))


if __name__ == "__main__":
    main()
