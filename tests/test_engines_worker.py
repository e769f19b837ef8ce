"""``gristmill-worker``: it starts, checks its host, installs wheels once, and ends with its runner."""

import hashlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import pytest
from apache_beam.portability.api import (
    beam_artifact_api_pb2,
    beam_artifact_api_pb2_grpc,
    beam_fn_api_pb2_grpc,
    beam_provision_api_pb2,
    beam_provision_api_pb2_grpc,
    beam_runner_api_pb2,
)

from pipelines import worker_job
from pipelines.worker import address_of, main
from pipelines.worker_job import options_of, refusal, site_of
from schemas.version import __version__


class Runner(
    beam_provision_api_pb2_grpc.ProvisionServiceServicer,
    beam_fn_api_pb2_grpc.BeamFnControlServicer,
    beam_fn_api_pb2_grpc.BeamFnLoggingServicer,
    beam_artifact_api_pb2_grpc.ArtifactRetrievalServiceServicer,
):
    """As much of a runner as a worker needs to be up."""

    def __init__(self) -> None:
        self.connected: queue.Queue[str] = queue.Queue()
        self.artifacts: list[Any] = []
        self.files: dict[bytes, bytes] = {}
        self.options: dict[str, Any] = {}
        self.served = 0
        self.server = grpc.server(futures.ThreadPoolExecutor(16))
        beam_provision_api_pb2_grpc.add_ProvisionServiceServicer_to_server(self, self.server)
        beam_fn_api_pb2_grpc.add_BeamFnControlServicer_to_server(self, self.server)
        beam_fn_api_pb2_grpc.add_BeamFnLoggingServicer_to_server(self, self.server)
        beam_artifact_api_pb2_grpc.add_ArtifactRetrievalServiceServicer_to_server(self, self.server)
        self.address = f"localhost:{self.server.add_insecure_port('localhost:0')}"
        self.server.start()

    def GetProvisionInfo(self, request: Any, context: Any) -> Any:
        info = beam_provision_api_pb2.ProvisionInfo(dependencies=self.artifacts)
        info.pipeline_options.update(self.options)
        info.control_endpoint.url = info.logging_endpoint.url = self.address
        return beam_provision_api_pb2.GetProvisionInfoResponse(info=info)

    def GetArtifact(self, request: Any, context: Any) -> Iterator[Any]:
        self.served += 1
        yield beam_artifact_api_pb2.GetArtifactResponse(data=self.files[request.artifact.type_payload])

    def Control(self, requests: Any, context: Any) -> Iterator[Any]:
        self.connected.put(dict(context.invocation_metadata()).get("worker_id", ""))
        while context.is_active():
            time.sleep(0.1)
        yield from ()

    def Logging(self, requests: Any, context: Any) -> Iterator[Any]:
        for _ in requests:
            pass
        yield from ()

    def offer(self, wheel: Path) -> None:
        payload = beam_runner_api_pb2.ArtifactFilePayload(path=str(wheel)).SerializeToString()
        role = beam_runner_api_pb2.ArtifactStagingToRolePayload(staged_name=wheel.name).SerializeToString()
        self.artifacts.append(beam_runner_api_pb2.ArtifactInformation(type_payload=payload, role_payload=role))
        self.files[payload] = wheel.read_bytes()


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """pytest's own are too long for sockets when tests run side by side."""
    with tempfile.TemporaryDirectory(prefix="worker-", dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture
def runner() -> Iterator[Runner]:
    opened = Runner()
    yield opened
    opened.server.stop(0)


@pytest.fixture
def start(runner: Runner, tmp_path: Path, repo: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []
    environment = dict(os.environ, TMPDIR=str(tmp_path), PYTHONPATH=str(repo))

    def begin(number: int = 1) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "pipelines.worker", f"--id=1-{number}"]
        command += [f"--{name}_endpoint={runner.address}" for name in ("logging", "artifact", "provision", "control")]
        started.append(subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.wait()
    for pid in descendants(tmp_path):
        os.kill(pid, signal.SIGKILL)


def descendants(folder: Path) -> list[int]:
    """Living servers and workers that were started with this temporary folder."""
    found = []
    for place in Path("/proc").iterdir():
        try:
            if place.name.isdigit() and b"pipelines.worker_server" in (place / "cmdline").read_bytes():
                state = (place / "stat").read_text().rpartition(")")[2].split()[0]
                if str(folder).encode() in (place / "cmdline").read_bytes() and state != "Z":
                    found.append(int(place.name))
        except OSError:
            continue
    return found


def until(true: Callable[[], bool], seconds: float = 30) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end and not true():
        time.sleep(0.05)
    return true()


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")


@needs_proc
def test_workers_of_several_managers_have_the_same_name(runner: Runner, start: Any, tmp_path: Path):
    """Each task manager calls its first worker 1-1; three of them on one host are three workers of one server."""
    processes = [start() for _ in range(3)]
    assert {runner.connected.get(timeout=60) for _ in processes} == {"1-1"}
    assert until(lambda: len(descendants(tmp_path)) == 4)
    processes[0].send_signal(signal.SIGKILL)  # its task manager ends it
    assert until(lambda: len(descendants(tmp_path)) == 3)
    assert all(process.poll() is None for process in processes[1:])


@needs_proc
def test_a_worker_ends_with_its_runner(runner: Runner, start: Any, tmp_path: Path):
    process = start()
    runner.connected.get(timeout=60)
    runner.server.stop(0)
    assert until(lambda: process.poll() is not None)
    assert until(lambda: len(descendants(tmp_path)) <= 1)  # the server, which waits for others


def test_without_a_runner_it_says_so(capsys: pytest.CaptureFixture[str]):
    assert main([]) == 2
    assert "a runner of Beam starts this command" in capsys.readouterr().err


def test_what_a_host_lacks(tmp_path: Path):
    assert refusal({}) is None
    assert refusal({"versions": {"gristmill": __version__}, "sees": [str(tmp_path)]}) is None
    said = refusal({"versions": {"gristmill": "99.0"}})
    assert said is not None
    assert f"has gristmill {__version__}, the command 99.0" in said
    assert "has no nonesuch; install nonesuch 1" in str(refusal({"versions": {"nonesuch": "1"}}))
    assert f"does not see {tmp_path}/x" in str(refusal({"sees": [f"{tmp_path}/x/.seen"]}))


def test_options_in_either_spelling():
    info = beam_provision_api_pb2.ProvisionInfo()
    info.pipeline_options.update({"beam:option:gristmill_facts:v1": "{}", "options": {"job_name": "x", "none": None}})
    assert options_of(info) == {"job_name": "x", "gristmill_facts": "{}"}


def wheel(folder: Path, name: str) -> Path:
    path = folder / f"{name}-1.0-py3-none-any.whl"
    facts = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(f"{name}.py", "here = True\n")
        file.writestr(f"{facts}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        file.writestr(f"{facts}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{facts}/RECORD", "")
    return path


def test_wheels_are_installed_once(runner: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    path = wheel(tmp_path, "tiny_of_the_test")
    runner.offer(path)
    info = worker_job.provision(runner.address, "1-1")
    hashes = {path.name: hashlib.sha256(path.read_bytes()).hexdigest()}
    site = site_of(info, runner.address, hashes)
    assert site is not None
    assert (Path(site) / "tiny_of_the_test.py").exists()
    assert site_of(info, runner.address, hashes) == site
    assert runner.served == 1
    assert Path(site).parent == address_of("").parent
    assert site_of(beam_provision_api_pb2.ProvisionInfo(), runner.address, {}) is None


def test_a_wheel_that_is_none(runner: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "broken-1.0-py3-none-any.whl").write_bytes(b"no zip")
    runner.offer(tmp_path / "broken-1.0-py3-none-any.whl")
    with pytest.raises(RuntimeError, match="pip: "):
        site_of(worker_job.provision(runner.address, "1-1"), runner.address, {})


def test_the_launcher_imports_nothing_heavy(repo: Path):
    code = "import sys, pipelines.worker; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", f"import json; {code}"], capture_output=True, text=True, cwd=repo, check=True
    )
    assert not {"apache_beam", "grpc", "numpy", "argparse"} & set(json.loads(done.stdout))
