"""Progress of stages: workers say what they have done, the command reads it.

Beam's local runner reports nothing until it returns. On this machine a tick is one short append per block to a file of
the process's own; on an engine elsewhere, where there is no such folder, it is a counter of Beam's. Ticks are shown to
people and decide nothing: a bundle that runs twice ticks twice.
"""

import os
import threading
import time
from collections import Counter
from pathlib import Path

FOLDER_VARIABLE = "GRISTMILL_PROGRESS"
NAMESPACE = "gristmill"
PASSED = "passed_"
"""Before a stage's name: the counter of its blocks."""
CPU_COUNTER = "cpu_ms"
"""Milliseconds of CPU time that workers used."""

_lock = threading.Lock()
_counted_ms = 0


def tick(stage: str) -> None:
    """Say that one more block has passed ``stage``."""
    folder = os.environ.get(FOLDER_VARIABLE)
    if not folder:
        _count(stage)
        return
    try:
        handle = os.open(os.path.join(folder, str(os.getpid())), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(handle, f"{stage}\n".encode())
        finally:
            os.close(handle)
    except OSError:
        pass  # progress is a courtesy; a full or absent folder must not stop the work


def _count(stage: str) -> None:
    """Count in Beam's metrics of this bundle: the block, and the CPU time of this process since the last tick."""
    from apache_beam.metrics import Metrics

    global _counted_ms
    with _lock:
        now = int(time.process_time() * 1000)
        passed, _counted_ms = now - _counted_ms, now
    Metrics.counter(NAMESPACE, PASSED + stage).inc()
    Metrics.counter(NAMESPACE, CPU_COUNTER).inc(passed)


def read(folder: Path) -> Counter[str]:
    """Blocks done so far, by stage."""
    done: Counter[str] = Counter()
    for file in folder.iterdir() if folder.is_dir() else ():
        done.update(file.read_text(errors="replace").splitlines())
    return done
