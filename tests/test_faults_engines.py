"""Machines and processes that die, stores that go away, disks that fill while a job runs on a cluster.

After each: the release of an undisturbed run, or one sentence and nothing published.
"""

import contextlib
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pipelines.open_release import open_manifest
from schemas.manifest import Manifest
from tests.recipes import Row, chat, write_recipe
from transforms.storage import all_files, place

psutil = pytest.importorskip("psutil")

if TYPE_CHECKING:
    from psutil import Process

    from tests.servers.hands import FlinkCluster, ObjectStore

LIMIT = 240
"""Seconds for one command: a hung job must fail its test and not the whole build."""
FLINK = ("--engine", "flink", "--parallelism", "3")
FILES, ROWS = 9, 2000

# The command, with decisions as jobs on the engine too, which else begin at 200,000 records.
DECIDES = "import pipelines.curate as one; one.ALONE_RECORDS = 0; from pipelines.cli import main; main()"


class Run:
    """A ``gristmill curate`` that goes on."""

    def __init__(self, recipe: Path, out: str | Path, *options: str, decides: bool = False):
        command = ["-c", DECIDES] if decides else ["-m", "pipelines.cli"]
        arguments = ["curate", str(recipe), "--out", str(out), *options]
        self.release = place(f"{out}/faults/1.0.0")
        self._process = subprocess.Popen(
            [sys.executable, *command, *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    @property
    def goes_on(self) -> bool:
        return self._process.poll() is None

    def end(self) -> tuple[int, str]:
        """Its exit status and what it said."""
        try:
            _, self._said = self._process.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._said = f"no end after {LIMIT} s; " + self._process.communicate()[1]
        return self._process.returncode, self._said

    def stop(self) -> None:
        if self.goes_on:
            self._process.kill()
        self._process.communicate()


@pytest.fixture
def begin() -> Iterator[Callable[..., Run]]:
    """Starts runs, and ends those that go on."""
    runs: list[Run] = []

    def started(*arguments: Any, **more: Any) -> Run:
        runs.append(Run(*arguments, **more))
        return runs[-1]

    yield started
    for run in runs:
        run.stop()


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows of which one in five is nearly another, one in fifty is another, and one in a hundred cannot be read."""
    draw = random.Random(5)
    words = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randint(2, 9))) for _ in range(5000)]
    files: dict[str, list[Row]] = {}
    texts: list[list[str]] = []
    for number in range(FILES):
        rows: list[Row] = []
        for _ in range(ROWS):
            kind = draw.random()
            text = draw.choices(words, k=draw.randint(40, 120))
            if texts and kind < 0.22:
                text = list(draw.choice(texts))
                if kind < 0.20:
                    text[draw.randrange(len(text))] = "exchanged"
            texts.append(text)
            rows.append(b"{no json" if kind > 0.99 else chat(" ".join(text[:12]), " ".join(text[12:])))
        files[f"rows-{number}.jsonl"] = rows
    settings: dict[str, Any] = {
        "dedup": {"near": {"similarity": 0.8, "recall": "99 %"}},
        "release": {"splits": {"validation": "5 %"}},
    }
    return write_recipe(tmp_path_factory.mktemp("rows"), {"made": files}, name="faults", **settings)


@pytest.fixture(scope="module")
def undisturbed(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """The manifest of a local run."""
    run = Run(recipe, tmp_path_factory.mktemp("local"), "--workers", "2", "--quiet")
    status, said = run.end()
    assert status == 0, said
    return open_manifest(run.release)


def whole(run: Run, expected: Manifest) -> None:
    """The release is that of the undisturbed run to the last count, nothing else lies in it, and it verifies."""
    status, said = run.end()
    assert status == 0, said
    made = open_manifest(run.release)
    assert made.release_digest == expected.release_digest
    assert made == expected
    listed = {file.path for file in made.files} | {"manifest.json", "run.json"}
    assert set(all_files(run.release)) - {".claim"} == listed
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.cli", "verify", str(run.release)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def nothing(run: Run) -> str:
    """The run failed with one sentence, and published nothing; returns the sentence."""
    status, said = run.end()
    assert status != 0, said
    assert "Traceback" not in said
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, said
    assert not (run.release / "manifest.json").exists()
    return errors[0]


def until_at(step: str, flink: "FlinkCluster", run: Run) -> str:
    """Wait until a running job has work for ``step``; returns a task manager that does it."""
    end = time.monotonic() + LIMIT
    while time.monotonic() < end and run.goes_on:
        for job in flink.jobs():
            for vertex in (flink.ask(f"jobs/{job}") or {}).get("vertices", ()):
                if step in vertex["name"] and vertex["status"] == "RUNNING":
                    subtasks = (flink.ask(f"jobs/{job}/vertices/{vertex['id']}") or {}).get("subtasks", ())
                    at_work = [one["taskmanager-id"] for one in subtasks if one["status"] == "RUNNING"]
                    if at_work and vertex["duration"] > 700:  # ms; its counts are seconds late
                        return str(at_work[0])
        time.sleep(0.05)
    pytest.fail(f"the job was never seen at {step}: {run.end()}")


def busy_worker(flink: "FlinkCluster", others: list["Process"]) -> "Process":
    """A Python worker that has begun to work, none of ``others``."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        for one in flink.workers():
            with contextlib.suppress(psutil.Error):
                if one not in others and one.cpu_times().user > 0.3:
                    return one
        time.sleep(0.02)
    pytest.fail("no worker was seen at work")


def failures(flink: "FlinkCluster", before: set[str]) -> int:
    """How often tasks failed in jobs that are not of ``before``."""
    jobs = {one["jid"] for one in flink.ask("jobs/overview")["jobs"]} - before
    return sum(len(flink.ask(f"jobs/{job}/exceptions")["exceptionHistory"]["entries"]) for job in jobs)


@pytest.fixture
def before(flink: "FlinkCluster") -> set[str]:
    """Jobs that the cluster knew before the test."""
    return {one["jid"] for one in flink.ask("jobs/overview")["jobs"]}


LONG = pytest.mark.skipif(not os.environ.get("GRISTMILL_LONG"), reason="takes minutes; GRISTMILL_LONG=1 runs it")

STAGES = [("read", False), ("near", True), ("write", False)]


@pytest.mark.slow
@pytest.mark.parametrize(("step", "decides"), STAGES)
def test_a_killed_task_manager(
    step: str, decides: bool, recipe: Path, undisturbed: Manifest, flink: "FlinkCluster", before: set[str],
    tmp_path: Path, begin: Any,
):  # fmt: skip
    """Four slots are left for three."""
    run = begin(recipe, tmp_path, *FLINK, "--quiet", decides=decides)
    flink.kill_task_manager(until_at(step, flink, run))
    whole(run, undisturbed)
    assert failures(flink, before)


@pytest.mark.slow
def test_a_killed_task_manager_that_is_replaced(
    recipe: Path,
    undisturbed: Manifest,
    flink: "FlinkCluster",
    before: set[str],
    object_store: "ObjectStore",
    begin: Any,
):
    """Into a store; too few slots are left until another task manager comes."""
    flink.only("tm1", "tm2")
    run = begin(recipe, object_store.url, "--engine", "flink", "--parallelism", "4", "--quiet")
    killed = until_at("write", flink, run)
    flink.kill_task_manager(killed)
    flink.start_task_manager("tm3")
    whole(run, undisturbed)
    assert failures(flink, before)


@pytest.mark.slow
def test_a_killed_worker(
    recipe: Path, undisturbed: Manifest, flink: "FlinkCluster", before: set[str], tmp_path: Path, begin: Any
):
    others = flink.workers()  # of jobs before, not yet sent away
    run = begin(recipe, tmp_path, *FLINK, "--quiet")
    until_at("read", flink, run)
    busy_worker(flink, others).kill()
    whole(run, undisturbed)
    assert failures(flink, before)


@pytest.mark.slow
def test_no_worker_outlives_its_task_manager(recipe: Path, flink: "FlinkCluster", tmp_path: Path, begin: Any):
    """It finds out by itself when nobody tells it."""
    from tests.servers.processes import wait

    others = flink.workers()
    run = begin(recipe, tmp_path, *FLINK, "--quiet")
    until_at("read", flink, run)
    busy_worker(flink, others)
    for name in ("tm1", "tm2", "tm3"):
        flink.kill_task_manager(name, alone=True)
    wait(lambda: not flink.workers(), 15)


@pytest.mark.slow
@pytest.mark.parametrize("who", ["job_server", pytest.param("job_manager", marks=LONG)])
def test_who_leads_the_job_dies(who: str, recipe: Path, flink: "FlinkCluster", tmp_path: Path, begin: Any):
    """Nobody is left to go on with the job."""
    run = begin(recipe, tmp_path, *FLINK, "--quiet")
    until_at("read", flink, run)
    getattr(flink, f"kill_{who}")()
    try:
        said = nothing(run)
    finally:
        flink.restart()
    assert ("no longer answers; nothing was published, and the job was cancelled" in said) == (who == "job_server")
    assert "--engine flink" in said


@pytest.mark.slow
def test_a_store_that_comes_back(
    recipe: Path, undisturbed: Manifest, flink: "FlinkCluster", object_store: "ObjectStore", begin: Any
):
    run = begin(recipe, object_store.url, *FLINK, "--quiet")
    until_at("read", flink, run)
    object_store.kill()
    time.sleep(3)
    object_store.restart()
    whole(run, undisturbed)


@pytest.mark.slow
@LONG
def test_a_store_that_stays_away(recipe: Path, flink: "FlinkCluster", object_store: "ObjectStore", begin: Any):
    run = begin(recipe, object_store.url, *FLINK, "--quiet")
    until_at("read", flink, run)
    object_store.kill()
    run.end()
    object_store.restart()
    assert "cannot be" in nothing(run)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 3 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "none", str(disk)], capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.skip(f"needs the right to mount a small disk: {made.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=False)


@pytest.mark.engines
@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk(workers: int, recipe: Path, small_disk: Path, begin: Any):
    run = begin(recipe, small_disk, "--workers", str(workers), "--quiet")
    assert "no space is left" in nothing(run)


@pytest.mark.slow
@pytest.mark.parametrize("where", ["work", "out"])
def test_a_full_disk_on_flink(
    where: str, recipe: Path, flink: "FlinkCluster", small_disk: Path, tmp_path: Path, begin: Any
):
    other = tmp_path / "other"
    out, work = (other, small_disk) if where == "work" else (small_disk, other)
    run = begin(recipe, out, *FLINK, "--quiet", "--work-dir", str(work))
    assert "no space is left" in nothing(run)
    assert not flink.jobs()
