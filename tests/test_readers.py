import json
import sys
from pathlib import Path
from typing import Any, cast

import orjson
import pyarrow.parquet as pq
import pytest

from schemas.errors import GristmillError, Unreadable
from tests import reader_samples as samples
from transforms.readers import ReadStats, SourceOptions, convert, list_files, plan_splits, read_rows, sniff
from transforms.readers.json_values import json_values
from transforms.readers.lines import lines
from transforms.readers.registry import SHAPES
from transforms.readers.source import MAX_ROW_BYTES, FileInfo

SHARED = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
PLAIN = SourceOptions()


def file_info(path):
    return FileInfo(str(path), path.name, path.stat().st_size)


def read(path, options=PLAIN, split_bytes=1 << 30):
    """(kind, converted, stats) of one file; checks that every row is accounted for once."""
    file = path if isinstance(path, FileInfo) else file_info(path)
    kind = sniff(file, options)
    stats = ReadStats()
    converted: list[Any] = []
    given: set[tuple[int, int]] = set()
    refused: set[tuple[int, int]] = set()
    for split in plan_splits(file, kind, split_bytes):
        part = ReadStats()
        for one in convert(read_rows(split, options), options, part):
            assert (one.conversation is None) != (one.reason is None)
            (refused if one.conversation is None else given).add((split.number, one.index))
            converted.append(one)
        stats.add(part)
    assert not given & refused
    assert len(given) + len(refused) + stats.consumed == stats.rows
    assert len(refused) == stats.quarantined
    assert stats.records == len([one for one in converted if one.conversation is not None])
    return kind, converted, stats


def conversations(rows, options=PLAIN) -> list[Any]:
    stats = ReadStats()
    return list(convert(((number, None, row) for number, row in enumerate(rows)), options, stats))


def only(row, options=PLAIN):
    (one,) = conversations([row], options)
    assert one.reason is None, one.reason
    return one.conversation


def reason(row, options=PLAIN):
    (one,) = conversations([row], options)
    assert one.conversation is None
    return one.reason


def texts(conversation, key="messages"):
    return [(message["role"], message["content"]) for message in conversation[key]]


# ---- every shape


def test_every_registered_shape_has_a_sample():
    assert {shape.name for shape in SHAPES} == set(samples.SHAPES)


@pytest.mark.parametrize("name", samples.SHAPES)
def test_shape_is_recognised_and_read(name):
    rows, records = samples.SHAPES[name]
    stats = ReadStats()
    out = list(convert(((number, None, row) for number, row in enumerate(rows)), PLAIN, stats))
    assert [one.reason for one in out if one.reason] == []
    assert len(out) == stats.records == records
    assert set(stats.shapes) == {name}
    for one in out:
        order = [
            "messages",
            "tools",
            "chosen",
            "rejected",
            "label",
            "task",
            "language",
            "license",
            "generator",
            "origin",
            "extra",
        ]
        assert one.conversation is not None
        assert list(one.conversation) == [key for key in order if key in one.conversation]
        orjson.dumps(one.conversation)


@pytest.mark.parametrize("container", samples.JSON_CONTAINERS)
@pytest.mark.parametrize("name", samples.SHAPES)
def test_every_shape_in_every_json_container(tmp_path, name, container):
    rows, records = samples.SHAPES[name]
    path = samples.write(tmp_path, "data.bin", samples.JSON_CONTAINERS[container](rows))
    kind, converted, stats = read(path)
    assert kind.shapes == (name,)
    assert kind.sample_rows == len(rows)
    assert stats.records == records
    assert [one.conversation for one in converted] == [one.conversation for one in conversations(rows)]


@pytest.mark.parametrize("container", samples.FLAT_CONTAINERS)
def test_flat_rows_in_every_table_container(tmp_path, container):
    path = samples.write(tmp_path, "data", samples.FLAT_CONTAINERS[container](samples.FLAT_ROWS))
    kind, converted, _ = read(path)
    assert kind.shapes == ("alpaca",)
    assert [one.conversation for one in converted] == [one.conversation for one in conversations(samples.FLAT_ROWS)]


