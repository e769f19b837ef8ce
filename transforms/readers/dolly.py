"""Dolly: ``instruction, context, response``, and ``category``, which is the task."""

from transforms.readers import alpaca
from transforms.readers.shape import Conversation, RawRow, Shape, with_leftovers
from transforms.readers.source import SourceOptions, need_text

_KEYS = frozenset(("instruction", "context", "response"))
_USED = _KEYS | {"category"}
_OTHERS = frozenset(("input", "output", "answer", "completion", "history", "system", "tools"))


def recognise(keys: frozenset[str]) -> bool:
    return keys >= _KEYS and keys.isdisjoint(_OTHERS)


def convert(row: RawRow, options: SourceOptions) -> Conversation:
    context = need_text(row, "context")
    instruction = need_text(row, "instruction")
    question = f"{instruction}\n\n{context}" if context and instruction else alpaca.question_of(row)
    conversation: Conversation = {
        "messages": [
            {"role": "user", "content": question},
            {"role": "assistant", "content": need_text(row, "response")},
        ]
    }
    category = need_text(row, "category")
    if category:
        conversation["task"] = category
    return with_leftovers(conversation, row, _USED)


SHAPE = Shape("dolly", recognise, convert)
