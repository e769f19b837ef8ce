"""Preflight: every row looked at once, what is left out, when it stops the run, and its cache."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import trainer.preflight
from schemas.chat.render import Renderer
from schemas.chat.settings import TemplateChoice, resolve
from schemas.chat.spans import Encoded
from schemas.chat.template import Conversation, Refusal
from schemas.chat.tokenizer import ChatTokenizer
from schemas.chat.verify import Verifier
from schemas.errors import GristmillError
from tests import tiny_tokenizers
from tests.trainer_shards import Row, alpaca, chatml, opened, row, rows, write
from trainer.cache import Cached, load, save
from trainer.checks import Checks, checks_of, render
from trainer.outcome import Fate, Preflight
from trainer.preflight import preflight
from trainer.shards import conversations


def looked_at(folder: Path, made: list[Row], renderer: Renderer | None = None, capacity=10_000, **more) -> Preflight:
    shards = opened(write(folder, made))
    overlong = more.pop("overlong", "drop")
    return preflight(shards, renderer or chatml(), capacity, overlong, {"release": "r", "split": "train"}, **more)


def same(one: Preflight, other: Preflight) -> bool:
    lengths = [dataclasses.asdict(each.lengths) for each in (one, other)]
    arrays = all(np.array_equal(lengths[0][name], lengths[1][name]) for name in lengths[0])
    mine = all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ("kept", "fate", "state"))
    return arrays and mine and one.firsts == other.firsts and one.verified == other.verified


def test_lengths_are_those_of_the_renderer(tmp_path: Path):
    made = [*rows(12), *rows(5, source="two")]
    for at, one in enumerate(made):
        one["stage"] = at // 10
    checked = looked_at(tmp_path, made)
    lengths = checked.lengths
    for number, one in enumerate(made):
        [encoded] = chatml().encode([Conversation(one["messages"])])
        assert isinstance(encoded, Encoded)
        assert lengths.tokens[number] == len(encoded.ids)
        assert lengths.supervised[number] == (encoded.weights[1:] > 0).sum()
        assert lengths.weight[number] == encoded.weights[1:].sum()
        assert checked.kept[number] == len(one["messages"])
    assert lengths.sources == ("one", "two")
    assert lengths.source.tolist() == [0] * 12 + [1] * 5
    assert lengths.stage.tolist() == [0] * 10 + [1] * 7
    assert lengths.group.tolist() == [0] * 5 + [1] * 4 + [2] * 5 + [3] * 3
    assert [field.dtype for field in (lengths.tokens, lengths.source, lengths.stage, lengths.group)] == [
        "i4",
        "i2",
        "i2",
        "i4",
    ]
    checked.require(0)


@pytest.mark.parametrize("weighting", ["sequence", "sqrt"])
def test_weights_follow_the_loss(tmp_path: Path, weighting):
    lengths = looked_at(tmp_path, rows(9), weighting=weighting).lengths
    wanted = np.ones(9) if weighting == "sequence" else np.sqrt(lengths.supervised)
    assert lengths.weight == pytest.approx(wanted, rel=1e-6)


def test_what_is_left_out_is_counted_by_source(tmp_path: Path):
    made = rows(10)
    made[3] = row(103, "Hello", "Bye", source="tools", tools='[{"name": "weather"}]')
    made[4]["messages"][1]["train"] = False  # of several answers
    made[9] = row(109, "Hello", "Bye")
    made[9]["messages"][1]["weight"] = 0.0
    checked = looked_at(tmp_path, made, alpaca())
    one, tools = checked.accounts()
    assert (one.rows, one.trained, one.masked, one.failed) == (9, 8, 1, 1)
    assert (tools.rows, tools.trained, tools.refused) == (1, 0, {"refused": 1})
    assert checked.lengths.tokens[[3, 9]].tolist() == [0, 0]
    assert checked.fate[[3, 9]].tolist() == [Fate.REFUSED, Fate.MASKED]
    with pytest.raises(GristmillError) as error:
        checked.require(0.1)
    for part in (
        "source one: 1 of 9 rows (11.11%)",
        "have no token that is learned",
        "row 9",
        made[9]["id"],
        "max_failed",
    ):
        assert part in str(error.value)
    with pytest.raises(GristmillError, match=r"source tools: 1 of 1 rows .* are refused by the template"):
        checked.require(0.2)
    checked.require(1)


def test_over_long_rows(tmp_path: Path):
    made = [row(0, "Hi", "Yes"), row(1, "Hi", "Yes", "Tell me", "word " * 60), row(2, "Hi", "word " * 60)]
    dropped = looked_at(tmp_path, made, capacity=40)
    assert dropped.fate.tolist() == [Fate.WHOLE, Fate.DROPPED, Fate.DROPPED]
    assert dropped.accounts()[0].failed == 0
    dropped.require(0)
    cut = looked_at(tmp_path, made, capacity=40, overlong="truncate_at_turn")
    assert cut.fate.tolist() == [Fate.WHOLE, Fate.TRUNCATED, Fate.DROPPED]
    assert cut.kept.tolist() == [2, 2, 0]
    assert cut.lengths.tokens[0] == cut.lengths.tokens[1] > 0
    assert cut.lengths.truncated is not None
    assert cut.lengths.truncated.tolist() == [False, True, False]
    refused = looked_at(tmp_path, made, capacity=40, overlong="raise")
    with pytest.raises(GristmillError, match=r"2 of 3 rows are longer than a sequence of 40 tokens.*row 1, id"):
        refused.require(1)
    with pytest.raises(GristmillError, match="no row of the split can be trained on: dropped 3"):
        looked_at(tmp_path, made, capacity=8).require(1)


def test_a_row_that_fills_the_capacity_exactly_is_whole(tmp_path: Path):
    size = int(looked_at(tmp_path, [row(0, "Hi", "Yes")]).lengths.tokens[0])
    assert looked_at(tmp_path, [row(0, "Hi", "Yes")], capacity=size).fate.tolist() == [Fate.WHOLE]
    assert looked_at(tmp_path, [row(0, "Hi", "Yes")], capacity=size - 1).fate.tolist() == [Fate.DROPPED]


def test_a_split_without_rows(tmp_path: Path):
    with pytest.raises(GristmillError, match="no row of the split can be trained on: it has no rows"):
        looked_at(tmp_path, []).require(1)


def test_results_do_not_depend_on_workers_or_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    made = [*rows(30), row(200, "Hello", "Bye", tools="[1]", source="tools")]
    alone = looked_at(tmp_path, made, capacity=60, overlong="truncate_at_turn", sample=10)
    assert 0 < alone.verified < 31
    together = looked_at(tmp_path, made, capacity=60, overlong="truncate_at_turn", sample=10, workers=2)
    assert same(alone, together)
    monkeypatch.setattr(trainer.preflight, "_CHUNK", 3)
    assert same(alone, looked_at(tmp_path, made, capacity=60, overlong="truncate_at_turn", sample=10))


def test_the_cache_is_used_and_not_believed_when_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    first = looked_at(tmp_path, rows(8), cache=tmp_path / "cache")
    [file] = (tmp_path / "cache").iterdir()
    assert pa.ipc.open_file(file).read_all().num_rows == 8  # plain Arrow
    content = file.read_bytes()

    def never(*_: object) -> None:
        raise AssertionError("rendered again")

    with monkeypatch.context() as patch:
        patch.setattr(trainer.preflight, "examine", never)
        assert same(first, looked_at(tmp_path, rows(8), cache=tmp_path / "cache"))
        for other in ({"capacity": 99}, {"overlong": "raise"}, {"renderer": alpaca()}, {"weighting": "sqrt"}):
            with pytest.raises(AssertionError, match="rendered again"):
                looked_at(tmp_path, rows(8), cache=tmp_path / "cache", **other)
    for damaged in (
        content[: len(content) // 2],
        b"",
        content.replace(first.lengths.tokens.tobytes(), first.lengths.tokens[::-1].tobytes()),
    ):
        assert damaged != content
        file.write_bytes(damaged)
        assert same(first, looked_at(tmp_path, rows(8), cache=tmp_path / "cache"))
        assert file.read_bytes() == content
    assert [one.name for one in (tmp_path / "cache").iterdir()] == [file.name]


def test_the_cache_says_where_it_cannot_write(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(GristmillError, match="cache folder"):
        save(tmp_path / "file", "key", Cached({"a": np.zeros(1)}, {}))
    assert load(tmp_path / "file", "key") is None


TOKENIZERS: dict[str, Callable[[], ChatTokenizer]] = {
    "bytes": tiny_tokenizers.byte_level,
    "gpt2": tiny_tokenizers.gpt2,
    "sentence piece": tiny_tokenizers.sentence_piece,
    "never": lambda: tiny_tokenizers.sentence_piece("never"),
    "swallowing": tiny_tokenizers.swallowing,
}
TALKS = [
    Conversation([{"role": "user", "content": "Hi\n"}, {"role": "assistant", "content": text}])
    for text in ("Yes.", " 世界 🙂\n", "<|im_end|> is <s> no stop</s>", "\n\nthree\n\n", "e\u0301 naïve")
] + [
    Conversation(
        [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}] * 4
        + [{"role": "user", "content": "three"}, {"role": "assistant", "content": "four", "weight": 0.5}]
    )
]


@pytest.mark.parametrize("template", ["chatml", "llama2", "llama3", "alpaca", "xml", "json"])
@pytest.mark.parametrize("name", TOKENIZERS)
def test_the_quick_checks_say_what_the_judge_says(name: str, template: str):
    renderer = resolve(TemplateChoice(name=template), TOKENIZERS[name](), Path())
    made = render(renderer, TALKS)
    sound = [at for at, one in enumerate(made) if not isinstance(one, Refusal) and not one.encoded.straddles]
    parts = [one for one in made if not isinstance(one, Refusal) and not one.encoded.straddles]
    found = checks_of(renderer).problems([TALKS[at] for at in sound], parts, [False] * len(sound))
    judge = Verifier(renderer)
    assert found == [next(iter(judge.problems(TALKS[at])), None) for at in sound]


class Suspicious(Verifier):
    """Finds fault with whatever it is shown."""

    def problems(self, conversation: Conversation) -> list[str]:
        return ["shown"]


@pytest.mark.parametrize("template", ["chatml", "alpaca"])
@pytest.mark.parametrize(
    "damage",
    ["none", "mask one early", "mask one late", "no stop", "control token", "learned prompt", "prompt", "nothing"],
)
def test_every_damage_is_noticed_by_the_quick_checks(damage: str, template: str):
    renderer = resolve(TemplateChoice(name=template), tiny_tokenizers.byte_level(), Path())
    talk = TALKS[0]
    [one] = render(renderer, [talk])
    assert not isinstance(one, Refusal)
    ids, weights = one.encoded.ids.copy(), one.encoded.weights.copy()
    learned = np.flatnonzero(weights)
    if damage == "mask one early":
        weights[learned[0] - 1] = 1
    elif damage == "mask one late":
        weights[learned[0]] = 0
    elif damage == "no stop":
        weights[learned[-1]] = 0
    elif damage == "control token":
        ids[learned[0]] = renderer.encoder.specials["<|endoftext|>"]
    elif damage == "learned prompt":
        weights[:] = 1
    elif damage == "prompt":
        ids[learned[0] - 2] = ids[learned[0]]
    elif damage == "nothing":
        weights[:] = 0
    checks = checks_of(renderer)
    eager = Checks(renderer, Suspicious(renderer), checks.special, checks.faithful, checks.piecewise)
    found = eager.problems([talk], [one._replace(encoded=Encoded(ids, weights, 0))], [False])
    assert found == ([None] if damage == "none" else ["shown"])


def test_a_row_that_fails_verification_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Verifier, "problems", lambda self, talk: ["bad"] if "What is 3?" in str(talk) else [])
    checked = looked_at(tmp_path, rows(8))
    assert checked.fate.tolist() == [0, 0, 0, Fate.BROKEN, 0, 0, 0, 0]
    with pytest.raises(GristmillError, match=r"do not hold what their masks promise.*row 3, id .*: bad"):
        checked.require(0.1)


def test_rows_are_read_as_they_were_written(tmp_path: Path):
    calls = [{"id": None, "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    made = [row(0, "a", "b"), row(1, "c", "d", tools="[]")]
    made[0]["messages"][1] |= {"tool_calls": calls, "weight": 0.5, "train": True, "content": None}
    shards = opened(write(tmp_path, made, files=1, group=1))
    talks = conversations(shards.take(np.array([1, 0, 1])))
    assert [talk.tools for talk in talks] == ["[]", None, "[]"]
    assert talks[1].messages[0] == {"role": "user", "content": "a"}
    assert talks[1].messages[1] == {
        "role": "assistant",
        "content": None,
        "tool_calls": calls,
        "weight": 0.5,
        "train": True,
    }