@pytest.mark.parametrize("name", ["sharegpt", "oasst_flat", "oasst_nested", "self_instruct", "toolbench"])
def test_columnar_files_fill_missing_fields_with_null(tmp_path, name):
    rows = samples.SHAPES[name][0]
    if name == "toolbench":
        rows = [
            {"messages": rows[0]["answer_generation"]["train_messages"][1], "tools": None},
            {"messages": samples.TURNS},
        ]
    path = samples.write(tmp_path, "m.parquet", samples.parquet(rows))
    _, converted, _ = read(path)
    assert [one.conversation for one in converted] == [one.conversation for one in conversations(rows)]


def test_released_record_reads_back_as_itself():
    for name in ("messages", "preference", "kto"):
        for first in conversations(samples.SHAPES[name][0]):
            extra = json.dumps(first.conversation.get("extra", {}))
            row = {
                **first.conversation,
                "extra": extra,
                "provenance": {"file": "a", "index": 0},
                "source": "s",
                "words": 9,
            }
            assert only(row) == first.conversation


# ---- what the shapes decide


def test_alpaca_puts_the_input_under_a_blank_line():
    assert texts(only({"instruction": "Add.", "input": "1 2", "output": "3"}))[0] == ("user", "Add.\n\n1 2")


def test_alpaca_history_and_system():
    row = {"instruction": "c", "output": "d", "history": [["a", "b"]], "system": "s"}
    assert [role for role, _ in texts(only(row))] == ["system", "user", "assistant", "user", "assistant"]


def test_two_answer_columns():
    assert texts(only({"instruction": "a", "output": "", "response": "r"}))[1] == ("assistant", "r")
    assert texts(only({"instruction": "a", "output": "r", "response": "r"}))[1] == ("assistant", "r")
    assert '"output" and "response"' in reason({"instruction": "a", "output": "x", "response": "y"})


def test_leftover_columns_are_kept():
    conversation = only({"instruction": "a", "output": "b", "id": 3, "lang": "de", "task": "t", "none": None})
    assert conversation["extra"] == {"id": 3}
    assert conversation["language"] == "de"
    assert conversation["task"] == "t"


def test_dolly_category_is_the_task():
    conversation = only(samples.SHAPES["dolly"][0][0])
    assert conversation["task"] == "closed_qa"
    assert conversation["extra"] == {"id": 7}
    assert texts(conversation)[0][1] == "Who?\n\nAda wrote it."


def test_prompt_completion_undoes_file_conventions():
    row = {"prompt": "Q\n\n###\n\n", "completion": " A<|endoftext|>"}
    assert texts(only(row)) == [("user", "Q"), ("assistant", "A")]


def test_rationale_and_answer():
    conversation = only({"question": "q", "answer": "yes", "rationale": "Because."})
    assert texts(conversation)[1][1] == "Because.\nThe answer is yes."
    assert conversation["extra"] == {"answer": "yes", "rationale": "Because."}
    assert conversation["task"] == "reasoning"
    assert "task" not in only({"question": "q", "answer": "yes"})


def test_openai_messages():
    conversation = only(samples.SHAPES["messages"][0][1])
    system, user, call, tool, answer = conversation["messages"]
    assert system == {"role": "system", "content": "Be brief."}
    assert user["name"] == "kim"
    assert call["content"] == ""
    assert call["tool_calls"][0] == {
        "id": "c1",
        "type": "function",
        "function": {"name": "weather", "arguments": "{}"},
    }
    assert tool["tool_call_id"] == "c1"
    assert answer["weight"] == 0.5
    assert json.loads(conversation["tools"])[0]["function"]["name"] == "weather"


