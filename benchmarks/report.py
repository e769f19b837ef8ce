"""One report of all benchmarks in Markdown: what ``make bench`` and ``make bench-scale`` print.

    python -m benchmarks.report [--scale] [--rounds 3] [--write FILE]

A benchmark that fails says so in its place, the others go on, and the exit status is 1. A load average above
the number of cores before a section means that others were at work: times say little then, and ratios, whose
sides take turns, are rough.
"""

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

from benchmarks import (
    bench_scale,
    bench_selection,
    bench_shared,
    decontamination_planted,
    embeddings,
    minhash_rate,
    runs,
    signals_rate,
    tag_agreement,
    train_gpu,
    train_rate,
)
from benchmarks.processes import Failed, timed

Section = tuple[str, Callable[[], str]]


def machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    packages = ", ".join(f"{name} {version(name)}" for name in ("apache-beam", "pyarrow", "numpy"))
    python = f"Python {platform.python_version()}"
    return f"{cores} cores, {memory:.0f} GiB, {platform.system()}, {python}, {packages}"


def peers() -> str:
    lists = (Path(__file__).parent / name for name in ("peers.txt", "peers_alone.txt"))
    listed = "\n".join(one.read_text(encoding="utf-8") for one in lists).split("\n")
    compared = ("datatrove", "rensa", "model2vec", "py-data-juicer")
    return ", ".join(line.replace("==", " ") for line in listed if line.startswith(compared))


def printed(title: str, module: ModuleType) -> Section:
    """A benchmark that prints its tables, in a process of its own."""

    def section() -> str:
        if not all((runs.SHARED / name).is_dir() for name in ("data", "benchmarks")):
            return f"## {title}\n\nSkipped: there is no ../shared/data or ../shared/benchmarks beside the repository.\n"
        return f"## {title}\n\n{timed([sys.executable, '-m', module.__name__])[1]}"

    return title, section


def sections(scale: bool, rounds: int) -> list[Section]:
    if scale:
        return [("Growth", lambda: bench_scale.bench(rounds, (100_000, 1_000_000)))]
    return [
        ("MinHash on one core", lambda: minhash_rate.bench(max(rounds, 3))),
        ("Signals on one core", lambda: signals_rate.bench(rounds)),
        ("Embeddings on one core", lambda: embeddings.bench(max(rounds, 3))),
        ("All shared data", lambda: bench_shared.bench(rounds)),
        ("Selection", lambda: bench_selection.bench(min(rounds, 2))),
        printed("Decontamination, planted leaks", decontamination_planted),
        printed("Tags, agreement with people", tag_agreement),
        ("Training on a CPU", lambda: train_rate.bench(rounds)),
        ("Training on a GPU", train_gpu.bench),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", action="store_true", help="the growth to a million rows instead of the others")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", type=Path, help="also write the report to this file")
    arguments = parser.parse_args()
    parts: list[str] = []

    def say(text: str) -> None:
        parts.append(text)
        print(text, flush=True)
        if arguments.write:
            arguments.write.parent.mkdir(parents=True, exist_ok=True)
            arguments.write.write_text("\n".join(parts), encoding="utf-8")

    say(f"# Gristmill benchmarks\n\n{machine()}; against {peers()}.\n")
    failed = 0
    for title, section in sections(arguments.scale, arguments.rounds):
        begin, before = time.monotonic(), os.getloadavg()[0]
        try:
            say(section())
        except (Failed, SystemExit) as error:
            failed = 1
            say(f"## {title}\n\nFailed: {error}\n")
        took = time.monotonic() - begin
        say(f"Took {took:.0f} s; load average {before:.1f} before, {os.getloadavg()[0]:.1f} after.\n")
    return failed


if __name__ == "__main__":
    sys.exit(main())
