"""Faults in the order of a conversation's roles, counted; no text is read.

The shapes that chat templates accept are: at most one system message, in front; user and assistant in turn, user
first; a tool's message only as the answer to a call. A lone assistant message (plain text, with a system message or
without) has no order to be wrong.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.records import ASSISTANT, SYSTEM, TOOL, USER, Records

VERSION = 1

SCHEMA = pa.schema(
    [
        ("late_systems", pa.int32()),  # system messages that are not the first message
        ("user_runs", pa.int32()),  # user messages directly after a user message
        # assistant messages directly after an assistant message, where neither calls a tool: a text and its call, or
        # a call and the next one, are often stored as two messages
        ("assistant_runs", pa.int32()),
        # tool messages directly after anything but a tool message or an assistant message with a call; of a run of
        # them the first alone counts
        ("stray_tools", pa.int32()),
        ("early_turns", pa.int32()),  # assistant and tool messages before the first user message; 0 without a user
        ("closing_users", pa.int32()),  # 1: the last message is the user's, nobody answers it
        ("closing_tools", pa.int32()),  # 1: the last message is a tool's
    ]
)


@dataclass(frozen=True)
class Order:
    """Counts of order faults."""

    name: str = "order"
    schema: pa.Schema = SCHEMA

    def identity(self) -> dict[str, Any]:
        return {"version": VERSION}

    def __call__(self, records: Records) -> pa.RecordBatch:
        """SCHEMA [n]"""
        roles, bounds = records.roles, records.bounds
        filled = np.flatnonzero(np.diff(bounds))  # records with a message at all
        first = np.zeros(len(roles), bool)
        first[bounds[filled]] = True
        previous = np.r_[np.int8(-1), roles][: len(roles)]
        previous[first] = -1
        calls = np.asarray(pc.fill_null(pc.list_value_length(records.messages.field("tool_calls")), 0)) > 0
        called = np.r_[False, calls][: len(roles)] & ~first

        number = np.arange(len(roles))
        opening = records.first_user[records.record_of]  # number of the record's first user message, or -1
        ends = np.full(len(records), -1, np.int8)
        ends[filled] = roles[bounds[filled + 1] - 1]
        told = (roles == ASSISTANT) & (previous == ASSISTANT) & ~calls & ~called
        stray = (roles == TOOL) & (previous != TOOL) & ~((previous == ASSISTANT) & called)
        columns = {
            "late_systems": records.sums((roles == SYSTEM) & ~first),
            "user_runs": records.sums((roles == USER) & (previous == USER)),
            "assistant_runs": records.sums(told),
            "stray_tools": records.sums(stray),
            "early_turns": records.sums((number < opening) & (roles != SYSTEM)),
            "closing_users": ends == USER,
            "closing_tools": ends == TOOL,
        }
        return pa.record_batch([pa.array(columns[name].astype(np.int32)) for name in SCHEMA.names], schema=SCHEMA)
