"""Alpaca: ``instruction`` and an answer, perhaps ``input`` or ``context``, ``history`` and ``system``."""

from typing import Any

from schemas.errors import Unreadable
from transforms.readers.shape import Conversation, RawRow, Shape, with_leftovers
from transforms.readers.source import SourceOptions, brief, kind_of, need_text
from transforms.readers.tool_list import read_tools
from transforms.readers.turns import with_system

ANSWERS = ("output", "response", "answer", "completion", "target", "solution")
INPUTS = ("input", "context")
_SYSTEMS = ("system", "system_prompt")
_ANSWERS = frozenset(ANSWERS)
_USED = frozenset(("instruction", *INPUTS, "history", "tools", *_SYSTEMS))


def recognise(keys: frozenset[str]) -> bool:
    return "instruction" in keys and not keys.isdisjoint(_ANSWERS)


def convert(row: RawRow, options: SourceOptions) -> Conversation:
    """Instruction, blank line, input: the order in which Alpaca's own prompt has them."""
    key, answer = answer_of(row)
    messages = [
        {"role": "user", "content": question_of(row)},
        {"role": "assistant", "content": answer},
    ]
    used = _USED
    if "history" in row:
        messages = history_of(row["history"]) + messages
    for system in _SYSTEMS:
        if system in row:
            messages = with_system(messages, row[system])
    conversation: Conversation = {"messages": messages}
    if "tools" in row:
        tools = read_tools(row["tools"])
        if tools is not None:
            conversation["tools"] = tools
    return with_leftovers(conversation, row, used | key)


def question_of(row: RawRow) -> str:
    """The instruction with its input or context under a blank line; raises Unreadable when both are empty."""
    parts = [need_text(row, "instruction")]
    for name in INPUTS:
        if name in row:
            value = need_text(row, name)
            if value and value not in parts:
                parts.append(value)
    if not parts[0]:
        del parts[0]
    if not parts:
        raise Unreadable('"instruction" is empty')
    return "\n\n".join(parts)


def answer_of(row: RawRow) -> tuple[frozenset[str], str]:
    """The answer and its columns; two columns may hold it if they agree or one is empty."""
    found = [name for name in ANSWERS if name in row]
    if len(found) == 1:
        return _ONE[found[0]], need_text(row, found[0])
    filled = [name for name in found if need_text(row, name)]
    if not filled:
        return frozenset(found), ""
    for other in filled[1:]:
        if row[other] != row[filled[0]]:
            raise Unreadable(f'"{filled[0]}" and "{other}" hold two different answers; map one of them by hand')
    return frozenset(found), row[filled[0]]


def history_of(history: Any) -> list[dict[str, Any]]:
    """Earlier rounds, [[question, answer], …]; empty text stands for no history."""
    if history is None or history == "":
        return []
    if not isinstance(history, list):
        raise Unreadable(f'"history" is {kind_of(history)}, not a list of [question, answer] pairs')
    messages = []
    for pair in history:
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            raise Unreadable(f'"history" holds {brief(pair)} where a [question, answer] pair was expected')
        messages.append({"role": "user", "content": pair[0]})
        messages.append({"role": "assistant", "content": pair[1]})
    return messages


_ONE = {name: frozenset((name,)) for name in ANSWERS}
SHAPE = Shape("alpaca", recognise, convert)
