"""Fetches Prism, MinIO and Flink's jars into build/engines, once: with ``go install`` and Maven, never half.

There is no ready-made Flink with Beam's job server in the registries, but Beam's thin jars bring both.
"""

import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tests.servers.places import ENGINES, ServerError

MODULES = {
    "prism": "github.com/apache/beam/sdks/v2/go/cmd/prism@v2.77.0",  # the version of apache-beam
    "minio": "github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c",
}

COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"

# The job service of 2.70.0 is not to be had; that of 2.65.0 works with the rest.
POM = """\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>local</groupId>
  <artifactId>flink</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencyManagement><dependencies><dependency>
    <groupId>org.apache.beam</groupId><artifactId>beam-runners-java-job-service</artifactId><version>2.65.0</version>
  </dependency></dependencies></dependencyManagement>
  <dependencies>
    <dependency>
      <groupId>org.apache.beam</groupId><artifactId>beam-runners-flink-1.19</artifactId><version>2.70.0</version>
    </dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>2.0.16</version></dependency>
  </dependencies>
</project>
"""

ALL = ("prism", "minio", "flink")


def path(name: str) -> Path:
    """Where ``name`` lies once it is fetched: a program, or Flink's folder of jars."""
    return ENGINES / "flink" / "lib" if name == "flink" else ENGINES / "bin" / name


def lacking(name: str) -> str | None:
    """Why ``name`` cannot be run now, in a few words; None if it can."""
    if name == "flink" and shutil.which("java") is None:
        return "Java is not installed"
    if _fetched(name):
        return None
    return _missing_tool(name) or f"{name} is not fetched (make engines-fetch)"


def fetch(name: str, limit: float = 900) -> Path:
    """The path of ``name``, fetched if it is not there, within ``limit`` seconds; another fetch is waited for.

    Raises:
        ServerError: a tool is missing, the registry does not answer, or time is up. Nothing half is left.
    """
    ends = time.monotonic() + limit
    if not _fetched(name):
        missing = _missing_tool(name)
        if missing is not None:
            raise ServerError(f"{name} cannot be fetched: {missing}")
        with _alone(name, ends):
            if not _fetched(name):
                (_jars if name == "flink" else _program)(name, ends)
    return path(name)


def fetch_all(names: Iterable[str], limit: float) -> dict[str, Path | ServerError]:
    """Fetch all of them in ``limit`` seconds, Maven beside Go: the one waits for its registry, the other compiles."""
    ends, found = time.monotonic() + limit, dict[str, Path | ServerError]()

    def one_by_one(lane: list[str]) -> None:
        for name in lane:
            try:
                found[name] = fetch(name, ends - time.monotonic())
            except ServerError as error:
                found[name] = error

    lanes = [[name for name in names if name != "flink"], [name for name in names if name == "flink"]]
    with ThreadPoolExecutor() as pool:
        list(pool.map(one_by_one, lanes))
    return {name: found[name] for name in names}


def _missing_tool(name: str) -> str | None:
    for tool, called in {"mvn": "Maven", "java": "Java"}.items() if name == "flink" else [("go", "Go")]:
        if shutil.which(tool) is None:
            return f"{called} is not installed"
    return None


def _stamp(name: str) -> Path:
    return ENGINES / f".{name}"


def _wanted(name: str) -> str:
    return hashlib.sha256(POM.encode()).hexdigest() if name == "flink" else MODULES[name]


def _fetched(name: str) -> bool:
    try:
        return path(name).exists() and _stamp(name).read_text() == _wanted(name)
    except OSError:
        return False


@contextmanager
def _alone(name: str, ends: float) -> Iterator[None]:
    """Hold build/engines/.fetching-TOOL. The system gives a lock back when its process ends, however it ends."""
    ENGINES.mkdir(parents=True, exist_ok=True)
    with (ENGINES / f".fetching-{'mvn' if name == 'flink' else 'go'}").open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > ends:
                    raise ServerError(f"{name} cannot be fetched: another fetch is still at work") from None
                time.sleep(0.5)
        yield


def _program(name: str, ends: float) -> None:
    with tempfile.TemporaryDirectory(dir=ENGINES, prefix=".part-") as part:
        _run(name, ["go", "install", MODULES[name]], Path(part), ends, GOBIN=part)
        path(name).parent.mkdir(exist_ok=True)
        _stamp(name).unlink(missing_ok=True)
        os.replace(Path(part) / name, path(name))
        _stamp(name).write_text(_wanted(name))


def _jars(name: str, ends: float) -> None:
    with tempfile.TemporaryDirectory(dir=ENGINES, prefix=".part-") as part:
        (Path(part) / "pom.xml").write_text(POM)
        _run(name, ["mvn", "-B", "-q", COPY, "-DincludeScope=runtime", "-DoutputDirectory=lib"], Path(part), ends)
        path(name).parent.mkdir(exist_ok=True)
        _stamp(name).unlink(missing_ok=True)
        shutil.rmtree(path(name), ignore_errors=True)
        os.replace(Path(part) / "lib", path(name))
        _stamp(name).write_text(_wanted(name))


def _run(name: str, command: list[str], folder: Path, ends: float, **environment: str) -> None:
    log = ENGINES / f"fetch-{name}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            ["nice", *command],
            cwd=folder,
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # compilers and all can be ended together
        )
        try:
            status = process.wait(timeout=max(1.0, ends - time.monotonic()))
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if isinstance(error, subprocess.TimeoutExpired):
                raise ServerError(f"{name} could not be fetched in time; see {log}") from None
            raise
    if status:
        said = log.read_text(errors="replace").strip().splitlines() or ["it said nothing"]
        raise ServerError(f"{name} could not be fetched: {' '.join(command[:2])} says {said[-1][:200]!r}; see {log}")
