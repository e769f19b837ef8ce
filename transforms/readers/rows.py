"""A split's raw rows, streaming: index in the split, raw bytes or None, parsed row or why there is none."""

from collections.abc import Iterable, Iterator

from schemas.errors import GristmillError, Unreadable
from transforms.readers import columnar, delimited, hub
from transforms.readers.json_text import parse_row
from transforms.readers.json_values import json_values
from transforms.readers.lines import Line, lines, split_chunks
from transforms.readers.opening import BrokenStream, text_chunks
from transforms.readers.source import KEPT_BYTES, MAX_ROW_BYTES, Loose, Row, SourceOptions, Split


def read_rows(split: Split, options: SourceOptions) -> Iterator[Row]:
    """Rows of one split. Memory is bounded by a window of the file and its longest row, compressed or not.

    Raises:
      GristmillError: the file cannot be opened.
    """
    kind = split.kind
    if kind.container == "jsonl":
        return _parsed(lines(_chunks(split)))
    if kind.container == "json":
        return _parsed(json_values(_chunks(split)))
    if kind.container == "tsv":
        header = not kind.columns and split.start == 0
        return delimited.line_rows(_chunks(split), kind.columns or kind.header, header)
    if kind.container == "csv":
        return delimited.quoted_rows(_chunks(split), kind.columns, kind.delimiter)
    if kind.container == "parquet":
        return columnar.parquet_rows(split.file, split.start, split.end)
    if kind.container in ("arrow", "arrow-stream"):
        return columnar.arrow_rows(split.file, kind.container == "arrow-stream")
    if kind.container == "hub":
        return hub.hub_rows(split.file)
    if kind.container == "text":
        return _whole_text(_chunks(split))
    raise GristmillError(f'{split.file.name}: there is no container "{kind.container}"; the recipe can leave it out')


def _chunks(split: Split) -> Iterator[bytes]:
    if split.kind.splittable:
        return split_chunks(split.file, split.start, split.end)
    return text_chunks(split.file, split.kind.compression, split.kind.encoding)


def _parsed(values: Iterable[Line]) -> Iterator[Row]:
    for index, value in enumerate(values):
        if isinstance(value, bytes):
            yield index, value, parse_row(value)
        else:
            yield index, *value


def _whole_text(chunks: Iterable[bytes]) -> Iterator[Row]:
    """A text file is one row, {"text": …}."""
    pieces: list[bytes] = []
    size = 0
    try:
        for chunk in chunks:
            size += len(chunk)
            if size <= MAX_ROW_BYTES or not pieces:
                pieces.append(chunk)
    except BrokenStream as error:
        yield 0, b"".join(pieces)[:KEPT_BYTES], Unreadable(f"the file cannot be decompressed: {error}")
        return
    raw = b"".join(pieces)
    if size > MAX_ROW_BYTES:
        yield (
            0,
            raw[:KEPT_BYTES],
            Unreadable(f"a text of {size} bytes, more than the {MAX_ROW_BYTES} that are read"),
        )
        return
    yield 0, raw, Loose(text=raw.decode("utf-8", "replace"))
