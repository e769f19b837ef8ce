"""Runs that are asked to stop, that meet another in their folder, or whose base model has changed under its name."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

import trainer.train  # noqa: E402
from schemas.errors import GristmillError  # noqa: E402
from tests import trainer_runs  # noqa: E402
from tests.test_trainer_distributed import REPO  # noqa: E402
from trainer import basis, stop  # noqa: E402
from trainer.basis import basis_digest  # noqa: E402
from trainer.lock import alone  # noqa: E402
from trainer.model import tiny  # noqa: E402
from trainer.pin import read_pin  # noqa: E402
from trainer.stop import Stopped  # noqa: E402
from trainer.train import main, train  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]
SHORT: dict[str, Any] = {
    "data": {"sequence_length": 128, "packs_per_step": 2, "steps": 4},
    "checkpoint": {"every": 4, "keep": 9},
    "evaluate": None,
    "generate": None,
}


def run(folder: Path, made: tuple[Path, Path], **more: Any) -> Path:
    return train(trainer_runs.load(folder, trainer_runs.settings(*made, **SHORT | more)), folder, quiet=True)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "run" / "checkpoints").glob("step-*"))


def signalled(monkeypatch: pytest.MonkeyPatch, at: int, *numbers: int) -> None:
    """The process gets the signals while it computes step ``at``, from 1."""
    real, done = trainer.train.run_step, [0]

    def run_step(*arguments: Any) -> Any:
        done[0] += 1
        if done[0] == at:
            for number in numbers:
                os.kill(os.getpid(), number)
        return real(*arguments)

    monkeypatch.setattr(trainer.train, "run_step", run_step)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_asked_to_stop_a_run_saves_its_step_and_goes_on(
    made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int, status: int
):
    (tmp_path / "straight").mkdir()
    straight = run(tmp_path / "straight", made)
    config = trainer_runs.write(tmp_path, trainer_runs.settings(*made, **SHORT))
    before = signal.getsignal(number)
    with monkeypatch.context() as patch:
        signalled(patch, 2, number)
        assert main([str(config)]) == status
    assert signal.getsignal(number) is before
    assert names(tmp_path) == ["step-00000002"]
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert told.startswith(
        f"stopped by {stop.NAMES[number]} after step 2 of 4, which is saved; the same command goes on"
    )
    assert main([str(config)]) == 0
    assert trainer_runs.lines(tmp_path / "run") == trainer_runs.lines(tmp_path / "straight" / "run")
    for name, value in trainer_runs.weights(tmp_path / "run" / "checkpoints" / "step-00000004").items():
        assert torch.equal(value, trainer_runs.weights(straight)[name])


def test_a_second_ctrl_c_stops_at_once_and_one_key_press_is_no_second(
    made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patch:
        signalled(patch, 2, signal.SIGINT, signal.SIGINT)  # as under torchrun
        with pytest.raises(Stopped) as caught:
            run(tmp_path, made)
    assert (caught.value.status, caught.value.step) == (130, 2)
    monkeypatch.setattr(stop, "SAME", 0.0)
    signalled(monkeypatch, 1, signal.SIGINT, signal.SIGINT)
    with pytest.raises(Stopped) as caught:
        run(tmp_path, made)
    assert caught.value.saved is None
    assert names(tmp_path) == ["step-00000002"]


def test_before_the_first_step_there_is_nothing_to_save(made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    real = trainer.train.prepare

    def prepare(*arguments: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return real(*arguments)

    monkeypatch.setattr(trainer.train, "prepare", prepare)
    with pytest.raises(Stopped) as caught:
        run(tmp_path, made)
    assert caught.value.status == 143
    assert names(tmp_path) == []


def test_all_ranks_stop_at_the_same_step(made, tmp_path: Path):
    """One of two processes gets the signal."""
    plain = trainer_runs.settings(*made, **SHORT | {"data": SHORT["data"] | {"steps": 4000}})
    config = trainer_runs.write(tmp_path, plain)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    ranks = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "PYTHONPATH": str(REPO)}
    ranks |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "trainer.train", str(config)],
            env=os.environ | ranks | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    try:
        metrics, end = tmp_path / "run" / "metrics.jsonl", time.monotonic() + 150
        while not (metrics.exists() and metrics.stat().st_size) and time.monotonic() < end:
            time.sleep(0.05)
        running[1].send_signal(signal.SIGTERM)
        told = [one.communicate(timeout=60)[1] for one in running]
    finally:
        for one in running:
            one.kill()
    assert [one.returncode for one in running] == [143, 143], told
    assert told[0].strip().splitlines()[-1].startswith("stopped by SIGTERM after step ")
    (name,) = names(tmp_path)
    assert [line["step"] for line in trainer_runs.lines(tmp_path / "run")][-1] == int(name[5:])


def test_minutes_save_too(made, tmp_path: Path):
    run(tmp_path, made, checkpoint={"every": 4, "minutes": 1e-6, "keep": 9})
    assert names(tmp_path) == [f"step-{step:08d}" for step in (1, 2, 3, 4)]


def test_one_run_at_a_time_in_a_folder_and_no_lock_is_stale(made, tmp_path: Path):
    with (
        alone(tmp_path / "run"),
        pytest.raises(GristmillError, match=rf"in use by another run \(pid {os.getpid()} on "),
    ):
        run(tmp_path, made)
    (tmp_path / "run" / ".lock").write_text("pid 1 on elsewhere\n", encoding="utf-8")  # of one that was killed
    assert run(tmp_path, made).name == "step-00000004"


def test_a_place_that_cannot_be_written_to_is_one_sentence(made, tmp_path: Path):
    (tmp_path / "run").write_text("a file")
    with pytest.raises(GristmillError, match="cannot be written to"):
        run(tmp_path, made)
    (tmp_path / "run").unlink()
    (tmp_path / "run" / "metrics.jsonl").mkdir(parents=True)
    with pytest.raises(GristmillError, match=r"metrics\.jsonl cannot be written to"):
        run(tmp_path, made)


def test_a_base_with_other_weights_is_refused_and_another_spelling_is_not(made, tmp_path: Path):
    pytest.importorskip("peft")
    shutil.copytree(made[1], tmp_path / "model")
    mine, more = (made[0], tmp_path / "model"), {"lora": {"rank": 2}, "checkpoint": {"every": 2, "keep": 9}}
    last = run(tmp_path, mine, **more)
    assert read_pin(last).model_name == str(tmp_path / "model")
    shutil.rmtree(last)
    other = made[0], Path("..") / tmp_path.name / "model"
    assert run(tmp_path, other, **more) == last  # the same model, written in another way
    shutil.rmtree(last)
    tiny("llama", vocab_size=720, seed=9).save_pretrained(str(tmp_path / "model"))
    with pytest.raises(GristmillError, match=r"was trained with model .*accept_release_change"):
        run(tmp_path, mine, **more)
    last = run(tmp_path, mine, accept_release_change=True, **more)
    assert list(read_pin(last).lineage[0].was) == ["model"]


def test_weights_are_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tiny().save_pretrained(str(tmp_path / "model"))
    first = basis_digest("model", tmp_path, tmp_path / "cache")
    with monkeypatch.context() as patch:
        patch.setattr(basis, "sha256_of", None)
        assert basis_digest("../" + tmp_path.name + "/model", tmp_path, tmp_path / "cache") == first
    tiny(seed=1).save_pretrained(str(tmp_path / "model"))
    assert basis_digest("model", tmp_path, tmp_path / "cache") != first
    (tmp_path / "cache" / basis.CACHE).write_text("[1, 2")
    assert basis_digest("model", tmp_path, tmp_path / "cache") != first
    hub = [basis_digest("some/model", tmp_path, tmp_path, commit) for commit in ("a" * 40, "b" * 40)]
    assert len(set(hub)) == 2


def test_only_one_rank_tells_a_mistake_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The others wait until torchrun has ended them; a mistake that is theirs alone is told in the end."""
    waited: list[float] = []
    monkeypatch.setattr(trainer.train.time, "sleep", waited.append)
    for rank, waits in (("0", []), ("1", [trainer.train.LATER])):
        monkeypatch.setenv("RANK", rank)
        assert main([str(tmp_path / "none.yaml")]) == 2
        assert waited == waits


def test_a_source_that_loses_many_rows_is_warned_of(made, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    short = {"sequence_length": 32, "packs_per_step": 2, "steps": 1, "overlong": "drop"}
    config = trainer_runs.load(tmp_path, trainer_runs.settings(*made, **SHORT | {"data": short}))
    train(config, tmp_path, quiet=True)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning: ")]
    assert "12 of 26 rows of two (46%)" in line
    assert line.endswith("are longer than 32 tokens and left out; a larger data.sequence_length keeps them")
