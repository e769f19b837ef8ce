"""KTO: one conversation with a boolean ``label`` (or ``kto_tag``): is the answer wanted?"""

from transforms.readers import alpaca, messages, prompt_completion, sharegpt
from transforms.readers.shape import Conversation, RawRow, Shape
from transforms.readers.source import SourceOptions

_LABELS = ("label", "kto_tag")
_CARRIERS = (messages.SHAPE, sharegpt.SHAPE, prompt_completion.SHAPE, alpaca.SHAPE)


def recognise(keys: frozenset[str]) -> bool:
    return ("label" in keys or "kto_tag" in keys) and any(shape.recognise(keys) for shape in _CARRIERS)


def confirm(row: RawRow) -> bool:
    """A label that is no boolean belongs to some other task and stays an ordinary column."""
    return any(row.get(key).__class__ is bool for key in _LABELS)


def convert(row: RawRow, options: SourceOptions) -> Conversation:
    key = next(key for key in _LABELS if row.get(key).__class__ is bool)
    rest = {name: value for name, value in row.items() if name != key}
    keys = frozenset(rest)
    carrier = next(shape for shape in _CARRIERS if shape.recognise(keys))
    assert carrier.convert is not None
    conversation = carrier.convert(rest, options)
    labelled: Conversation = {}
    for name in ("messages", "tools"):
        if name in conversation:
            labelled[name] = conversation.pop(name)
    labelled["label"] = row[key]
    labelled.update(conversation)
    return labelled


SHAPE = Shape("kto", recognise, convert, confirm)