def test_typed_parts_and_reasoning():
    parts = [
        {"type": "reasoning", "value": "hm"},
        {"type": "tool_call", "value": '{"name": "f", "arguments": {"a": "é"}}'},
        {"type": "text", "value": "done"},
    ]
    message = only({"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": parts}]})[
        "messages"
    ][1]
    assert message["content"] == "done"
    assert message["reasoning_content"] == "hm"
    assert message["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"a":"é"}'}


def test_default_weights_are_the_same_conversation():
    turns = [{**turn, "loss_weight": 1.0 if turn["role"] == "assistant" else 0.0} for turn in samples.TURNS]
    assert only({"messages": turns}) == only({"messages": samples.TURNS})


def test_sharegpt_function_calls():
    conversation = only(samples.SHAPES["sharegpt"][0][1])
    assert [message["role"] for message in conversation["messages"]] == [
        "system",
        "user",
        "assistant",
        "tool",
        "assistant",
    ]
    assert conversation["messages"][2]["tool_calls"][0]["function"]["arguments"] == '{"town":"Bonn"}'


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"messages": [{"role": "wizard", "content": "x"}]}, "unknown role 'wizard'"),
        ({"messages": []}, "empty conversation"),
        ({"messages": [{"role": "user", "content": "x"}]}, "without an assistant message"),
        ({"messages": [{"role": "user", "content": 5}]}, "user message is a number"),
        ({"messages": [{"role": "user", "content": None}]}, "user message has no content"),
        ({"messages": "hello"}, '"messages" is a string'),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "u"}]}]}, "image_url"),
        ({"conversations": [{"from": "function_call", "value": "not json"}]}, "function call"),
        ({"messages": samples.TURNS, "tools": "{"}, '"tools"'),
        ({"instruction": 5, "output": "x"}, '"instruction" is a number'),
        ({"text": "Once upon a time."}, "plain text is not a conversation"),
        ({"colour": "red"}, "colour"),
        ({}, "no known shape"),
        (["a"], "a row is a list"),
        (7, "a row is a number"),
        ({"chosen": "yes", "rejected": "no"}, "without a prompt"),
        ({"instruction": "a", "output": "b", "history": [["x"]]}, '"history"'),
        ({"utterances": [{"speaker": "ghost", "text": "x"}]}, "ghost"),
    ],
)
def test_reasons_name_what_was_found(row, words):
    assert words in reason(row)


def test_preference_sides():
    conversation = only(samples.SHAPES["preference"][0][0])
    assert texts(conversation) == [("user", "Best tea?"), ("assistant", "Green.")]
    assert texts(conversation, "chosen") == [("assistant", "Green.")]
    assert texts(conversation, "rejected") == [("assistant", "None.")]
    ultra = only({"prompt": "Name a river.", "chosen": samples.TURNS, "rejected": samples.TURNS})
    assert texts(ultra, "chosen") == texts(ultra, "rejected") == [("assistant", "The Oder.")]
    hh = only(samples.SHAPES["hh"][0][0])
    assert texts(hh)[0] == ("user", "Is it late?")
    assert texts(hh, "rejected") == [("assistant", "No idea.")]


def test_kto_label_must_be_a_boolean():
    assert only({"messages": samples.TURNS, "label": False})["label"] is False
    assert only({"messages": samples.TURNS, "label": "sports"})["extra"] == {"label": "sports"}


def test_taskmaster_calls_follow_their_utterance():
    conversation = only(samples.SHAPES["taskmaster"][0][0])
    assert texts(conversation) == [
        ("user", "A roll please"),
        ("assistant", ""),
        ("tool", '{"id": 4}'),
        ("assistant", "Here\nyou are."),
    ]
    call = conversation["messages"][1]["tool_calls"][0]
    assert call == {
        "id": "call_0",
        "type": "function",
        "function": {"name": "find", "arguments": '{"q": "roll"}'},
    }
    assert conversation["messages"][2]["tool_call_id"] == "call_0"
    assert conversation["task"] == "Bakery"


def test_natural_instructions_takes_the_first_output():
    conversation = only(samples.SHAPES["natural_instructions"][0][0])
    assert texts(conversation)[1][1] == "cold"
    assert conversation["extra"]["other_outputs"] == ["chilly"]
    assert conversation["task"] == "Antonyms"


def test_oasst_paths_end_at_assistants():
    out = conversations(samples.SHAPES["oasst_flat"][0])
    assert [(one.index, len(one.conversation["messages"])) for one in out] == [(1, 2), (4, 4)]
    best = conversations(samples.SHAPES["oasst_flat"][0], SourceOptions(trees="best"))
    assert [one.index for one in best] == [4]
    nested = conversations(samples.SHAPES["oasst_nested"][0], SourceOptions(trees="best"))
    assert [texts(one.conversation)[-1][1] for one in nested] == ["Good day"]


