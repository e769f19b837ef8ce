"""Files that appear whole or not at all."""

import os
import shutil
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside ``path``, renamed to it on success.

    A retried or speculative bundle writes the same bytes under another temporary name; the last rename wins.
    """
    staging = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        yield staging
        os.replace(staging, path)
    finally:
        staging.unlink(missing_ok=True)


def scratch(parent: Path, name: str) -> Path:
    """A new hidden folder of this process; those of dead processes of this machine are removed."""
    parent.mkdir(parents=True, exist_ok=True)
    host = "".join(c if c.isalnum() else "_" for c in socket.gethostname()) or "host"
    for old in parent.glob(f".{name}.{host}.*"):
        pid = old.name.split(".")[-2]
        if pid.isdigit() and not _alive(int(pid)):
            shutil.rmtree(old, ignore_errors=True)
    folder = parent / f".{name}.{host}.{os.getpid()}.{uuid.uuid4().hex[:8]}"
    folder.mkdir()
    return folder


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
