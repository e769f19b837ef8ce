"""Runs Beam pipelines: the named local runner with N processes, or any runner by Beam's own options."""

import io
import logging
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any

from pipelines.forkserver import DIED
from pipelines.lean import import_beam
from schemas.errors import GristmillError
from transforms.progress import FOLDER_VARIABLE

LOCAL_RUNNER = "FnApiRunner"

KILLED = (
    "a worker process was killed, perhaps for want of memory; nothing was published; run again with fewer --workers or "
    "a smaller ingest.block"
)

MOST_WORKERS_PER_CORE = 8
"""A slip of the finger must not start thousands of processes."""
FULL = "no space is left on the disk of --out or --work-dir; nothing was published"
_ROOT = Path(__file__).resolve().parent.parent


class Engine:
    """A context in which pipelines run; local workers live as long as it does.

    ``workers`` processes for the local runner; ``runner`` and ``beam_args`` go to Beam as they are.
    """

    def __init__(self, workers: int = 1, runner: str | None = None, beam_args: tuple[str, ...] = ()):
        most = MOST_WORKERS_PER_CORE * (os.cpu_count() or 1)
        if not 1 <= workers <= most:
            raise GristmillError(
                f"--workers {workers} is not possible; give 1 to {most} on this machine ({os.cpu_count()} cores)"
            )
        self.workers, self.runner, self.beam_args = workers, runner or LOCAL_RUNNER, beam_args
        self._server: subprocess.Popen[bytes] | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="gristmill-")
        self.progress = Path(self._folder.name) / "progress"
        self.progress.mkdir()

    @property
    def local(self) -> bool:
        return self.runner.lower() in (LOCAL_RUNNER.lower(), "directrunner")

    def __enter__(self) -> "Engine":
        _quiet()
        os.environ[FOLDER_VARIABLE] = str(self.progress)
        if self.local and self.workers > 1 and hasattr(os, "fork"):
            # Started before this process imports Beam itself, so that both imports run side by side.
            environment = dict(os.environ, OMP_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false", MALLOC_ARENA_MAX="2")
            environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(_ROOT), environment.get("PYTHONPATH")]))
            self._server = subprocess.Popen(
                [sys.executable, "-m", "pipelines.forkserver", self._socket],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=(Path(self._folder.name) / "workers.log").open("wb"),  # what fails comes back through Beam
                env=environment,
                start_new_session=True,  # Ctrl-C reaches this process, which then ends the server
            )
        import_beam()
        self._check_runner()
        return self

    def _check_runner(self) -> None:
        from apache_beam.options.pipeline_options import StandardOptions

        known = sorted(StandardOptions.ALL_KNOWN_RUNNERS)
        if self.runner.lower() not in {name.rpartition(".")[2].lower() for name in known} and "." not in self.runner:
            short = ", ".join(name.rpartition(".")[2] for name in known)
            raise GristmillError(f"--runner {self.runner!r} is no runner of Beam; known: {short}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            assert self._server.stdin is not None
            self._server.stdin.close()
            try:
                self._server.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self._server.kill()
                self._server.wait()
        os.environ.pop(FOLDER_VARIABLE, None)
        self._folder.cleanup()

    @property
    def _socket(self) -> str:
        return str(Path(self._folder.name) / "workers")

    def options(self, workers: int) -> Any:
        """Beam's options from ``beam_args``, strictly.

        Raises:
            GristmillError: an option that Beam does not know (it would only warn and use its default), or a value
                that is none of the option's.
        """
        from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions

        for before, one in pairwise(("", *self.beam_args)):
            if not one.startswith("-") and ("=" in before or not before.startswith("-")):
                raise GristmillError(f"{one!r} belongs to no option of Beam; after -- give --option=value")
        options, said = PipelineOptions(list(self.beam_args)), io.StringIO()
        try:
            with redirect_stderr(said):  # argparse prints all that Beam knows, and exits
                given = options.get_all_options(retain_unknown_options=True)
        except SystemExit:
            reason = said.getvalue().rpartition("error: ")[2].strip()
            raise GristmillError(f"Beam does not understand its options: {reason}") from None
        known = set(PipelineOptions([]).get_all_options())
        unknown = sorted(set(given) - known)
        if unknown:
            raise GristmillError(f"--{unknown[0]} is no option of Beam; see the Beam documentation of {self.runner}")
        if self.local and not any(one.startswith("--direct_num_workers") for one in self.beam_args):
            options.view_as(DirectOptions).direct_num_workers = workers
        return options

    def _runner(self, workers: int) -> Any:
        if not self.local:
            return self.runner
        from apache_beam.runners.portability.fn_api_runner import fn_runner
        from apache_beam.transforms.environments import SubprocessSDKEnvironment

        if workers == 1:
            return fn_runner.FnApiRunner()
        if self._server is None:
            command = [sys.executable, "-m", "apache_beam.runners.worker.sdk_worker_main"]
        else:
            self._wait_for_server()
            script = str(_ROOT / "pipelines" / "forkserver.py")
            command = [sys.executable, "-S", "-E", script, "--launch", self._socket]
        environment = SubprocessSDKEnvironment.from_command_string(shlex.join(command))
        return fn_runner.FnApiRunner(default_environment=environment)

    def _wait_for_server(self) -> None:
        assert self._server is not None
        while not os.path.exists(self._socket):
            if self._server.poll() is not None:
                raise GristmillError(
                    f"the worker server ended with status {self._server.returncode} before it was ready"
                )
            time.sleep(0.005)

    def run(self, build: Callable[[Any], None], alone: bool = False) -> None:
        """Build and run one pipeline; a local one with little to do runs ``alone``, in this process.

        Raises:
            GristmillError: raised in a worker by our own code, brought back as the sentence it was.
        """
        import apache_beam as beam

        from pipelines.warm import sample_briefly

        sample_briefly()
        workers = 1 if alone else self.workers
        options = self.options(workers)
        try:
            with self._watching(), beam.Pipeline(runner=self._runner(workers), options=options) as pipeline:
                build(pipeline)
        except KeyboardInterrupt:
            if os.path.exists(self._socket + DIED):
                raise GristmillError(KILLED) from None
            raise
        except Exception as error:
            if str(error).startswith("KeyboardInterrupt [while running"):
                raise KeyboardInterrupt from None  # Ctrl-C in a worker that is this process, as Beam passes it on
            sentence = _our_sentence(error)
            if sentence is None:
                raise
            raise GristmillError(sentence) from None

    @contextmanager
    def _watching(self) -> Iterator[None]:
        """Interrupt this thread when a local worker has died: Beam's runner would wait for its answer for ever."""
        if self._server is None:
            yield
            return
        stop, waiting = threading.Event(), threading.get_ident()

        def watch() -> None:
            while not stop.wait(0.2):
                if os.path.exists(self._socket + DIED):
                    signal.pthread_kill(waiting, signal.SIGINT)
                    if not stop.wait(10):  # Beam's own closing may wait for the dead worker too
                        sys.stderr.write(f"error: {KILLED}\n")
                        sys.stderr.flush()
                        os._exit(2)
                    return

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def _our_sentence(error: Exception) -> str | None:
    """The message of a GristmillError, also from inside the traceback text that a runner hands back."""
    text = str(error)
    if re.search(r"\[errno 28\]", text, flags=re.IGNORECASE):
        return FULL  # first: what a reader says of a failed file may quote it
    if isinstance(error, GristmillError):
        found = [text]
    else:
        found = re.findall(r"^(?:schemas\.errors\.)?GristmillError: (.+)$", text, flags=re.MULTILINE)
    return re.sub(r" \[while running .*", "", found[-1]) if found else None


def _quiet() -> None:
    """Beam logs its housekeeping as warnings and every traceback twice; what fails is raised anyway."""
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL)
    logging.getLogger().setLevel(logging.ERROR)
