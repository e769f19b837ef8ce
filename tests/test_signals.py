"""Signals against plain Python: counts, keys and shingles of every view of a conversation, whatever is in it."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.features import FEATURES
from transforms.assemble import assemble
from transforms.records import Records
from transforms.shingles import shingle_hash
from transforms.signals import Signals, SignalSettings, compute
from transforms.words import words_of

CALL = {"id": None, "type": "function", "function": {"name": "turn_wheel", "arguments": '{"times": 3, "by": "Müller"}'}}
SAMPLES: list[dict[str, Any]] = [
    {"messages": [{"role": "user", "content": "How does a mill grind the grain so fine?"},
                  {"role": "assistant", "content": "Two stones turn, one on the other, and the grain between them breaks."}]},
    {"messages": [{"role": "system", "content": "You are a miller of the old school, and brief."},
                  {"role": "user", "content": "世界の水車は何台?  "}, {"role": "assistant", "content": "Çok. Ελλάς — 🌍 3,5 e\u0301"},
                  {"role": "user", "content": " \t\u00a0\u3000"}, {"role": "assistant", "content": ""}]},
    {"messages": []},
    {"messages": [{"role": "assistant", "content": "", "reasoning_content": "Think of the river first and then of the wheel.",
                   "tool_calls": [CALL, CALL]},
                  {"role": "tool", "content": "turned three times by the river"}, {"role": "assistant", "content": "Done."}],
     "label": True, "origin": "mixed", "tools": "[]"},
    {"messages": [{"role": "system", "content": ""}, {"role": "tool", "content": ""}]},
]  # fmt: skip


def settings(compare: str | None = "whole", shingle: int = 5) -> SignalSettings:
    return SignalSettings(compare, compare, shingle, 16, 1, None)


def signals(conversations: list[dict[str, Any]], chosen: SignalSettings) -> Signals:
    return compute(Records(assemble(conversations, range(len(conversations)), [0] * len(conversations))), chosen, None)


def text_of(message: dict[str, Any]) -> str:
    parts = [message["content"], message.get("reasoning_content")]
    for call in message.get("tool_calls") or ():
        parts += [call["function"]["name"], call["function"]["arguments"]]
    return "\n".join(part for part in parts if part)


def counts_of(conversation: dict[str, Any]) -> dict[str, int]:
    """Every counted feature, the plain way."""
    texts = [(message["role"], text_of(message)) for message in conversation["messages"]]
    answers = [text for role, text in texts if role == "assistant"]
    return {
        "characters": sum(len(text) for _, text in texts),
        "words": sum(len(words_of(text)) for _, text in texts),
        "turns": len(answers),
        "answer_characters": sum(map(len, answers)),
        "answer_words": sum(len(words_of(text)) for text in answers),
        "empty_turns": sum(not text.strip() for role, text in texts if role in ("user", "assistant")),
        "bytes": sum(len(text.encode()) for _, text in texts),
    }


def check_counts(conversations: list[dict[str, Any]]) -> None:
    features = signals(conversations, settings()).features
    assert features.schema == FEATURES
    for row, conversation in zip(features.to_pylist(), conversations, strict=True):
        expected = counts_of(conversation)
        assert {name: row[name] for name in expected} == expected


def test_counts():
    check_counts(SAMPLES)
    features = signals(SAMPLES, settings()).features
    assert features["label"].to_pylist() == [None, None, None, True, None]
    assert features["origin"].to_pylist() == [None, None, None, 1, None]
    assert features["tokens"].null_count == features["answer_tokens"].null_count == len(SAMPLES)
    assert features["index"].to_pylist() == [0, 1, 2, 3, 4]


# White space in the sense of Arrow and of str.strip differ in a few controls; no text of a conversation is made of them.
text = st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from(" \t\n"), max_size=12)
messages = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["system", "user", "assistant", "tool"]), "content": text},
        optional={"reasoning_content": text, "tool_calls": st.just([CALL])},
    ),
    max_size=4,
)


@given(st.lists(messages.map(lambda one: {"messages": one}), max_size=5))
def test_counts_of_anything(conversations: list[dict[str, Any]]):
    check_counts(conversations)


def test_no_records():
    found = signals([], settings())
    assert found.features.num_rows == 0
    assert found.signatures.shape == (0, 16)
    assert found.shingles.offsets.tolist() == [0]


def test_a_slice_of_a_block_has_the_signals_of_its_rows():
    batch = assemble(SAMPLES * 3, range(15), [0] * 15)
    whole = compute(Records(batch), settings(), None)
    part = compute(Records(batch.slice(4, 7)), settings(), None)
    assert part.features.equals(whole.features.slice(4, 7))
    assert (part.signatures == whole.signatures[4:11]).all()
    start, end = whole.shingles.offsets[[4, 11]]
    assert (part.shingles.values == whole.shingles.values[start:end]).all()


def side(conversation: dict[str, Any], compare: str) -> list[str]:
    wanted = {"whole": (True, False), "prompt": (False,), "response": (True,)}[compare]
    return [text_of(one) for one in conversation["messages"] if (one["role"] == "assistant") in wanted]


@pytest.mark.parametrize("compare", ["whole", "prompt", "response"])
@pytest.mark.parametrize("k", [1, 3, 5])
def test_shingles_of_each_side(compare: str, k: int):
    found = signals(SAMPLES, settings(compare, k)).shingles
    for number, conversation in enumerate(SAMPLES):
        words = [word.encode() for one in side(conversation, compare) for word in words_of(one)]
        expected = {shingle_hash(words[at : at + k]) for at in range(len(words) - k + 1)}
        values = found.values[found.offsets[number] : found.offsets[number + 1]].tolist()
        assert values == sorted(expected), (number, compare)


@pytest.mark.parametrize("compare", ["whole", "prompt", "response", None])
def test_words_of_answers(compare: str | None):
    """Kept where the whole is compared: what questions have in common must not hide that answers differ."""
    found = signals(SAMPLES, settings(compare)).answers
    assert len(found.offsets) == len(SAMPLES) + 1
    for number, conversation in enumerate(SAMPLES):
        words = {word.encode() for one in side(conversation, "response") for word in words_of(one)}
        expected = {shingle_hash([word]) for word in words} if compare == "whole" else set()
        assert found.values[found.offsets[number] : found.offsets[number + 1]].tolist() == sorted(expected)


def test_no_near_deduplication_means_no_shingles():
    found = signals(SAMPLES, settings(None))
    assert len(found.shingles.values) == 0
    assert np.diff(found.shingles.offsets).tolist() == [0] * len(SAMPLES)
    assert found.features["exact_key"].to_pylist() == [bytes(16)] * len(SAMPLES)


def talk(*turns: tuple[str, str], **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content} for role, content in turns]} | more


BASE = talk(("system", "Be brief."), ("user", "How?"), ("assistant", "Thus, and so."))
# Another conversation, and under which comparisons it is the same as BASE.
PAIRS: list[tuple[dict[str, Any], set[str]]] = [
    (
        talk(("system", "Be  BRIEF."), ("user", " how?\n"), ("assistant", "thus,\tand so. ")),
        {"whole", "prompt", "response"},
    ),
    (talk(("system", "Be brief."), ("user", "How?"), ("assistant", "Otherwise.")), {"prompt"}),
    (talk(("system", "Be brief."), ("user", "Why?"), ("assistant", "Thus, and so.")), {"response"}),
    (talk(("user", "How?"), ("assistant", "Thus, and so.")), {"response"}),
    (talk(("user", "Be brief."), ("system", "How?"), ("assistant", "Thus, and so.")), {"prompt", "response"}),
    (talk(("system", "Be brief."), ("user", "How?"), ("assistant", "Thus and so.")), set[str]() | {"prompt"}),
    (talk(("system", "Be brief. How?"), ("assistant", "Thus, and so.")), {"response"}),
    (talk(("system", "Be brief."), ("user", "How?"), ("assistant", "Thus,"), ("assistant", "and so.")), {"prompt"}),
    (
        talk(("system", "Be brief."), ("user", "How?"), ("assistant", "Thus, and so."), tools="[]"),
        {"prompt", "response"},
    ),
    (talk(("assistant", "Thus, and so."), ("system", "Be brief."), ("user", "How?")), {"prompt", "response"}),
]


@pytest.mark.parametrize("compare", ["whole", "prompt", "response"])
@pytest.mark.parametrize("number", range(len(PAIRS)))
def test_exact_keys_of_each_side(compare: str, number: int):
    other, same = PAIRS[number]
    one, two = signals([BASE, other], settings(compare)).features["exact_key"].to_pylist()
    assert (one == two) == (compare in same)


def test_reasoning_and_tool_calls_are_compared():
    def answer(**more: Any) -> dict[str, Any]:
        return {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"} | more]}

    other = {"id": None, "type": "function", "function": {"name": "turn_wheel", "arguments": "{}"}}
    made = [answer(), answer(reasoning_content="z"), answer(tool_calls=[CALL]), answer(tool_calls=[other])]
    for compare in ("whole", "response"):
        assert len(set(signals(made, settings(compare)).features["exact_key"].to_pylist())) == 4
    assert len(set(signals(made, settings("prompt")).features["exact_key"].to_pylist())) == 1


def test_the_key_of_settings_names_all_that_signals_depend_on():
    base = settings()
    from dataclasses import fields, replace

    others: dict[str, Any] = {
        "exact_compare": "prompt",
        "near_compare": None,
        "shingle": 4,
        "permutations": 32,
        "hash_seed": 2,
        "tokenizer": "x",
    }
    assert {field.name for field in fields(base)} == set(others)
    keys = {base.key(), *(replace(base, **{name: value}).key() for name, value in others.items())}
    assert len(keys) == 7
    assert base.key() == settings().key()


def test_messages_of_a_block_do_not_touch_each_other():
    """The signals of a record do not depend on its neighbours."""
    together = signals(SAMPLES, settings())
    for number, sample in enumerate(SAMPLES):
        alone = signals([sample], settings())
        assert alone.features.drop_columns(["index"]).equals(together.features.slice(number, 1).drop_columns(["index"]))
        assert (alone.signatures[0] == together.signatures[number]).all()
    assert isinstance(together.features, pa.RecordBatch)
