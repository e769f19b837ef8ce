"""What the configuration says reaches the library that does it: AdamW, peft, the schedule, and one word about experts."""

import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

import trainer.train  # noqa: E402
from schemas.units import Share  # noqa: E402
from tests import trainer_runs  # noqa: E402
from trainer.config_types import period  # noqa: E402
from trainer.flops import experts_of, size_of, unbalanced  # noqa: E402
from trainer.lora import add_lora  # noqa: E402
from trainer.model import tiny  # noqa: E402
from trainer.optimizer import learning_rate  # noqa: E402
from trainer.train import train  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")


def asked(folder: Path, made: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, **optimizer: Any) -> dict[str, Any]:
    """A run of four steps; what AdamW had at each, and what clipping and the schedule were called with."""
    seen: dict[str, Any] = {"groups": [], "clips": [], "rates": []}
    real_clip, real_step = trainer.train.clip, torch.optim.AdamW.step

    def clip(module: Any, most: float | None) -> float:
        seen["clips"].append(most)
        return real_clip(module, most)

    def step(self: Any, *arguments: Any, **named: Any) -> Any:
        seen["groups"].append(
            [{key: group[key] for key in ("betas", "eps", "weight_decay")} for group in self.param_groups]
        )
        seen["rates"].append({float(group["lr"]) for group in self.param_groups})
        return real_step(self, *arguments, **named)

    monkeypatch.setattr(trainer.train, "clip", clip)
    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    data = {"sequence_length": 128, "packs_per_step": 2, "steps": 4}
    plain = trainer_runs.settings(*made, data=data, optimizer=optimizer, evaluate=None, generate=None)
    train(trainer_runs.load(folder, plain), folder, quiet=True)
    return seen


@pytest.mark.slow
def test_each_key_of_the_optimizer_reaches_adamw(made: tuple[Path, Path], tmp_path: Path, monkeypatch):
    given = {
        "learning_rate": 3e-4, "warmup": 1, "schedule": "linear", "min_ratio": 0.25, "weight_decay": 0.07,
        "betas": [0.8, 0.9], "eps": 1e-5, "clip": 0.5,
    }  # fmt: skip
    seen = asked(tmp_path, made, monkeypatch, **given)
    assert len(seen["groups"]) == 4
    for groups in seen["groups"]:
        assert [group["weight_decay"] for group in groups] == [0.07, 0.0]
        assert {(tuple(group["betas"]), group["eps"]) for group in groups} == {((0.8, 0.9), 1e-5)}
    assert seen["clips"] == [0.5] * 4
    wanted = [learning_rate(number, 4, 3e-4, 1, "linear", 0.25) for number in range(4)]
    assert [rate for (rate,) in seen["rates"]] == pytest.approx(wanted)
    assert len(set(wanted)) == 3  # the peak, two lower ones, and the warm-up, which is half of it


@pytest.mark.slow
def test_the_defaults_are_those_of_the_documentation(made: tuple[Path, Path], tmp_path: Path, monkeypatch):
    seen = asked(tmp_path, made, monkeypatch)
    for groups in seen["groups"]:
        assert {(tuple(group["betas"]), group["eps"], group["weight_decay"]) for group in groups} == {
            ((0.9, 0.95), 1e-8, 0)
        }
    assert seen["clips"] == [1.0] * 4
    assert max(rate for (rate,) in seen["rates"]) == pytest.approx(2e-5)


@pytest.mark.parametrize(("alpha", "written"), [(32.0, 32), (8.5, 8.5), (16, 16)])
def test_alpha_is_written_as_the_number_it_is_and_scales(tmp_path: Path, alpha: float, written: float):
    pytest.importorskip("peft")
    model = add_lora(tiny(), rank=4, alpha=alpha)
    model.save_pretrained(str(tmp_path))
    found = json.loads((tmp_path / "adapter_config.json").read_text(encoding="utf-8"))["lora_alpha"]
    assert (found, type(found)) == (written, type(written))
    scales = {module.scaling["default"] for module in model.modules() if hasattr(module, "lora_A")}
    assert scales == {alpha / 4}


@pytest.mark.parametrize(
    ("length", "steps", "every"),
    [
        ("25 %", 2, 2), ("25 %", 1, 1), ("25 %", 3, 3), ("25 %", 4, 1), ("25 %", 6, 2), ("25 %", 100, 25),
        ("10 %", 104, 11), ("100 %", 7, 7), (5, 100, 5), (0, 100, 1), (1, 2, 1),
    ],
)  # fmt: skip
def test_a_share_of_a_run_is_never_more_often_than_it_says(length: str | int, steps: int, every: int):
    given = Share.parse(length) if isinstance(length, str) else length
    assert period(given, steps) == every
    if isinstance(given, Share) and given.value * steps >= 1:
        assert steps // every <= 1 / given.value


@pytest.mark.slow
def test_a_run_of_two_steps_generates_at_its_end_alone(made: tuple[Path, Path], tmp_path: Path):
    data = {"sequence_length": 128, "packs_per_step": 2, "steps": 2}
    plain = trainer_runs.settings(*made, data=data, generate={"max_tokens": 2}, checkpoint={}, evaluate={"rows": 4})
    train(trainer_runs.load(tmp_path, plain), tmp_path, quiet=True)
    lines = trainer_runs.lines(tmp_path / "run")
    assert [line["step"] for line in lines if "generations" in line] == [2]
    assert [line["step"] for line in lines if "held_out" in line] == [0, 2]
    assert [path.name for path in (tmp_path / "run" / "checkpoints").glob("step-*")] == ["step-00000002"]


def test_experts_get_one_word_and_dense_models_none():
    mixture = tiny("mixtral", num_local_experts=4, num_experts_per_tok=2)
    (said,) = unbalanced(mixture)
    assert said.startswith("MixtralForCausalLM routes tokens among 4 experts")
    assert experts_of(mixture.config) == 4
    assert size_of(mixture).body < size_of(mixture).parameters
    assert unbalanced(tiny()) == []


@pytest.mark.slow
def test_a_run_of_experts_says_it_once(made: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    tiny("mixtral", vocab_size=720, num_local_experts=4, num_experts_per_tok=2).save_pretrained(str(tmp_path / "model"))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "model" / name).write_bytes((made[1] / name).read_bytes())
    data = {"sequence_length": 128, "packs_per_step": 2, "steps": 2}
    plain = trainer_runs.settings(made[0], tmp_path / "model", data=data, evaluate=None, generate=None)
    train(trainer_runs.load(tmp_path, plain), tmp_path, quiet=True)
    assert capsys.readouterr().out.count("auxiliary loss") == 1
