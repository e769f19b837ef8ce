"""Content ids and Arrow batches: ids never change between versions, shapes or a trip through Arrow."""

import math
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.record import CORPUS, MESSAGES
from tests.recipes import Row, run, write_recipe
from transforms.assemble import assemble, conversation_of, messages_array, record_id

CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
PLAIN = {"messages": [{"role": "user", "content": "How?"}, {"role": "assistant", "content": "So."}]}
RICH = {
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Grüße, 世界 🌍"},
        {
            "role": "assistant",
            "content": "",
            "reasoning_content": "think",
            "tool_calls": [CALL],
            "train": True,
            "weight": 0.5,
        },
        {"role": "tool", "content": "3", "tool_call_id": "c1", "name": "f"},
        {"role": "assistant", "content": "3"},
    ],
    "tools": '[{"type":"function"}]',
    "chosen": [{"role": "assistant", "content": "3"}],
    "rejected": [{"role": "assistant", "content": "4"}],
    "label": False,
}


def test_ids_are_those_of_every_release_so_far():
    """If one of these changes, every id of every release does: raise READERS_VERSION and the format instead."""
    assert record_id(PLAIN).hex() == "2bdf28c93d07ef6b3c5285f98f0ce0f9"
    assert record_id(RICH).hex() == "f2e570220a257b2eff1879b26f56d766"


def test_an_id_is_of_the_content_alone():
    about = {"origin": "human", "license": "MIT", "generator": "x", "language": "en", "task": "t", "extra": {"a": 1}}
    assert record_id(PLAIN | about) == record_id(PLAIN)
    assert record_id({"messages": [{"content": "How?", "role": "user"}, PLAIN["messages"][1]]}) == record_id(PLAIN)
    assert record_id(PLAIN | {"tools": None, "label": None, "chosen": None}) == record_id(PLAIN)


@pytest.mark.parametrize(
    "other",
    [
        {"messages": PLAIN["messages"][::-1]},
        {"messages": PLAIN["messages"][:1]},
        {"messages": [PLAIN["messages"][0], {"role": "assistant", "content": "so."}]},
        {"messages": [PLAIN["messages"][0], PLAIN["messages"][1] | {"train": False}]},
        {"messages": [PLAIN["messages"][0], PLAIN["messages"][1] | {"name": ""}]},
        PLAIN | {"tools": "[]"},
        PLAIN | {"label": False},
        PLAIN | {"label": True},
        PLAIN | {"chosen": []},
        PLAIN | {"rejected": PLAIN["messages"][1:]},
    ],
)
def test_other_content_has_another_id(other: dict[str, Any]):
    assert record_id(other) != record_id(PLAIN)


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
calls = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.none() | text,
            "type": st.just("function"),
            "function": st.fixed_dictionaries({"name": text, "arguments": text}),
        }
    ),
    min_size=1,
    max_size=2,
)
message = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool"]), "content": text},
    optional={
        "reasoning_content": text,
        "tool_calls": calls,
        "tool_call_id": text,
        "name": text,
        "train": st.booleans(),
        "weight": st.floats(allow_nan=False, allow_infinity=False),
    },
)
messages = st.lists(message, max_size=4)
conversations = st.fixed_dictionaries(
    {"messages": messages},
    optional={
        "tools": text,
        "chosen": messages,
        "rejected": messages,
        "label": st.booleans(),
        "task": text,
        "license": text,
    },
)


@given(st.lists(conversations, max_size=6))
def test_a_trip_through_arrow_keeps_content_and_id(given_ones: list[dict[str, Any]]):
    batch = assemble(given_ones, range(10, 10 + len(given_ones)), [0] * len(given_ones))
    batch.validate(full=True)
    assert batch.schema == CORPUS
    assert batch.num_rows == len(given_ones)
    for row, one in zip(batch.to_pylist(), given_ones, strict=True):
        back = conversation_of(row)
        assert record_id(back) == row["id"] == record_id(one)
        assert back == {
            key: value for key, value in one.items() if key in ("messages", "tools", "chosen", "rejected", "label")
        }
        assert row["task"] == one.get("task")
        assert row["license"] == one.get("license")
    assert batch["index"].to_pylist() == list(range(10, 10 + len(given_ones)))


def test_a_batch_holds_what_rows_say_of_themselves():
    about = {"origin": "human", "generator": "g", "license": "l", "language": "en", "task": "t"}
    row, empty = assemble([PLAIN | about, PLAIN], [3, 4], [0, 1]).to_pylist()
    assert {key: row[key] for key in about} == about
    assert {key: empty[key] for key in about} == dict.fromkeys(about)
    assert (empty["index"], empty["part"], empty["extra"]) == (4, 1, None)