def test_oasst_accounts_for_rows_no_thread_can_use():
    rows = [
        {"message_id": "a", "parent_id": None, "role": "prompter", "text": "q"},
        {"message_id": "b", "parent_id": "a", "role": "assistant", "text": "r"},
        {"message_id": "b", "parent_id": "a", "role": "assistant", "text": "again"},
        {"message_id": "c", "parent_id": "nowhere", "role": "assistant", "text": "r"},
        {"message_id": "d", "parent_id": "e", "role": "prompter", "text": "loop"},
        {"message_id": "e", "parent_id": "d", "role": "assistant", "text": "loop"},
        {"message_id": "f", "parent_id": None, "role": "prompter", "text": "nobody answers"},
        {"message_id": "g", "parent_id": "a", "role": "assistant", "text": "gone", "deleted": True},
    ]
    out = conversations(rows)
    assert [one.index for one in out if one.conversation] == [1]
    found = {one.index: one.reason for one in out if one.reason}
    assert set(found) == {2, 3, 4, 5, 6, 7}
    assert "twice" in found[2]
    assert "not in this file" in found[3]
    assert "loop" in found[4]
    assert "without an assistant" in found[6]
    assert "deleted" in found[7]


def test_long_chains_do_not_explode():
    rows = [
        {
            "message_id": str(number),
            "parent_id": str(number - 1) if number else None,
            "role": "assistant",
            "text": "x",
        }
        for number in range(3000)
    ]
    (one,) = conversations(rows)
    assert "longer than" in one.reason


# ---- options


def test_columns_by_hand(tmp_path):
    rows = [{"q": {"text": "Why?"}, "replies": ["So.", "Hm."], "lang": "en", "n": 1, "input": "hidden"}]
    options = SourceOptions(columns=(("instruction", "q.text"), ("output", "replies.0"), ("language", "lang")))
    conversation = only(rows[0], options)
    assert texts(conversation) == [("user", "Why?"), ("assistant", "So.")]
    assert conversation["language"] == "en"
    assert conversation["extra"] == {"n": 1, "input": "hidden"}
    path = samples.write(tmp_path, "x", samples.jsonl(rows))
    assert sniff(file_info(path), options).shapes == ("alpaca",)
    with pytest.raises(GristmillError, match=r'no column "nope".*its columns are .q, replies'):
        sniff(file_info(path), SourceOptions(columns=(("instruction", "q.text"), ("output", "nope"))))
    with pytest.raises(GristmillError, match='do you mean "output"'):
        conversations(rows, SourceOptions(columns=(("outputt", "a"), ("instruction", "q"))))
    pair = SourceOptions(columns=(("instruction", "a"), ("chosen", "b"), ("rejected", "c")))
    assert texts(only({"a": "q", "b": "good", "c": "bad"}, pair), "rejected") == [("assistant", "bad")]


def test_shape_by_hand():
    with pytest.raises(GristmillError, match='do you mean "alpaca"'):
        conversations([{}], SourceOptions(shape="alpacca"))
    assert "not of the shape" in reason({"messages": samples.TURNS}, SourceOptions(shape="alpaca"))


def test_placeholders_are_literal():
    row = {"instruction": "Who are you?", "output": "I am {{name}} by {{author}}."}
    options = SourceOptions(placeholders=(("name", "Mill"),))
    assert texts(only(row, options))[1][1] == "I am Mill by {{author}}."


def test_repair_reaches_every_string(tmp_path):
    bad = "a\x00\r\nb"
    turns = [
        {"role": "user", "content": bad, "name": bad},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": bad, "function": {"name": bad, "arguments": bad}}],
        },
        {"role": "tool", "content": bad, "tool_call_id": bad},
        {"role": "assistant", "content": bad, "reasoning_content": bad},
    ]
    path = samples.write(tmp_path, "x", samples.jsonl([{"messages": turns, "task": bad, "k\r": [{bad: bad}]}]))
    _, (one,), stats = read(path)
    flat = json.dumps(one.conversation)
    assert "\\u0000" not in flat
    assert "\\r" not in flat
    assert stats.repaired["control"] == stats.repaired["newline"] - 1


# ---- containers


