"""Conversations written in a test, to the rules of a filter that drop them."""

from typing import Any

import numpy as np
import pyarrow as pa

from schemas.strict import Strict, validate
from transforms.assemble import assemble
from transforms.filters.filter import Filter
from transforms.records import Records

Turn = tuple[str, str]


def records(*conversations: list[Turn | dict[str, Any]]) -> Records:
    """A block of conversations given as (role, content), or as whole messages."""
    made = [
        {"messages": [turn if isinstance(turn, dict) else {"role": turn[0], "content": turn[1]} for turn in turns]}
        for turns in conversations
    ]
    return Records(assemble(made, range(len(made)), [0] * len(made)))


def pair(prompt: str, answer: str) -> list[Turn | dict[str, Any]]:
    return [("user", prompt), ("assistant", answer)]


def answers(*texts: str) -> Records:
    """A block of one question with each of the answers."""
    return records(*(pair("Can you help me with this?", text) for text in texts))


def features(one: Filter, block: Records, settings: Strict) -> pa.RecordBatch:
    """The columns of the annotations that a filter needs; each has its own schema."""
    columns: dict[str, pa.Array] = {}
    for annotation in one.needs(settings):
        batch = annotation(block)
        assert batch.schema.equals(annotation.schema)
        assert batch.num_rows == len(block)
        columns |= {name: batch[name] for name in batch.schema.names}
    return pa.record_batch(columns)


def failed(one: Filter, block: Records, **plain: Any) -> list[set[str]]:
    """Of each record, the measures whose rules drop it (the filter's name left off)."""
    settings = validate(one.settings, plain, one.name)
    out: list[set[str]] = [set() for _ in range(len(block))]
    for finding in one.decide(features(one, block, settings), settings):
        assert finding.rule.startswith(f"{one.name}.")
        assert len(finding.failed) == len(finding.value) == len(block)
        assert finding.value.dtype == np.float64
        for row in np.flatnonzero(finding.failed).tolist():
            out[row].add(finding.rule.removeprefix(f"{one.name}."))
    return out


def alone(one: Filter, block: Records) -> bool:
    """Whether each record's columns are the same by itself, and in halves, as in the whole block."""
    settings = one.settings()
    whole = features(one, block, settings)
    parts = [(row, 1) for row in range(len(block))] + [(0, len(block) // 2), (len(block) // 2, len(block))]
    return all(
        features(one, Records(block.batch.slice(start, length)), settings).equals(whole.slice(start, length))
        for start, length in parts
    )


HOSTILE = (
    "", " ", "\n", "\n\n\n", "\r\n", "\t", "\u2028", "\0", "\ufeff", ".", "...", "(", "```", "```\n", "```python", "\"",
    "a", "7", "😀", "👩‍👩‍👧‍👦❤️", "e\u0301\u0301", "ﬀ", "İstanbul", "ǅ", "한국어 문장입니다", "ภาษาไทยไม่มีวรรค", "中文。", "שלום",
    "مرحبا،", "\U0010ffff", "\ue000" * 12, "x" * 70_000, "x " * 70_000, "\n" * 70_000, "中" * 70_000, "```\n" * 3_000,
    "(" * 70_000, "word. " * 20_000, " \n" * 40_000, "[{\"a\":" * 2_000, "ab\n\nab\n\n" * 2_000, "𠀀𠀁" * 500,
)  # fmt: skip
"""Texts that have broken text tools; a filter must measure each in linear time and say something of it."""


def hostile() -> Records:
    """Every such text as an answer, as a prompt, and as both; conversations without answers or messages that matter."""
    return records(
        *(pair("Say it.", text) for text in HOSTILE),
        *(pair(text, "So it is said.") for text in HOSTILE),
        *(pair(text, text) for text in HOSTILE[:32]),
        [("user", "No answer.")],
        [("system", "")],
        [("assistant", "Only this.")],
        [("tool", "[]"), ("tool", "{}")],
    )
