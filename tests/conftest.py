"""Fixtures and settings for all tests: no network, repeatable properties, tests on ../shared only where it is."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.servers.fixtures import flink, object_store, prism, servers, skip_early, stop_what_tests_started  # noqa: F401

REPO = Path(__file__).resolve().parent.parent
SHARED = REPO.parent / "shared"

os.environ.setdefault("HF_HUB_OFFLINE", "1")

# The same examples on every run: a red build must be red again on the next machine. No deadline: CI is slow at times.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


@pytest.hookimpl(tryfirst=True)  # before -m looks at the markers
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if {"prism", "object_store", "flink"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("engines")
    if SHARED.is_dir():
        return
    absent = pytest.mark.skip(reason="needs ../shared beside the repository")
    for item in items:
        if item.get_closest_marker("needs_shared"):
            item.add_marker(absent)


@pytest.hookimpl(tryfirst=True)  # before fixtures
def pytest_runtest_setup(item: pytest.Item) -> None:
    skip_early(item)


def pytest_sessionfinish(session: pytest.Session) -> None:
    stop_what_tests_started()  # with -n, each process; the last of them ends the servers


@pytest.fixture(scope="session")
def repo() -> Path:
    """The repository's root."""
    return REPO


@pytest.fixture(scope="session")
def shared() -> Path:
    """../shared, with real data and benchmarks; the test is skipped where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("needs ../shared beside the repository")
    return SHARED


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """torch with one thread: short runs lose more to several than they gain."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A small release, and a tiny random model."""
    from tests import trainer_runs

    folder = tmp_path_factory.mktemp("made")
    return trainer_runs.release(folder), trainer_runs.model(folder / "model")
