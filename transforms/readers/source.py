"""The nouns of reading: options, file, kind, split, row, and what became of the row."""

from dataclasses import dataclass, field, fields
from typing import Any, Literal, NamedTuple

from schemas.errors import Unreadable
from transforms.pii import PII_VERSION

MAX_ROW_BYTES = 64 * 2**20  # A longer row is quarantined: it would stall one worker and cannot be trained on.
KEPT_BYTES = 64 * 2**10  # What quarantine keeps of a row that is too long or of the rest of a broken file.

# What a manual mapping can fill.
TARGETS = (
    "instruction", "input", "system", "output", "messages", "tools", "history", "chosen", "rejected",
    "label", "task", "language", "license", "generator", "origin",
)  # fmt: skip


@dataclass(frozen=True)
class SourceOptions:
    """How one source is read; the defaults recognise everything by content.

    ``columns`` maps target to column, (("output", "data.reply"), …); a dotted path reaches nested fields.
    ``trees``: every root-to-assistant path of an OASST tree, or the best ranked one.
    ``placeholders``: values for ``{{name}}`` in contents; a placeholder without a value stays.
    ``redact``: kinds of personal data (``transforms.pii.KINDS``) that are replaced in all texts.

    The ``repr`` is part of the corpus key. Options that came later are left out of it at their defaults, so that what
    was read before is not read again; the version of the detectors stands in it where they are used.
    """

    container: str | None = None
    shape: str | None = None
    columns: tuple[tuple[str, str], ...] | None = None
    trees: Literal["all", "best"] = "all"
    ftfy: bool = False
    placeholders: tuple[tuple[str, str], ...] = ()
    encoding: str | None = None
    redact: tuple[str, ...] = field(default=(), metadata={"later": True})

    def __repr__(self) -> str:
        shown = [(one.name, getattr(self, one.name), one) for one in fields(self)]
        parts = [
            f"{name}={value!r}" for name, value, one in shown if "later" not in one.metadata or value != one.default
        ]
        if self.redact:
            parts.append(f"pii={PII_VERSION}")
        return f"SourceOptions({', '.join(parts)})"


@dataclass(frozen=True)
class FileInfo:
    """One file: ``path`` opens it, ``name`` is its stable name inside the source, ``size`` is in bytes."""

    path: str
    name: str
    size: int


@dataclass(frozen=True)
class FileKind:
    """What a file holds.

    ``sample_rows`` rows were looked at; they take ``sample_bytes`` bytes of the uncompressed content.
    ``shapes`` are those of the sample, most frequent first; empty when no row of it is a conversation.
    ``columns`` names the columns of a delimited file without a header line, ``header`` those its first line
    names.
    """

    container: str  # jsonl | json | tsv | csv | parquet | arrow | arrow-stream | text | hub
    compression: str | None  # gzip | zstd
    shapes: tuple[str, ...]
    splittable: bool
    sample_rows: int
    sample_bytes: int
    encoding: str = "utf-8"
    delimiter: str = ""
    columns: tuple[str, ...] = ()
    header: tuple[str, ...] = ()


@dataclass(frozen=True)
class Split:
    """A part of a file: lines that start in bytes [start, end), or Parquet row groups [start, end)."""

    file: FileInfo
    kind: FileKind
    start: int
    end: int
    number: int


class Loose(dict[str, Any]):
    """A row whose raw bytes are not strict JSON: a line of a table, or JSON that was read leniently."""


# Index in the split; raw bytes for quarantine, None where the container has none; the parsed row, or why
# there is none.
Row = tuple[int, bytes | None, Any]


class Converted(NamedTuple):
    """What one raw row gave: a conversation, or a reason with the row's bytes."""

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody calls
    part: int
    conversation: dict[str, Any] | None
    raw: bytes | None
    reason: str | None


@dataclass
class ReadStats:
    """Counts of one read. Each row either gave at least one record, or is quarantined, or was consumed.

    Consumed rows are the inner messages of trees: they are part of other rows' records.
    ``repaired`` counts changed strings by kind, ``shapes`` counts rows by the shape that read them.
    """

    rows: int = 0
    records: int = 0
    quarantined: int = 0
    consumed: int = 0
    repaired: dict[str, int] = field(default_factory=dict)
    shapes: dict[str, int] = field(default_factory=dict)

    def add(self, other: "ReadStats") -> None:
        """Adds the counts of another split."""
        self.rows += other.rows
        self.records += other.records
        self.quarantined += other.quarantined
        self.consumed += other.consumed
        for mine, theirs in ((self.repaired, other.repaired), (self.shapes, other.shapes)):
            for name, number in theirs.items():
                mine[name] = mine.get(name, 0) + number


def brief(value: object, limit: int = 60) -> str:
    """A value for an error message: its repr in at most ``limit`` characters, valid UTF-8."""
    text = repr(value[: limit * 2] if isinstance(value, str) else value) if _is_small(value) else type(value).__name__
    text = text if len(text) <= limit else text[: limit - 1] + "…"
    return text.encode("utf-8", "backslashreplace").decode()


def _is_small(value: object) -> bool:
    return value is None or isinstance(value, str | bool | float) or (isinstance(value, int) and abs(value) < 10**18)


def kind_of(value: object) -> str:
    """The JSON name of a value's type, for error messages."""
    names = {
        dict: "an object",
        list: "a list",
        str: "a string",
        bool: "a boolean",
        int: "a number",
        float: "a number",
    }
    return "null" if value is None else names.get(type(value), type(value).__name__)


def need_text(row: dict[str, Any], key: str) -> str:
    """``row[key]`` as text; a missing key is empty text, a number is no text."""
    value = row.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Unreadable(f'"{key}" is {kind_of(value)}, not a string')
    return value
