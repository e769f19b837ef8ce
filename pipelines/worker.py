"""``gristmill-worker``: what a task manager starts to get a Python worker (Beam's PROCESS environment).

Beam's import takes longer than most bundles, so the first worker on a host starts a server (``worker_server``) that has
imported it; every worker is a fork of that server: milliseconds, and shared pages. The server ends when it has had
nothing to do for a minute. A worker ends when its runner goes away, or when the command that asked for it does.

What is imported here is paid for by every worker: the standard library alone.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import select
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ENDPOINTS = ("id", "logging_endpoint", "artifact_endpoint", "provision_endpoint", "control_endpoint")
START_SECONDS = 60.0
"""How long a launcher waits for a server to have imported Beam, on a machine with everything else to do."""
LONGEST = 60
"""Bytes of a folder for temporary files in which a socket still has room."""
ALONE_VARIABLE = "GRISTMILL_WORKER_ALONE"
"""Set: no server; the worker imports Beam itself."""
PACKAGES = ("schemas", "transforms", "pipelines")
_ROOT = Path(__file__).resolve().parent.parent


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    pairs = dict(one[2:].split("=", 1) for one in given if one.startswith("--") and "=" in one)
    worker = {name: pairs.get(name, "") for name in ENDPOINTS}
    if not worker["control_endpoint"] and not worker["provision_endpoint"]:
        sys.stderr.write("gristmill-worker: a runner of Beam starts this command, with --control_endpoint=…\n")
        return 2
    if os.environ.get(ALONE_VARIABLE):
        from pipelines.worker_job import work

        work(worker)
        return 0
    return launch({"worker": worker, "environment": dict(os.environ)}, address_of(""))


def address_of(site: str) -> Path:
    """Socket of the server that has imported from this interpreter, this code and the folder ``site``."""
    mark = hashlib.sha256(f"{sys.executable}\n{sys.version}\n{site}\n{_stamp()}".encode()).hexdigest()[:16]
    base = tempfile.gettempdir()
    # The system takes 107 bytes for a socket's path.
    folder = Path(base if len(os.fsencode(base)) <= LONGEST else "/tmp") / f"gristmill-worker-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    facts = folder.lstat()
    if facts.st_uid != os.getuid() or facts.st_mode & 0o077:
        raise SystemExit(f"gristmill-worker: {folder} belongs to somebody else; set TMPDIR to a private folder")
    return folder / mark


def _stamp() -> str:
    """Changes whenever a module of this installation does: a server must not go on with code that was edited."""
    files = [file for package in PACKAGES for file in sorted((_ROOT / package).rglob("*.py"))]
    return "".join(f"{file}{file.stat().st_mtime_ns}" for file in files)


def launch(asked: dict[str, Any], address: Path) -> int:
    """Have the server at ``address`` fork a worker, and wait for its end; returns its exit status."""
    parent = os.getppid()  # before the wait for a server: the runner may go away meanwhile
    connection = _connect(address)
    connection.sendall(json.dumps(asked).encode() + b"\n")
    while not select.select([connection], [], [], 1.0)[0]:
        if os.getppid() != parent:
            return 1  # the runner is gone; closing the connection ends the worker
    status = connection.recv(16)
    return int(status) if status else 1


def _connect(address: Path) -> socket.socket:
    """The server's connection; starts the server where there is none."""
    with open(f"{address}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several workers start at once, and one of them starts the server
        try:
            return _dial(address)
        except OSError:
            pass
        with contextlib.suppress(FileNotFoundError):
            address.unlink()
        with open(f"{address}.log", "wb") as log:
            server = subprocess.Popen(
                [sys.executable, "-m", "pipelines.worker_server", str(address)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/",
                env=_server_environment(),
            )  # fmt: skip
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            ended = server.poll() is not None  # then another was quicker, whose launcher died in this place
            try:
                return _dial(address)
            except OSError:
                if ended:
                    break
                time.sleep(0.01)
    raise SystemExit(f"gristmill-worker: its server did not start; {address}.log says why")


def _dial(address: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(str(address))
    except OSError:
        connection.close()
        raise
    return connection


def _server_environment() -> dict[str, str]:
    """One thread per worker: the parallelism is the number of workers."""
    own = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false",
           "MALLOC_ARENA_MAX": "2", "ARROW_DEFAULT_MEMORY_POOL": "system"}  # fmt: skip
    # The folder of this file comes last: wheels that a job brought, in PYTHONPATH, win over it.
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(_ROOT)]))
    return own | dict(os.environ) | {"PYTHONPATH": path}


if __name__ == "__main__":
    sys.exit(main())
