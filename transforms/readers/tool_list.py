"""The ``tools`` of a conversation: a list or its JSON text, to canonical JSON text in OpenAI's form."""

from functools import lru_cache
from typing import Any

from schemas.errors import Unreadable
from transforms.readers.json_text import dump_json, parse_json
from transforms.readers.source import kind_of


def read_tools(value: Any) -> str | None:
    """Canonical text of the tools, each ``{"type": "function", "function": {…}}``; None when there are none.

    Raises:
      Unreadable: neither a list nor the JSON text of one.
    """
    if isinstance(value, str):
        return _from_text(value)
    return _canonical(value)


@lru_cache(maxsize=512)  # Files repeat a handful of tool lists over thousands of rows.
def _from_text(text: str) -> str | None:
    if not text.strip():
        return None
    try:
        return _canonical(parse_json(text.encode("utf-8", "surrogatepass")))
    except Unreadable as error:
        raise Unreadable(f'"tools": {error}') from None


def _canonical(tools: Any) -> str | None:
    if tools is None or tools == {}:
        return None
    if isinstance(tools, dict):
        tools = [tools]
    if not isinstance(tools, list):
        raise Unreadable(f'"tools" is {kind_of(tools)}, not a list')
    if not tools:
        return None
    return dump_json([_wrapped(tool) for tool in tools])


def _wrapped(tool: Any) -> Any:
    """A bare function schema in the wrapping that chat templates expect."""
    if isinstance(tool, str):
        try:
            tool = parse_json(tool.encode("utf-8", "surrogatepass"))
        except Unreadable:
            raise Unreadable('"tools" holds a string that is not JSON') from None
    if not isinstance(tool, dict):
        raise Unreadable(f'"tools" holds {kind_of(tool)}, not an object')
    if isinstance(tool.get("name"), str) and "function" not in tool:
        return {"type": "function", "function": tool}
    return tool