def test_lines_are_cut_at_line_feeds_only(tmp_path):
    rows = [{"instruction": "a\x85b\u2028c", "output": "d\x1ce"}, {"instruction": "f", "output": "g"}]
    path = samples.write(tmp_path, "x.json", b"\n\n" + samples.jsonl(rows).replace(b"\n", b"\r\n\n"))
    kind, converted, _ = read(path)
    assert kind.container == "jsonl"
    assert [one.index for one in converted] == [0, 1]
    assert texts(converted[0].conversation)[0][1] == "a\x85b\u2028c"


def test_raw_controls_in_json_are_read_and_repaired(tmp_path):
    path = samples.write(tmp_path, "x", b'{"instruction": "a\x01b", "output": "c"}\n')
    _, (one,), stats = read(path)
    assert texts(one.conversation)[0][1] == "ab"
    assert stats.repaired == {"control": 1}


def test_lone_surrogates_and_nan_are_read(tmp_path):
    content = b'{"instruction": "a\\ud800", "output": "b", "score": NaN, "big": 123456789012345678901234567890}\n'
    _, (one,), stats = read(samples.write(tmp_path, "x", content))
    assert texts(one.conversation)[0][1] == "a\ufffd"
    assert one.conversation["extra"] == {"big": "123456789012345678901234567890", "score": None}
    assert stats.repaired == {"surrogate": 1}


def test_bad_rows_keep_their_bytes(tmp_path):
    good = samples.jsonl(samples.SHAPES["dolly"][0])
    bad = b'{"instruction": "cut off'
    _, converted, _ = read(samples.write(tmp_path, "x", good + bad + b"\n" + good))
    assert [one.conversation is None for one in converted] == [False, True, False]
    assert converted[1].raw == bad
    assert "not JSON" in converted[1].reason


def test_one_bad_element_of_an_array_is_one_row(tmp_path):
    good = json.dumps(samples.SHAPES["dolly"][0][0], indent=1).encode()
    content = b"[\n" + good + b",\n{'instruction': oops},\n" + good + b"\n]\n"
    _, converted, _ = read(samples.write(tmp_path, "x", content))
    assert [one.conversation is None for one in converted] == [False, True, False]
    assert converted[1].raw == b"{'instruction': oops}"


def test_truncated_array_and_trailing_garbage(tmp_path):
    content = samples.pretty(samples.SHAPES["alpaca"][0])
    _, converted, _ = read(samples.write(tmp_path, "cut", content[:-20]))
    assert [one.conversation is None for one in converted] == [False, False, True]
    assert "middle of a value" in converted[2].reason
    _, converted, _ = read(samples.write(tmp_path, "more", content + b"\nrubbish"))
    assert [one.conversation is None for one in converted] == [False, False, False, True]
    assert converted[3].raw == b"rubbish"


@pytest.mark.parametrize("window", [1, 2, 3, 7, 64, 10_000])
def test_array_scan_is_the_same_in_any_window(window):
    tricky = [
        {"a": 'q"\\'},
        {"b": "\\\\\\"},
        "x,]}",
        5,
        None,
        [1, [2, "}"]],
        {"c": {"d": '\\"],{'}},
        "",
        {},
        [],
    ]
    for content in (json.dumps(tricky, indent=2), json.dumps(tricky), f"  \n{json.dumps(tricky)}  \n"):
        raw = content.encode()
        found: list[Any] = list(json_values(raw[start : start + window] for start in range(0, len(raw), window)))
        assert [orjson.loads(value) for value in found] == tricky
    raw = b'{"a": 1}\n {"b":\n "}"}{"c": [{}]}'
    found = list(json_values(raw[start : start + window] for start in range(0, len(raw), window)))
    assert [orjson.loads(value) for value in found] == [{"a": 1}, {"b": "}"}, {"c": [{}]}]


