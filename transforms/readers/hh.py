"""HH pairs: ``chosen`` and ``rejected`` are whole transcripts that share their beginning."""

from transforms.readers import preference
from transforms.readers.shape import RawRow, Shape
from transforms.readers.transcript import is_transcript


def recognise(keys: frozenset[str]) -> bool:
    return (
        "chosen" in keys
        and "rejected" in keys
        and keys.isdisjoint(("prompt", "messages", "conversations", "instruction"))
    )


def confirm(row: RawRow) -> bool:
    return is_transcript(row["chosen"]) and is_transcript(row["rejected"])


SHAPE = Shape("hh", recognise, preference.convert, confirm)
