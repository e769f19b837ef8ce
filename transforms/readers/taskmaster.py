"""Taskmaster dialogs: ``utterances`` with API calls written as annotations.

Annotations come after their utterance: an api_call with its request is an assistant message with a tool call,
the api_response with its response a tool message; calls keep the order of their context numbers' first
appearance. Utterances of one speaker in a row are one message, its texts on lines of their own.
"""

import re
from typing import Any

import orjson

from schemas.errors import Unreadable
from transforms.readers.json_text import dump_json
from transforms.readers.shape import Conversation, RawRow, Shape, with_leftovers
from transforms.readers.source import SourceOptions, brief, kind_of

_USED = frozenset(("utterances", "vertical"))
_SPEAKERS = {
    "user": "user",
    "customer": "user",
    "assistant": "assistant",
    "agent": "assistant",
    "worker": "assistant",
}
_CONTEXT = re.compile(r"api_(?:call|response)_?(.*)", re.DOTALL)


def recognise(keys: frozenset[str]) -> bool:
    return "utterances" in keys


def convert(row: RawRow, options: SourceOptions) -> Conversation:
    utterances = row["utterances"]
    if not isinstance(utterances, list):
        raise Unreadable(f'"utterances" is {kind_of(utterances)}, not a list')
    messages: list[dict[str, Any]] = []
    for utterance in utterances:
        if not isinstance(utterance, dict):
            raise Unreadable(f'"utterances" holds {kind_of(utterance)} where an utterance was expected')
        speaker = utterance.get("speaker")
        role = _SPEAKERS.get(speaker.lower()) if isinstance(speaker, str) else None
        if role is None:
            raise Unreadable(f"unknown speaker {brief(speaker)}")
        text = utterance.get("text")
        if not isinstance(text, str):
            raise Unreadable(f'"text" of an utterance is {kind_of(text)}, not a string')
        if messages and messages[-1]["role"] == role and "tool_calls" not in messages[-1]:
            messages[-1]["content"] += f"\n{text}"
        else:
            messages.append({"role": role, "content": text})
        annotations = utterance.get("annotations")
        if annotations:
            messages.extend(_calls(annotations))
    conversation: Conversation = {"messages": messages}
    if isinstance(row.get("vertical"), str) and row["vertical"]:
        conversation["task"] = row["vertical"]
    return with_leftovers(conversation, row, _USED)


def _calls(annotations: Any) -> list[dict[str, Any]]:
    """Tool call and tool messages of one utterance's annotations."""
    if not isinstance(annotations, list):
        raise Unreadable(f'"annotations" is {kind_of(annotations)}, not a list')
    groups: dict[str, dict[str, str]] = {}
    for annotation in annotations:
        if not isinstance(annotation, dict):
            raise Unreadable(f'"annotations" holds {kind_of(annotation)} where an object was expected')
        name, value, context = annotation.get("name"), annotation.get("value"), annotation.get("context")
        if not isinstance(name, str) or not isinstance(value, str) or not isinstance(context, str):
            raise Unreadable("an annotation whose name, value and context are not all strings")
        match = _CONTEXT.match(context)
        if match is not None:  # other annotations mark words of the text
            groups.setdefault(match[1], {})[name] = value
    messages: list[dict[str, Any]] = []
    for number, group in groups.items():
        function = group.get("api_call") or group.get("api_response")
        if not function:
            continue
        if "api_call" in group:
            call = {"name": function, "arguments": _arguments(group.get("request", ""))}
            calls = [{"id": f"call_{number}", "type": "function", "function": call}]
            messages.append({"role": "assistant", "content": "", "tool_calls": calls})
        if "response" in group:
            messages.append(
                {
                    "role": "tool",
                    "content": group["response"],
                    "tool_call_id": f"call_{number}",
                    "name": function,
                }
            )
    return messages


def _arguments(request: str) -> str:
    """The request as it stands; one that is no JSON object is wrapped, because arguments must be one."""
    if not request.strip():
        return "{}"
    try:
        return request if isinstance(orjson.loads(request), dict) else dump_json({"request": request})
    except ValueError:
        return dump_json({"request": request})


SHAPE = Shape("taskmaster", recognise, convert)
