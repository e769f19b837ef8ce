"""What can be known before a job is submitted; each failure is one sentence."""

import importlib
import os
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path

from pipelines.engines.profiles import Profile, find_prism, is_loopback, worker_command
from schemas.errors import GristmillError

SECONDS = 3.0
"""How long an endpoint may take to answer."""


def check_endpoint(profile: Profile, endpoint: str) -> None:
    """The job server answers, speaks Beam's job interface, and is this engine's: all listen at the same port.

    Raises:
        GristmillError: it does not.
    """
    import grpc  # type: ignore[import-untyped]
    from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc

    with grpc.insecure_channel(endpoint) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=SECONDS)
        except grpc.FutureTimeoutError:
            raise GristmillError(
                f"--engine {profile.name}: no job server answers at {endpoint}; start one, or name it with -- "
                "--job_endpoint=HOST:PORT"
            ) from None
        try:
            request = beam_job_api_pb2.DescribePipelineOptionsRequest()
            answer = beam_job_api_pb2_grpc.JobServiceStub(channel).DescribePipelineOptions(request, timeout=SECONDS)
        except grpc.RpcError as error:
            raise GristmillError(
                f"--engine {profile.name}: {endpoint} answers, but is no job server of Beam ({error.code().name})"
            ) from None
    known = {option.name for option in answer.options}
    if profile.mark is not None and known and profile.mark not in known:
        raise GristmillError(
            f"--engine {profile.name}: the job server at {endpoint} is another engine's (it does not know "
            f"{profile.mark}); start one of {profile.name.capitalize()}, or name it with -- --job_endpoint=HOST:PORT"
        )


def check_needs(profile: Profile, beam_args: Sequence[str]) -> None:
    """Options without which the runner cannot start.

    Raises:
        GristmillError: one is missing.
    """
    missing = [name for name in profile.needs if not profile.value(name, beam_args)]
    if missing:
        options = " ".join(f"--{name}=…" for name in missing)
        raise GristmillError(f"--engine {profile.name} needs {options} after --")


def check_folder(profile: Profile, option: str, folder: str | os.PathLike[str]) -> None:
    """``folder`` can be written from here, and may be seen by the engine's workers.

    Raises:
        GristmillError: it cannot.
    """
    text = str(folder)
    if "://" in text:
        _check_store(text)
        return
    if profile.name == "dataflow":
        raise GristmillError(
            f"{option} {text}: Dataflow's workers do not see this machine's files; name a gs:// address"
        )
    place = Path(text).absolute()
    while not place.exists():
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        raise GristmillError(f"{option} {text}: {place} cannot be written; name a folder that can be written")


def _check_store(folder: str) -> None:
    """Put an empty object there, and take it away."""
    from transforms.storage import place, remove_files, write_bytes

    file = place(folder) / f".probe.{uuid.uuid4().hex}"
    write_bytes(file, b"")
    remove_files([file])


def probe(option: str, folder: str | os.PathLike[str]) -> Path | None:
    """An empty file that every worker must see, so that a folder which only this machine has is noticed at once; None
    for an address in a store.

    Raises:
        GristmillError: the folder cannot be written.
    """
    if "://" in str(folder):
        return None
    place = Path(folder).resolve()
    file = place / f".seen-{uuid.uuid4().hex}"
    try:
        place.mkdir(parents=True, exist_ok=True)
        file.touch()
    except OSError as error:
        raise GristmillError(f"{option} {folder}: {error.strerror}; name a folder that can be written") from None
    return file


def lacking(profile: Profile, beam_args: Sequence[str] = ()) -> str:
    """What keeps the engine from running here, in a few words; empty when it is ready."""
    if profile.name == "prism" and find_prism() is None:
        return "the prism binary (Beam downloads it on a networked machine)"
    if profile.name == "dataflow":
        try:
            importlib.import_module("apache_beam.runners.dataflow.internal.clients.dataflow")
        except ImportError:
            return "pip install 'apache-beam[gcp]'"
        return "a project: " + " ".join(f"--{name}=…" for name in profile.needs)
    endpoint = profile.value("job_endpoint", beam_args)
    if endpoint:
        try:
            check_endpoint(profile, endpoint)
        except GristmillError as error:
            return str(error).partition(": ")[2]
        command = worker_command(endpoint)
        if is_loopback(endpoint) and shutil.which(command) is None:
            return f"the command {command} (pip install gristmill)"
    return ""
