"""A shape: how a row is recognised and becomes a conversation. One file a shape, one line in registry.py."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from schemas.errors import Unreadable
from transforms.readers.json_text import jsonable, parse_json
from transforms.readers.source import SourceOptions

Conversation = dict[str, Any]
RawRow = dict[str, Any]


class TreeOutcome(NamedTuple):
    """Records and reasons of a whole-file shape, by row index; the other rows are consumed."""

    records: list[tuple[int, Conversation]]
    reasons: dict[int, str]


@dataclass(frozen=True)
class Shape:
    """One way to write a conversation down.

    ``recognise`` looks at the set of keys and is asked once for each combination of keys in a run;
    ``confirm``, where keys do not decide, looks at the values of every row.
    Exactly one of the three converters is set. Each raises Unreadable with the reason when a row is broken;
    ``convert_parts`` gives several records for a row, ``convert_file`` takes all rows of a file together.
    A row never holds null at its top level: null columns are removed before.
    """

    name: str
    recognise: Callable[[frozenset[str]], bool]
    convert: Callable[[RawRow, SourceOptions], Conversation] | None = None
    confirm: Callable[[RawRow], bool] | None = None
    convert_parts: Callable[[RawRow, SourceOptions], list[Conversation]] | None = None
    convert_file: Callable[[Iterable[tuple[int, RawRow]], SourceOptions], TreeOutcome] | None = None


# Columns that mean the same in every shape, in the order in which a conversation holds them.
METADATA = {
    "task": "task",
    "language": "language",
    "lang": "language",
    "license": "license",
    "licence": "license",
    "generator": "generator",
    "origin": "origin",
}
_ORDER = ("task", "language", "license", "generator", "origin")
_ORIGINS = frozenset(("human", "synthetic", "mixed"))
_RESERVED = frozenset(METADATA) | {"extra"}


def with_leftovers(conversation: Conversation, row: RawRow, used: frozenset[str]) -> Conversation:
    """Adds metadata columns to their fields, and every other unused column to ``extra``."""
    if len(row) <= len(used) and row.keys() <= used:
        return conversation
    extra: dict[str, Any] = {}
    for key, value in row.items():
        if key in used:
            continue
        if key in _RESERVED and _take_metadata(conversation, extra, key, value):
            continue
        extra[key] = value if value.__class__ is str else jsonable(value)
    return _ordered(conversation, extra)


def _take_metadata(conversation: Conversation, extra: dict[str, Any], key: str, value: Any) -> bool:
    """Whether the column went where it belongs; otherwise it is a leftover like any other."""
    if key == "extra":
        extra.update(_earlier_extra(value))
        return True
    target = METADATA[key]
    if not isinstance(value, str) or not value or target in conversation:
        return False
    if target == "origin" and value not in _ORIGINS:
        return False
    conversation[target] = value
    return True


def _earlier_extra(value: Any) -> dict[str, Any]:
    """The ``extra`` of a record that was released before: a JSON text of an object."""
    if isinstance(value, str):
        try:
            value = parse_json(value.encode("utf-8", "surrogatepass"))
        except Unreadable:
            return {"extra": value}
    return jsonable(value) if isinstance(value, dict) else {"extra": jsonable(value)}


def _ordered(conversation: Conversation, extra: dict[str, Any]) -> Conversation:
    for key in _ORDER:
        if key in conversation:
            conversation[key] = conversation.pop(key)
    if extra:
        conversation["extra"] = {**conversation.pop("extra", {}), **extra}
    elif "extra" in conversation:
        conversation["extra"] = conversation.pop("extra")
    return conversation
