"""A server per host that has imported Beam and forks ``gristmill-worker``'s workers.

Run as ``-m pipelines.worker_server SOCKET``. It ends by itself when no worker has lived for ``IDLE_SECONDS``.
"""

import contextlib
import importlib
import json
import os
import select
import signal
import socket
import sys
import threading
import time
from typing import Any

IDLE_SECONDS = 60.0
"""A run has a job every few seconds; its server should outlast the pause between two of them, and not much more."""
TICK_SECONDS = 0.5
"""How often the server looks which workers have ended."""
ASK_SECONDS = 5.0
"""How long a launcher may take to say what it wants; others wait meanwhile."""


def serve(address: str) -> None:
    """Import what workers need, then fork one per connection, until nobody asks any more."""
    load()
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(address)
    except OSError:
        return  # another server is there
    listener.listen(64)
    launchers: dict[int, socket.socket] = {}  # by the process of the worker
    idle = time.monotonic()
    while launchers or time.monotonic() - idle < IDLE_SECONDS:
        ready = select.select([listener, *launchers.values()], [], [], TICK_SECONDS)[0]
        if listener in ready:
            connection, _ = listener.accept()
            asked = _asked(connection)
            child = os.fork() if asked is not None else None
            if asked is not None and child == 0:
                for other in (listener, *launchers.values()):
                    other.close()
                _fork(connection, asked)
            if child is None:
                connection.close()
            else:
                launchers[child] = connection
        for child, connection in list(launchers.items()):
            if connection in ready:  # a launcher has nothing more to say: it is gone, and its worker must go
                os.kill(child, signal.SIGKILL)
            if _ended(child, connection):
                launchers.pop(child).close()
        if launchers:
            idle = time.monotonic()
    with contextlib.suppress(FileNotFoundError):
        os.unlink(address)  # a launcher that comes later starts another server


def _asked(connection: socket.socket) -> dict[str, Any] | None:
    """What a launcher wants; None where it went away before it had said it."""
    received = b""
    connection.settimeout(ASK_SECONDS)
    try:
        while not received.endswith(b"\n"):
            piece = connection.recv(1 << 16)
            if not piece:
                return None
            received += piece
    except OSError:
        return None
    connection.settimeout(None)
    return dict(json.loads(received))


def _ended(child: int, connection: socket.socket) -> bool:
    """Whether the worker has; its launcher is told, also of one that was killed and could not tell itself."""
    pid, status = os.waitpid(child, os.WNOHANG)
    if pid:
        with contextlib.suppress(OSError):
            connection.send(str(int(status != 0)).encode())
    return bool(pid)


def load() -> None:
    """Import Beam's worker, and this project's stages where all that they need is installed."""
    from pipelines.lean import import_beam

    import_beam()
    import apache_beam.runners.worker.sdk_worker_main  # noqa: F401

    import pipelines.worker_job  # noqa: F401

    with contextlib.suppress(ImportError):
        importlib.import_module("pipelines.warm")


def _fork(connection: socket.socket, asked: dict[str, Any]) -> None:
    """In the fork: become the worker that was asked for."""
    status = 1
    try:
        os.environ.clear()
        os.environ.update(asked["environment"])
        threading.Thread(target=_end_with_launcher, args=(connection,), daemon=True).start()
        from pipelines.worker_job import work

        work(asked["worker"])
        status = 0
    except BaseException as error:
        sys.stderr.write(f"gristmill-worker: {type(error).__name__}: {error}\n")
        sys.stderr.flush()
    finally:
        with contextlib.suppress(OSError):
            connection.send(str(status).encode())
        os._exit(status)


def _end_with_launcher(connection: socket.socket) -> None:
    """The server sees to it as well; this is for a server that was killed."""
    with contextlib.suppress(OSError):
        if connection.recv(1):
            return
    os._exit(1)


if __name__ == "__main__":
    serve(sys.argv[1])
