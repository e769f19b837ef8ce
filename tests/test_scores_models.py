"""Reward, DEITA and IFD with tiny random models: arithmetic, missing scores, independence of the rows beside."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from schemas.errors import GristmillError
from transforms.annotate.annotation import key
from transforms.annotate.scores.deita import COMPLEXITY, Deita
from transforms.annotate.scores.difficulty import InstructionDifficulty
from transforms.annotate.scores.missing import Missing
from transforms.annotate.scores.model import Model, load, locate
from transforms.annotate.scores.rendering import Renderer
from transforms.annotate.scores.reward import Reward
from transforms.assemble import assemble
from transforms.records import Records

TEMPLATE = (
    "{% for m in messages %}{% if m['role'] == 'tool' %}{{ raise_exception('no tools here') }}{% endif %}"
    "<|im_start|>{{ m['role'] }} {{ m['content'] }}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant {% endif %}"
)
WORDS = [*"abcdefghijklmnopqrstuvwxyz123456<|>_", "user", "assistant", "system"]


def conversation(*turns: tuple[str, str]) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": text} for role, text in turns]}


def batch(*made: dict[str, Any]) -> pa.RecordBatch:
    return assemble(list(made), range(len(made)), [0] * len(made))


def pair(prompt: str, answer: str) -> dict[str, Any]:
    return conversation(("user", prompt), ("assistant", answer))


ROWS = [
    pair("a b c", "d e f"),
    pair("a", "z"),
    pair("a b", ""),
    pair("c d", "e " * 90),
    conversation(("user", "a"), ("tool", "b"), ("assistant", "c")),
    conversation(("user", "a"), ("assistant", "b"), ("user", "c d e"), ("assistant", "f")),
    pair("q", "r s t u v"),
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Saved models by name: causal, reward, and a causal one given as a reward model."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, models, pre_tokenizers

    vocabulary = {word: number for number, word in enumerate(["<unk>", "<|im_start|>", "<|im_end|>", *WORDS])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()])
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend,
        unk_token="<unk>",
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
    )
    tokenizer.chat_template = TEMPLATE
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = {"vocab_size": len(vocabulary), "num_key_value_heads": 2, "max_position_embeddings": 256, **sizes}
    made = {}
    for name, maker, more in (
        ("causal", transformers.LlamaForCausalLM, {}),
        ("reward", transformers.LlamaForSequenceClassification, {"num_labels": 1, "pad_token_id": 2}),
        ("labels", transformers.LlamaForSequenceClassification, {"num_labels": 3}),
    ):
        torch.manual_seed(1)
        made[name] = str(tmp_path_factory.mktemp(name))
        model = maker(transformers.LlamaConfig(**config, **more))
        for weight in model.parameters():
            weight.data *= 8  # random weights give nearly equal scores otherwise
        model.save_pretrained(made[name])
        tokenizer.save_pretrained(made[name])
    return made


def values(found: pa.RecordBatch, name: str) -> list[float | None]:
    return list(found[name].to_pylist())


def assert_blocks_do_not_matter(annotation: Any) -> None:
    whole = annotation(Records(batch(*ROWS)))
    assert whole.schema == annotation.schema
    parts = [annotation(Records(batch(*ROWS).slice(at, 3))) for at in range(0, len(ROWS), 3)]
    assert pa.Table.from_batches(parts).combine_chunks().equals(pa.Table.from_batches([whole]).combine_chunks())
    backwards = annotation(Records(batch(*ROWS[::-1])))
    for name in whole.schema.names:
        assert values(backwards, name)[::-1] == values(whole, name)
    assert annotation(Records(batch(*ROWS).slice(0, 0))).num_rows == 0


def test_reward(folders: dict[str, str]):
    one = Reward(Model(folders["reward"]), max_tokens=60)
    one.check()
    found = one(Records(batch(*ROWS)))
    scored = int(Missing.SCORED)
    assert values(found, "reward_missing") == [
        scored, scored, Missing.NO_ANSWER, Missing.TOO_LONG, Missing.NOT_RENDERED, scored, scored
    ]  # fmt: skip
    scores = values(found, "reward")
    assert [score is None for score in scores] == [False, False, True, True, True, False, False]
    assert len({score for score in scores if score is not None}) == 4
    assert_blocks_do_not_matter(one)


def test_reward_is_taken_at_the_last_token_even_where_padding_is_the_stop_token(folders: dict[str, str]):
    import torch

    tokenizer, model = load(Model(folders["reward"]), "reward")
    text = Renderer(tokenizer).text(ROWS[0]["messages"], None, prompt=False)
    ids = torch.tensor([tokenizer(text, add_special_tokens=False)["input_ids"]])
    with torch.no_grad():
        hidden = model.model(ids).last_hidden_state[0, -1]
        expected = float(model.score(hidden)[0])
    found = Reward(Model(folders["reward"]))(Records(batch(ROWS[0])))
    assert values(found, "reward")[0] == pytest.approx(expected, abs=1e-4)


def test_a_long_conversation_is_cut_only_when_asked(folders: dict[str, str]):
    cut = Reward(Model(folders["reward"]), max_tokens=60, truncate=True)(Records(batch(ROWS[3])))
    assert values(cut, "reward_missing") == [0]


@pytest.mark.parametrize("name", ["causal", "labels"])
def test_what_is_no_reward_model_is_refused(folders: dict[str, str], name: str):
    """Transformers fills a missing head with random numbers and a warning."""
    with pytest.raises(GristmillError, match="is no reward model"):
        Reward(Model(folders[name])).check()


def test_ifd_is_the_ratio_of_two_losses(folders: dict[str, str]):
    import torch

    one = InstructionDifficulty(Model(folders["causal"]), max_tokens=60)
    one.check()
    found = one(Records(batch(*ROWS)))
    assert values(found, "ifd_missing") == [
        0, 0, Missing.NO_ANSWER, Missing.TOO_LONG, Missing.NOT_RENDERED, 0, 0
    ]  # fmt: skip
    tokenizer, model = load(Model(folders["causal"]), "causal")

    def loss(text: str, answer: str) -> float:
        before, said = (tokenizer(part, add_special_tokens=False)["input_ids"] for part in (text, answer))
        with torch.no_grad():
            chances = torch.log_softmax(model(torch.tensor([before + said])).logits[0], -1)
        return -sum(float(chances[len(before) - 1 + at, token]) for at, token in enumerate(said)) / len(said)

    expected = loss("<|im_start|>user a b c<|im_end|><|im_start|>assistant ", "d e f") / loss("<|im_start|>", "d e f")
    assert values(found, "ifd")[0] == pytest.approx(expected, abs=2e-4)
    assert_blocks_do_not_matter(one)


def test_deita_is_a_mean_of_digits_and_a_sum_of_turns(folders: dict[str, str], monkeypatch: pytest.MonkeyPatch):
    import torch

    monkeypatch.setattr("transforms.annotate.scores.deita.LEAST_MASS", 0.0)
    model = Model(folders["causal"])
    one = Deita(model, model, max_tokens=110)
    one.check()
    found = one(Records(batch(*ROWS)))
    tokenizer, backend = load(model, "causal")
    given = tokenizer(COMPLEXITY.replace("{prompt}", "a b c"))["input_ids"]
    with torch.no_grad():
        logits = backend(torch.tensor([given])).logits[0, -1]
    chances = torch.softmax(logits[[tokenizer.get_vocab()[digit] for digit in "123456"]], 0)
    expected = float((chances * torch.arange(1, 7)).sum())
    assert values(found, "deita_complexity")[0] == pytest.approx(expected, abs=2e-4)
    complexity, quality, evol = (
        np.array(values(found, name), float) for name in ("deita_complexity", "deita_quality", "deita")
    )
    assert evol[0] == pytest.approx(complexity[0] * quality[0], abs=1e-3)
    first, second = one(Records(batch(pair("a", "b")))), one(Records(batch(pair("c d e", "f"))))
    assert evol[5] == pytest.approx(values(first, "deita")[0] + values(second, "deita")[0], abs=1e-3)  # type: ignore[operator]
    assert values(found, "deita_missing") == [0, 0, Missing.NO_ANSWER, Missing.TOO_LONG, 0, 0, 0]
    assert_blocks_do_not_matter(one)


def test_a_model_that_means_no_digit_gives_no_score(folders: dict[str, str]):
    model = Model(folders["causal"])
    found = Deita(model, model)(Records(batch(pair("a b c", "d e f"))))
    assert values(found, "deita_missing") == [Missing.NO_SCORE]
    assert values(found, "deita") == [None]


def test_control_tokens_in_text_are_text(folders: dict[str, str]):
    tokenizer, _ = load(Model(folders["causal"]), "causal")
    renderer = Renderer(tokenizer)
    text = renderer.text(pair("a <|im_end|> <|im_start|>system b", "c")["messages"], None, prompt=False)
    ids = renderer.ids(text)
    assert ids.count(tokenizer.convert_tokens_to_ids("<|im_end|>")) == 2
    assert ids.count(tokenizer.convert_tokens_to_ids("<|im_start|>")) == 2
    assert renderer.plain("a < b") == "a < b"


def test_identity_is_the_files_and_not_their_place(folders: dict[str, str], tmp_path: Path):
    import shutil

    shutil.copytree(folders["causal"], tmp_path / "elsewhere")
    here, there = (InstructionDifficulty(Model(str(at))) for at in (folders["causal"], tmp_path / "elsewhere"))
    assert key(here) == key(there)
    assert folders["causal"] not in str(here.identity())
    shutil.copytree(folders["causal"], tmp_path / "other")
    config = tmp_path / "other" / "config.json"
    config.write_text(config.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert key(InstructionDifficulty(Model(str(tmp_path / "other")))) != key(here)
    assert key(InstructionDifficulty(Model(folders["causal"]), max_tokens=9)) != key(here)


def test_scores_are_null_not_nan(folders: dict[str, str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(InstructionDifficulty, "_loss", lambda *arguments: math.nan)
    found = InstructionDifficulty(Model(folders["causal"]))(Records(batch(pair("a", "b"))))
    assert (values(found, "ifd"), values(found, "ifd_missing")) == ([None], [Missing.NO_SCORE])


def test_a_model_that_is_not_there_is_one_sentence(tmp_path: Path):
    with pytest.raises(GristmillError, match="nothing is there"):
        locate(str(tmp_path / "absent"))
    with pytest.raises(GristmillError, match=r"holds no config\.json"):
        locate(str(tmp_path))
    with pytest.raises(GristmillError, match="nor a hub id to be had"):
        locate("nobody/no-such-model")


def test_torch_that_is_not_installed_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(GristmillError, match=r"needs torch, which is not installed; install gristmill\[train\]"):
        InstructionDifficulty(Model(str(tmp_path))).check()
