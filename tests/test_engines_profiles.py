"""Engine profiles: what each sets, what wins over it, and what is refused before a job."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import pytest
from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc

from pipelines.engine import Engine
from pipelines.engines.checks import lacking
from pipelines.engines.facts import plain, told
from pipelines.engines.flink import FlinkRest
from pipelines.engines.profiles import PROFILES, choose, worker_command
from schemas.errors import GristmillError
from schemas.version import __version__


@pytest.fixture(autouse=True)
def no_engines(monkeypatch: pytest.MonkeyPatch):
    for name in ("GRISTMILL_PRISM", "GRISTMILL_FLINK_ENDPOINT", "GRISTMILL_FLINK_REST", "GRISTMILL_SPARK_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("name", PROFILES)
def test_every_preset_is_made_of_options_that_beam_knows(name: str):
    with Engine(1, name) as engine:
        engine.options(1)
    assert engine.profile.name == name
    assert engine.local == (name == "local")


def test_what_flink_sets():
    profile = choose("flink", 1, 6)
    options = profile.options()
    assert "--parallelism=6" in options
    assert "--job_endpoint=localhost:8099" in options
    assert "--environment_type=PROCESS" in options
    assert json.loads(str(profile.value("environment_config"))) == {"command": worker_command("localhost:8099")}


def test_what_stands_after_the_dashes_wins():
    given = ("--job_endpoint=mill:1", "--environment-type", "LOOPBACK", "--experiments=mine")
    profile = choose("flink", 1, None, given)
    options = profile.options(given)
    assert [one for one in options if one.startswith("--job_endpoint")] == ["--job_endpoint=mill:1"]
    assert not any(one.startswith("--environment_type") for one in options)
    assert sum(one.startswith("--experiments") for one in options) == 2  # these add up
    assert profile.value("job_endpoint", given) == "mill:1"


def test_the_environment_names_the_endpoint(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GRISTMILL_FLINK_ENDPOINT", "far:9")
    profile = choose("flink", 1, None)
    assert profile.value("job_endpoint") == "far:9"
    assert json.loads(str(profile.value("environment_config"))) == {"command": "gristmill-worker"}


@pytest.mark.parametrize(
    ("engine", "parallelism", "arguments", "sentence"),
    [
        ("DaskRunner", None, (), "loses records silently"),
        ("apache_beam.runners.dask.dask_runner.DaskRunner", None, (), "loses records silently"),
        ("flink", 0, (), "--parallelism 0 is not possible"),
        ("local", 3, (), "--parallelism means nothing to --engine local"),
        ("prism", 3, (), "--parallelism means nothing to --engine prism"),
        ("flink", None, ("--runner=FlinkRunner",), "name the runner with --engine"),
    ],
)
def test_what_is_refused(engine: str, parallelism: int | None, arguments: tuple[str, ...], sentence: str):
    with pytest.raises(GristmillError, match=sentence) as error:
        Engine(1, engine, arguments, parallelism)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["local", "prism"])
def test_nothing_is_shipped_to_this_machine(name: str):
    with pytest.raises(GristmillError, match="--ship means nothing"):
        Engine(1, name, ship=True)


@pytest.fixture
def deaf() -> Iterator[str]:
    """An endpoint that takes connections and is no job server."""
    listener = socket.create_server(("127.0.0.1", 0))

    def hang_up() -> None:
        while True:
            try:
                listener.accept()[0].close()
            except OSError:
                return

    threading.Thread(target=hang_up, daemon=True).start()
    yield f"127.0.0.1:{listener.getsockname()[1]}"
    listener.close()


def test_an_endpoint_that_does_not_answer(tmp_path: Path):
    silent = pytest.raises(GristmillError, match="no job server answers at localhost:1")
    with Engine(1, "flink", ("--job_endpoint=localhost:1",)) as engine, silent:
        engine.check(tmp_path, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_endpoint_that_is_something_else(tmp_path: Path, deaf: str):
    with Engine(1, "flink", (f"--job_endpoint={deaf}",)) as engine, pytest.raises(GristmillError, match=deaf):
        engine.check(tmp_path, tmp_path)


@pytest.fixture
def of_spark() -> Iterator[str]:
    """A job server that knows the options of Spark's."""
    server = grpc.server(futures.ThreadPoolExecutor(1))

    class Service(beam_job_api_pb2_grpc.JobServiceServicer):
        def DescribePipelineOptions(self, request: Any, context: Any) -> Any:
            known = [beam_job_api_pb2.PipelineOptionDescriptor(name=name) for name in ("job_name", "spark_master")]
            return beam_job_api_pb2.DescribePipelineOptionsResponse(options=known)

    beam_job_api_pb2_grpc.add_JobServiceServicer_to_server(Service(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None)


def test_a_job_server_of_another_engine(tmp_path: Path, of_spark: str, monkeypatch: pytest.MonkeyPatch):
    given = (f"--job_endpoint={of_spark}",)
    sentence = pytest.raises(GristmillError, match=f"server at {of_spark} is another engine's .* start one of Flink")
    with Engine(1, "flink", given) as engine, sentence:
        engine.check(tmp_path, tmp_path)
    with Engine(1, "spark", given) as engine:
        engine.check(tmp_path, tmp_path)
    monkeypatch.setenv("GRISTMILL_FLINK_ENDPOINT", of_spark)
    monkeypatch.setenv("GRISTMILL_SPARK_ENDPOINT", of_spark)
    assert "another engine's" in lacking(choose("flink", 1, None))
    assert "job server" not in lacking(choose("spark", 1, None))


def test_dataflow_needs_a_project_and_a_bucket(tmp_path: Path):
    with Engine(1, "dataflow") as engine, pytest.raises(GristmillError, match="needs --project=… --region=…"):
        engine.check(tmp_path, tmp_path)
    options = ("--project=p", "--region=r", "--temp_location=gs://b/t")
    with Engine(1, "dataflow", options) as engine, pytest.raises(GristmillError, match="name a gs:// address"):
        engine.check(tmp_path, tmp_path)


def test_a_folder_that_cannot_be_written(tmp_path: Path):
    (tmp_path / "file").touch()
    with Engine(1, "prism") as engine, pytest.raises(GristmillError, match=r"--out .*file.* cannot be written"):
        engine.check(tmp_path / "file" / "out", tmp_path)


def test_facts_hold_no_secrets():
    options = [
        "--s3_access_key_id=AKIA",
        "--s3_secret_access_key",
        "hidden",
        "--job_endpoint=http://me:hidden@host:1",
        '--environment_config={"command": "w", "env": {"TOKEN": "hidden"}}',
        "--streaming",
        "--parallelism",
        "3",
    ]
    found = plain(options)
    assert "hidden" not in json.dumps(found)
    assert "AKIA" not in json.dumps(found)
    assert found["parallelism"] == "3"
    assert found["streaming"] == "true"
    assert found["job_endpoint"] == "http://***@host:1"


def test_facts_of_a_local_run():
    with Engine(2) as engine:
        facts = engine.facts()
    assert (facts["engine"], facts["runner"], facts["workers"]) == ("local", "FnApiRunner", 2)
    assert facts["cpu_seconds"]["command"] > 0
    assert facts["options"] == {"direct_num_workers": "2"}


def test_what_workers_are_told():
    facts = json.loads(told(["/x/.seen"], {"a.whl": "00"}))
    assert facts["versions"]["gristmill"] == __version__
    assert "apache-beam" in facts["versions"]
    assert facts["sees"] == ["/x/.seen"]


def test_progress_by_flinks_own_account(monkeypatch: pytest.MonkeyPatch):
    """Vertices as Flink 1.19 names them."""
    vertices = [
        ("DataSource (Impulse)", 0),
        ("GroupReduce (GroupReduce at splits/spread)", 8),
        ("MapPartition (MapPartition at [2]{splits, read})", 5),
        ("CHAIN MapPartition (MapPartition at [1]select/apply) -> FlatMap (FlatMap at ExtractOutput[0])", 3),
    ]
    answer = {
        "state": "RUNNING",
        "vertices": [
            {"name": name, "status": "RUNNING", "metrics": {"read-records": count}} for name, count in vertices
        ],
    }
    rest = FlinkRest("localhost:1")
    monkeypatch.setattr(rest, "ask", lambda path: answer)
    counts, state = rest.passed("x")
    assert (counts["read"], counts["select"], state) == (5, 3, "RUNNING")


def test_a_cluster_that_does_not_answer():
    rest = FlinkRest("localhost:1")
    rest.address = "http://localhost:1"
    assert rest.job_of("x") is None
    assert not rest.passed("x")[0]


def test_the_command_lists_engines(repo: Path):
    code = "import sys; from pipelines.engines.table import engines; engines(); assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], cwd=repo, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in PROFILES)
    assert "no: never run" in done.stdout
