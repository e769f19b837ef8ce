"""What a run writes about itself: one line a step, rates by their names, a record that fits a resumed run."""

import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

torch = pytest.importorskip("torch")

from schemas.errors import GristmillError  # noqa: E402
from trainer import watch as module  # noqa: E402
from trainer.display import Display  # noqa: E402
from trainer.watch import Measured, Watch  # noqa: E402


def measured(step: int, **more: Any) -> Measured:
    usual: dict[str, Any] = {
        "step": step,
        "loss": 2.0,
        "grad_norm": 1.0,
        "rate": 1e-4,
        "slots": 1000,
        "tokens": 900,
        "supervised": 300,
        "squares": 9000.0,
        "seconds": 0.5,
        "wait": 0.005,
        "sources": {"b": (200.0, 100.0), "a": (400.0, 200.0)},
    }
    return Measured(**(usual | more))


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_one_line_a_step_with_all_that_is_promised(tmp_path: Path):
    watch = Watch(tmp_path, 10, True, tensorboard=False, quiet=True)
    watch.step(measured(1))
    watch.held_out(1, {"a": (3.0, 2.0), "b": (1.0, 2.0)})
    watch.close()
    first, second = lines(tmp_path)
    assert first == {
        "step": 1,
        "loss": 2.0,
        "grad_norm": 1.0,
        "lr": 1e-4,
        "slots": 1000,
        "tokens": 900,
        "supervised": 300,
        "seconds": 0.5,
        "wait": 0.005,
        "sources": {"a": [400.0, 200.0], "b": [200.0, 100.0]},
    }
    assert second == {"step": 1, "held_out": {"a": [3.0, 2.0], "b": [1.0, 2.0]}}


def test_rates_have_names(tmp_path: Path):
    watch = Watch(tmp_path, 10, True, flops=lambda t, s, q: 1.0 * t + s + q, peak=1e5, tensorboard=False, quiet=True)
    for step in (1, 2):
        watch.step(measured(step))
    rates = watch.rates()
    assert rates["supervised_per_second"] == 600
    assert rates["tokens_per_second"] == 1800
    assert rates["slots_per_second"] == 2000
    assert rates["wait_share"] == pytest.approx(0.01)
    assert rates["mfu"] == pytest.approx((1800 + 600 + 18000) / 1e5)
    assert watch.told() == "loss 2.0000 · 600 supervised tok/s · 1,800 tok/s · MFU 20.4% · loader wait 1.0%"
    watch.close()


def test_a_resumed_run_takes_back_what_came_after_its_checkpoint(tmp_path: Path):
    watch = Watch(tmp_path, 10, True, tensorboard=False, quiet=True)
    for step in (1, 2, 3, 4):
        watch.step(measured(step))
    watch.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 5, "lo')
    watch = Watch(tmp_path, 10, True, start=2, tensorboard=False, quiet=True)
    watch.step(measured(3, loss=1.5))
    watch.close()
    assert [(line["step"], line["loss"]) for line in lines(tmp_path)] == [(1, 2.0), (2, 2.0), (3, 1.5)]


def shown(width: int, terminal: bool) -> tuple[Display, io.StringIO]:
    text = io.StringIO()
    return Display(12_000, 0, False, Console(file=text, width=width, force_terminal=terminal)), text


PIECES = ["loss 6.5900", "749 supervised tok/s", "1,800 tok/s", "MFU 20.4%", "loader wait 5.5%"]


@pytest.mark.parametrize(("width", "last"), [(60, "loss 6.5900"), (80, "1,800 tok/s"), (160, "loader wait 5.5%")])
def test_a_narrow_terminal_keeps_step_and_time_left(width: int, last: str):
    display, text = shown(width, True)
    display.update(123, PIECES, 0.5)
    display.close()
    drawn = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text.getvalue()).rstrip("\n").splitlines()[-1]
    assert "123/12000" in drawn
    assert drawn.rstrip().endswith(last)
    assert re.search(r"-:--:--|\d:\d\d:\d\d", drawn)
    assert len(drawn.rstrip()) <= width
    assert text.getvalue().count("\x1b[?25l") == text.getvalue().count("\x1b[?25h") == 1  # the cursor is back


def test_without_a_terminal_there_is_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch):
    display, text = shown(80, False)
    now = [0.0]
    monkeypatch.setattr("trainer.display.time.monotonic", lambda: now[0])
    for step in range(1, 101):
        now[0] = float(step)
        display.update(step, PIECES, 1.0)
    lines = text.getvalue().splitlines()
    assert [line.split(" · ")[0] for line in lines] == [f"step {step} of 12,000" for step in (1, 31, 61, 91)]
    assert lines[1].endswith("about 3:19:29 left")
    assert "749 supervised tok/s" in lines[1]
    display.say("hello")
    assert text.getvalue().endswith("hello\n")


def test_closing_twice_does_no_harm_and_a_full_disk_is_one_sentence(tmp_path: Path):
    watch = Watch(tmp_path, 10, True, tensorboard=False, quiet=True)
    watch._metrics._file.close()
    watch._metrics._file = open("/dev/full", "a")  # noqa: SIM115
    with pytest.raises(GristmillError, match=r"metrics\.jsonl cannot be written to: No space left"):
        watch.step(measured(1))
    watch.close()
    watch.close()


def test_other_ranks_write_nothing(tmp_path: Path):
    watch = Watch(tmp_path / "none", 10, False)
    watch.step(measured(1))
    watch.held_out(1, {})
    watch.generations(1, [])
    watch.say("hello")
    watch.close()
    assert not (tmp_path / "none").exists()


def test_generations_say_whether_they_stopped(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    watch = Watch(tmp_path, 10, True, tensorboard=False, quiet=True)
    made = [
        {"prompt": "Hi", "answer": "Hello!", "stopped": True},
        {"prompt": "Hi", "answer": "la " * 99, "stopped": False},
    ]
    watch.generations(4, made)
    watch.close()
    told = capsys.readouterr().out
    assert "1 of 2 generations end with the stop token" in told
    assert told.count("(no stop token)") == 1
    assert lines(tmp_path) == [{"step": 4, "generations": made}]


def test_tensorboard_and_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    board: list[tuple[str, int]] = []

    class Board:
        def add_scalar(self, name: str, value: float, step: int) -> None:
            board.append((name, step))

        def close(self) -> None:
            board.append(("closed", 0))

    monkeypatch.setattr(module, "_tensorboard", lambda folder, start: Board())
    watch = Watch(tmp_path, 10, True, every=2, quiet=True)
    watch.step(measured(1))
    watch.step(measured(2))
    watch.close()
    assert ("train/loss", 2) in board
    assert ("train/loss/a", 2) in board
    assert ("train/supervised_per_second", 2) in board
    assert not [entry for entry in board if entry[1] == 1]
    assert board[-1] == ("closed", 0)
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(GristmillError, match="wandb is not installed"):
        Watch(tmp_path, 10, True, wandb="mill", quiet=True)
