"""Natural Instructions: a task file with a ``Definition`` and ``Instances``, a record each.

Positive and negative examples are prompts' material, not records. Of several correct outputs the first is the
answer and the others are kept as ``other_outputs`` in ``extra``.
"""

from typing import Any

from schemas.errors import Unreadable
from transforms.readers.json_text import jsonable
from transforms.readers.shape import Conversation, RawRow, Shape
from transforms.readers.source import SourceOptions, kind_of, need_text

_KEPT = ("Source", "URL", "Domains", "Reasoning")


def recognise(keys: frozenset[str]) -> bool:
    return "Definition" in keys and "Instances" in keys


def convert_parts(row: RawRow, options: SourceOptions) -> list[Conversation]:
    """One conversation an instance; one broken instance quarantines the task."""
    definition = _first_text(row["Definition"], '"Definition"')
    instances = row["Instances"]
    if not isinstance(instances, list) or not instances:
        raise Unreadable(f'"Instances" is {kind_of(instances) if instances else "empty"}, not a list of instances')
    task = _categories(row.get("Categories"))
    language = _only_language(row.get("Output_language"))
    shared = {key: jsonable(row[key]) for key in _KEPT if row.get(key)}
    return [
        _instance(definition, instance, number, task, language, shared) for number, instance in enumerate(instances)
    ]


def _instance(
    definition: str, instance: Any, number: int, task: str, language: str, shared: dict[str, Any]
) -> Conversation:
    if not isinstance(instance, dict) or "output" not in instance:
        raise Unreadable(f'instance {number} is not an object with "input" and "output"')
    given = need_text(instance, "input")
    output = instance["output"]
    answer = _first_text(output, f'"output" of instance {number}')
    conversation: Conversation = {
        "messages": [
            {"role": "user", "content": f"{definition}\n\n{given}" if given else definition},
            {"role": "assistant", "content": answer},
        ]
    }
    if task:
        conversation["task"] = task
    if language:
        conversation["language"] = language
    extra = dict(shared)
    if isinstance(instance.get("id"), str):
        extra["id"] = instance["id"]
    if isinstance(output, list) and len(output) > 1:
        extra["other_outputs"] = jsonable(output[1:])
    if extra:
        conversation["extra"] = extra
    return conversation


def _first_text(value: Any, name: str) -> str:
    if isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, str):
        raise Unreadable(f"{name} is {kind_of(value)}, not a text or a list of texts")
    return value


def _categories(value: Any) -> str:
    return value[0] if isinstance(value, list) and value and isinstance(value[0], str) else ""


def _only_language(value: Any) -> str:
    return value[0] if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str) else ""


SHAPE = Shape("natural_instructions", recognise, convert_parts=convert_parts)
