"""What ``gristmill-worker`` does before it is a Beam worker: ask for the job, check this host, install wheels.

Needs Python, Beam and nothing else of Gristmill: on a bare host the rest comes as wheels with the job.
"""

import contextlib
import fcntl
import hashlib
import importlib
import importlib.metadata
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from pipelines.worker import START_SECONDS, address_of, launch
from schemas.errors import GristmillError

FACTS = "gristmill_facts"
"""The pipeline option by which the submitter says what it is (pipelines/engines/facts.py)."""
CLOSING_SECONDS = 10.0
"""How long a worker may take to end once its control channel is closed."""


def work(worker: dict[str, str]) -> None:
    """Become a Beam worker of the job that the provision service tells of; returns when the job needs it no more.

    What is wrong with this host is answered to the runner as a GristmillError, which the submitter shows as it is.
    """
    information = provision(worker["provision_endpoint"], worker["id"])
    options = options_of(information)
    refused = None
    try:
        facts = json.loads(options.get(FACTS) or "{}")
        site = site_of(
            information, information.artifact_endpoint.url or worker["artifact_endpoint"], facts.get("wheels") or {}
        )
        if site and site not in sys.path:
            # Other versions of what is imported here already: a fresh interpreter, which is a server in its turn.
            os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [site, os.environ.get("PYTHONPATH")]))
            launch({"worker": worker, "environment": dict(os.environ)}, address_of(site))
            return
        refused = refusal(facts)
    except Exception as error:
        refused = f"the worker on {socket.gethostname()} could not be made ready: {_short(error)}"
    os.environ["WORKER_ID"] = worker["id"]
    os.environ["PIPELINE_OPTIONS"] = json.dumps({f"beam:option:{name}:v1": value for name, value in options.items()})
    os.environ["RUNNER_CAPABILITIES"] = " ".join(information.runner_capabilities)
    for name, url in (
        ("LOGGING", information.logging_endpoint.url or worker["logging_endpoint"]),
        ("CONTROL", information.control_endpoint.url or worker["control_endpoint"]),
    ):
        if url:
            os.environ[f"{name}_API_SERVICE_DESCRIPTOR"] = f"url: {json.dumps(url)}"
    from apache_beam.runners.worker import sdk_worker_main

    handler, harness, _ = sdk_worker_main.create_harness(os.environ)
    if refused is not None:
        harness.create_worker = lambda: _Refusing(harness, refused)
    threading.Thread(target=_end_with_control, args=(harness,), daemon=True).start()
    try:
        harness.run()
    finally:
        if handler:
            handler.close()


def _end_with_control(harness: Any) -> None:
    """End this process soon after the runner has closed the control channel, whatever it still does: nobody could be
    told of its result."""
    while harness._alive:
        time.sleep(1.0)
    time.sleep(CLOSING_SECONDS)
    os._exit(1)


def _short(error: Exception) -> str:
    """One line; gRPC's errors print ten."""
    details = getattr(error, "details", None)
    text = str(details()) if callable(details) else str(error)
    return (text.strip() or type(error).__name__).splitlines()[0]


class _Refusing:
    """Answers every instruction with a sentence: a worker that just ended would be started again and again."""

    def __init__(self, harness: Any, sentence: str):
        self._harness, self._sentence = harness, sentence

    def do_instruction(self, request: Any) -> Any:
        from apache_beam.portability.api import beam_fn_api_pb2

        if request.WhichOneof("request") == "process_bundle":
            # The runner hears of the failure only once it could send its data.
            bundle = self._harness._fns[request.process_bundle.process_bundle_descriptor_id]
            for transform in bundle.transforms.values():
                if transform.spec.urn == "beam:runner:source:v1":
                    port = beam_fn_api_pb2.RemoteGrpcPort.FromString(transform.spec.payload)
                    self._harness._data_channel_factory.create_data_channel_from_url(port.api_service_descriptor.url)
        raise GristmillError(self._sentence)


def provision(endpoint: str, worker_id: str) -> Any:
    """Beam's ProvisionInfo of this worker."""
    import grpc  # type: ignore[import-untyped]
    from apache_beam.portability.api import beam_provision_api_pb2, beam_provision_api_pb2_grpc

    with grpc.insecure_channel(endpoint) as channel:
        stub = beam_provision_api_pb2_grpc.ProvisionServiceStub(channel)
        answer = stub.GetProvisionInfo(
            beam_provision_api_pb2.GetProvisionInfoRequest(),
            metadata=[("worker_id", worker_id)], timeout=START_SECONDS, wait_for_ready=True,
        )  # fmt: skip
    return answer.info


