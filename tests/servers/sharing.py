"""Several test sessions may use the same servers: only when none does, somebody may stop them."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from tests.servers.places import RUN

SESSIONS = RUN / ".sessions"
"""Locked, shared, by every process that runs tests on the servers."""


@contextmanager
def alone() -> Iterator[bool]:
    """Whether no test session uses the servers; as long as this lasts, none begins to."""
    RUN.mkdir(parents=True, exist_ok=True)
    with SESSIONS.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True
