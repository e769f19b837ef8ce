"""CSV and TSV: with a header line or without, quoted or as plain lines.

Two containers. ``tsv``: a row a line, cells between tabs, quotes are characters, and the two characters
``\\\\n`` stand for a line feed, which such a file cannot hold otherwise. ``csv``: RFC 4180 quoting with any
delimiter; a cell may span lines.
"""

import csv
import re
from collections.abc import Iterable, Iterator

from schemas.errors import Unreadable
from transforms.readers.json_text import NOT_UTF8
from transforms.readers.lines import lines
from transforms.readers.opening import BrokenStream
from transforms.readers.source import MAX_ROW_BYTES, Loose, Row

# Without a header, three columns are FLAN's and two a question and its answer.
HEADERLESS = {2: ("question", "answer"), 3: ("question", "answer", "rationale")}
KNOWN_COLUMNS = frozenset(
    (
        *("id", "question", "answer", "rationale", "instruction", "input", "output", "prompt", "completion"),
        *(
            "response",
            "context",
            "category",
            "text",
            "messages",
            "conversations",
            "history",
            "system",
            "tools",
        ),
        *(
            "chosen",
            "rejected",
            "label",
            "task",
            "language",
            "license",
            "generator",
            "origin",
            "query",
            "target",
        ),
    )
)
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_NAME = re.compile(r"[^\W\d][\w .-]{0,40}")
_SAMPLE = 1 << 16
csv.field_size_limit(MAX_ROW_BYTES)


def line_rows(chunks: Iterable[bytes], columns: tuple[str, ...], has_header: bool) -> Iterator[Row]:
    """Rows of a plain TSV; ``has_header``: the first of these lines names the columns."""
    index = 0
    for line in lines(chunks):
        if isinstance(line, tuple):
            yield index, *line
        elif has_header:
            has_header = False
            continue
        else:
            yield index, line, _line_row(line, columns)
        index += 1


def _line_row(raw: bytes, columns: tuple[str, ...]) -> Loose | Unreadable:
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        return Unreadable(NOT_UTF8.format(error.start))
    if "\\n" in text:
        text = text.replace("\\n", "\n")
    cells = text.removesuffix("\r").split("\t")
    if len(cells) != len(columns):
        return Unreadable(f"a line of {len(cells)} cells where the file has {len(columns)} columns")
    return Loose(zip(columns, cells, strict=True))


def quoted_rows(chunks: Iterable[bytes], columns: tuple[str, ...], delimiter: str) -> Iterator[Row]:
    """Rows of a quoted file, raw bytes are their lines; without ``columns`` the first row names them."""
    kept: list[bytes] = []
    reader = csv.reader(_texts(lines_for_csv(chunks), kept), delimiter=delimiter)
    index = 0
    while True:
        reason = None
        cells: list[str] = []
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            reason = Unreadable(f"not CSV: {error}")
        except BrokenStream as error:
            yield index, b"".join(kept), Unreadable(f"the rest of the file cannot be decompressed: {error}")
            return
        raw = b"".join(kept)
        kept.clear()
        if reason is None and not any(cells):
            continue
        if reason is None and not columns:
            columns = tuple(cell.strip() or f"column_{number + 1}" for number, cell in enumerate(cells))
            continue
        if reason is None and len(cells) != len(columns):
            reason = Unreadable(f"a row of {len(cells)} cells where the file has {len(columns)} columns")
        yield (
            index,
            raw,
            reason or Loose((key, cell) for key, cell in zip(columns, cells, strict=True) if key),
        )
        index += 1


def lines_for_csv(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Lines with their ends: a quoted cell may hold line feeds and blank lines."""
    pending = b""
    for chunk in chunks:
        *whole, pending = (pending + chunk).split(b"\n")
        for line in whole:
            yield line + b"\n"
    if pending:
        yield pending


def _texts(source: Iterable[bytes], kept: list[bytes]) -> Iterator[str]:
    size = 0
    for line in source:
        size = size + len(line) if kept else len(line)
        if size <= MAX_ROW_BYTES:
            kept.append(line)
        # NUL bytes stop the parser of Python 3.10 and older and mean nothing in a text; repair would take
        # them out.
        yield line.decode("utf-8", "replace")


def guess_table(sample: str) -> tuple[str, str, tuple[str, ...], bool] | None:
    """(container, delimiter, columns, has_header) of a text, or None when it is no table.

    ``columns`` are the names in the header line, or those that stand for a file without one.
    """
    sample = sample[:_SAMPLE]
    rows = [line.removesuffix("\r") for line in sample.split("\n") if line.strip()][:200]
    if not rows:
        return None
    tabs = rows[0].count("\t")
    if tabs and sum(row.count("\t") == tabs for row in rows) >= len(rows) * 0.95:
        cells = [cell for row in rows for cell in row.split("\t") if cell.startswith('"')]
        if not cells or not all(_QUOTED.fullmatch(cell) for cell in cells):
            return line_table(sample)
    for delimiter in "\t,;|":
        found = _quoted_table(sample, delimiter)
        if found is not None:
            return found
    return None


def line_table(sample: str) -> tuple[str, str, tuple[str, ...], bool]:
    """The same for a text that is known to be a plain TSV."""
    first = next((line for line in sample.split("\n") if line.strip()), "")
    return ("tsv", "\t", *_columns(first.removesuffix("\r").split("\t")))


def _quoted_table(sample: str, delimiter: str) -> tuple[str, str, tuple[str, ...], bool] | None:
    try:
        rows = [row for row in csv.reader(sample.split("\n"), delimiter=delimiter) if any(row)][:200]
    except csv.Error:
        return None
    width = len(rows[0]) if rows else 0
    whole = rows[:-1] if len(rows) > 2 else rows  # the sample may end inside a row
    if width < 2 or len(rows) < 2 or sum(len(row) == width for row in whole) < len(whole) * 0.8:
        return None
    columns, has_header = _columns(rows[0])
    if not has_header and delimiter != "\t":
        return None  # prose with commas in it
    return "csv", delimiter, columns, has_header


def _columns(first: list[str]) -> tuple[tuple[str, ...], bool]:
    names = [name.strip() for name in first]
    if len(set(names)) == len(names) and all(_NAME.fullmatch(name) for name in names):
        known = sum(name.lower() in KNOWN_COLUMNS for name in names)
        if known and (known > 1 or all(len(name) <= 30 and name.count(" ") < 2 for name in names)):
            return tuple(names), True
        if all(re.fullmatch(r"[a-z]+(?:_[a-z]+)+", name) for name in names):
            return tuple(names), True
    return HEADERLESS.get(len(first), tuple(f"column_{number + 1}" for number in range(len(first)))), False
