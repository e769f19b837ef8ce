"""The training configuration: strict, with overrides, one sentence for every mistake."""

from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from schemas.errors import GristmillError
from schemas.units import Share
from trainer.config import LORA_RATE, TrainConfig, load_config
from trainer.config_types import in_steps

LEAST = {"release": "releases/small/1.0.0", "model": "model", "output": "runs/one"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return written(tmp_path, LEAST)


def written(folder: Path, settings: Any) -> Path:
    path = folder / "train.yaml"
    path.write_text(settings if isinstance(settings, str) else yaml.safe_dump(settings), encoding="utf-8")
    return path


def test_three_settings_are_enough(path: Path):
    config = load_config(path)
    assert config.template.name == "tokenizer"
    assert config.data.epochs == 2
    assert config.data.steps is None
    assert config.optimizer.learning_rate == 2e-5
    assert config.evaluate is not None
    assert config.evaluate.split == "validation"
    assert load_config(path, config_as_overrides(config)) == config


def config_as_overrides(config: TrainConfig) -> list[str]:
    """Every section as JSON, which YAML reads."""
    return [f"{key}={orjson.dumps(value).decode()}" for key, value in orjson.loads(config.canonical()).items()]


def test_overrides_are_yaml_and_come_in_order(path: Path):
    config = load_config(
        path,
        [
            "data.steps=10",
            "seed=1",
            "seed=2",
            "lora.rank=8",
            "template=chatml",
            "template.reasoning=mask",
            "data.mixture={lima: 30 %, dolly: 70 %}",
            "optimizer.warmup=5",
            "generate=null",
            "evaluate.every=5 %",
        ],
    )
    assert (config.data.steps, config.data.epochs, config.seed) == (10, None, 2)
    assert config.lora is not None
    assert config.lora.rank == 8
    assert (config.template.name, config.template.reasoning) == ("chatml", "mask")
    assert config.plan_settings().mixture == (("dolly", 0.7), ("lima", 0.3))
    assert config.optimizer.warmup == 5
    assert config.generate is None


def test_numbers_may_be_written_as_people_do(path: Path):
    assert load_config(path, ["optimizer.learning_rate=1e-4"]).optimizer.learning_rate == 1e-4
    assert load_config(path, ["optimizer.clip=1"]).optimizer.clip == 1.0
    assert load_config(path, ["optimizer.clip=null"]).optimizer.clip is None


def test_adapters_learn_faster_unless_told_otherwise(path: Path):
    assert load_config(path, ["lora={}"]).optimizer.learning_rate == LORA_RATE
    assert load_config(path, ["lora={}", "optimizer.clip=2"]).optimizer.learning_rate == LORA_RATE
    assert load_config(path, ["lora={}", "optimizer.learning_rate=3e-5"]).optimizer.learning_rate == 3e-5


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("data.epoch=3", "data.epoch: unknown key; did you mean 'epochs'?"),
        ("optimiser.eps=1", "optimiser: unknown key; did you mean 'optimizer'?"),
        ("lora.r=3", "lora.r: unknown key"),
        ("seed", "'seed' is no override; write section.key=value"),
        ("data..epochs=1", "is no override"),
        ("model.name=x", "model is 'model' and no section"),
        ("data=[", "its value is no YAML"),
        ("data.epochs=two", "data.epochs: Input should be a valid integer"),
        ("data.epochs=0", "data.epochs: Input should be greater than or equal to 1"),
        ("data.mixture={a: 50 %}", "data.mixture: shares add up to 50 %, not 100 %"),
        ("data.mixture={a: 0.5, b: 0.5}", "0.5 is not a share"),
        ("data.streams=3", "streams is 3, which does not divide packs_per_step, 16"),
        ("optimizer.warmup=0.1", "optimizer.warmup: 0.1 is no length"),
        ("optimizer.warmup=-1", "optimizer.warmup: -1 is no length"),
        ("optimizer.learning_rate=.inf", "inf is no finite number"),
        ("optimizer.betas=[0.9, 1.0]", "each must be at least 0 and below 1"),
        ("lora.targets=q_proj", "lora.targets: 'q_proj' names no modules; write all-linear"),
        ("attention=sdpa", "attention: Input should be 'auto', "),
        ("template=chatlm", "did you mean 'chatml'?"),
    ],
)
def test_a_mistake_is_one_sentence(path: Path, override: str, sentence: str):
    with pytest.raises(GristmillError) as error:
        load_config(path, [override])
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_epochs_and_steps_exclude_each_other(path: Path):
    with pytest.raises(GristmillError, match="epochs is 3 and steps is 10; set one of them to null"):
        load_config(path, ["data.epochs=3", "data.steps=10"])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [("", "release: this setting is required"), ("- a", "expected a mapping"), ("seed: 1\nseed: 2", "written twice")],
)
def test_a_file_that_is_no_configuration(tmp_path: Path, content: str, sentence: str):
    with pytest.raises(GristmillError, match=sentence):
        load_config(written(tmp_path, content))


def test_the_digest_is_of_what_is_learned(path: Path):
    known = load_config(path).digest()
    for same in (
        "output=x", "release=y", "watch.every=5", "checkpoint.keep=1", "data.micro_batch=4", "attention=dense",
        "data.epochs=2", "accept_release_change=true",
    ):  # fmt: skip
        assert load_config(path, [same]).digest() == known, same
    for other in (
        "seed=1", "model=x", "data.epochs=3", "lora={}", "optimizer.eps=1e-6", "precision=fp32", "loss=sqrt",
        "template=chatml", "data.packs_per_step=8",
    ):  # fmt: skip
        assert load_config(path, [other]).digest() != known, other
    one, two = ([f"data.mixture={{{text}}}"] for text in ("a: 40 %, b: 60 %", "b: 60 %, a: 40 %"))
    assert load_config(path, one).digest() == load_config(path, two).digest()


def test_the_plan_gets_what_is_asked(path: Path):
    settings = load_config(path, ["data.packs_per_step=12", "data.sequence_length=512", "seed=5"]).plan_settings()
    assert (settings.packs_per_step, settings.streams, settings.capacity, settings.seed) == (12, 4, 512, 5)
    assert load_config(path, ["data.streams=6", "data.packs_per_step=12"]).plan_settings().streams == 6


@pytest.mark.parametrize(("length", "steps", "wanted"), [(7, 100, 7), ("3 %", 100, 3), ("3 %", 10, 0), ("50 %", 3, 2)])
def test_shares_of_a_run_become_steps(length: Any, steps: int, wanted: int):
    assert in_steps(Share.parse(length) if isinstance(length, str) else length, steps) == wanted
