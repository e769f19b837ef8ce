"""The canonical record: one conversation, in the ecosystem's ``messages`` convention.

A shard with this schema opens in ``datasets.load_dataset("parquet", …)`` and trains in TRL as it is.
Preference pairs keep ``chosen`` and ``rejected`` (completions only) aside; ``messages`` is prompt + chosen.
"""

from typing import Any

import pyarrow as pa

ROLES = ("system", "user", "assistant", "tool")
ORIGINS = ("human", "mixed", "synthetic")

TOOL_CALL = pa.struct(
    [
        ("id", pa.string()),
        ("type", pa.string()),
        ("function", pa.struct([("name", pa.string()), ("arguments", pa.string())])),
    ]
)
MESSAGE = pa.struct(
    [
        ("role", pa.string()),
        ("content", pa.string()),
        ("reasoning_content", pa.string()),
        ("tool_calls", pa.list_(TOOL_CALL)),
        ("tool_call_id", pa.string()),
        ("name", pa.string()),
        ("train", pa.bool_()),
        ("weight", pa.float64()),
    ]
)
MESSAGES = pa.list_(MESSAGE)

# What the corpus holds per record: content only. Source, file and the recipe's defaults are added at release, so that
# renaming a source or correcting a licence reuses the corpus.
CORPUS = pa.schema(
    [
        ("id", pa.binary(16)),
        ("index", pa.int64()),  # raw row within the split
        ("part", pa.int32()),
        ("messages", MESSAGES),
        ("tools", pa.string()),
        ("chosen", MESSAGES),
        ("rejected", MESSAGES),
        ("label", pa.bool_()),
        ("origin", pa.string()),
        ("generator", pa.string()),
        ("license", pa.string()),
        ("language", pa.string()),
        ("task", pa.string()),
        ("extra", pa.string()),
    ]
)

# One record of a release.
RECORD = pa.schema(
    [
        ("id", pa.string()),  # 32 hex digits: blake2b-128 of the canonical conversation
        ("messages", MESSAGES),
        ("tools", pa.string()),
        ("chosen", MESSAGES),
        ("rejected", MESSAGES),
        ("label", pa.bool_()),
        ("source", pa.string()),
        ("origin", pa.string()),
        ("generator", pa.string()),
        ("license", pa.string()),
        ("language", pa.string()),
        ("task", pa.string()),
        ("provenance", pa.struct([("file", pa.string()), ("index", pa.int64()), ("part", pa.int32())])),
        ("extra", pa.string()),
    ]
)

# What the release adds: measured columns, so that a trainer can plan without opening the text.
MEASURED = (
    pa.field("characters", pa.int32()),
    pa.field("words", pa.int32()),
    pa.field("turns", pa.int32()),
    pa.field("tokens", pa.int32()),
    pa.field("answer_tokens", pa.int32()),
    pa.field("supervised_tokens", pa.int32()),
    pa.field("quality", pa.float32()),
    pa.field("difficulty", pa.float32()),
    pa.field("cluster", pa.int32()),
    pa.field("stage", pa.int32()),
    pa.field("copy", pa.int32()),
)
RELEASE = pa.schema(list(RECORD) + list(MEASURED))

_DESCRIPTIONS = {
    "id": "32 hex digits, blake2b-128 of the canonical conversation; identical content has the same id everywhere",
    "messages": "the conversation; roles system, user, assistant, tool",
    "tools": "JSON text of the list of tools, or null",
    "chosen": "preference pairs: the preferred completion",
    "rejected": "preference pairs: the other completion",
    "label": "KTO: whether the answer is desirable",
    "origin": "human, synthetic or mixed",
    "provenance": "file (relative), 0-based row in it, part when one row gave several records",
    "extra": "JSON text of columns that no other field holds",
    "characters": "Unicode code points over all contents",
    "words": "words over all contents; a CJK character is a word",
    "turns": "assistant messages",
    "tokens": "tokens over all contents under the recipe's tokenizer, or null",
    "answer_tokens": "tokens over assistant contents under the recipe's tokenizer, or null",
    "supervised_tokens": "tokens that a trainer's loss sees under the recipe's tokenizer and template, or null",
    "quality": "quality score in [0, 1], or null when the recipe does not ask for it",
    "difficulty": "difficulty in [0, 1] by rules, or null when the recipe asks for no tags",
    "cluster": "cluster of the prompt's embedding, or null when the recipe asks for none",
    "stage": "stage of the curriculum, from 0, or null without one; rows of a split stand in the order of their stages",
    "copy": "0 for the first copy; mixing may repeat a record up to max_epochs times",
}


def json_schema() -> dict[str, Any]:
    """JSON Schema of one released row, made from the Arrow schema so that the two cannot differ."""
    properties = {field.name: _json_type(field.type) for field in RELEASE}
    for name, text in _DESCRIPTIONS.items():
        properties[name]["description"] = text
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Gristmill record",
        "type": "object",
        "properties": properties,
        "required": ["id", "messages", "source", "provenance"],
        "additionalProperties": False,
    }


def _json_type(kind: pa.DataType) -> dict[str, Any]:
    if pa.types.is_string(kind):
        return {"type": ["string", "null"]}
    if pa.types.is_boolean(kind):
        return {"type": ["boolean", "null"]}
    if pa.types.is_integer(kind):
        return {"type": ["integer", "null"]}
    if pa.types.is_floating(kind):
        return {"type": ["number", "null"]}
    if pa.types.is_list(kind):
        return {"type": ["array", "null"], "items": _json_type(kind.value_type)}
    fields = {kind.field(i).name: _json_type(kind.field(i).type) for i in range(kind.num_fields)}
    return {"type": ["object", "null"], "properties": fields, "additionalProperties": False}
