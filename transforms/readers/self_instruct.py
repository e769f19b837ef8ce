"""Self-Instruct seed tasks: an ``instruction`` with ``instances`` of input and output, a record each."""

from schemas.errors import Unreadable
from transforms.readers.shape import Conversation, RawRow, Shape, with_leftovers
from transforms.readers.source import SourceOptions, kind_of, need_text

_USED = frozenset(("instruction", "instances"))


def recognise(keys: frozenset[str]) -> bool:
    return keys >= _USED


def convert_parts(row: RawRow, options: SourceOptions) -> list[Conversation]:
    """One conversation an instance; one broken instance quarantines the task."""
    instruction = need_text(row, "instruction")
    instances = row["instances"]
    if not isinstance(instances, list) or not instances:
        raise Unreadable(f'"instances" is {kind_of(instances) if instances else "empty"}, not a list of instances')
    return [
        with_leftovers(_instance(instruction, instance, number), row, _USED)
        for number, instance in enumerate(instances)
    ]


def _instance(instruction: str, instance: object, number: int) -> Conversation:
    if not isinstance(instance, dict) or "output" not in instance:
        raise Unreadable(f'instance {number} is not an object with "input" and "output"')
    given = need_text(instance, "input")
    question = f"{instruction}\n\n{given}" if given and instruction else instruction or given
    if not question:
        raise Unreadable(f"instance {number} has neither an instruction nor an input")
    return {
        "messages": [
            {"role": "user", "content": question},
            {"role": "assistant", "content": need_text(instance, "output")},
        ]
    }


SHAPE = Shape("self_instruct", recognise, convert_parts=convert_parts)
