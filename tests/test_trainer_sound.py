"""Damage and haste: what a run refuses, says or survives besides the errors of its configuration."""

import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from schemas.errors import GristmillError  # noqa: E402
from tests import trainer_runs  # noqa: E402
from tests.tiny_tokenizers import byte_level  # noqa: E402
from trainer.config import load_config  # noqa: E402
from trainer.model import Trainee, prepare, read, tiny  # noqa: E402
from trainer.optimizer import decay_groups  # noqa: E402
from trainer.prepare import prepare as planned  # noqa: E402
from trainer.sound import covers  # noqa: E402
from trainer.train import train  # noqa: E402
from trainer.watch import Watch  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]
SHORT: dict[str, Any] = {
    "data": {"sequence_length": 128, "packs_per_step": 2, "steps": 4},
    "checkpoint": {"every": 2, "keep": 9},
    "evaluate": None,
    "generate": None,
}


def test_a_model_with_a_hole_is_refused(tmp_path: Path):
    from safetensors.torch import load_file, save_file

    tiny().save_pretrained(str(tmp_path))
    weights = load_file(tmp_path / "model.safetensors")
    kept = {name: one for name, one in weights.items() if name != "model.layers.0.mlp.down_proj.weight"}
    save_file(kept, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(GristmillError, match=r"lacks 1 weights, the first model\.layers\.0\.mlp\.down_proj\.weight"):
        read(str(tmp_path), torch.float32)
    tiny(tie_word_embeddings=True).save_pretrained(str(tmp_path))
    read(str(tmp_path), torch.float32)  # a tied head is no hole


def test_a_weight_of_another_shape_is_named(tmp_path: Path):
    from safetensors.torch import load_file, save_file

    tiny().save_pretrained(str(tmp_path))
    weights = load_file(tmp_path / "model.safetensors")
    weights["lm_head.weight"] = torch.zeros(7, 32)
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(GristmillError) as caught:
        read(str(tmp_path), torch.float32)
    assert str(caught.value) == (
        f"model '{tmp_path}' has 1 weights of another shape, the first lm_head.weight; fetch it again"
    )


def test_a_tokenizer_with_more_ids_than_the_model_has_rows():
    covers(tiny(vocab_size=720), byte_level().definition)
    with pytest.raises(GristmillError, match=r"embeddings for 300; they do not belong together"):
        covers(tiny(vocab_size=300), byte_level().definition)


def test_gpt2_and_opt_have_layers_too():
    for kind in ("gpt2", "opt"):
        more: dict[str, Any] = {
            "gpt2": {"n_layer": 2, "n_head": 4, "n_embd": 32, "n_positions": 512},
            "opt": {"ffn_dim": 64},
        }[kind]
        if kind == "opt":
            more["word_embed_proj_dim"] = 32
        loaded = prepare(tiny(kind, **more))
        assert len(Trainee(loaded.model, loaded.backend).layers) == 2


def test_embeddings_of_other_names_do_not_decay():
    named = [("gpt_neox.embed_in.weight", 2), ("model.decoder.embed_positions.weight", 2), ("embed_out.weight", 2)]
    parameters = [(name, torch.nn.Parameter(torch.zeros(2, 2))) for name, _ in named]
    decayed, kept = decay_groups(parameters, 0.1)
    assert [len(decayed["params"]), len(kept["params"])] == [1, 2]
    assert decayed["params"][0] is parameters[2][1]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"output": "s3://bucket/run"}, "a local folder"),
        ({"optimizer": {"eps": "1e999"}}, "no finite number"),
        ({"data": {"steps": 10**9}}, "steps"),
        ({"generate": {"prompts": ["\ud800 hi"]}}, "generate.prompts"),
    ],
)
def test_mistakes_are_told_before_anything_is_trained(made, tmp_path: Path, more: dict[str, Any], said: str):
    plain = json.dumps(trainer_runs.settings(*made, **SHORT | more))
    (tmp_path / "config.yaml").write_text(plain, encoding="utf-8")
    with pytest.raises(GristmillError, match=said):
        train(load_config(tmp_path / "config.yaml"), tmp_path, quiet=True)
    assert not list(tmp_path.glob("*/checkpoints/step-*"))


def test_nothing_is_written_into_a_release(made, tmp_path: Path):
    inside = trainer_runs.settings(*made, output=str(made[0] / "run"))
    with pytest.raises(GristmillError, match="lies in the release"):
        planned(trainer_runs.load(tmp_path, inside), tmp_path)
    assert not (made[0] / "run").exists()


def test_a_record_that_is_begun_again_has_no_line_twice_and_strange_letters_stay(tmp_path: Path):
    for _ in range(2):
        watch = Watch(tmp_path, 4, True, tensorboard=False, quiet=True)
        watch.held_out(0, {"one": (1.0, 1.0)})
        watch.generations(1, [{"prompt": "a\u2028b\x85", "answer": "c", "stopped": True}])
        watch.close()
    assert len((tmp_path / "metrics.jsonl").read_text(encoding="utf-8").split("\n")) == 3
    Watch(tmp_path, 4, True, start=1, tensorboard=False, quiet=True).close()
    assert "a\u2028b" in (tmp_path / "metrics.jsonl").read_text(encoding="utf-8")
