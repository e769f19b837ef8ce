"""ShareGPT: ``conversations`` of ``{from, value}`` turns; function calls are turns of their own."""

from transforms.readers.messages import used_columns
from transforms.readers.shape import Conversation, RawRow, Shape, with_leftovers
from transforms.readers.source import SourceOptions
from transforms.readers.tool_list import read_tools
from transforms.readers.turns import read_turns, with_system

_USED = frozenset(("conversations", "conversation", "tools", "system"))


def recognise(keys: frozenset[str]) -> bool:
    return "conversations" in keys or "conversation" in keys


def convert(row: RawRow, options: SourceOptions) -> Conversation:
    key = "conversations" if "conversations" in row else "conversation"
    messages = read_turns(row[key], key)
    if "system" in row:
        messages = with_system(messages, row["system"])
    conversation: Conversation = {"messages": messages}
    if "tools" in row:
        tools = read_tools(row["tools"])
        if tools is not None:
            conversation["tools"] = tools
    return with_leftovers(conversation, row, used_columns(row, _USED))


SHAPE = Shape("sharegpt", recognise, convert)
