"""Checkpoints: whole or not there, the last few kept, pinned; a killed run and one on more ranks end as undisturbed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from schemas.errors import GristmillError  # noqa: E402
from tests import trainer_runs  # noqa: E402
from tests.test_trainer_distributed import REPO, processes  # noqa: E402
from trainer import checkpoint  # noqa: E402
from trainer.distributed import World  # noqa: E402
from trainer.optimizer import make_optimizer  # noqa: E402
from trainer.pin import Pin, matched, read_pin  # noqa: E402
from trainer.whole import Cursor, read_cursor  # noqa: E402

ALONE = World(0, 1, "cpu")
PIN = Pin(
    release_name="lima/1.0.0",
    release="a" * 64,
    split="train",
    template_name="chatml",
    template="b" * 64,
    tokenizer="c" * 64,
    plan="d" * 64,
    config="e" * 64,
    settings={"seed": 0, "data": {"sequence_length": 128}},
)


def module() -> Any:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2))


def trained(steps: int) -> tuple[Any, Any]:
    made = module()
    optimizer = make_optimizer(list(checkpoint.trainable(made)), 0.1, (0.9, 0.95), 1e-8)
    for group in optimizer.param_groups:
        group["lr"] = 0.1
    for step in range(steps):
        made(torch.full((2, 3), float(step))).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    return made, optimizer


def saved(root: Path, step: int, keep: int = 9) -> Path:
    made, optimizer = trained(step)
    return checkpoint.save(root, Cursor(step), PIN, made, optimizer, lambda folder, state: None, keep, ALONE)


def test_the_newest_are_kept_and_latest_is_found(tmp_path: Path):
    assert checkpoint.resolve(tmp_path, "latest") is None
    for step in (2, 10, 100):
        saved(tmp_path, step, keep=2)
    assert [path.name for path in checkpoint.checkpoints(tmp_path)] == ["step-00000010", "step-00000100"]
    assert checkpoint.resolve(tmp_path, "latest") == tmp_path / "step-00000100"
    assert (tmp_path / "latest").resolve().name == "step-00000100"
    assert checkpoint.resolve(tmp_path, "step-00000010") == tmp_path / "step-00000010"
    with pytest.raises(GristmillError, match=r"there is no checkpoint step-7 .*step-00000010, step-00000100"):
        checkpoint.resolve(tmp_path, "step-7")


def test_half_a_checkpoint_is_none_and_is_cleared_away(tmp_path: Path):
    whole = saved(tmp_path, 1)
    shutil.copytree(whole, tmp_path / ".step-00000002.partial")
    (tmp_path / "step-00000003").mkdir()  # made by someone else
    assert checkpoint.resolve(tmp_path, "latest") == whole
    saved(tmp_path, 4)
    assert not list(tmp_path.glob(".step-*"))


def test_a_failed_write_leaves_the_old_ones(tmp_path: Path):
    whole = saved(tmp_path, 1)
    made, optimizer = trained(2)

    def full(folder: Path, state: Any) -> None:
        raise OSError("disk full")

    with pytest.raises(
        GristmillError, match=r"step-00000002 cannot be written: disk full; .* goes on from step-00000001"
    ):
        checkpoint.save(tmp_path, Cursor(2), PIN, made, optimizer, full, 1, ALONE)
    assert checkpoint.checkpoints(tmp_path) == [whole]
    assert not list(tmp_path.glob(".step-*"))  # or the disk would stay full


def test_weights_moments_and_bias_correction_come_back(tmp_path: Path):
    path = saved(tmp_path, 3)
    straight, _ = trained(4)
    made, optimizer = trained(0)
    assert read_cursor(path) == Cursor(3)
    checkpoint.load(path, made, optimizer, updates=3)
    for group in optimizer.param_groups:
        group["lr"] = 0.1
    made(torch.full((2, 3), 3.0)).square().sum().backward()
    optimizer.step()
    for one, other in zip(straight.parameters(), made.parameters()):
        assert torch.equal(one, other)


def test_another_model_is_refused(tmp_path: Path):
    path = saved(tmp_path, 1)
    other = torch.nn.Sequential(torch.nn.Linear(3, 4))
    optimizer = make_optimizer(list(other.named_parameters()), 0.0, (0.9, 0.95), 1e-8)
    with pytest.raises(GristmillError, match=r"other trained parameters .* first 1\.bias"):
        checkpoint.load(path, other, optimizer, updates=1)
    wider = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 3))
    with pytest.raises(GristmillError, match=r"1\.weight has shape \[2, 4\], and \[3, 4\] in the model"):
        checkpoint.load(path, wider, make_optimizer(list(wider.named_parameters()), 0.0, (0.9, 0.95), 1e-8), updates=1)


def test_the_pin_goes_to_disk_and_back(tmp_path: Path):
    assert read_pin(saved(tmp_path, 1)) == PIN
    with pytest.raises(GristmillError, match=r"pin\.json: No such file"):
        read_pin(tmp_path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"release": "f" * 64, "release_name": "lima/1.1.0"}, r"release lima/1\.0\.0 \(aaa.*lima/1\.1\.0 \(fff"),
        ({"template": "f" * 64}, r"template chatml \(bbb"),
        ({"tokenizer": "f" * 64}, r"tokenizer \(ccc"),
        ({"plan": "f" * 64}, r"plan \(ddd"),
        (
            {"config": "f" * 64, "settings": {"seed": 0, "data": {"sequence_length": 256}}},
            r"data\.sequence_length = 128, and it is 256 now",
        ),
    ],
)
def test_each_part_of_the_pin_is_guarded(change: dict[str, Any], told: str):
    now = PIN.model_copy(update=change)
    with pytest.raises(GristmillError, match=told):
        matched(PIN, now, False, 7, Path("step-00000007"))
    accepted, same_plan = matched(PIN, now, True, 7, Path("step-00000007"))
    assert same_plan is ("plan" not in change)
    assert [(one.update, list(one.was)) for one in accepted.lineage] == [(7, [next(iter(change))])]
    # the lineage is kept without being asked for again
    assert matched(accepted, now, False, 9, Path("x"))[0].lineage == accepted.lineage


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A run of its own process, checkpointed often; and its configuration."""
    folder = tmp_path_factory.mktemp("undisturbed")
    made = trainer_runs.release(folder), trainer_runs.model(folder / "model")
    plain = trainer_runs.settings(*made, generate=None, checkpoint={"every": 3, "keep": 99})
    plain["data"] = plain["data"] | {"steps": 30}
    config = trainer_runs.write(folder, plain)
    processes(1, ["-m", "trainer.train", str(config)])
    return folder, plain


