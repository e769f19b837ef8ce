"""Small samples of every shape in our own words, and writers for every container."""

import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

TURNS = [{"role": "user", "content": "Name a river."}, {"role": "assistant", "content": "The Oder."}]
SHARED_TURNS = [{"from": "human", "value": "Name a lake."}, {"from": "gpt", "value": "Lake Constance."}]
TOOL = {
    "name": "weather",
    "description": "Weather of a town",
    "parameters": {"type": "object", "properties": {}},
}


def _flat(identity, parent, role, text, **more):
    return {"message_id": identity, "parent_id": parent, "role": role, "text": text, **more}


# shape name -> (rows, number of records)
SHAPES: dict[str, Any] = {
    "alpaca": (
        [
            {"instruction": "Add the numbers.", "input": "2 and 3", "output": "5"},
            {"instruction": "Say hello.", "output": "Hello!"},
            {"instruction": "And now?", "input": "", "response": "Goodbye.", "history": [["Hi", "Hello"]]},
        ],
        3,
    ),
    "dolly": (
        [
            {
                "instruction": "Who?",
                "context": "Ada wrote it.",
                "response": "Ada.",
                "category": "closed_qa",
                "id": 7,
            }
        ],
        1,
    ),
    "prompt_completion": (
        [
            {"prompt": "Capital of Peru?", "completion": " Lima<|endoftext|>"},
            {"prompt": [TURNS[0]], "completion": [TURNS[1]]},
        ],
        2,
    ),
    "question_answer": (
        [
            {"question": "1+1?", "answer": "Two ones.\n#### 2"},
            {"question": "Is ice cold?", "answer": "yes", "rationale": "Ice is frozen water."},
        ],
        2,
    ),
    "messages": (
        [
            {"messages": TURNS, "id": "a"},
            {
                "messages": [
                    {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
                    {"role": "user", "content": "Weather?", "name": "kim"},
                    {
                        "role": "assistant",
                        "content": None,
                        "tool_calls": [
                            {
                                "id": "c1",
                                "type": "function",
                                "function": {"name": "weather", "arguments": "{}"},
                            }
                        ],
                    },
                    {"role": "tool", "tool_call_id": "c1", "content": "rain"},
                    {"role": "assistant", "content": "It rains.", "weight": 0.5},
                ],
                "tools": [TOOL],
            },
        ],
        2,
    ),
    "sharegpt": (
        [
            {"id": "s0", "conversations": SHARED_TURNS},
            {
                "conversations": [
                    {"from": "human", "value": "Weather in Bonn?"},
                    {"from": "function_call", "value": '{"name": "weather", "arguments": {"town": "Bonn"}}'},
                    {"from": "observation", "value": '{"sky": "blue"}'},
                    {"from": "gpt", "value": "The sky is blue."},
                ],
                "tools": json.dumps([TOOL]),
                "system": "You know the weather.",
            },
        ],
        2,
    ),
    "oasst_flat": (
        [
            _flat("a", None, "prompter", "Tell a joke", lang="en"),
            _flat("b", "a", "assistant", "Knock knock", rank=1, lang="en"),
            _flat("c", "a", "assistant", "A horse walks in", rank=0, lang="en"),
            _flat("d", "c", "prompter", "And then?", lang="en"),
            _flat("e", "d", "assistant", "It left.", rank=0, lang="en"),
            _flat("f", "b", "prompter", "Who is there?", lang="en"),
        ],
        2,
    ),
    "oasst_nested": (
        [
            {
                "message_tree_id": "t",
                "prompt": {
                    "message_id": "a",
                    "text": "Hi",
                    "role": "prompter",
                    "replies": [
                        {"message_id": "b", "text": "Hello", "role": "assistant", "rank": 1, "replies": []},
                        {
                            "message_id": "c",
                            "text": "Good day",
                            "role": "assistant",
                            "rank": 0,
                            "replies": [],
                        },
                    ],
                },
            }
        ],
        2,
    ),
    "self_instruct": (
        [
            {
                "id": "t1",
                "instruction": "Turn it round.",
                "instances": [{"input": "abc", "output": "cba"}, {"input": "xy", "output": "yx"}],
            }
        ],
        2,
    ),
    "natural_instructions": (
        [
            {
                "Definition": ["Say the opposite."],
                "Categories": ["Antonyms"],
                "Positive Examples": [{"input": "up", "output": "down"}],
                "Instances": [{"id": "i1", "input": "hot", "output": ["cold", "chilly"]}],
                "Output_language": ["English"],
            }
        ],
        1,
    ),
    "taskmaster": (
        [
            {
                "conversation_id": "d1",
                "vertical": "Bakery",
                "instructions": None,
                "utterances": [
                    {
                        "speaker": "user",
                        "text": "A roll please",
                        "annotations": [
                            {"name": "api_call", "value": "find", "context": "api_call_0"},
                            {"name": "request", "value": '{"q": "roll"}', "context": "api_call_0"},
                            {"name": "api_response", "value": "find", "context": "api_response_0"},
                            {"name": "response", "value": '{"id": 4}', "context": "api_response_0"},
                        ],
                    },
                    {"speaker": "assistant", "text": "Here", "annotations": []},
                    {"speaker": "assistant", "text": "you are.", "annotations": []},
                ],
            }
        ],
        1,
    ),
    "hh": (
        [
            {
                "chosen": "\n\nHuman: Is it late?\n\nAssistant: Yes, past ten.",
                "rejected": "\n\nHuman: Is it late?\n\nAssistant: No idea.",
            }
        ],
        1,
    ),
    "transcript": ([{"text": "Human: Ready?\n\nAssistant: Ready."}], 1),
    "preference": (
        [
            {"prompt": "Best tea?", "chosen": "Green.", "rejected": "None."},
            {
                "conversations": SHARED_TURNS[:1],
                "chosen": SHARED_TURNS[1],
                "rejected": {"from": "gpt", "value": "A puddle."},
            },
            {"chosen": TURNS, "rejected": [TURNS[0], {"role": "assistant", "content": "No."}], "score": 3},
        ],
        3,
    ),
    "kto": (
        [{"messages": TURNS, "label": True}, {"prompt": "Hm?", "completion": "What?", "label": False}],
        2,
    ),
    "swe_agent": (
        [
            {
                "environment": "lab",
                "trajectory": [{"action": "ls"}],
                "history": [
                    {"role": "system", "content": "You fix bugs.", "agent": "main"},
                    {"role": "user", "content": "Fix it.", "agent": "main"},
                    {"role": "assistant", "content": "ls", "thought": "look", "action": "ls"},
                ],
                "info": {"exit_status": "submitted"},
            }
        ],
        1,
    ),
    "toolbench": (
        [
            {
                "win": True,
                "answer_generation": {
                    "finish_type": "give_answer",
                    "query": "Where is it?",
                    "function": [TOOL],
                    "train_messages": [
                        [{"role": "user", "content": "Where is it?"}],
                        [
                            {"role": "user", "content": "Where is it?"},
                            {
                                "role": "assistant",
                                "content": None,
                                "function_call": {"name": "Finish", "arguments": '{"final_answer": "Here."}'},
                            },
                        ],
                    ],
                },
            }
        ],
        1,
    ),
}


def jsonl(rows) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


def pretty(rows) -> bytes:
    return json.dumps(rows, ensure_ascii=False, indent=2).encode()


def compact(rows) -> bytes:
    return json.dumps(rows, ensure_ascii=True).encode()


def table(rows, delimiter) -> bytes:
    """A quoted table of rows that all have the same flat columns."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), delimiter=delimiter, quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def _arrow_table(rows) -> pa.Table:
    keys = {key: None for row in rows for key in row}
    return pa.Table.from_pylist([{**keys, **row} for row in rows])


def parquet(rows, group=2) -> bytes:
    out = io.BytesIO()
    pq.write_table(_arrow_table(rows), out, row_group_size=group)
    return out.getvalue()


def arrow(rows, stream=False) -> bytes:
    out = io.BytesIO()
    data = _arrow_table(rows)
    with (pa.ipc.new_stream if stream else pa.ipc.new_file)(out, data.schema) as writer:
        writer.write_table(data, max_chunksize=2)
    return out.getvalue()


JSON_CONTAINERS: dict[str, Callable[..., bytes]] = {
    "jsonl": jsonl,
    "json-pretty": pretty,
    "json-compact": compact,
    "jsonl.gz": lambda rows: gzip.compress(jsonl(rows)),
    "jsonl.zst": lambda rows: zstandard.compress(jsonl(rows)),
    "json.gz": lambda rows: gzip.compress(pretty(rows)),
    "jsonl-bom": lambda rows: b"\xef\xbb\xbf" + jsonl(rows),
    "jsonl-crlf": lambda rows: jsonl(rows).replace(b"\n", b"\r\n"),
    "jsonl-utf16": lambda rows: jsonl(rows).decode().encode("utf-16"),
    "json-utf16be": lambda rows: pretty(rows).decode().encode("utf-16-be"),
}
FLAT_ROWS: list[dict[str, Any]] = [
    {"instruction": "Say, twice.", "input": 'a "quoted"\nline', "output": "a a"},
    {"instruction": "Count", "input": "", "output": "1, 2, 3"},
    {"instruction": "Zähle", "input": "bis drei", "output": "1; 2; 3"},
]
FLAT_CONTAINERS: dict[str, Callable[..., bytes]] = {
    "csv": lambda rows: table(rows, ","),
    "tsv-quoted": lambda rows: table(rows, "\t"),
    "csv-semicolon": lambda rows: table(rows, ";"),
    "parquet": parquet,
    "arrow": arrow,
    "arrow-stream": lambda rows: arrow(rows, stream=True),
}


def write(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path
