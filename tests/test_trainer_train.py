"""Whole runs on a small release: the same twice, resumed, on another release, with LoRA; what a checkpoint opens as."""

import json
import shutil
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from schemas.chat.settings import TemplateChoice, resolve  # noqa: E402
from schemas.chat.template import Conversation, text_of  # noqa: E402
from schemas.chat.tokenizer import load_tokenizer  # noqa: E402
from schemas.errors import GristmillError  # noqa: E402
from tests import trainer_runs  # noqa: E402
from trainer.pin import read_pin  # noqa: E402
from trainer.train import main, train  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


@pytest.fixture(scope="module")
def done(made: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an undisturbed run."""
    folder = tmp_path_factory.mktemp("done")
    train(trainer_runs.load(folder, trainer_runs.settings(*made)), folder, quiet=True)
    return folder


def resumed(done: Path, folder: Path, step: int) -> None:
    """The run as it was when it was stopped right after ``step``, and a bit later in its record."""
    shutil.copytree(done, folder, dirs_exist_ok=True, symlinks=True)
    for path in (folder / "run" / "checkpoints").glob("step-*"):
        if int(path.name[5:]) > step:
            shutil.rmtree(path)


def test_the_same_configuration_twice_gives_the_same_losses(made: tuple[Path, Path], done: Path, tmp_path: Path):
    last = train(trainer_runs.load(tmp_path, trainer_runs.settings(*made)), tmp_path, quiet=True)
    first = trainer_runs.lines(done / "run")
    assert trainer_runs.lines(tmp_path / "run") == first
    losses = [line["loss"] for line in first if "loss" in line]
    assert len(losses) == 12
    assert losses[-1] < losses[0]
    again = trainer_runs.weights(last)
    for name, value in trainer_runs.weights(done / "run" / "checkpoints" / "step-00000012").items():
        assert torch.equal(value, again[name])


def test_every_step_accounts_for_its_sources(done: Path):
    lines = [line for line in trainer_runs.lines(done / "run") if "loss" in line]
    for line in lines:
        total, weight = (sum(pair[at] for pair in line["sources"].values()) for at in (0, 1))
        assert weight == line["supervised"]
        assert total / weight == pytest.approx(line["loss"], rel=1e-6)
    assert {source for line in lines for source in line["sources"]} == {"one", "two"}
    held = [line for line in trainer_runs.lines(done / "run") if "held_out" in line]
    assert [line["step"] for line in held] == [0, 6, 12]


def test_a_resumed_run_is_the_undisturbed_one(made: tuple[Path, Path], done: Path, tmp_path: Path):
    resumed(done, tmp_path, 4)
    last = train(trainer_runs.load(tmp_path, trainer_runs.settings(*made)), tmp_path, quiet=True)
    assert trainer_runs.lines(tmp_path / "run") == trainer_runs.lines(done / "run")
    again = trainer_runs.weights(last)
    for name, value in trainer_runs.weights(done / "run" / "checkpoints" / "step-00000012").items():
        assert torch.equal(value, again[name])


def test_another_release_is_refused_and_recorded_when_accepted(
    made: tuple[Path, Path], done: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
):
    other = trainer_runs.release(tmp_path_factory.mktemp("other"), word="Rome")
    resumed(done, tmp_path, 4)
    plain = trainer_runs.settings(other, made[1])
    with pytest.raises(GristmillError, match=r"was trained with release small/1\.0\.0 .*accept_release_change"):
        train(trainer_runs.load(tmp_path, plain), tmp_path, quiet=True)
    last = train(trainer_runs.load(tmp_path, plain | {"accept_release_change": True}), tmp_path, quiet=True)
    assert last.name == "step-00000016"  # four updates before, and all twelve of the new plan
    (change,) = read_pin(last).lineage
    assert change.update == 4
    assert set(change.was) == {"release", "plan"}
    assert change.was["release"].endswith(read_pin(done / "run" / "checkpoints" / "step-00000004").release)
    steps = [line["step"] for line in trainer_runs.lines(tmp_path / "run") if "loss" in line]
    assert steps == list(range(1, 17))
    # and goes on from there without being asked again
    assert train(trainer_runs.load(tmp_path, plain), tmp_path, quiet=True) == last


def test_other_settings_are_refused_by_name(made: tuple[Path, Path], done: Path, tmp_path: Path):
    resumed(done, tmp_path, 4)
    plain = trainer_runs.settings(*made) | {"optimizer": {"learning_rate": 2.0e-3, "weight_decay": 0.1}}
    with pytest.raises(GristmillError, match=r"optimizer\.learning_rate = 0\.001, and it is 0\.002 now"):
        train(trainer_runs.load(tmp_path, plain), tmp_path, quiet=True)


def test_a_checkpoint_opens_and_renders_what_was_trained(done: Path):
    folder = done / "run" / "checkpoints" / "latest"
    model = transformers.AutoModelForCausalLM.from_pretrained(str(folder))
    for name, value in trainer_runs.weights(folder).items():
        assert torch.equal(model.state_dict()[name.removeprefix("model.")], value)
    renderer = resolve(TemplateChoice(name="chatml"), load_tokenizer(str(folder), Path()), Path())
    talk = Conversation([{"role": "user", "content": "Grüße 🙂"}, {"role": "assistant", "content": "Hi."}])
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder))
    assert tokenizer.apply_chat_template(talk.messages, tokenize=False) == text_of(renderer.render(talk))
    sent = tokenizer.apply_chat_template(talk.messages[:1], add_generation_prompt=True, return_dict=False)
    segments = renderer.prompt(talk.before(1))
    assert sent == renderer.encoder.encode([renderer.encoder.mark(segments)])[0].ids.tolist()
    stop = renderer.encoder.specials["<|im_end|>"]
    assert json.loads((folder / "generation_config.json").read_text())["eos_token_id"] == [stop]
    pin = read_pin(folder)
    assert pin.tokenizer == renderer.tokenizer.digest


def test_lora_writes_the_adapter_only_and_resumes(made: tuple[Path, Path], tmp_path: Path):
    peft = pytest.importorskip("peft")
    plain = trainer_runs.settings(*made) | {"lora": {"rank": 4, "dropout": 0.1}, "generate": None}
    last = train(trainer_runs.load(tmp_path, plain), tmp_path, quiet=True)
    assert (last / "adapter_model.safetensors").is_file()
    assert not (last / "model.safetensors").exists()
    assert all("lora_" in name for name in trainer_runs.weights(last))
    base = transformers.AutoModelForCausalLM.from_pretrained(str(made[1]))
    opened = peft.PeftModel.from_pretrained(base, str(last))
    saved = {
        name.replace(".default", "").removeprefix("model."): one for name, one in trainer_runs.weights(last).items()
    }
    for name, value in opened.named_parameters():
        if "lora_" in name:
            assert torch.equal(value, saved[name.replace(".default", "")])
    # dropout is keyed by step and slot, so a resumed run draws the same
    (tmp_path / "again").mkdir()
    resumed(tmp_path, tmp_path / "again", 8)
    again = train(trainer_runs.load(tmp_path / "again", plain), tmp_path / "again", quiet=True)
    for name, value in trainer_runs.weights(last).items():
        assert torch.equal(value, trainer_runs.weights(again)[name])


def test_the_plan_is_printed_and_nothing_is_trained(
    made: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    config = trainer_runs.write(tmp_path, trainer_runs.settings(*made))
    assert main([str(config), "--plan", "data.steps=3"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("3 steps of 4 packs of 128 tokens")
    assert "one" in told
    assert not (tmp_path / "run" / "checkpoints").exists()
    assert main([str(config), "data.stepps=3"]) == 2
    assert "stepps: unknown key; did you mean 'steps'?" in capsys.readouterr().err


def test_full_tuning_in_bf16_keeps_fp32_masters_and_serves_bf16(made: tuple[Path, Path], tmp_path: Path):
    plain = trainer_runs.settings(*made) | {
        "precision": "bf16",
        "data": {"sequence_length": 128, "packs_per_step": 4, "steps": 4},
    }
    last = train(trainer_runs.load(tmp_path, plain), tmp_path, quiet=True)
    masters = trainer_runs.weights(last)
    assert {value.dtype for value in masters.values()} == {torch.float32}
    assert any(not torch.equal(value, value.bfloat16().float()) for value in masters.values())
    served = transformers.AutoModelForCausalLM.from_pretrained(str(last))
    assert served.dtype == torch.bfloat16
    for name, value in masters.items():
        assert torch.equal(served.state_dict()[name.removeprefix("model.")], value.bfloat16())
