"""Runs Beam pipelines: on the local runner with N processes, or on an engine that a profile names."""

import logging
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any

from pipelines.engines.cause import our_sentence
from pipelines.engines.cost import own_seconds, tree_seconds
from pipelines.engines.profiles import PROFILES, choose
from pipelines.forkserver import DIED
from pipelines.lean import import_beam
from schemas.errors import GristmillError
from transforms.progress import FOLDER_VARIABLE

KILLED = (
    "a worker process was killed, perhaps for want of memory; nothing was published; run again with fewer --workers or "
    "a smaller ingest.block"
)

MOST_WORKERS_PER_CORE = 8
"""A slip of the finger must not start thousands of processes."""
_ROOT = Path(__file__).resolve().parent.parent


class Engine:
    """A context in which pipelines run; local workers live as long as it does.

    ``workers`` processes for the local runner; ``engine`` is a profile or a runner class of Beam's, ``parallelism`` its
    width; ``beam_args`` go to Beam as they are. ``ship``: the project's wheels go with every job.
    """

    def __init__(
        self,
        workers: int = 1,
        engine: str | None = None,
        beam_args: tuple[str, ...] = (),
        parallelism: int | None = None,
        ship: bool = False,
    ):
        most = MOST_WORKERS_PER_CORE * (os.cpu_count() or 1)
        if not 1 <= workers <= most:
            raise GristmillError(
                f"--workers {workers} is not possible; give 1 to {most} on this machine ({os.cpu_count()} cores)"
            )
        self.profile = choose(engine, workers, parallelism, beam_args)
        if ship and self.profile.here:
            raise GristmillError(
                f"--ship means nothing to --engine {self.profile.name}; its workers are on this machine"
            )
        self.workers, self.runner, self.beam_args, self.ship = workers, self.profile.runner, beam_args, ship
        self.jobs: list[float] = []  # seconds of each job on an engine that is not local
        self._probes: list[Path] = []  # files that workers elsewhere must see
        self._wheels: dict[Path, str] = {}
        self._cpu_seconds = 0.0  # of workers elsewhere
        self._cpu_before = own_seconds()
        self._server: subprocess.Popen[bytes] | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="gristmill-")
        self.progress = Path(self._folder.name) / "progress"
        self.progress.mkdir()

    @property
    def local(self) -> bool:
        return self.profile.local

    def __enter__(self) -> "Engine":
        quiet(self.local)
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
        if not self.local and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, _interrupt)  # a job elsewhere must be cancelled, however this command ends
        import_beam()
        self._check_runner()
        return self

    def _check_runner(self) -> None:
        from apache_beam.options.pipeline_options import StandardOptions

        known = sorted(StandardOptions.ALL_KNOWN_RUNNERS)
        if self.runner.lower() not in {name.rpartition(".")[2].lower() for name in known} and "." not in self.runner:
            short = ", ".join(name.rpartition(".")[2] for name in known if not name.endswith("DaskRunner"))
            names = ", ".join(PROFILES)
            raise GristmillError(f"--engine {self.runner!r} is neither {names} nor a runner of Beam; known: {short}")

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
        if signal.getsignal(signal.SIGTERM) is _interrupt:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        for probe in self._probes:
            probe.unlink(missing_ok=True)
        self._folder.cleanup()

    @property
    def _socket(self) -> str:
        return str(Path(self._folder.name) / "workers")

    def options(self, workers: int) -> Any:
        """Beam's options, strictly: the profile's, and ``beam_args`` over them.

        Raises:
            GristmillError: an option that Beam does not know, or a value that is none of the option's.
        """
        from apache_beam.options.pipeline_options import DirectOptions

        from pipelines.engines import facts
        from pipelines.engines.options import strict

        if self.local:
            options = strict(self.beam_args, self.beam_args, self.runner)
            if not any(one.startswith("--direct_num_workers") for one in self.beam_args):
                options.view_as(DirectOptions).direct_num_workers = workers
            return options
        shipped = [f"--extra_package={wheel}" for wheel in self._wheels]
        options = strict([*shipped, *self.profile.options(self.beam_args)], self.beam_args, self.runner)
        if not self.profile.here:
            hashes = {wheel.name: digest for wheel, digest in self._wheels.items()}
            told = facts.told([str(probe) for probe in self._probes], hashes)
            options.view_as(facts.GristmillOptions).gristmill_facts = told
        return options

    def _runner(self, workers: int) -> Any:
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
        """Build and run one pipeline; one with little to do runs ``alone``, in this process, whatever the engine: its
        bytes are the same, and a job on a cluster has its fixed price.

        Raises:
            GristmillError: raised in a worker by our own code, brought back as the sentence it was; or the engine's own
                failure, as its first cause.
        """
        import apache_beam as beam

        from pipelines.warm import sample_briefly

        sample_briefly()
        if not self.local and not alone:
            self._run_remotely(build)
            return
        workers = 1 if alone else self.workers
        options = self.options(workers) if self.local else beam.options.pipeline_options.PipelineOptions([])
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
            sentence = our_sentence(error)
            if sentence is None:
                raise
            raise GristmillError(sentence) from None

    def _run_remotely(self, build: Callable[[Any], None]) -> None:
        import apache_beam as beam

        from pipelines.engines.remote import RemoteJob

        begin = time.perf_counter()
        pipeline = beam.Pipeline(runner=self.runner, options=self.options(1))
        build(pipeline)
        job = RemoteJob(self.profile, self._endpoint, self.progress / "engine")
        try:
            job.run(pipeline)
        finally:
            self._cpu_seconds += job.cpu_seconds
            self.jobs.append(round(time.perf_counter() - begin, 3))

    @property
    def _endpoint(self) -> str | None:
        return self.profile.value("job_endpoint", self.beam_args)

    def check(self, out: os.PathLike[str], work_dir: os.PathLike[str]) -> None:
        """Everything that can be known before the first job.

        Raises:
            GristmillError: what is missing, in one sentence.
        """
        self.options(self.workers)
        if self.local:
            return
        from pipelines.engines import checks

        checks.check_needs(self.profile, self.beam_args)
        folders = (("--out", out), ("--work-dir", work_dir))
        for option, folder in folders:
            checks.check_folder(self.profile, option, folder)
        if self._endpoint is not None:
            checks.check_endpoint(self.profile, self._endpoint)
        if not self.profile.here:
            for option, folder in folders:
                self._probes += filter(None, [checks.probe(option, folder)])
            if self.ship:
                from pipelines.engines.ship import wheels

                self._wheels = wheels()

    def line(self) -> str:
        """What runs and how, for the log."""
        from pipelines.engines.facts import plain

        options = " ".join(f"--{name}={value}" for name, value in plain(self.profile.options(self.beam_args)).items())
        return f"{self.profile.name}: {self.runner} {options}".strip()

    def facts(self) -> dict[str, Any]:
        """What run.json tells of the engine; no secrets."""
        from pipelines.engines.facts import plain

        command = own_seconds() - self._cpu_before
        workers = self._cpu_seconds + (tree_seconds(self._server.pid) if self._server is not None else 0.0)
        return {
            "engine": self.profile.name,
            "runner": self.runner,
            "options": plain(self.profile.options(self.beam_args)),
            "workers": self.workers if self.local else None,
            "beam": version("apache-beam"),
            "jobs": self.jobs,
            "cpu_seconds": {"command": round(command, 3), "workers": round(workers, 3)},
        }

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


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def quiet(local: bool = False) -> None:
    """Beam logs its housekeeping as warnings and every traceback twice; what fails is raised anyway."""
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL)
    # An engine's messages come as the root logger's: four hundred lines of Java at a failure, and Prism's gossip.
    logging.getLogger("PrismJobServer").disabled = True
    logging.getLogger().setLevel(logging.ERROR if local else logging.CRITICAL + 1)
