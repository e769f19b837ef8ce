"""Turns of every chat format to canonical messages: roles, contents, reasoning, tool calls, loss weights.

One reader for OpenAI ``{role, content}`` and ShareGPT ``{from, value}`` turns, so that mixed files work.
"""

import math
from typing import Any

from schemas.errors import Unreadable
from transforms.readers.json_text import dump_json, parse_json
from transforms.readers.source import brief, kind_of

Message = dict[str, Any]

ROLES = {
    "system": "system", "developer": "system",
    "user": "user", "human": "user", "prompter": "user",
    "assistant": "assistant", "gpt": "assistant", "chatgpt": "assistant", "bing": "assistant",
    "bard": "assistant", "model": "assistant", "bot": "assistant", "chatbot": "assistant", "ai": "assistant",
    "claude": "assistant",
    "tool": "tool", "function": "tool", "observation": "tool", "tool_response": "tool", "ipython": "tool",
    "function_response": "tool",
    "function_call": "call", "tool_call": "call",
}  # fmt: skip
_PLAIN_TURNS = frozenset((("role", "content"), ("content", "role"), ("from", "value"), ("value", "from")))
_REASONING = ("reasoning_content", "reasoning", "thinking")
_TEXT_PARTS = frozenset(("text", "input_text", "output_text"))
_REASONING_PARTS = frozenset(("reasoning", "thinking"))
_CALL_PARTS = frozenset(("tool_call", "function_call", "tool_calls"))


def read_turns(turns: Any, key: str = "messages") -> list[Message]:
    """Canonical messages of a list of turns; ``key`` names the column in reasons.

    Raises:
      Unreadable: not a list of turns, an unknown role, a content that is no text, a call that is no call.
    """
    if turns.__class__ is not list:
        raise Unreadable(f'"{key}" is {kind_of(turns)}, not a list of messages')
    messages: list[Message] = []
    for turn in turns:
        if turn.__class__ is not dict:
            raise Unreadable(f'"{key}" holds {kind_of(turn)} where a message was expected')
        role, content = _role_and_content(turn, key)
        if content.__class__ is str and role != "call" and tuple(turn) in _PLAIN_TURNS:
            messages.append({"role": role, "content": content})
        elif role == "call":
            _append_call(messages, turn, content)
        else:
            messages.append(_full_message(turn, role, content))
    return messages


def read_turn(turn: Any, key: str) -> list[Message]:
    """One turn, a list of turns, or a bare answer: what a preference side may be."""
    if isinstance(turn, str):
        return [{"role": "assistant", "content": turn}]
    return read_turns(turn if isinstance(turn, list) else [turn], key)


def with_system(messages: list[Message], system: Any) -> list[Message]:
    """Puts a system column first; blank ones and those that repeat the first message are ignored."""
    if system is None or system == "":
        return messages
    if not isinstance(system, str):
        raise Unreadable(f'"system" is {kind_of(system)}, not a string')
    if not system.strip() or (messages and messages[0]["role"] == "system"):
        return messages
    return [{"role": "system", "content": system}, *messages]


def _role_and_content(turn: Message, key: str) -> tuple[str, Any]:
    name = turn.get("role")
    if name is None:
        name = turn.get("from")
        if name is None:
            raise Unreadable(f'a message in "{key}" has no role; its keys are {brief(", ".join(map(str, turn)))}')
    role = ROLES.get(name) if name.__class__ is str else None
    if role is None:
        role = ROLES.get(name.strip().lower()) if isinstance(name, str) else None
        if role is None:
            raise Unreadable(f'unknown role {brief(name)} in "{key}"')
    content = turn.get("content")
    if content is None:
        content = turn.get("value")
        if content is None:
            content = turn.get("text")
    return role, content


def _full_message(turn: Message, role: str, content: Any) -> Message:
    reasoning: list[str] = []
    calls: list[dict[str, Any]] = []
    text = _text(content, role, reasoning, calls)
    for key in _REASONING:
        value = turn.get(key)
        if isinstance(value, str) and value:
            reasoning.append(value)
            break
    if role == "assistant":
        _collect_calls(turn, calls)
    elif content is None and role != "tool":
        raise Unreadable(f"a {role} message has no content")
    message: Message = {"role": role, "content": text}
    if reasoning:
        message["reasoning_content"] = "\n".join(reasoning)
    if calls:
        message["tool_calls"] = calls
    if role == "tool":
        called = turn.get("tool_call_id")
        if isinstance(called, str) and called:
            message["tool_call_id"] = called
    name = turn.get("name")
    if isinstance(name, str) and name:
        message["name"] = name
    _add_loss(message, turn, role)
    return message


