"""Fixtures and settings for all tests: no network, repeatable properties, tests on ../shared only where it is."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

REPO = Path(__file__).resolve().parent.parent
SHARED = REPO.parent / "shared"

os.environ.setdefault("HF_HUB_OFFLINE", "1")

# The same examples on every run: a red build must be red again on the next machine. No deadline: CI is slow at times.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if SHARED.is_dir():
        return
    absent = pytest.mark.skip(reason="needs ../shared beside the repository")
    for item in items:
        if item.get_closest_marker("needs_shared"):
            item.add_marker(absent)


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
