"""The engine: errors come back as what they were with any number of workers, and no process outlives the command."""

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipelines.engine import Engine
from pipelines.engines.cause import FULL, our_sentence
from schemas.errors import GristmillError
from transforms.blocks import MapBlocks, Start, number_key

ROWS = [(number_key(number), pa.record_batch({"n": [number]})) for number in range(4)]


def job(function: Callable[..., Any]) -> Callable[[Any], None]:
    def build(pipeline: Any) -> None:
        _ = pipeline | Start(ROWS) | "work" >> MapBlocks(function, "work")

    return build


def mistake(key: bytes, rows: pa.RecordBatch) -> Iterator[Any]:
    from schemas.errors import GristmillError

    raise GristmillError("dolly.jsonl: [bold] 3 of 4; do «this» [or that]")


def bug(key: bytes, rows: pa.RecordBatch) -> Iterator[Any]:
    numbers: dict[str, int] = {}
    raise KeyError(numbers.get("x", "the_missing_key"))


def full(key: bytes, rows: pa.RecordBatch) -> Iterator[Any]:
    raise OSError(28, "No space left on device")


def full_in_arrow(key: bytes, rows: pa.RecordBatch) -> Iterator[Any]:
    with pa.OSFile("/dev/full", "wb") as sink:
        sink.write(b"x" * 100_000)
        sink.flush()
    yield key, rows


def full_while_reading(key: bytes, rows: pa.RecordBatch) -> Iterator[Any]:
    from schemas.errors import GristmillError

    raise GristmillError("x.jsonl: [Errno 28] No space left on device; the file changed or its store failed")


@pytest.fixture(scope="module", params=[1, 2])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    with Engine(request.param) as opened:
        yield opened


def test_a_mistake_comes_back_as_its_sentence(engine: Engine):
    with pytest.raises(GristmillError) as error:
        engine.run(job(mistake))
    assert str(error.value) == "dolly.jsonl: [bold] 3 of 4; do «this» [or that]"
    assert error.value.__cause__ is None
    assert error.value.__suppress_context__


def test_a_bug_keeps_its_traceback(engine: Engine):
    with pytest.raises(Exception, match="the_missing_key") as error:
        engine.run(job(bug))
    assert not isinstance(error.value, GristmillError)
    import traceback

    shown = "".join(traceback.format_exception(error.value))
    assert "in bug" in shown
    assert "KeyError" in shown


@pytest.mark.parametrize(
    "function",
    [
        full,
        pytest.param(full_in_arrow, marks=pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")),
        full_while_reading,
    ],
)
def test_a_full_disk_is_a_sentence(engine: Engine, function: Callable[..., Any]):
    with pytest.raises(GristmillError) as error:
        engine.run(job(function))
    assert str(error.value) == FULL


def test_the_engine_works_after_an_error(engine: Engine, tmp_path: Path):
    def save(key: bytes, rows: pa.RecordBatch) -> Iterator[Any]:
        (tmp_path / key.hex()).write_text(str(os.getpid()))
        return iter(())

    engine.run(job(save))
    pids = {file.read_text() for file in tmp_path.iterdir()}
    assert len(list(tmp_path.iterdir())) == len(ROWS)
    assert (str(os.getpid()) in pids) == (engine.workers == 1)


def killed(key: bytes, rows: pa.RecordBatch) -> Iterator[Any]:
    os.kill(os.getpid(), signal.SIGKILL)
    return iter(())


def test_a_killed_worker_ends_the_run():
    """Beam's runner alone would wait for it for ever."""
    with Engine(2) as engine, pytest.raises(GristmillError, match="a worker process was killed"):
        engine.run(job(killed))


def test_leaving_the_engine_ends_its_server():
    with Engine(2) as engine:
        assert engine._server is not None
        assert engine._server.poll() is None
        assert engine.progress.is_dir()
    assert engine._server.poll() == 0  # it ended by itself, and was not killed
    assert not engine.progress.parent.exists()


def test_little_work_is_done_alone(tmp_path: Path):
    """However many workers there are: in the command's own process."""

    def note(key: bytes, rows: pa.RecordBatch) -> Iterator[Any]:
        (tmp_path / key.hex()).write_text(str(os.getpid()))
        return iter(())

    with Engine(1) as engine:
        engine.workers = 2
        engine.run(job(note), alone=True)
    assert {file.read_text() for file in tmp_path.iterdir()} == {str(os.getpid())}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("nothing of ours", None),
        ("ValueError: x", None),
        ("Traceback\n  File x\nschemas.errors.GristmillError: a; do b [while running 'read/apply']", "a; do b"),
        (
            "Traceback\nGristmillError: a; do b\n\nDuring handling …\nschemas.errors.GristmillError: c; do d\n",
            "c; do d",
        ),
        ("OSError: [Errno 28] No space left on device: '/x'", FULL),
        ("OSError: [Errno 2] No such file", None),
        ("he said: GristmillError: x", None),
    ],
)
def test_sentences_inside_tracebacks(text: str, sentence: str | None):
    assert our_sentence(RuntimeError(text)) == sentence