@pytest.mark.parametrize(
    ("extra", "kept"),
    [
        ({}, None),
        ({"b": 1, "a": [None, True]}, '{"a":[null,true],"b":1}'),
        ({"big": 2**63}, '{"big":9223372036854775808}'),
        ({"nan": math.nan, "inf": -math.inf}, '{"inf":null,"nan":null}'),
        ({"text": "ü\u2028"}, '{"text":"ü\u2028"}'),
        ({1: "number as key", None: 2}, '{"1":"number as key","null":2}'),
        ({"when": __import__("datetime").date(2024, 1, 2)}, '{"when":"2024-01-02"}'),
        ({"set": {1}}, '{"set":"{1}"}'),
    ],
)
def test_extra_is_json(extra: dict[Any, Any], kept: str | None):
    assert assemble([PLAIN | {"extra": extra}], [0], [0])["extra"].to_pylist() == [kept]


@pytest.mark.parametrize("huge", [2**64, -(2**200), 10**400])
def test_integers_beyond_64_bits_are_kept(huge: int):
    import json

    (kept,) = assemble([PLAIN | {"extra": {"b": huge, "a": "ü"}}], [0], [0])["extra"].to_pylist()
    assert json.loads(kept) == {"b": huge, "a": "ü"}


def test_huge_integers_beside_nan_stay_json():
    """The slow way out has to give JSON too."""
    (kept,) = assemble([PLAIN | {"extra": {"a": 2**70, "b": math.nan, "c": [math.inf]}}], [0], [0])["extra"].to_pylist()
    assert "NaN" not in kept
    assert "Infinity" not in kept


def test_deep_extra():
    deep: Any = "end"
    for _ in range(300):
        deep = [deep]
    (kept,) = assemble([PLAIN | {"extra": {"deep": deep}}], [0], [0])["extra"].to_pylist()
    assert kept.count("[") == 300


ONE = [{"role": "user", "content": "x"}]
TWO = [{"role": "user", "content": "y"}, {"role": "assistant", "content": "", "tool_calls": [CALL]}]


@pytest.mark.parametrize(
    "lists",
    [
        [], [None], [None, None], [ONE], [None, ONE], [ONE, None], [None, None, ONE, None, TWO, None, None],
        [[]], [[], None], [None, []], [None, [], None, ONE, [], None], [[], []], [TWO, [], ONE], [None, [], []],
    ],
)  # fmt: skip
def test_lists_of_messages_and_nulls(lists: list[Any]):
    made = messages_array(lists)
    made.validate(full=True)
    assert made.type == MESSAGES
    assert len(made) == len(lists)
    assert made.null_count == lists.count(None)
    back = [conversation_of({"messages": one}).get("messages") for one in made.to_pylist()]
    assert back == lists


@given(st.lists(st.none() | messages, max_size=8))
def test_any_lists_of_messages_and_nulls(lists: list[Any]):
    made = messages_array(lists)
    made.validate(full=True)
    assert made.is_null().to_pylist() == [one is None for one in lists]
    assert pa.array([None if one is None else len(one) for one in lists], pa.int32()).equals(
        pa.array([None if one is None else len(one) for one in made.to_pylist()], pa.int32())
    )


SAME: dict[str, list[Row]] = {
    "messages": [
        {"messages": [{"role": "user", "content": "What is a mill?"}, {"role": "assistant", "content": "A machine."}]}
    ],
    "alpaca": [{"instruction": "What is a mill?", "input": "", "output": "A machine."}],
    "dolly": [{"instruction": "What is a mill?", "context": "", "response": "A machine.", "category": "open_qa"}],
    "sharegpt": [
        {"conversations": [{"from": "human", "value": "What is a mill?"}, {"from": "gpt", "value": "A machine."}]}
    ],
    "completion": [{"prompt": "What is a mill?", "completion": "A machine."}],
}


def test_identical_content_has_the_same_id_in_every_shape(tmp_path: Path):
    recipe = write_recipe(tmp_path, {name: {"x.jsonl": rows} for name, rows in SAME.items()})
    ledger = run(recipe, tmp_path / "out").ledger
    assert [row["source"] for row in ledger] == sorted(SAME)
    expected = record_id({"messages": orjson.loads(orjson.dumps(SAME["messages"][0]))["messages"]})
    assert {row["id"] for row in ledger} == {expected.hex()}
    assert sum(row["verdict"] == "kept" for row in ledger) == 1
