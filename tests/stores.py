"""Places for tests of object stores: fsspec's in-memory store, which lives in one process, and MinIO."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.recipes import Published
from transforms.storage import Found, all_files, place, read_bytes, remove_tree


@pytest.fixture(name="memory")
def memory_store() -> Iterator[Path]:
    """An empty prefix of the in-memory store."""
    found = place(f"memory://test-{uuid.uuid4().hex[:12]}")
    yield found
    remove_tree(found)


def a_store(request: pytest.FixtureRequest) -> Path:
    """A prefix of the store that the test's parameter names: memory or s3."""
    if request.param == "memory":
        found: Path = request.getfixturevalue("memory")
        return found
    return place(f"{request.getfixturevalue('object_store').url}/deep/down")


def contents(release: Path) -> dict[str, bytes]:
    """As ``Published.contents``, of a local folder or of a URL."""
    if "://" not in str(release):
        return Published(release).contents()
    names = sorted(set(all_files(release)) - {"run.json", ".claim"})
    return {name: read_bytes(release / name) for name in names}


def hidden(out: Path) -> dict[str, Found]:
    """What a run left outside of its release and of the corpus."""
    return {
        name: found
        for name, found in all_files(out).items()
        if "/.staging-" in f"/{name}" or name.startswith(".gristmill/runs/") or ".probe." in name
    }
