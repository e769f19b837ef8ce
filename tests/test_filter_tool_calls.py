"""Tool calls: names, arguments, required parameters and types, held against the record's own list."""

import json
from typing import Any

import pytest

from tests.annotated import alone, answers, failed, features, hostile
from transforms.annotate.tool_calls import FAULTS, ToolCalls, faults
from transforms.annotate.tool_schema import fits
from transforms.assemble import assemble
from transforms.filters.tool_calls import FILTER, Settings
from transforms.records import Records

PARAMETERS = {
    "type": "object",
    "properties": {
        "author": {"type": "string"},
        "keywords": {"type": "array", "items": {"type": "string"}},
        "limit": {"type": "integer"},
        "order": {"type": "string", "enum": ["new", "old"]},
    },
    "required": ["keywords"],
}
BOOKS = {"name": "search_books", "description": "Search books", "parameters": PARAMETERS}
WRAPPED = json.dumps([{"type": "function", "function": BOOKS}])


def called(arguments: str | None, name: str = "search_books", tools: str | None = WRAPPED) -> set[str]:
    found = faults({"name": name, "arguments": arguments}, tools)
    return {fault for fault, one in zip(FAULTS, found, strict=True) if one}


@pytest.mark.parametrize("tools", [WRAPPED, json.dumps([BOOKS]), json.dumps(BOOKS)])
def test_calls_are_held_against_either_form_of_list(tools: str):
    assert called('{"keywords": ["mill"], "limit": 3, "order": "new"}', tools=tools) == set()
    assert called('{"keywords": ["mill"], "limit": 3.0, "page": 2}', tools=tools) == set()
    assert called('{"author": "Musk"}', tools=tools) == {"missing"}
    assert called('{"keywords": "mill"}', tools=tools) == {"misfit"}
    assert called('{"keywords": ["mill", 1]}', tools=tools) == {"misfit"}
    assert called('{"keywords": [], "order": "cheap"}', tools=tools) == {"misfit"}
    assert called('{"limit": true}', tools=tools) == {"missing", "misfit"}
    assert called('{"keywords": ["mill"]', tools=tools) == {"arguments"}
    assert called('["mill"]', tools=tools) == {"arguments"}
    assert called("{}", "buy_books", tools=tools) == {"unknown"}
    assert called("", tools=tools) == {"missing"}


def test_without_a_list_only_arguments_are_judged():
    for tools in (None, "", "[]", "{}", "null", "not json", "[1]", '[{"name": 7}]', '"x"', '{"function": null}'):
        assert called('{"a": 1}', tools=tools) == set()
        assert called("a=1", tools=tools) == {"arguments"}


@pytest.mark.parametrize(
    "parameters",
    [None, [], "string", {"query": "what to look for"}, {"properties": [], "required": "all"}, {"required": [1, {}]},
     {"properties": {"a": {"$ref": "#/none"}}}, {"properties": {"a": {"type": "date"}}}, {"properties": {"a": 7}},
     {"properties": {"a": {"type": ["any", 3], "enum": "x"}}}, {"properties": {"a": {"type": {"type": "string"}}}},
     {"properties": {"a": {"anyOf": [1, {"type": "integer"}], "items": [1]}}}],
)  # fmt: skip
def test_odd_schemas_allow_everything(parameters: Any):
    tools = json.dumps([{"name": "f", "parameters": parameters}])
    values: list[Any] = [1, [1], {"b": {}}, None]
    for value in values:
        assert called(json.dumps({"a": value}), "f", tools) <= ({"misfit"} if "anyOf" in tools else set())


def test_the_common_part_of_json_schema():
    inner = {"type": "object", "properties": {"n": {"type": "number"}}, "required": ["n"]}
    right: list[tuple[Any, Any]] = [
        (None, {"type": "string", "nullable": True}), (None, {"type": ["string", "null"]}), (1, {"type": "number"}),
        ([1], {"type": "list"}), (5, {"enum": ["5", "6"]}), (1, {"anyOf": [{"type": "string"}, {"type": "integer"}]}),
        ({"n": 1}, inner),
    ]  # fmt: skip
    wrong: list[tuple[Any, Any]] = [
        (None, {"type": "string"}), ("1", {"type": "integer"}), (1.5, {"type": "int"}), (True, {"type": "number"}),
        (True, {"enum": [1]}), ("a", {"const": "b"}), ([], {"oneOf": [{"type": "string"}]}), ({}, inner), ({"n": "1"}, inner),
    ]  # fmt: skip
    assert [one for one in right if not fits(*one)] == []
    assert [one for one in wrong if fits(*one)] == []
    closed = json.dumps([{"name": "f", "parameters": {"properties": {"a": {}}, "additionalProperties": False}}])
    assert called('{"a": 1}', "f", closed) == set()
    assert called('{"b": 1}', "f", closed) == {"misfit"}
    deep: Any = {"type": "string"}
    for _ in range(200):
        deep = {"type": "array", "items": deep}
    assert fits(json.loads("[" * 200 + "1" + "]" * 200), deep)  # beyond what is looked at


def block(*calls: list[dict[str, Any]], tools: str | None = WRAPPED) -> Records:
    made = []
    for one in calls:
        wrapped = [{"id": None, "type": "function", "function": call} for call in one]
        messages = [{"role": "user", "content": "Books?"}, {"role": "assistant", "content": "", "tool_calls": wrapped}]
        made.append({"messages": messages, "tools": tools})
    return Records(assemble(made, range(len(made)), [0] * len(made)))


def test_faults_are_counted_per_record_and_bounded():
    good = {"name": "search_books", "arguments": '{"keywords": ["mill"]}'}
    bad = {"name": "search_books", "arguments": "{}"}
    found = features(FILTER, block([good, bad, bad], [good], [{"name": "buy", "arguments": ""}]), Settings())
    assert found["tool_calls"].to_pylist() == [3, 1, 1]
    assert found["tool_call_faults"].to_pylist() == [2, 0, 1]
    assert failed(FILTER, block([good, bad, bad], [good], [{"name": "buy", "arguments": ""}])) == [
        {"missing"},
        set(),
        {"unknown"},
    ]
    assert failed(FILTER, block([good, bad, bad]), missing=2) == failed(FILTER, block([bad]), missing=None) == [set()]


def test_any_text_is_measured_and_a_record_alone_as_among_others():
    deep = {"name": "search_books", "arguments": '{"a":' * 5000 + "1" + "}" * 5000}
    assert alone(FILTER, hostile())
    assert alone(FILTER, block([deep], [{"name": "", "arguments": "{}"}]))
    assert ToolCalls()(answers()).num_rows == 0