def options_of(information: Any) -> dict[str, Any]:
    """Pipeline options by their plain names, in whichever of Beam's two spellings they came."""
    from google.protobuf import json_format  # type: ignore[import-untyped]

    given = json_format.MessageToDict(information.pipeline_options)
    found: dict[str, Any] = dict(given.pop("options", None) or {})
    for name, value in given.items():
        parts = name.split(":")
        found[parts[2] if len(parts) == 4 and parts[:2] == ["beam", "option"] else name] = value
    return {name: value for name, value in found.items() if value is not None}


def refusal(facts: dict[str, Any]) -> str | None:
    """Why this host cannot do the job that was submitted with ``facts``, as a sentence; None where it can."""
    host = socket.gethostname()
    for name, wanted in sorted((facts.get("versions") or {}).items()):
        try:
            own = version_of(name)
        except importlib.metadata.PackageNotFoundError:
            return f"the worker on {host} has no {name}; install {name} {wanted} there, or run with --ship"
        if own != wanted:
            return f"the worker on {host} has {name} {own}, the command {wanted}; install the same, or run with --ship"
    for seen in facts.get("sees") or ():
        if not os.path.exists(seen):
            return (
                f"the worker on {host} does not see {os.path.dirname(seen)}; name --out and --work-dir on a disk that "
                "all workers share, or in an object store"
            )
    return None


def version_of(name: str) -> str:
    """The version that this process would import."""
    if name == "gristmill":  # also from a clone, which no installer has heard of
        with contextlib.suppress(ImportError):
            return str(importlib.import_module("schemas.version").__version__)
    return importlib.metadata.version(name)


def site_of(information: Any, endpoint: str, hashes: dict[str, str]) -> str | None:
    """The folder with the wheels that the job brings, installed; None when it brings none. The same wheels, known by
    ``hashes``, are installed once.

    Raises:
        RuntimeError: pip could not install them; what it said.
    """
    wheels = {name: one for one in information.dependencies if (name := _staged_name(one)).endswith(".whl")}
    if not wheels:
        return None
    from apache_beam.portability.api import beam_runner_api_pb2

    marks = []
    for name, artifact in sorted(wheels.items()):
        payload = beam_runner_api_pb2.ArtifactFilePayload()
        payload.ParseFromString(artifact.type_payload)
        marks.append(f"{name} {hashes.get(name) or payload.sha256 or payload.path}")
    folder = address_of("").parent / ("site-" + hashlib.sha256("\n".join(marks).encode()).hexdigest()[:16])
    with open(f"{folder}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=folder.parent) as place:
                files = [_retrieve(endpoint, artifact, Path(place) / name) for name, artifact in wheels.items()]
                _install(files, Path(place) / "site")
                os.rename(Path(place) / "site", folder)
    return str(folder)


def _staged_name(artifact: Any) -> str:
    from apache_beam.portability.api import beam_runner_api_pb2

    role = beam_runner_api_pb2.ArtifactStagingToRolePayload()
    role.ParseFromString(artifact.role_payload)
    return os.path.basename(role.staged_name)


def _retrieve(endpoint: str, artifact: Any, path: Path) -> Path:
    import grpc
    from apache_beam.portability.api import beam_artifact_api_pb2, beam_artifact_api_pb2_grpc

    with grpc.insecure_channel(endpoint, options=[("grpc.max_receive_message_length", -1)]) as channel:
        stub = beam_artifact_api_pb2_grpc.ArtifactRetrievalServiceStub(channel)
        with path.open("wb") as file:
            for piece in stub.GetArtifact(beam_artifact_api_pb2.GetArtifactRequest(artifact=artifact)):
                file.write(piece.data)
    return path


def _install(wheels: list[Path], folder: Path) -> None:
    """Exactly these wheels: what they need comes with them or is there, and no index is asked."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-compile",
               "--disable-pip-version-check", "--target", str(folder), *map(str, wheels)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"pip: {(done.stderr.strip().splitlines() or ['it failed'])[-1]}")
