"""One run at a time in an output folder. The kernel holds the lock and drops it with the process, so none is stale."""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from schemas.errors import GristmillError

FILE_NAME = ".lock"


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold ``<folder>/.lock``; the folder is made. Worker processes do not inherit it.

    Raises:
        GristmillError: another process holds it, or the folder cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / FILE_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise GristmillError(
            f"output {folder} cannot be written to: {error.strerror or error}; name another folder"
        ) from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(handle, 200, 0).decode(errors="replace").strip() or "another process"
            raise GristmillError(
                f"output {folder} is in use by another run ({holder}); wait for it or end it, or name another folder"
            ) from None
        except OSError:  # a file system without locks: going on is all that is left
            pass
        else:
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"pid {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)
