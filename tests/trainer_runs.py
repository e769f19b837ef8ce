"""A small run for tests: a real release of a few rows, a tiny random model with a tokenizer, and its configuration."""

import contextlib
import json
from pathlib import Path
from typing import Any

import yaml

from tests.recipes import Row, chat, run, write_recipe
from tests.tiny_tokenizers import byte_level
from trainer.config import TrainConfig, load_config


def release(folder: Path, rows: int = 60, word: str = "Paris") -> Path:
    """Two sources; a fifth is held out."""
    first: list[Row] = [chat(f"What is {n}?", f"{word} " * (n % 7 + 1) + str(n)) for n in range(rows)]
    second: list[Row] = [chat(f"Say {n} twice", f"{n} {n} " * (n % 3 + 1)) for n in range(rows // 2)]
    files = {"one": {"a.jsonl": first}, "two": {"b.jsonl": second}}
    layout = {"splits": {"validation": "20 %"}}
    recipe = write_recipe(folder, files, filters={}, dedup={"near": None}, release=layout)
    with contextlib.redirect_stdout(None):
        return run(recipe, folder / "out").path


def model(folder: Path, **settings: Any) -> Path:
    from trainer.model import tiny

    tokenizer = byte_level()
    tiny("llama", vocab_size=720, **settings).save_pretrained(str(folder))
    (folder / "tokenizer.json").write_text(tokenizer.definition, encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(dict(tokenizer.specials)), encoding="utf-8")
    return folder


def settings(release: Path, model: Path, **more: Any) -> dict[str, Any]:
    """Twelve steps of four packs, a checkpoint every four."""
    return {
        "release": str(release),
        "model": str(model),
        "template": "chatml",
        "output": "run",
        "precision": "fp32",
        "data": {"sequence_length": 128, "packs_per_step": 4, "steps": 12},
        "optimizer": {"learning_rate": 1.0e-3, "weight_decay": 0.1},
        "checkpoint": {"every": 4, "keep": 9},
        "evaluate": {"every": 6, "rows": 8},
        "generate": {"every": 12, "max_tokens": 4},
        "watch": {"tensorboard": False},
    } | more


def write(folder: Path, plain: dict[str, Any]) -> Path:
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(plain), encoding="utf-8")
    return path


def load(folder: Path, plain: dict[str, Any]) -> TrainConfig:
    return load_config(write(folder, plain))


def lines(folder: Path) -> list[dict[str, Any]]:
    """metrics.jsonl without what a clock wrote."""
    found = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [{key: value for key, value in line.items() if key not in ("seconds", "wait")} for line in found]


def weights(checkpoint: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    found: dict[str, Any] = load_file(checkpoint / "resume" / "weights.safetensors")
    return found
