"""Conversations (plain dicts from the readers) → Arrow batches of the corpus, with content ids.

One Python loop over records, nothing nested in Arrow's own conversion: columns are filled flat and lists are made
from offsets, which is several times faster than ``pa.array`` on nested dicts.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson
import pyarrow as pa

from schemas.record import CORPUS, MESSAGE, MESSAGES, TOOL_CALL

_CONTENT = ("messages", "tools", "chosen", "rejected", "label")
_TEXT_COLUMNS = ("tools", "origin", "generator", "license", "language", "task")


def record_id(conversation: Mapping[str, Any]) -> bytes:
    """blake2b-128 of the canonical conversation: its messages, tools, preference pair and label as sorted JSON.

    Where a record came from and what a recipe says of it are not in it: identical content has the same id anywhere.
    """
    content = {key: conversation[key] for key in _CONTENT if conversation.get(key) is not None}
    return hashlib.blake2b(orjson.dumps(content, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()


def assemble(
    conversations: Sequence[Mapping[str, Any]], indexes: Sequence[int], parts: Sequence[int]
) -> pa.RecordBatch:
    """One CORPUS batch; row i is conversation i, raw row ``indexes[i]`` of its split, part ``parts[i]``."""
    columns: dict[str, pa.Array] = {
        "id": pa.array([record_id(one) for one in conversations], pa.binary(16)),
        "index": pa.array(indexes, pa.int64()),
        "part": pa.array(parts, pa.int32()),
        "messages": messages_array([one["messages"] for one in conversations]),
        "chosen": messages_array([one.get("chosen") for one in conversations]),
        "rejected": messages_array([one.get("rejected") for one in conversations]),
        "label": pa.array([one.get("label") for one in conversations], pa.bool_()),
        "extra": pa.array([_json(one["extra"]) if one.get("extra") else None for one in conversations], pa.string()),
    }
    for name in _TEXT_COLUMNS:
        columns[name] = pa.array([one.get(name) for one in conversations], pa.string())
    return pa.RecordBatch.from_arrays([columns[field.name] for field in CORPUS], schema=CORPUS)


def _json(value: object) -> str:
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS, default=str).decode()
    except TypeError:  # integers beyond 64 bits, and nesting deeper than orjson allows
        return json.dumps(_finite(value), sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)


def _finite(value: Any) -> Any:
    """NaN and infinity as null, which is what orjson makes of them: JSON knows neither."""
    if isinstance(value, dict):
        return {str(key): _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def messages_array(lists: Iterable[Sequence[Mapping[str, Any]] | None]) -> pa.Array:
    """``list<message>`` from lists of message dicts; None stays null."""
    offsets: list[int | None] = [0]
    roles: list[str] = []
    contents: list[str] = []
    rich: dict[int, Mapping[str, Any]] = {}
    end = 0
    for messages in lists:
        if messages is None:
            # A null list: Arrow marks it by a null offset, the end stays where it is.
            offsets[-1] = None
            offsets.append(end)
            continue
        for message in messages:
            roles.append(message["role"])
            contents.append(message["content"])
            if len(message) > 2:
                rich[len(roles) - 1] = message
        end = len(roles)
        offsets.append(end)
    if end == 0 and offsets[-1] is not None and all(offset is None for offset in offsets[:-1]):
        return pa.nulls(len(offsets) - 1, MESSAGES)
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), _messages(roles, contents, rich), type=MESSAGES)


def _messages(roles: list[str], contents: list[str], rich: Mapping[int, Mapping[str, Any]]) -> pa.StructArray:
    columns: list[pa.Array] = [pa.array(roles, pa.string()), pa.array(contents, pa.string())]
    for field in list(MESSAGE)[2:]:
        if not any(field.name in message for message in rich.values()):
            columns.append(pa.nulls(len(roles), field.type))
            continue
        values: list[Any] = [None] * len(roles)
        for position, message in rich.items():
            value = message.get(field.name)
            if field.name == "tool_calls" and value is not None:
                value = [_call(call) for call in value]
            values[position] = value
        columns.append(pa.array(values, field.type))
    return pa.StructArray.from_arrays(columns, fields=list(MESSAGE))


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    return {field.name: call.get(field.name) for field in TOOL_CALL}


def conversation_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """The conversation of an Arrow row (``to_pylist``) again, absent where null: its ``record_id`` is the row's id."""
    conversation: dict[str, Any] = {"tools": row.get("tools"), "label": row.get("label")}
    for name in ("messages", "chosen", "rejected"):
        messages = row.get(name)
        conversation[name] = messages and [
            {key: value for key, value in message.items() if value is not None} for message in messages
        ]
    return {key: value for key, value in conversation.items() if value is not None}
