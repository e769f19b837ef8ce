"""Ctrl-C and SIGTERM: a run that is asked to stop finishes its step and saves, and the same command goes on.

Before the first step there is nothing to save, and it stops where it is. Clusters send SIGTERM before they kill;
torchrun waits 30 seconds. A second Ctrl-C stops at once.
"""

import os
import signal
import threading
import time
from pathlib import Path
from types import FrameType

from trainer.distributed import World

NAMES = {int(signal.SIGINT): "Ctrl-C", int(signal.SIGTERM): "SIGTERM"}
# A terminal sends Ctrl-C to torchrun and to its processes, and torchrun hands it on: two signals of one key press.
SAME = 1.0


class Stopped(SystemExit):
    """A run that was asked to stop; the exit status is 128 and the signal's number, as shells have it."""

    def __init__(self, number: int, step: int = 0, steps: int = 0, saved: Path | None = None):
        super().__init__(128 + number)
        self.number, self.step, self.steps, self.saved = number, step, steps, saved

    @property
    def status(self) -> int:
        return 128 + self.number

    @property
    def told(self) -> str:
        """The line for people."""
        if self.saved is None:
            return f"stopped by {NAMES[self.number]}; the same command goes on from the newest checkpoint, or begins"
        return (
            f"stopped by {NAMES[self.number]} after step {self.step:,} of {self.steps:,}, which is saved; the same "
            f"command goes on from {self.saved}"
        )


class Asked:
    """Which signal asked to stop. As a context manager it listens, where that is possible: in the main thread."""

    def __init__(self) -> None:
        self.number = 0  # of the first signal; 0: none came
        self.stepping = False  # steps are under way: finish the one, instead of stopping anywhere
        self._first = 0.0
        self._owner = os.getpid()
        self._before: dict[int, object] = {}

    def agreed(self, world: World, due: bool) -> tuple[int, bool]:
        """The signal that reached any rank, 0 for none, and rank 0's ``due``: the same on all ranks, at this step."""
        heard = [float(self.number == number) for number in NAMES]
        *heard, due_first = world.sum([*heard, float(world.first and due)])
        # SIGTERM over Ctrl-C: who sends it says so by the exit status
        return max([0, *(number for number, ranks in zip(NAMES, heard) if ranks)]), due_first > 0

    def __enter__(self) -> "Asked":
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._heard) for number in NAMES}
        return self

    def __exit__(self, *reason: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)  # type: ignore[arg-type]

    def _heard(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._owner:  # a forked child
            raise SystemExit(128 + number)
        now = time.monotonic()
        if not self.number:
            self.number, self._first = number, now
            if self.stepping:
                return
        elif number != signal.SIGINT or now - self._first < SAME:
            return
        raise Stopped(number)
