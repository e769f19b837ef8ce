"""``python -m tests.servers fetch|start|stop|status|env``: the servers that engine tests and trials by hand run on."""

import argparse
import shlex
import sys
import time

from tests.servers import fetch, processes
from tests.servers.flink import Flink, Size
from tests.servers.minio import MinIO
from tests.servers.places import RUN, ServerError
from tests.servers.ports import USUAL, choose
from tests.servers.processes import Server
from tests.servers.sharing import alone


def main() -> int:
    asked = _arguments()
    try:
        if asked.what == "fetch":
            return _fetch(asked.names, asked.limit, asked.may_fail)
        if asked.what == "start":
            _start(asked)
        if asked.what == "stop":
            _stop(asked.names, asked.force)
        if asked.what == "status":
            _status()
        if asked.what in ("start", "env"):
            print("\n".join(f"export {name}={shlex.quote(value)}" for name, value in environment().items()))
    except ServerError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def environment() -> dict[str, str]:
    """What commands need to find the servers that run now."""
    found = {}
    if fetch.lacking("prism") is None:
        found["GRISTMILL_PRISM"] = str(fetch.path("prism"))
    if MinIO().server.pid is not None:
        found |= MinIO().environment()
    if Flink().job_server.pid is not None:
        found |= Flink().environment()
    return found


def start(name: str, managers: int = 3, size: Size | None = None, ports: dict[str, int] | None = None) -> None:
    """Start ``minio`` or ``flink``, as far as it does not run.

    Raises:
        ServerError: it lacks something, or did not start.
    """
    lacking = fetch.lacking(name)
    if lacking is not None:
        raise ServerError(f"{name} cannot be started: {lacking}")
    # Flink's workers are told where the store will be, so both get their ports when the first of them starts.
    if not running("minio") and not running("flink"):
        choose(RUN, list(USUAL), ports)
    if name == "minio":
        MinIO().start()
    elif name == "flink":
        Flink(size=size or Size()).start(managers)


def running(name: str) -> bool:
    """Whether any process of ``minio`` or ``flink`` runs."""
    return any(server.pid is not None for server in ([MinIO().server] if name == "minio" else Flink().servers()))


def stop(names: list[str]) -> None:
    """Stop ``minio``, ``flink`` or single servers by their names; prism is a program that each run starts itself."""
    known = {"minio": [MinIO().server], "flink": Flink().servers(), "prism": []}
    for name in names:
        # Python workers may serve several task managers: only the whole cluster takes them all with it.
        processes.stop(known.get(name, [Server(RUN, name)]), sweep=name in known)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.servers", description=__doc__)
    parser.add_argument("what", choices=["fetch", "start", "stop", "status", "env"])
    parser.add_argument("names", nargs="*", help="prism, minio, flink (default: all); flink tm2: one task manager")
    parser.add_argument(
        "--limit", type=float, default=900, help="seconds for all that is fetched (default %(default)g)"
    )
    parser.add_argument("--may-fail", action="store_true", help="fetch: say what failed, and end with status 0")
    parser.add_argument("--force", action="store_true", help="stop: also while tests run on them")
    parser.add_argument("--managers", type=int, default=3, help="task managers of Flink (default %(default)s)")
    parser.add_argument("--slots", type=int, default=Size.slots, help="slots of each (default %(default)s)")
    parser.add_argument(
        "--heap", type=int, default=Size.heap, help="MiB of heap for tasks of each (default %(default)s)"
    )
    parser.add_argument("--managed", type=int, default=Size.managed, help="MiB for sorting (default %(default)s)")
    parser.add_argument("--port", action="append", default=[], metavar="NAME=NUMBER", help="for example rest=18081")
    asked = parser.parse_args()
    managers = [name for name in asked.names if name.startswith("tm") and name[2:].isdigit()]
    if set(asked.names) - {*fetch.ALL, *managers}:
        parser.error(f"give prism, minio, flink or tm1, tm2 …, not {' '.join(asked.names)}")
    if managers:
        asked.names = managers  # flink tm2: only tm2
    asked.names = asked.names or list(fetch.ALL)
    return asked


def _fetch(names: list[str], limit: float, may_fail: bool) -> int:
    began = time.monotonic()
    found = fetch.fetch_all(names, limit)
    for name, result in found.items():
        failed = "note: " if may_fail else "error: "
        print(f"{failed}{result}" if isinstance(result, ServerError) else f"{name}: {result}", file=sys.stderr)
    print(f"fetched in {time.monotonic() - began:.0f} s", file=sys.stderr)
    return int(not may_fail and any(isinstance(result, ServerError) for result in found.values()))


def _start(asked: argparse.Namespace) -> None:
    size = Size(asked.slots, asked.heap, asked.managed)
    ports = {name: int(number) for name, _, number in (one.partition("=") for one in asked.port)}
    for name in asked.names:
        if name.startswith("tm"):
            Flink(size=size).start_manager(name)
        elif name != "prism":
            start(name, asked.managers, size, ports)


def _stop(names: list[str], force: bool) -> None:
    """``stop``, unless a test session is at work.

    Raises:
        ServerError: one is.
    """
    with alone() as ours:
        if not (ours or force):
            raise ServerError("tests run on these servers now; wait for them, or stop --force")
        stop(names)


def _status() -> None:
    print(f"prism: {fetch.lacking('prism') or fetch.path('prism')}")
    flink = Flink()
    found = [(MinIO().server, MinIO().url), *((server, flink.rest) for server in flink.servers())]
    for server, url in found:
        if server is flink.servers()[-2]:
            url = flink.endpoint
        state = "stopped"
        if server.pid is not None:
            state = f"running, process {server.pid}, {server.resident() / 2**20:.0f} MiB, {url}"
        print(f"{server.name}: {state}; log {server.log}")
    overview = flink.ask("overview")
    if overview:
        print(
            f"flink: {overview['taskmanagers']} task managers, {overview['slots-available']} of {overview['slots-total']} slots free"
        )


if __name__ == "__main__":
    sys.exit(main())
