"""pytest fixtures ``prism``, ``object_store`` and ``flink``: real servers, or a skip that says what is missing.

Servers are started when the first test asks for them, serve all tests of the session, and are stopped at its end if
tests had started them. One test at a time has them, also with ``-n``: tests kill and restart them.
"""

import fcntl
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest

from tests.servers.places import RUN, ServerError
from tests.servers.sharing import SESSIONS, alone

if TYPE_CHECKING:
    from tests.servers.hands import FlinkCluster, ObjectStore

STARTED = RUN / "started-by-tests"
_sessions: list[IO[str]] = []


@pytest.fixture
def prism(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The program, which GRISTMILL_PRISM names as well."""
    from tests.servers import fetch

    _skip_without("prism")
    monkeypatch.setenv("GRISTMILL_PRISM", str(fetch.path("prism")))
    return fetch.path("prism")


@pytest.fixture
def servers() -> Iterator[None]:
    """All servers, for this test alone."""
    with _lock():
        yield


@pytest.fixture
def object_store(servers: None, monkeypatch: pytest.MonkeyPatch) -> Iterator["ObjectStore"]:
    """MinIO with a new, empty bucket; the environment has its address and credentials."""
    _skip_without("minio")
    from tests.servers.hands import ObjectStore

    _start("minio")
    store = ObjectStore(f"test-{uuid.uuid4().hex[:12]}")
    for name, value in store.environment().items():
        monkeypatch.setenv(name, value)
    store.create()
    yield store
    store.restart()
    store.remove()


@pytest.fixture
def flink(servers: None, monkeypatch: pytest.MonkeyPatch) -> Iterator["FlinkCluster"]:
    """The cluster with three task managers of two slots each and no job; the environment has its addresses."""
    _skip_without("flink")
    from tests.servers.hands import FlinkCluster

    _start("flink")
    cluster = FlinkCluster()
    cluster.only("tm1", "tm2", "tm3")
    for name, value in cluster.environment().items():
        monkeypatch.setenv(name, value)
    before = cluster.jobs()
    yield cluster
    cluster.cancel(cluster.jobs() - before)


def skip_early(item: pytest.Item) -> None:
    """Skip a test whose servers are lacking before anything is prepared for it."""
    for fixture, name in (("prism", "prism"), ("object_store", "minio"), ("flink", "flink")):
        if fixture in getattr(item, "fixturenames", ()):
            _skip_without(name)


def stop_what_tests_started() -> None:
    """End the servers that fixtures started, in this session or in one that could not end them; the last session that
    uses them does it."""
    if _sessions:
        _sessions.pop().close()  # gives up our share
    if not STARTED.exists():
        return
    from tests.servers.__main__ import stop

    with alone() as ours:
        if ours and STARTED.exists():
            stop(STARTED.read_text().split())
            STARTED.unlink()


@contextmanager
def _lock() -> Iterator[None]:
    RUN.mkdir(parents=True, exist_ok=True)
    with (RUN / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _skip_without(name: str) -> None:
    pytest.importorskip("psutil")
    from tests.servers import fetch

    lacking = fetch.lacking(name)
    if lacking is not None:
        pytest.skip(lacking)


def _start(name: str) -> None:
    from tests.servers.__main__ import running, start

    if not _sessions:
        _sessions.append(SESSIONS.open("w"))
        fcntl.flock(_sessions[0], fcntl.LOCK_SH)  # until this process ends, however it does
    if not running(name):
        with STARTED.open("a") as file:
            file.write(f"{name}\n")
    try:
        start(name)
    except ServerError as error:
        pytest.fail(str(error), pytrace=False)