def test_a_sentence_in_this_process():
    assert our_sentence(GristmillError("a; do b")) == "a; do b"
    assert our_sentence(GristmillError("a; do b [while running 'x']")) == "a; do b"
    assert our_sentence(OSError(errno.ENOSPC, "No space left on device")) == FULL


@pytest.mark.parametrize("workers", [0, -1])
def test_no_workers(workers: int):
    with pytest.raises(GristmillError, match=f"--workers {workers} is not possible"):
        Engine(workers)


@pytest.mark.parametrize("runner", ["Nope", "flink runner", "FnApiRunner2"])
def test_an_unknown_runner(runner: str):
    with pytest.raises(GristmillError, match=r"nor a runner of Beam; known: .*FlinkRunner") as error, Engine(1, runner):
        pass
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("runner", [None, "FnApiRunner", "fnapirunner", "DirectRunner", "FlinkRunner", "my.own.Runner"])
def test_known_runners(runner: str | None):
    with Engine(1, runner) as engine:
        assert engine.local == (runner not in ("FlinkRunner", "my.own.Runner"))


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("--no_such_option", "3"), "no_such_option"),
        (("--no_such_option=3",), "no_such_option"),
        (("--no_such_switch",), "no_such_switch"),
        (("--job_nam=x",), "job_nam"),
    ],
)
def test_an_unknown_beam_option(arguments: tuple[str, ...], name: str):
    with Engine(1, None, arguments) as engine, pytest.raises(GristmillError, match=f"--{name} is no option of Beam"):
        engine.run(job(bug))


@pytest.mark.parametrize(
    "arguments", [("--runner_typo",), ("stray",), ("--job_name=x", "stray"), ("-x",), ("--direct_num_workers=many",)]
)
def test_odd_beam_arguments_are_a_sentence(arguments: tuple[str, ...]):
    with Engine(1, None, arguments) as engine, pytest.raises(GristmillError) as error:
        engine.options(1)
    assert "\n" not in str(error.value)


def test_known_beam_options_arrive():
    from apache_beam.options.pipeline_options import DirectOptions, GoogleCloudOptions

    with Engine(3, None, ("--job_name=mill", "--direct_num_workers=7")) as engine:
        options = engine.options(3)
    assert options.view_as(GoogleCloudOptions).job_name == "mill"
    assert options.view_as(DirectOptions).direct_num_workers == 7


PROGRAM = """
import sys, time
sys.path.insert(0, {repo!r})
import pyarrow as pa
from pipelines.engine import Engine

def build(pipeline):
    from transforms.blocks import MapBlocks, Start, number_key
    def work(key, rows):
        import os, time
        open(os.path.join({folder!r}, "at-" + str(os.getpid())), "w").close()
        time.sleep(600)
        return iter(())
    pipeline | Start([(number_key(n), pa.record_batch({{"n": [n]}})) for n in range(2)]) | "work" >> MapBlocks(work, "work")

with Engine(2) as engine:
    print("here", flush=True)
    if {running!r}:
        engine.run(build)
    time.sleep(600)
"""


def processes_of(mark: str) -> dict[int, str]:
    """Command lines of living processes whose environment or command names ``mark``."""
    found = {}
    for place in Path("/proc").iterdir():
        if not place.name.isdigit() or int(place.name) == os.getpid():
            continue
        try:
            facts = (place / "environ").read_bytes() + (place / "cmdline").read_bytes()
            state = (place / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if mark.encode() in facts and state != "Z":
            found[int(place.name)] = (
                (place / "cmdline").read_bytes().replace(b"\0", b" ").decode() if place.exists() else ""
            )
    return found


def wait_until(true: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.05)
    return true()


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
@pytest.mark.parametrize("how", ["killed while idle", "killed while working", "interrupted while working"])
def test_no_process_outlives_the_command(tmp_path: Path, repo: Path, how: str):
    running = "working" in how
    program = PROGRAM.format(repo=str(repo), folder=str(tmp_path), running=running)
    environment = dict(os.environ, TMPDIR=str(tmp_path), GRISTMILL_TEST=str(tmp_path))
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        if running:
            assert wait_until(lambda: len(list(tmp_path.glob("at-*"))) == 2, 30)
        assert len(processes_of(str(tmp_path))) >= (4 if running else 2)
        process.send_signal(signal.SIGINT if "interrupted" in how else signal.SIGKILL)
        assert wait_until(lambda: process.poll() is not None, 20)
        assert process.returncode != 0
        assert wait_until(lambda: not processes_of(str(tmp_path)), 15), processes_of(str(tmp_path))
        if "interrupted" in how:
            assert not list(tmp_path.glob("gristmill-*"))
    finally:
        process.kill()
        process.wait()
        for pid in processes_of(str(tmp_path)):
            os.kill(pid, signal.SIGKILL)
