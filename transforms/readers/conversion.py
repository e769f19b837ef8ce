"""Rows to conversations. Every row is accounted for: it gave records, is quarantined, or was consumed."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from schemas.errors import Unreadable
from transforms.readers.columns import map_row, mapped_shape
from transforms.readers.finish import Finish
from transforms.readers.json_text import raw_bytes
from transforms.readers.registry import finder, shape_named
from transforms.readers.shape import Conversation, RawRow, Shape
from transforms.readers.source import (
    KEPT_BYTES,
    MAX_ROW_BYTES,
    Converted,
    ReadStats,
    Row,
    SourceOptions,
    kind_of,
)

# What a converter could raise on a value nobody thought of. Such a row is quarantined like any other: one odd
# row must not stop a run of millions, and the reason asks for a report.
_UNFORESEEN = (TypeError, AttributeError, LookupError, ValueError, RecursionError, OverflowError)
UNFORESEEN = "the reader failed on this row, please report it"


def convert(rows: Iterable[Row], options: SourceOptions, stats: ReadStats) -> Iterator[Converted]:
    """Each row's conversations, or its reason for quarantine, in the order of rows.

    Rows of whole-file shapes (flat OASST) are collected and answered after the last row. ``stats`` is
    complete when the iterator is exhausted.

    Raises:
      GristmillError: the options name an unknown shape or a mapping that cannot be read.
    """
    find = _chooser(options)
    finish = Finish(options, stats)
    mapping = options.columns is not None
    collected: dict[str, tuple[Shape, list[tuple[int, RawRow]]]] = {}
    raws: dict[int, bytes | None] = {}
    shapes = stats.shapes
    for index, raw, row in rows:
        stats.rows += 1
        try:
            if row.__class__ is not dict and not isinstance(row, dict):
                raise (row if isinstance(row, Unreadable) else Unreadable(f"a row is {kind_of(row)}, not an object"))
            columns = {key: value for key, value in row.items() if value is not None} if None in row.values() else row
            if mapping:
                columns = map_row(columns, options)
            shape = find(columns)
            if shape.convert is not None:
                conversation = finish(shape.convert(columns, options), raw, row)
                stats.records += 1
                shapes[shape.name] = shapes.get(shape.name, 0) + 1
                yield Converted(index, 0, conversation, None, None)
                continue
            if shape.convert_parts is not None:
                parts = [finish(part, raw, row) for part in shape.convert_parts(columns, options)]
                stats.records += len(parts)
                shapes[shape.name] = shapes.get(shape.name, 0) + 1
                for number, part in enumerate(parts):
                    yield Converted(index, number, part, None, None)
                continue
            collected.setdefault(shape.name, (shape, []))[1].append((index, columns))
            raws[index] = raw
        except Unreadable as error:
            yield _quarantined(index, raw, row, str(error), stats)
        except _UNFORESEEN as error:
            yield _quarantined(index, raw, row, f"{UNFORESEEN} ({type(error).__name__}: {error})", stats)
    for shape, waiting in collected.values():
        yield from _whole_file(shape, waiting, raws, finish, options, stats)


def _chooser(options: SourceOptions) -> Callable[[RawRow], Shape]:
    if options.columns is not None:
        mapped = mapped_shape(options)
        return lambda row: mapped
    if options.shape is not None:
        forced = shape_named(options.shape)

        def force(row: RawRow) -> Shape:
            if not forced.recognise(frozenset(row)) or not (forced.confirm is None or forced.confirm(row)):
                raise Unreadable(f'not of the shape "{forced.name}" that the recipe asks for')
            return forced

        return force
    return finder()


def _whole_file(
    shape: Shape,
    waiting: list[tuple[int, RawRow]],
    raws: dict[int, bytes | None],
    finish: "Finish",
    options: SourceOptions,
    stats: ReadStats,
) -> Iterator[Converted]:
    assert shape.convert_file is not None
    records, reasons = shape.convert_file(waiting, options)
    rows = dict(waiting)
    given: dict[int, Conversation] = {}
    for index, conversation in records:
        try:
            # No raw bytes: those of one row say nothing about the texts of the others on its path.
            given[index] = finish(conversation, None, rows[index])
        except Unreadable as error:
            reasons[index] = str(error)
    for index, row in waiting:
        if index in given:
            stats.records += 1
            stats.shapes[shape.name] = stats.shapes.get(shape.name, 0) + 1
            yield Converted(index, 0, given[index], None, None)
        elif index in reasons:
            yield _quarantined(index, raws[index], row, reasons[index], stats)
        else:
            stats.consumed += 1


def _quarantined(index: int, raw: bytes | None, row: Any, reason: str, stats: ReadStats) -> Converted:
    stats.quarantined += 1
    kept = raw if raw is not None else b"" if isinstance(row, Unreadable) else raw_bytes(row)
    reason = reason.encode("utf-8", "backslashreplace").decode()
    return Converted(index, 0, None, kept if len(kept) <= MAX_ROW_BYTES else kept[:KEPT_BYTES], reason)