def same(one: Path, other: Path, tolerance: float = 0.0) -> None:
    first, second = (trainer_runs.weights(folder / "run" / "checkpoints" / "step-00000030") for folder in (one, other))
    assert set(first) == set(second)
    for name, value in first.items():
        assert float((value - second[name]).abs().max()) <= tolerance, name


@pytest.mark.slow
def test_a_killed_run_ends_with_the_weights_of_an_undisturbed_one(
    undisturbed: tuple[Path, dict[str, Any]], tmp_path: Path
):
    folder, plain = undisturbed
    config = trainer_runs.write(tmp_path, plain)
    environment = os.environ | {"PYTHONPATH": str(REPO), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "trainer.train", str(config)]
    running = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    root, end = tmp_path / "run" / "checkpoints", time.monotonic() + 120
    while not (root / "step-00000006").exists() and running.poll() is None and time.monotonic() < end:
        time.sleep(0.002)
    running.send_signal(signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    assert not (root / "step-00000030").exists()
    processes(1, ["-m", "trainer.train", str(config)])
    same(folder, tmp_path)
    assert trainer_runs.lines(tmp_path / "run") == trainer_runs.lines(folder / "run")


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_a_run_goes_on_with_two_ranks(undisturbed: tuple[Path, dict[str, Any]], tmp_path: Path, strategy: str):
    folder, plain = undisturbed
    shutil.copytree(folder / "run", tmp_path / "run", symlinks=True)
    for path in (tmp_path / "run" / "checkpoints").glob("step-*"):
        if int(path.name[5:]) > 12:
            shutil.rmtree(path)
    config = trainer_runs.write(tmp_path, plain)
    processes(2, ["-m", "trainer.train", str(config), f"distributed={strategy}"])
    one, two = (trainer_runs.lines(each / "run") for each in (folder, tmp_path))
    assert [line["step"] for line in one] == [line["step"] for line in two]
    for first, second in zip(one, two):
        if "loss" in first:
            assert first["tokens"] == second["tokens"]
            assert first["loss"] == pytest.approx(second["loss"], rel=1e-5)
            assert first["grad_norm"] == pytest.approx(second["grad_norm"], rel=1e-4)
    same(folder, tmp_path, tolerance=1e-4)
    assert json.loads((tmp_path / "run/checkpoints/latest/resume/cursor.json").read_text()) == {"step": 30, "before": 0}
