"""Calls of tools by the assistant, held against the record's own list of tools."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from transforms.annotate.tool_schema import misfits, missing, read_tools
from transforms.records import Records

TOOL_CALLS_VERSION = 1

FAULTS = ("unknown", "arguments", "missing", "misfit")
"""``unknown``: the list has no tool of this name. ``arguments``: no JSON object. ``missing``: a required parameter is
not given. ``misfit``: a value that its schema forbids: its type, its enum, what its own parts need."""


@dataclass(frozen=True)
class ToolCalls:
    """Columns: assistant's calls, calls with any fault, and calls with each fault.

    A record without a list of tools has nothing to hold a name against: only its arguments are looked at.
    """

    name: str = "tool_calls"

    @property
    def schema(self) -> pa.Schema:
        names = ("tool_calls", "tool_call_faults", *(f"tool_calls_{fault}" for fault in FAULTS))
        return pa.schema([(name, pa.int32()) for name in names])

    def identity(self) -> dict[str, Any]:
        return {"version": TOOL_CALLS_VERSION}

    def __call__(self, records: Records) -> pa.RecordBatch:
        counts = np.zeros((len(records), 2 + len(FAULTS)), np.int32)
        calls = records.messages.field("tool_calls")
        holders = np.flatnonzero((np.asarray(pc.fill_null(pc.list_value_length(calls), 0)) > 0) & records.assistant)
        tools = records.batch["tools"]
        for message, called in zip(holders.tolist(), calls.take(pa.array(holders)).to_pylist(), strict=True):
            row = int(records.record_of[message])
            for call in called:
                found = faults((call or {}).get("function") or {}, tools[row].as_py())
                counts[row] += (1, any(found), *found)
        return pa.RecordBatch.from_arrays([pa.array(column) for column in counts.T], schema=self.schema)


def faults(function: dict[str, Any], tools: str | None) -> tuple[bool, bool, bool, bool]:
    """Which of FAULTS a call has; ``tools`` is the record's list as JSON text."""
    listed = read_tools(tools) if tools else None
    tool = listed.get(function.get("name") or "") if listed else None
    unknown = listed is not None and tool is None
    arguments = _object(function.get("arguments"))
    if arguments is None:
        return unknown, True, False, False
    if tool is None:
        return unknown, False, False, False
    return unknown, False, missing(tool, arguments) > 0, misfits(tool, arguments) > 0


def _object(text: str | None) -> dict[str, Any] | None:
    if text is None or not text.strip():
        return {}  # a tool without parameters is called like this too
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None
