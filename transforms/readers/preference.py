"""Preference pairs: ``chosen`` and ``rejected`` texts or turns, with the prompt in one of many places.

HH transcripts are the same thing written as text. ``messages`` becomes prompt + chosen; ``chosen`` and
``rejected`` hold the completions alone.
"""

from typing import Any

from schemas.errors import Unreadable
from transforms.readers import alpaca
from transforms.readers.messages import used_columns
from transforms.readers.shape import Conversation, RawRow, Shape, with_leftovers
from transforms.readers.source import SourceOptions, kind_of
from transforms.readers.tool_list import read_tools
from transforms.readers.transcript import is_transcript, read_transcript
from transforms.readers.turns import Message, read_turn, read_turns, with_system

_SIDES = (
    ("chosen", "rejected"),
    ("chosen_messages", "rejected_messages"),
    ("chosen_response", "rejected_response"),
)
_PROMPTS = ("prompt", "messages", "conversations", "conversation", "question", "instruction")
_USED = frozenset((*_PROMPTS, *alpaca.INPUTS, "history", "system", "tools")) | {
    side for pair in _SIDES for side in pair
}


def recognise(keys: frozenset[str]) -> bool:
    return any(pair[0] in keys and pair[1] in keys for pair in _SIDES)


def convert(row: RawRow, options: SourceOptions) -> Conversation:
    chosen_key, rejected_key = next(pair for pair in _SIDES if pair[0] in row and pair[1] in row)
    prompt = _without_answer(_prompt(row), row[chosen_key], chosen_key)
    chosen = _side(row[chosen_key], chosen_key, prompt)
    rejected = _side(row[rejected_key], rejected_key, prompt)
    start = _shared(chosen, rejected)
    if not chosen[start:] or not rejected[start:]:
        raise Unreadable(f'"{chosen_key}" or "{rejected_key}" holds no answer')
    for key, side in ((chosen_key, chosen), (rejected_key, rejected)):
        if side[start]["role"] != "assistant":
            raise Unreadable(f'"{key}" goes on with a {side[start]["role"]} message where the answer should begin')
    conversation: Conversation = {"messages": with_system(chosen, row.get("system"))}
    tools = read_tools(row.get("tools"))
    if tools is not None:
        conversation["tools"] = tools
    conversation["chosen"] = chosen[start:]
    conversation["rejected"] = rejected[start:]
    return with_leftovers(conversation, row, used_columns(row, _USED))


def _prompt(row: RawRow) -> list[Message]:
    key = next((name for name in _PROMPTS if name in row), None)
    if key is None:
        return []
    value = row[key]
    if key == "instruction":
        return alpaca.history_of(row.get("history")) + [{"role": "user", "content": alpaca.question_of(row)}]
    if isinstance(value, str):
        if is_transcript(value):
            return _without_open_turn(read_transcript(value))
        return [{"role": "user", "content": value}]
    return read_turns(value, key)


def _side(value: Any, key: str, prompt: list[Message]) -> list[Message]:
    """The whole conversation of one side: prompt and answer."""
    if isinstance(value, str) and is_transcript(value):
        turns = read_transcript(value)
        return turns if turns[: len(prompt)] == prompt or turns[0]["role"] != "assistant" else prompt + turns
    if isinstance(value, str) and not prompt:
        raise Unreadable(f'"{key}" is an answer without a prompt')
    if not isinstance(value, str | list | dict):
        raise Unreadable(f'"{key}" is {kind_of(value)}, not a text or messages')
    turns = read_turn(value, key)
    if prompt and turns[: len(prompt)] == prompt:
        return turns
    without = prompt[1:] if prompt and prompt[0]["role"] == "system" else prompt
    if without and turns[: len(without)] == without:
        return prompt[: len(prompt) - len(without)] + turns
    if turns and turns[0]["role"] != "assistant" and len(prompt) == 1 and prompt[0]["role"] == "user":
        return turns  # a prompt column that repeats the side's first question in other words
    return prompt + turns


def _without_answer(prompt: list[Message], value: Any, key: str) -> list[Message]:
    """The prompt of a released record, whose messages are prompt + chosen."""
    if len(prompt) < 2 or prompt[-1]["role"] != "assistant" or not isinstance(value, list):
        return prompt
    turns = read_turns(value, key)
    return prompt[: -len(turns)] if turns and prompt[-len(turns) :] == turns else prompt


def _without_open_turn(messages: list[Message]) -> list[Message]:
    """A prompt that ends with an empty "Assistant:" is waiting for the answer."""
    return messages[:-1] if messages[-1]["role"] == "assistant" and not messages[-1]["content"] else messages


def _shared(chosen: list[Message], rejected: list[Message]) -> int:
    """How many messages the sides share as their prompt; an answer that both share is still an answer."""
    shortest = min(len(chosen), len(rejected))
    start = next((i for i in range(shortest) if chosen[i] != rejected[i]), shortest)
    if start < shortest:
        return start
    return next((i for i in reversed(range(shortest)) if chosen[i]["role"] == "assistant"), shortest)


SHAPE = Shape("preference", recognise, convert)
