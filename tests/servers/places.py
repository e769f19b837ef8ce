"""Where the test servers' files lie: what was fetched, and what a run of them wrote. Git ignores all of it."""

from pathlib import Path

ENGINES = Path(__file__).resolve().parent.parent.parent / "build" / "engines"
"""What was fetched; kept between runs, gone with ``make clean``."""

RUN = ENGINES / "run"
"""Logs, process ids, ports and data of the servers that run now or ran last."""


class ServerError(Exception):
    """What keeps a server from being fetched or started, in one sentence."""
