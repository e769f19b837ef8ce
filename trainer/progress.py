"""Signs of life on stderr while rows are looked at: every few seconds in a terminal, more seldom in a file."""

import sys
import time
from typing import TextIO

TERMINAL, FILE = 2.0, 10.0  # seconds between two lines; what takes less says nothing


class Progress:
    """Call it with what is done and what there is; it decides nothing, so it may look at the clock."""

    def __init__(self, what: str, stream: TextIO | None = None):
        self._what, self._stream = what, stream or sys.stderr
        self._every = TERMINAL if self._stream.isatty() else FILE
        self._begin = self._last = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._last < self._every:
            return
        self._last = now
        left = (now - self._begin) * (total - done) / max(done, 1)
        rate = done / (now - self._begin)
        told = f"{self._what}: {done:,} of {total:,} rows, {rate:,.0f} a second, about {left:,.0f} s left"
        print(told, file=self._stream, flush=True)
