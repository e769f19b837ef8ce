"""OpenAI / ChatML ``messages``, and records that Gristmill released before."""

from transforms.readers.shape import Conversation, RawRow, Shape, with_leftovers
from transforms.readers.source import SourceOptions
from transforms.readers.tool_list import read_tools
from transforms.readers.turns import read_turns, with_system

_USED = frozenset(("messages", "tools", "functions", "system"))
# Of a record that was released before: computed anew, or said anew by the recipe.
_RELEASED = frozenset(("id", "source", "provenance", "characters", "words", "turns", "tokens", "answer_tokens", "copy"))


def recognise(keys: frozenset[str]) -> bool:
    return "messages" in keys


def convert(row: RawRow, options: SourceOptions) -> Conversation:
    messages = read_turns(row["messages"])
    if "system" in row:
        messages = with_system(messages, row["system"])
    conversation: Conversation = {"messages": messages}
    tools = read_tools(row.get("tools")) or read_tools(row.get("functions"))
    if tools is not None:
        conversation["tools"] = tools
    return with_leftovers(conversation, row, used_columns(row, _USED))


def used_columns(row: RawRow, used: frozenset[str]) -> frozenset[str]:
    """``used``, and in a released record also the columns that a release measures."""
    return used | _RELEASED if isinstance(row.get("provenance"), dict) and "source" in row else used


SHAPE = Shape("messages", recognise, convert)
