"""A process that has imported Beam once and forks workers from there.

Beam's own multi-process mode starts a fresh interpreter per worker and pipeline (1.4 s each time on two cores,
measured). Here the import happens once, beside the command's own start, and a worker is a fork: milliseconds, and
the imported pages are shared. Run as ``python -m pipelines.forkserver SOCKET``; it ends when its standard input does.

The runner starts workers by a command line, so the same file is also that command: ``python forkserver.py --launch
SOCKET`` sends its environment (Beam's endpoints) to the server and waits for the worker's exit status.
"""

import json
import os
import socket
import sys
import threading

DIED = ".died"
"""Added to the socket's path: a worker has died."""


def launch(address: str) -> int:
    """Ask the server for a worker with this process's environment; return the worker's exit status.

    A worker that dies without one (killed, out of memory) would leave Beam's runner waiting for ever, so it is noted
    in a file beside the socket, where the engine looks.
    """
    status = b""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(address)
            connection.sendall(json.dumps(dict(os.environ)).encode() + b"\n")
            status = connection.recv(16)
    except OSError:
        pass  # the server is gone
    if not status:
        with open(address + DIED, "w"):
            return 0  # anything else would only make Beam print a traceback beside our sentence
    return int(status)


def serve(address: str) -> None:
    """Import what workers need, then fork one per connection."""
    threading.Thread(target=_end_with_parent, daemon=True).start()  # also while it still imports
    from pipelines.lean import import_beam

    import_beam()
    import apache_beam.runners.worker.sdk_worker_main  # noqa: F401

    import pipelines.warm  # noqa: F401

    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen()
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            _work(connection)
        connection.close()
        _reap()


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def _work(connection: socket.socket) -> None:
    """In the fork: become a Beam worker, and stop when the launcher goes away."""
    received = b""
    while not received.endswith(b"\n"):
        received += connection.recv(1 << 16)
    os.environ.clear()
    os.environ.update(json.loads(received))
    status = 1
    try:
        threading.Thread(target=_end_with_launcher, args=(connection,), daemon=True).start()
        from apache_beam.runners.worker import sdk_worker_main

        sdk_worker_main.main([])
        status = 0
    finally:
        connection.send(str(status).encode())
        os._exit(status)


def _end_with_launcher(connection: socket.socket) -> None:
    if not connection.recv(1):
        os._exit(1)


if __name__ == "__main__":
    if sys.argv[1] == "--launch":
        sys.exit(launch(sys.argv[2]))
    serve(sys.argv[1])
