"""Runs on engines other than the local one: the same release, failures as sentences, Ctrl-C that cancels."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from pipelines.curate import curate
from pipelines.engine import Engine
from pipelines.engines.profiles import find_prism
from pipelines.engines.remote import EngineError
from pipelines.engines.watch import stall_minutes
from pipelines.report import Report
from schemas.errors import GristmillError

if TYPE_CHECKING:
    from tests.servers.hands import FlinkCluster

needs_prism = pytest.mark.skipif(find_prism() is None, reason="needs the prism binary; make engines")


def job(function: Callable[..., Any]) -> Callable[[Any], None]:
    def build(pipeline: Any) -> None:
        from transforms.blocks import MapBlocks, Start, number_key

        rows = [(number_key(number), pa.record_batch({"n": [number]})) for number in range(4)]
        _ = pipeline | Start(rows) | "work" >> MapBlocks(function, "work")

    return build


def mistake(key: bytes, rows: pa.RecordBatch) -> Iterator[Any]:
    from schemas.errors import GristmillError

    raise GristmillError("dolly.jsonl: [bold] 3 of 4; do «this» [or that]")


def bug(key: bytes, rows: pa.RecordBatch) -> Iterator[Any]:
    numbers: dict[str, int] = {}
    raise KeyError(numbers.get("x", "the_missing_key"))


def released(repo: Path, out: Path, engine: str | None) -> dict[str, Any]:
    with Engine(1, engine) as opened:
        opened.check(out, out / ".gristmill")
        path = curate(repo / "examples" / "quickstart" / "recipe.yaml", out, out / ".gristmill", opened, Report(True))
    manifest: dict[str, Any] = json.loads((path / "manifest.json").read_bytes())
    run = json.loads((path / "run.json").read_bytes())
    assert run["engine"] == (engine or "local")
    assert run["cpu_seconds"]["command"] > 0
    return manifest


@needs_prism
def test_prism_gives_the_same_release(repo: Path, tmp_path: Path):
    assert released(repo, tmp_path / "prism", "prism") == released(repo, tmp_path / "local", None)
    assert not list((tmp_path / "prism").glob(".seen-*"))


@needs_prism
def test_failures_on_prism(capfd: pytest.CaptureFixture[str]):
    with Engine(1, "prism") as engine:
        with pytest.raises(GristmillError, match="do «this»") as error:
            engine.run(job(mistake))
        assert not isinstance(error.value, EngineError)
        with pytest.raises(
            EngineError, match=r'the job failed: KeyError: "the_missing_key".* \(in bug, test_engines_runs'
        ) as bad:
            engine.run(job(bug))
    assert "\n" not in str(bad.value)
    assert "Traceback" in bad.value.report
    assert "Traceback" not in capfd.readouterr().err


@needs_prism
def test_little_work_stays_here(tmp_path: Path):
    """A job of its own would cost more than the work."""
    with Engine(1, "prism") as engine:
        with pytest.raises(GristmillError, match="do «this»"):
            engine.run(job(mistake), alone=True)
        assert engine.jobs == []


SLOW = """
import sys
sys.path.insert(0, {repo!r})
import pyarrow as pa
from pathlib import Path
from pipelines.engine import Engine

def build(pipeline):
    from transforms.blocks import MapBlocks, Start, number_key
    def work(key, rows):
        import time
        open({mark!r}, "w").close()
        time.sleep(600)
        return iter(())
    pipeline | Start([(number_key(0), pa.record_batch({{"n": [0]}}))]) | "work" >> MapBlocks(work, "work")

with Engine(1, "flink", ("--job_name=" + sys.argv[1],)) as engine:
    engine.run(build)
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_cancels_on_flink(repo: Path, tmp_path: Path, flink: "FlinkCluster", how: signal.Signals):
    name, mark = f"cancel-{os.getpid()}-{how.value}", tmp_path / "works"
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW.format(repo=str(repo), mark=str(mark)), name], stderr=subprocess.PIPE, text=True
    )
    try:
        end = time.monotonic() + 120
        while time.monotonic() < end and not mark.exists() and process.poll() is None:
            time.sleep(0.1)
        assert mark.exists()
        process.send_signal(how)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode != 0
    assert "cancelling the job on flink" in said
    assert {one["state"] for one in flink.ask("jobs/overview")["jobs"] if name in one["name"]} == {"CANCELED"}


@pytest.mark.slow
def test_a_mistake_is_not_tried_again_on_flink(flink: "FlinkCluster"):
    """The cluster would start the tasks six times more."""
    with Engine(1, "flink") as engine, pytest.raises(GristmillError, match=r"^dolly.jsonl: .* do «this»") as error:
        engine.run(job(mistake))
    assert not isinstance(error.value, EngineError)
    assert not flink.jobs()


@pytest.mark.slow
def test_a_job_that_stands_still_is_given_up(repo: Path, tmp_path: Path, flink: "FlinkCluster"):
    program = SLOW.format(repo=str(repo), mark=str(tmp_path / "works"))
    process = subprocess.Popen(
        [sys.executable, "-c", program, f"still-{os.getpid()}"], stderr=subprocess.PIPE, text=True,
        env=os.environ | {"GRISTMILL_STALL_MINUTES": "0.15"},
    )  # fmt: skip
    try:
        _, said = process.communicate(timeout=120)
    finally:
        process.kill()
        process.wait()
    assert "GristmillError: --engine flink: nothing has moved in the job for 0.15 minutes (RUNNING)" in said
    assert not flink.jobs()


@pytest.mark.parametrize("given", ["soon", "-1", "inf", "nan"])
def test_no_number_of_minutes(given: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GRISTMILL_STALL_MINUTES", given)
    with pytest.raises(GristmillError, match="is no number of minutes"):
        stall_minutes()
