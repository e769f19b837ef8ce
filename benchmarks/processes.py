"""Runs a command and measures it: seconds from start to end, or peak memory with all its descendants.

Memory is sampled in runs of their own: reading /proc/PID/smaps_rollup costs milliseconds per process and
sample, which on two cores would be seen in the times.
"""

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True)
class Memory:
    """Bytes, summed over all processes at one moment, at the moments when each sum was largest.

    ``pss`` shares out every page among the processes that have it mapped; ``rss`` counts it once for each.
    """

    pss: int
    rss: int
    samples: int


class Failed(Exception):
    """A measured command ended with an error; the message holds its last words."""


def timed(command: Sequence[str], environment: Mapping[str, str] | None = None) -> tuple[float, str]:
    """Seconds from start to end, and what the command wrote to standard output."""
    start = time.perf_counter()
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **(environment or {})}, check=False
    )
    seconds = time.perf_counter() - start
    if done.returncode:
        raise Failed(f"{' '.join(command)} ended with status {done.returncode}:\n{done.stderr[-2000:]}")
    return seconds, done.stdout


def peak_memory(command: Sequence[str], interval: float = 0.02) -> Memory:
    """Peak memory of the command and its descendants, sampled every ``interval`` seconds."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    pss = rss = samples = 0
    while process.poll() is None:
        begin = time.perf_counter()
        sizes = [sizes_of(one) for one in tree_of(process.pid)]
        pss = max(pss, sum(one[0] for one in sizes))
        rss = max(rss, sum(one[1] for one in sizes))
        samples += 1
        time.sleep(max(0.0, interval - (time.perf_counter() - begin)))
    if process.returncode:
        raise Failed(f"{' '.join(command)} ended with status {process.returncode}")
    return Memory(pss, rss, samples)


def tree_of(pid: int) -> list[int]:
    """The process and all its descendants."""
    found, todo = [], [pid]
    while todo:
        one = todo.pop()
        found.append(one)
        try:
            for thread in (PROC / str(one) / "task").iterdir():
                todo += map(int, (thread / "children").read_text().split())
        except OSError:
            pass  # it has ended meanwhile
    return found


def sizes_of(pid: int) -> tuple[int, int]:
    """(PSS, RSS) in bytes; nothing for a process that has ended."""
    try:
        lines = (PROC / str(pid) / "smaps_rollup").read_text().split("\n")[1:]
    except OSError:
        return 0, 0
    kib = {name: value.split()[0] for name, _, value in (line.partition(":") for line in lines) if value}
    return int(kib.get("Pss", 0)) << 10, int(kib.get("Rss", 0)) << 10
