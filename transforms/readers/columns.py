"""A mapping of columns by hand: rows of any shape become rows with Gristmill's own column names.

A target that carries the text (instruction, messages, chosen, …) must be there in every row; the others may
be absent. Columns that no target uses are kept under their own names and end in ``extra``.
"""

import difflib
from typing import Any

from schemas.errors import GristmillError, Unreadable
from transforms.readers import alpaca, kto, messages, preference
from transforms.readers.shape import METADATA, RawRow, Shape
from transforms.readers.source import TARGETS, SourceOptions

_NEEDED = ("instruction", "output", "messages", "chosen", "rejected", "label")
_MISSING = object()
# Names that a leftover column must not carry into a shape that would read them as something else.
_MEANT = frozenset(TARGETS) | frozenset(alpaca.ANSWERS) | frozenset(alpaca.INPUTS) | frozenset(METADATA)
_MEANT |= {
    "system_prompt",
    "functions",
    "conversations",
    "conversation",
    "prompt",
    "question",
    "kto_tag",
    "extra",
}


def mapped_shape(options: SourceOptions) -> Shape:
    """The shape that a mapping writes; raises GristmillError when it writes none or a target is unknown."""
    targets = [target for target, _ in options.columns or ()]
    for target in targets:
        if target not in TARGETS:
            near = difflib.get_close_matches(target, TARGETS, n=1)
            hint = f'do you mean "{near[0]}"' if near else f"the known ones are {', '.join(TARGETS)}"
            raise GristmillError(f'columns: there is no target "{target}", {hint}')
    if "chosen" in targets and "rejected" in targets:
        return preference.SHAPE
    if "messages" in targets or ("instruction" in targets and "output" in targets):
        carrier = messages.SHAPE if "messages" in targets else alpaca.SHAPE
        return kto.SHAPE if "label" in targets else carrier
    raise GristmillError(
        f'columns maps {", ".join(targets) or "nothing"}: map "messages", or "instruction" and "output", '
        'or "chosen" and "rejected"'
    )


def map_row(row: RawRow, options: SourceOptions) -> RawRow:
    """The row under target names, followed by the columns that no target took."""
    mapped: RawRow = {}
    taken = set()
    for target, column in options.columns or ():
        value = reach(row, column)
        if value is _MISSING or value is None:
            if target in _NEEDED:
                raise Unreadable(f'column "{column}", mapped to {target}, is not in this row')
            continue
        mapped[target] = value
        taken.add(column if column in row else column.split(".")[0])
    leftovers = {key: value for key, value in row.items() if key not in taken and value is not None}
    for key, value in leftovers.items():
        if key not in _MEANT and not key.endswith(("_messages", "_response")):
            mapped[key] = value
    hidden = {key: value for key, value in leftovers.items() if key not in mapped and key != "extra"}
    if hidden:
        mapped["extra"] = hidden
    return mapped


def reach(row: Any, column: str) -> Any:
    """The value of a column; a dotted path goes into nested objects and, by number, into lists."""
    if isinstance(row, dict) and column in row:
        return row[column]
    value = row
    for step in column.split("."):
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isdecimal() and len(step) < 8 and int(step) < len(value):
            value = value[int(step)]
        else:
            return _MISSING
    return value


def missing_column(row: RawRow, options: SourceOptions) -> tuple[str, str] | None:
    """The first (target, column) that a row does not have."""
    for target, column in options.columns or ():
        if reach(row, column) is _MISSING:
            return target, column
    return None
