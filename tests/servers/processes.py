"""Servers as processes that outlive the command which started them: pid file, log, health check, a sure end.

Each server and all that it starts carry a mark in their environment. By this mark what a dead server left behind is
found, whatever process group it moved to.
"""

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import psutil

from tests.servers.places import ServerError

MARK = "GRISTMILL_TEST_SERVER"
GRACE = 8.0
"""Seconds between TERM and KILL."""


class Server:
    """One named server process of a run folder."""

    def __init__(self, run: Path, name: str):
        self.run, self.name = run, name
        self.log, self._pid = run / "logs" / f"{name}.log", run / f"{name}.pid"

    @property
    def pid(self) -> int | None:
        """The process id if the server runs. A pid file with another process's number does not count."""
        try:
            pid, created = self._pid.read_text().split()
            process = psutil.Process(int(pid))
            alive = abs(process.create_time() - float(created)) < 1 and process.status() != psutil.STATUS_ZOMBIE
            return process.pid if alive else None
        except (OSError, ValueError, psutil.Error):
            return None

    def resident(self) -> int:
        """Bytes of memory of the server and of what it started."""
        total = 0
        for process in self.marked():
            try:
                total += process.memory_info().rss
            except psutil.Error:
                pass  # it has just ended
        return total

    def start(
        self, command: list[str], ready: Callable[[], bool], limit: float = 60, environment: Mapping[str, str] = {}
    ) -> None:
        """Start it and wait until it is ``ready``, ``limit`` seconds at most; it is stopped again if it is not.

        Raises:
            ServerError: it ended or was not ready in time; the sentence names its log file.
        """
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as out:
            process = subprocess.Popen(
                command,
                cwd=self.run,
                env=os.environ | environment | {MARK: self._mark},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._pid.write_text(f"{process.pid} {psutil.Process(process.pid).create_time()}")
        try:
            wait(ready, limit, lambda: process.poll() is None)
        except BaseException as error:
            ended = process.poll() is not None
            self.kill()
            if not isinstance(error, TimeoutError):
                raise
            if ended:
                raise ServerError(f"{self.name} ended at its start; see {self.log}") from None
            raise ServerError(f"{self.name} was not ready after {limit:g} s; see {self.log}") from None

    def kill(self, alone: bool = False) -> None:
        """KILL it and, unless ``alone``, its process group, as when its machine goes down."""
        pid = self.pid
        if pid is not None:
            ended = [psutil.Process(pid)]
            if not alone:
                ended += [process for process in self.marked() if process.pid != pid and _group(process) == pid]
            end(ended)
        self._pid.unlink(missing_ok=True)

    def marked(self) -> list[psutil.Process]:
        """All processes that this server started, and itself. Some outlive it and serve its neighbours as well."""
        return [process for process, mark in _marks() if mark == self._mark]

    @property
    def _mark(self) -> str:
        return f"{self.run}:{self.name}"


def stop(servers: Iterable[Server], sweep: bool = True) -> None:
    """TERM to all of them, some seconds, KILL; then, to ``sweep``, the end of all that they had ever started."""
    ended = []
    for server in servers:
        pid = server.pid
        if pid is not None:
            ended.append(psutil.Process(pid))
            ended[-1].terminate()
    psutil.wait_procs(ended, timeout=GRACE)
    for server in servers:
        server.kill()
        if sweep:
            end(server.marked())


def end(processes: Iterable[psutil.Process]) -> None:
    """KILL, and wait until they are gone."""
    processes = list(processes)
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            pass
    psutil.wait_procs(processes, timeout=GRACE)


def _group(process: psutil.Process) -> int:
    try:
        return os.getpgid(process.pid)
    except ProcessLookupError:
        return 0


def _marks() -> Iterable[tuple[psutil.Process, str]]:
    for process in psutil.process_iter():
        try:
            mark = process.environ().get(MARK)
            if mark is not None and process.status() != psutil.STATUS_ZOMBIE:
                yield process, mark
        except (psutil.Error, OSError):
            continue  # another user's, or it has just ended


def wait(ready: Callable[[], bool], limit: float, alive: Callable[[], bool] = lambda: True) -> None:
    """Ask until ``ready``.

    Raises:
        TimeoutError: ``limit`` seconds went by, or what was waited for is no longer ``alive``.
    """
    ends = time.monotonic() + limit
    while not ready():
        if time.monotonic() > ends or not alive():
            raise TimeoutError
        time.sleep(0.1)


def answers(port: int) -> bool:
    """Whether something on this machine accepts connections on ``port``."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def free_port(preferred: int, taken: Iterable[int] = ()) -> int:
    """``preferred`` if nothing listens there, else any free port that is not ``taken``."""
    if preferred not in taken and _can_bind(preferred):
        return preferred
    while True:
        with socket.socket() as asked:
            asked.bind(("127.0.0.1", 0))
            port = int(asked.getsockname()[1])
        if port not in taken:
            return port


def _can_bind(port: int) -> bool:
    with socket.socket() as asked:
        asked.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            asked.bind(("127.0.0.1", port))
        except OSError:
            return False
    return not answers(port)