def test_rows_over_the_limit_are_cut():
    chunks = [b"x" * (1 << 20)] * (MAX_ROW_BYTES // (1 << 20) + 2) + [b"\nshort\n"]
    (kept, why), short = cast(Any, list(lines(iter(chunks))))
    assert isinstance(why, Unreadable)
    assert str(MAX_ROW_BYTES) in str(why)
    assert len(kept) < 1 << 20
    assert short == b"short"
    quoted = [b'["'] + chunks[:-1] + [b'", 5]']
    (kept, why), five = cast(Any, list(json_values(iter(quoted))))
    assert isinstance(why, Unreadable)
    assert five == b"5"


@pytest.mark.parametrize("container", ["jsonl.gz", "jsonl.zst", "json.gz"])
def test_cut_off_compression_delivers_what_is_whole(tmp_path, container):
    rows = [{"instruction": f"Say {number * 7919 % 1000}", "output": f"{number**5}"} for number in range(5000)]
    content = samples.JSON_CONTAINERS[container](rows)
    _, converted, stats = read(samples.write(tmp_path, "x", content[: len(content) * 2 // 3]))
    assert stats.records > 500 or container.endswith("zst")
    assert stats.quarantined in (1, 2)
    assert "decompressed" in converted[-1].reason


def test_plain_tsv(tmp_path):
    content = b'Is "it" so?\\nThink.\tyes\t"It" is.\n"Start" of it\tno\tWell\n'
    kind, converted, _ = read(samples.write(tmp_path, "x", content))
    assert (kind.container, kind.columns, kind.splittable) == (
        "tsv",
        ("question", "answer", "rationale"),
        True,
    )
    assert texts(converted[0].conversation) == [
        ("user", 'Is "it" so?\nThink.'),
        ("assistant", '"It" is.\nThe answer is yes.'),
    ]
    kind, converted, stats = read(samples.write(tmp_path, "y", b"question\tanswer\n" + b"a\tb\n" * 50 + b"lonely\n"))
    assert kind.header == ("question", "answer")
    assert (stats.records, stats.quarantined) == (50, 1)


@pytest.mark.parametrize("container", ["jsonl", "tsv", "parquet", "jsonl-bom", "jsonl-crlf"])
@pytest.mark.parametrize("split_bytes", [1, 5, 37, 150, 1000, 10**6])
def test_any_split_size_gives_the_same_rows(tmp_path, container, split_bytes):
    rows = [{"question": f"q{number} é" + "x" * (number * 7 % 90), "answer": str(number)} for number in range(40)]
    if container == "tsv":
        content = b"question\tanswer\n" + b"".join(f"{row['question']}\t{row['answer']}\n".encode() for row in rows)
    elif container == "parquet":
        content = samples.parquet(rows, group=3)
    else:
        content = samples.JSON_CONTAINERS[container](rows)
    path = samples.write(tmp_path, "x", content)
    _, whole, _ = read(path)
    _, parts, stats = read(path, split_bytes=split_bytes)
    assert stats.rows == 40
    assert [one.conversation for one in parts] == [one.conversation for one in whole]


def test_trees_are_never_split(tmp_path):
    path = samples.write(tmp_path, "x", samples.jsonl(samples.SHAPES["oasst_flat"][0]))
    kind, _, stats = read(path, split_bytes=10)
    assert not kind.splittable
    assert stats.records == 2


def test_mixed_key_sets_in_one_file(tmp_path):
    rows = [row for name in ("alpaca", "sharegpt", "kto") for row in samples.SHAPES[name][0]] * 3
    kind, _, stats = read(samples.write(tmp_path, "x", samples.pretty(rows)))
    assert kind.shapes == ("alpaca", "sharegpt", "kto")
    assert stats.records == len(rows)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "0 bytes"),
        (b" \n\n", "blanks"),
        (b"PK\x03\x04abc", "zip archive"),
        (b"PAR1 and then nothing", "Parquet"),
        (b"\x1f\x8b\x08 and then nothing", "gzip"),
        (bytes(range(128, 256)) * 9, "neither text nor"),
        (b"ARROW1\x00\x00 and then nothing", "arrow"),
    ],
)
def test_a_file_that_cannot_be_read_at_all(tmp_path, content, words):
    path = samples.write(tmp_path, "bad.json", content)
    with pytest.raises(GristmillError, match=words) as caught:
        read(path)
    assert "bad.json" in str(caught.value)


def test_plain_text_is_one_quarantined_row(tmp_path):
    kind, (one,), _ = read(samples.write(tmp_path, "x.txt", b"It was a dark, stormy night.\nIt rained, too.\n" * 9))
    assert (kind.container, kind.shapes) == ("text", ())
    assert "plain text" in one.reason


# ---- listing


def test_listing(tmp_path):
    for name in (
        "a/x.jsonl",
        "a/ü.json",
        "a/.hidden",
        "a/README.md",
        "a/deep/y.csv",
        "a/LICENSE",
        "b.jsonl",
        "c[1].jsonl",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    base = str(tmp_path)
    assert [file.name for file in list_files("a", base)] == ["deep/y.csv", "x.jsonl", "ü.json"]
    assert [file.name for file in list_files("**/*.json*", base)] == [
        "a/x.jsonl",
        "a/ü.json",
        "b.jsonl",
        "c[1].jsonl",
    ]
    assert [file.name for file in list_files("a/?.jsonl", base)] == ["x.jsonl"]
    assert [file.name for file in list_files("a/[xy].jsonl", base)] == ["x.jsonl"]
    assert [file.name for file in list_files("c[1].jsonl", base)] == ["c[1].jsonl"]
    (readme,) = list_files("a/README.md", base)
    assert (readme.name, readme.size, readme.path) == ("README.md", 2, str(tmp_path / "a/README.md"))
    assert [file.name for file in list_files(f"file://{tmp_path}/a", "/")] == [
        "deep/y.csv",
        "x.jsonl",
        "ü.json",
    ]
    for missing in ("nothing", "a/*.parquet", "nothing/**"):
        with pytest.raises(GristmillError, match="matches no file"):
            list_files(missing, base)


def test_saved_dataset_folder(tmp_path):
    datasets = pytest.importorskip("datasets")
    data = datasets.Dataset.from_list(samples.FLAT_ROWS)
    data.save_to_disk(str(tmp_path / "one"))
    datasets.DatasetDict({"train": data, "test": data}).save_to_disk(str(tmp_path / "two"))
    (file,) = list_files("one", str(tmp_path))
    assert file.name == "data-00000-of-00001.arrow"
    assert read(file)[2].records == 3
    names = [file.name for file in list_files("two", str(tmp_path))]
    assert names == ["test/data-00000-of-00001.arrow", "train/data-00000-of-00001.arrow"]
    assert len(list_files(".", str(tmp_path))) == 3


def test_hub_source_opens_a_local_folder(tmp_path):
    pytest.importorskip("datasets")
    samples.write(tmp_path, "train.jsonl", samples.jsonl(samples.FLAT_ROWS))
    (file,) = list_files(f"hub:{tmp_path}#train", "/")
    kind, _, stats = read(file)
    assert (kind.container, kind.shapes, stats.records) == ("hub", ("alpaca",), 3)
    with pytest.raises(GristmillError, match="cannot be opened"):
        sniff(list_files(f"hub:{tmp_path}#nosplit", "/")[0], PLAIN)
    with pytest.raises(GristmillError, match="owner/name"):
        list_files("hub:", "/")


def test_hub_address_reaches_load_dataset(monkeypatch):
    datasets = pytest.importorskip("datasets")
    asked: dict[str, Any] = {}

    def load_dataset(path, name=None, **more):
        asked.update(path=path, name=name, **more)
        return samples.FLAT_ROWS

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    (file,) = list_files("hub:mill/flour:fine@v2#test", "/")
    assert file.name == "mill/flour:fine@v2#test"
    assert read(file)[2].records == 3
    assert asked == {
        "path": "mill/flour",
        "name": "fine",
        "revision": "v2",
        "split": "test",
        "streaming": True,
    }


def test_remote_files_go_through_fsspec():
    fsspec = pytest.importorskip("fsspec")
    content = samples.jsonl(samples.FLAT_ROWS)
    fsspec.filesystem("memory").pipe_file("/bucket-of-readers/in/x.jsonl", content)
    try:
        (file,) = list_files("memory://bucket-of-readers/in/*.jsonl", "/")
        assert (file.name, file.path, file.size) == ("x.jsonl", "memory://bucket-of-readers/in/x.jsonl", len(content))
        assert read(file, split_bytes=30)[2].records == 3
    finally:
        fsspec.filesystem("memory").rm("/bucket-of-readers", recursive=True)


def test_importing_readers_brings_no_beam():
    import subprocess

    code = "import sys, transforms.readers; sys.exit('apache_beam' in sys.modules or 'datasets' in sys.modules)"
    root = Path(__file__).resolve().parent.parent
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


# ---- the real files

REAL = {
    "human/dolly-15k-en.jsonl": ("dolly", 13536),
    "human/seed_tasks.jsonl": ("self_instruct", 175),
    "human/oasst_realistic_seed_data.json": ("oasst_flat", 158),
    "cot/gsm8k-train.jsonl": ("question_answer", 6703),
    "cot/flan-gsm8k.tsv": ("question_answer", 6703),
    "cot/creak_train.tsv": ("question_answer", 6915),
    "cot/ecqa_train.tsv": ("question_answer", 7112),
    "cot/strategyqa_train.tsv": ("question_answer", 2061),
    "cot/aqua_train.tsv": ("question_answer", 2728),
    "multiturn-tools": ("taskmaster", 1500),
    "synthetic/toolformer-dedupe-only-dataset.json": ("alpaca", 7673),
    "synthetic/codegen-instruct.json": ("alpaca", 4535),
    "synthetic/dummy_conversation.json": ("sharegpt", 500),
    "demos/glaive_toolcall_en_demo.json": ("sharegpt", 300),
    "demos/glaive_toolcall_zh_demo.json": ("sharegpt", 300),
    "demos/reason_tool_use_demo_50.jsonl": ("messages", 50),
    "demos/dpo_en_demo.json": ("preference", 300),
    "demos/v1_dpo_demo.jsonl": ("preference", 10),
    "demos/kto_en_demo.json": ("kto", 300),
    "demos/identity.json": ("alpaca", 91),
    "multilingual/dolly-fi-3000.jsonl": ("dolly", 3000),
    "multilingual/zh-supplement": ("alpaca", 10281),
    "prompt-completion": ("prompt_completion", 4000),
    "agent/*.traj": ("swe_agent", 4),
    "agent/toolbench/*_w2.json": ("toolbench", 8),
}
# What real data has that no reader can use.
REAL_REASONS = {
    "multilingual/zh-supplement": ['"instruction" is empty'],
    "agent/toolbench/*_w2.json": ["a tool search"] * 6,
}


@pytest.mark.skipif(not SHARED.exists(), reason="the shared data folder is not beside this checkout")
@pytest.mark.parametrize("source", REAL)
def test_real_data(source):
    shape, records = REAL[source]
    total = ReadStats()
    reasons = []
    for file in list_files(source, str(SHARED)):
        kind, converted, stats = read(file, split_bytes=1 << 20)
        assert kind.shapes == (shape,) or stats.records == 0
        total.add(stats)
        reasons += [one.reason for one in converted if one.reason]
    assert total.records == records
    expected = REAL_REASONS.get(source, [])
    assert len(reasons) == len(expected)
    assert all(found.startswith(wanted) for found, wanted in zip(reasons, expected, strict=True))


@pytest.mark.skipif(not SHARED.exists(), reason="the shared data folder is not beside this checkout")
@pytest.mark.parametrize("source", ["demos/c4_demo.jsonl", "demos/wiki_demo.txt", "plain"])
def test_real_plain_text_is_no_conversation(source):
    for file in list_files(source, str(SHARED)):
        kind, converted, stats = read(file)
        assert kind.shapes == ()
        assert stats.records == 0
        assert all("plain text" in one.reason for one in converted)


def test_parquet_splits_cover_all_row_groups(tmp_path):
    path = samples.write(tmp_path, "x", samples.parquet(samples.FLAT_ROWS * 5, group=2))
    splits = plan_splits(file_info(path), sniff(file_info(path), PLAIN), 1)
    assert [split.number for split in splits] == list(range(pq.ParquetFile(path).num_row_groups))
    assert len({(split.start, split.end) for split in splits}) == 8


def test_repair_of_trees_looks_at_every_message_of_a_path(tmp_path):
    rows = samples.SHAPES["oasst_flat"][0]
    rows = [{**rows[0], "text": "a\r\nb"}, *rows[1:]]
    _, converted, _ = read(samples.write(tmp_path, "x", samples.compact(rows)))
    assert {texts(one.conversation)[0][1] for one in converted} == {"a\nb"}
