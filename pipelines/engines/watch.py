"""What a job on Flink says of itself before it ends: failures that it would repeat, and that it stands still."""

import os
import sys
import time

from pipelines.engines.cause import first_cause, our_sentence
from pipelines.engines.flink import FlinkRest
from schemas.errors import GristmillError

STALL_VARIABLE = "GRISTMILL_STALL_MINUTES"
STALL_MINUTES = 15.0
"""A job in which nothing moves for so long is given up: no block of records takes that long."""
LOOK_SECONDS = 2.0


def stall_minutes() -> float:
    """The limit; 0 is none.

    Raises:
        GristmillError: the variable holds no number.
    """
    given = os.environ.get(STALL_VARIABLE) or str(STALL_MINUTES)
    try:
        minutes = float(given)
    except ValueError:
        minutes = -1.0
    if not 0 <= minutes < float("inf"):
        raise GristmillError(f"{STALL_VARIABLE}={given} is no number of minutes; give 0 for no limit")
    return minutes


class FlinkWatch:
    """Looks at one job every few seconds."""

    def __init__(self, rest: FlinkRest):
        self._rest, self._limit = rest, stall_minutes()
        self._looked, self._moved, self._state = 0.0, time.monotonic(), ""
        self._told: set[tuple[int, str]] = set()
        self._said: set[str] = set()

    def look(self, job: str) -> str | None:
        """Why the job should be ended now, as a sentence; None while it should go on.

        A cluster that starts failed tasks again does so for a user's mistake as well, several times.
        """
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS:
            return None
        self._looked = now
        for failure in self._rest.failures(job):
            if failure in self._told:
                continue
            self._told.add(failure)
            sentence = our_sentence(RuntimeError(failure[1]))
            if sentence is not None:
                return sentence
            cause = first_cause(failure[1])
            if cause not in self._said and self._rest.passed(job)[1] not in ("FAILING", "FAILED"):
                self._said.add(cause)
                sys.stderr.write(f"warning: {cause}; flink goes on with the job\n")
                sys.stderr.flush()
        return self._stalled(job, now)

    def _stalled(self, job: str, now: float) -> str | None:
        state = self._rest.moved(job)
        if state != self._state or not self._state:
            self._state, self._moved = state, now
        if not self._limit or now - self._moved < 60 * self._limit:
            return None
        what = self._rest.passed(job)[1] or "it does not answer"
        return (
            f"--engine flink: nothing has moved in the job for {self._limit:g} minutes ({what}), so it was cancelled; "
            f"the task managers' logs may say why; {STALL_VARIABLE}=0 would wait for ever"
        )
