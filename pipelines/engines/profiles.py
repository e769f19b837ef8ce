"""Profiles: what ``--engine NAME`` sets of Beam's own options. What the user gives after ``--`` wins over each.

``local``, ``prism`` and ``flink`` are proven by tests; ``spark`` and ``dataflow`` are presets by Beam's documentation
and nobody has run Gristmill on them yet.
"""

import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import GristmillError

PRISM_VARIABLE = "GRISTMILL_PRISM"
"""Path of the prism binary; without it: build/engines/bin of a clone, PATH, or Beam's own download."""
FLINK_VARIABLE = "GRISTMILL_FLINK_ENDPOINT"
"""host:port of Beam's job server for Flink."""
SPARK_VARIABLE = "GRISTMILL_SPARK_ENDPOINT"
WORKER = "gristmill-worker"
"""The boot command of a PROCESS environment (pipelines/worker.py)."""
CACHE_MILLIS = 3_000
"""How long a task manager keeps an idle Python worker of a job: longer than the pause between two stages of one job;
a worker that waits longer only holds memory. Shorter than a cluster waits before it starts failed tasks again: a worker
that was killed would be kept too, and every new attempt would fail by it (seen with 10 s against 1 s)."""

_ROOT = Path(__file__).resolve().parent.parent.parent
Options = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Profile:
    """One way to run: a runner of Beam and the options set for it, in the order they are given."""

    name: str
    runner: str
    preset: Options = ()
    proven: bool = True
    local: bool = False  # Beam's runner inside this command
    here: bool = False  # workers are this process or its children, so they see its files
    needs: tuple[str, ...] = ()  # options without which the runner cannot start
    mark: str | None = None  # an option that job servers of this engine know and others do not

    def options(self, beam_args: Sequence[str] = ()) -> list[str]:
        """The preset as Beam's options, without those that ``beam_args`` names, then ``beam_args``."""
        given = {name_of(one) for one in beam_args}
        own = [f"--{name}={value}" for name, value in self.preset if name not in given or name == "experiments"]
        return own + list(beam_args)

    def value(self, name: str, beam_args: Sequence[str] = ()) -> str | None:
        """The value of an option as it will reach Beam."""
        found = None
        options = self.options(beam_args)
        for place, one in enumerate(options):
            if name_of(one) == name:
                following = options[place + 1] if place + 1 < len(options) else ""
                found = one.partition("=")[2] if "=" in one else following
        return found


def name_of(option: str) -> str:
    """``--job_endpoint=x`` → ``job_endpoint``; what is no option has no name."""
    return option[2:].partition("=")[0].replace("-", "_") if option.startswith("--") else ""


def find_prism() -> str | None:
    """The binary of Prism that is there already; None leaves it to Beam, which downloads it."""
    named = os.environ.get(PRISM_VARIABLE)
    if named:
        return named
    built = _ROOT / "build" / "engines" / "bin" / "prism"
    return str(built) if built.exists() else shutil.which("prism")


def worker_command(endpoint: str) -> str:
    """Where workers are booted from: this installation's command for an engine on this host, the workers' own PATH
    otherwise."""
    own = Path(sys.executable).with_name(WORKER)
    return str(own) if is_loopback(endpoint) and own.exists() else WORKER


def is_loopback(endpoint: str) -> bool:
    host = endpoint.rpartition(":")[0].strip("[]")
    return host in ("localhost", "::1") or host.startswith("127.")


def _local(workers: int, parallelism: int | None) -> Profile:
    return Profile("local", "FnApiRunner", (("direct_num_workers", str(workers)),), local=True, here=True)


def _prism(workers: int, parallelism: int | None) -> Profile:
    prism = find_prism()
    location = (("prism_location", prism),) if prism else ()
    return Profile("prism", "PrismRunner", (("environment_type", "LOOPBACK"), *location), here=True)


def _portable(endpoint: str) -> Options:
    return (
        ("job_endpoint", endpoint),
        ("environment_type", "PROCESS"),
        ("environment_config", json.dumps({"command": worker_command(endpoint)})),
        ("environment_cache_millis", str(CACHE_MILLIS)),
        # Beam would run pip once a job, to stage a list of packages that nobody reads.
        ("experiments", "disable_logging_submission_environment"),
    )


def _flink(workers: int, parallelism: int | None) -> Profile:
    preset = _portable(os.environ.get(FLINK_VARIABLE) or "localhost:8099")
    width = (("parallelism", str(parallelism)),) if parallelism else ()
    return Profile("flink", "PortableRunner", preset + width, mark="flink_master")


def _spark(workers: int, parallelism: int | None) -> Profile:
    preset = _portable(os.environ.get(SPARK_VARIABLE) or "localhost:8099")
    return Profile("spark", "PortableRunner", preset, proven=False, mark="spark_master")


def _dataflow(workers: int, parallelism: int | None) -> Profile:
    width = (("num_workers", str(parallelism)), ("max_num_workers", str(parallelism))) if parallelism else ()
    preset = (("experiments", "use_runner_v2"), ("experiments", "disable_logging_submission_environment"), *width)
    needs = ("project", "region", "temp_location")
    return Profile("dataflow", "DataflowRunner", preset, proven=False, needs=needs)


PROFILES: dict[str, Callable[[int, int | None], Profile]] = {
    "local": _local,
    "prism": _prism,
    "flink": _flink,
    "spark": _spark,
    "dataflow": _dataflow,
}

# Names of Beam's in-process runner.
_LOCAL_RUNNERS = ("fnapirunner", "directrunner")


def choose(name: str | None, workers: int, parallelism: int | None, beam_args: Sequence[str] = ()) -> Profile:
    """The profile of a name, or one without presets for any runner class of Beam's.

    Raises:
        GristmillError: DaskRunner, a parallelism that means nothing, or ``--runner`` among Beam's arguments.
    """
    if any(name_of(one) == "runner" for one in beam_args):
        raise GristmillError("--runner after -- would contradict --engine; name the runner with --engine")
    if name is not None and name.rpartition(".")[2].lower() == "daskrunner":
        raise GristmillError("--engine DaskRunner is refused: it loses records silently; take local, prism or flink")
    if parallelism is not None and parallelism < 1:
        raise GristmillError(f"--parallelism {parallelism} is not possible; give 1 or more")
    short = (name or "local").lower()
    if short in _LOCAL_RUNNERS:
        short = "local"
    if short in PROFILES:
        profile = PROFILES[short](workers, parallelism)
        if parallelism is not None and short not in ("flink", "dataflow"):
            how = "--workers says how many processes work" if short == "local" else "its own options say how wide it is"
            raise GristmillError(f"--parallelism means nothing to --engine {short}; {how}")
        return profile
    assert name is not None
    width = (("parallelism", str(parallelism)),) if parallelism else ()
    return Profile(name, name, width, proven=False)