def _text(content: Any, role: str, reasoning: list[str], calls: list[dict[str, Any]]) -> str:
    """The text of a content; text parts are joined with nothing between, as chat templates do."""
    if isinstance(content, str):
        return content
    if content is None:
        return ""
    if isinstance(content, dict):
        content = [content]
    if not isinstance(content, list):
        raise Unreadable(f"the content of a {role} message is {kind_of(content)}, not a string")
    pieces: list[str] = []
    for part in content:
        if isinstance(part, str):
            pieces.append(part)
            continue
        if not isinstance(part, dict):
            raise Unreadable(f"a content part of a {role} message is {kind_of(part)}, not an object")
        _read_part(part, role, pieces, reasoning, calls)
    return "".join(pieces)


def _read_part(part: Message, role: str, pieces: list[str], reasoning: list[str], calls: list[dict[str, Any]]) -> None:
    kind = part.get("type", "text")
    kind = kind if isinstance(kind, str) else brief(kind)
    value = part.get("value")
    if value is None:
        value = part.get("text") if kind in _TEXT_PARTS else part.get(kind, part.get("text"))
    if kind in _CALL_PARTS:
        if role != "assistant":
            raise Unreadable(f"a {role} message holds a content part of type {kind}")
        calls.extend(read_calls(part if value is None else value))
    elif kind in _TEXT_PARTS or kind in _REASONING_PARTS:
        if not isinstance(value, str):
            raise Unreadable(f"a content part of type {kind} holds {kind_of(value)}, not a string")
        (pieces if kind in _TEXT_PARTS else reasoning).append(value)
    else:
        raise Unreadable(f"a content part of type {brief(kind)} is not text")


def _collect_calls(turn: Message, calls: list[dict[str, Any]]) -> None:
    value = turn.get("tool_calls")
    if value:
        calls.extend(read_calls(value))
    legacy = turn.get("function_call")
    if legacy and not value:
        calls.extend(read_calls(legacy))


def _append_call(messages: list[Message], turn: Message, content: Any) -> None:
    """A ShareGPT ``function_call`` turn; several in a row are one turn of parallel calls."""
    if content is None:
        raise Unreadable("a function_call turn has no value")
    calls = read_calls(content)
    last = messages[-1] if messages else None
    if last is not None and last["role"] == "assistant" and last["content"] == "" and "tool_calls" in last:
        last["tool_calls"].extend(calls)
        return
    message: Message = {"role": "assistant", "content": "", "tool_calls": calls}
    _add_loss(message, turn, "assistant")
    messages.append(message)


def read_calls(value: Any) -> list[dict[str, Any]]:
    """Tool calls from JSON text, an object or a list, bare or in OpenAI's ``function`` wrapping."""
    if isinstance(value, str):
        try:
            value = parse_json(value.encode("utf-8", "surrogatepass"))
        except Unreadable as error:
            raise Unreadable(f"a function call is {error}") from None
    return [_read_call(call) for call in (value if isinstance(value, list) else [value])]


def _read_call(call: Any) -> dict[str, Any]:
    if not isinstance(call, dict):
        raise Unreadable(f"a function call is {kind_of(call)}, not an object")
    function = call.get("function")
    if not isinstance(function, dict):
        function = call
    name = function.get("name")
    if not isinstance(name, str) or not name:
        raise Unreadable(f'a function call has no "name" (found {kind_of(name)})')
    arguments = function.get("arguments")
    if arguments is None:
        arguments = function.get("parameters")
    if arguments is None:
        arguments = {}
    text = arguments if isinstance(arguments, str) else dump_json(arguments)
    called = call.get("id")
    identity = called if isinstance(called, str) and called else None
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": text or "{}"}}


def _add_loss(message: Message, turn: Message, role: str) -> None:
    """``train`` and ``weight``, only where they say something else than the default.

    By default assistant messages are trained with weight 1 and all others are not; a file that spells the
    default out holds the same conversation as one that does not, and must get the same id.
    """
    train = turn.get("train")
    if train.__class__ is bool and train != (role == "assistant"):
        message["train"] = train
    weight = turn.get("weight")
    if weight is None:
        weight = turn.get("loss_weight")
    if weight.__class__ is float or weight.__class__ is int:
        if not -1e30 < weight < 1e30 or math.isnan(weight) or weight < 0:
            raise Unreadable(f"the loss weight of a {role} message is {brief(weight)}, not a number from 0")
        if weight != (1 if role == "assistant" else 0):
            message["weight"] = float(weight)
