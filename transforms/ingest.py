"""Ingest: one split of a file → blocks of canonical records, their signals, and quarantined rows."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import xxhash

from schemas.errors import GristmillError
from schemas.ledger import QUARANTINE
from transforms.annotate.annotation import Annotation, key
from transforms.assemble import assemble
from transforms.corpus import block_name, publishing, read_batch, read_done, write_batch, write_signals
from transforms.readers import Converted, ReadStats, SourceOptions, Split, convert, read_rows
from transforms.records import Records
from transforms.signals import SignalSettings, compute
from transforms.storage import place
from transforms.tokens import Tokenizer

# Part of the corpus key: raise it when the same bytes give other records.
READERS_VERSION = 1
BLOCK_ROWS = 8192
RAW_BYTES = 1 << 16  # what quarantine keeps of a row


@dataclass(frozen=True)
class SplitWork:
    """One split and how to read it; ``digest`` is the sha256 of its whole file."""

    split: Split
    options: SourceOptions
    digest: str
    block_bytes: int
    corpus: str

    @property
    def key(self) -> str:
        """Content address: the same bytes read the same way are read once, whatever the file or source is called."""
        parts = (
            self.digest, self.split.kind.container, self.split.kind.compression, self.split.start, self.split.end,
            repr(self.options), self.block_bytes, READERS_VERSION,
        )  # fmt: skip
        return xxhash.xxh3_128_hexdigest(orjson.dumps(parts))

    @property
    def cost(self) -> int:
        """Bytes to read: what the order of work goes by. Row groups of Parquet count as a mebibyte each."""
        if self.split.kind.container == "parquet":
            return (self.split.end - self.split.start) << 20
        return min(self.split.end, self.split.file.size) - self.split.start or self.split.file.size

    @property
    def text(self) -> Path:
        return place(self.corpus) / "text" / self.key

    def signals(self, settings: SignalSettings) -> Path:
        return place(self.corpus) / "signals" / settings.key() / self.key

    def annotation(self, annotation: Annotation) -> Path:
        return place(self.corpus) / "annotations" / key(annotation) / self.key


@dataclass(frozen=True)
class Measuring:
    """What is computed of every record: signals, and the annotations that the recipe needs."""

    settings: SignalSettings
    tokenizer: str | None  # its definition
    annotations: tuple[Annotation, ...] = ()

    def folders(self, work: SplitWork) -> list[Path]:
        """The folders that a complete split has besides its text."""
        return [work.signals(self.settings), *(work.annotation(one) for one in self.annotations)]

    def missing(self, work: SplitWork) -> bool:
        return any(read_done(folder) is None for folder in (work.text, *self.folders(work)))


@dataclass(frozen=True)
class IngestSplits:
    """Block function: the key says which of ``works`` to do; gives nothing, the corpus is the result."""

    works: tuple[SplitWork, ...]
    measuring: Measuring

    def __call__(self, key: bytes, rows: pa.RecordBatch) -> Iterator[tuple[bytes, pa.RecordBatch]]:
        for number in rows["work"].to_pylist():
            ingest_split(self.works[number], self.measuring)
        return iter(())


def ingest_split(work: SplitWork, measuring: Measuring) -> None:
    """Bring the corpus to hold this split's text and all that is measured of it; what is there is not done again."""
    counter = Tokenizer(measuring.tokenizer) if measuring.tokenizer else None
    fresh = read_done(work.text) is None
    with ExitStack() as stack:
        # Left in the opposite order: text last, for where text is complete nothing is read again.
        text, summary = stack.enter_context(publishing(work.text)) if fresh else (work.text, read_done(work.text) or {})
        outputs: list[Callable[[int, Records], None]] = []
        summaries = []
        for folder, write in (
            (work.signals(measuring.settings), partial(_write_signals, measuring.settings, counter)),
            *((work.annotation(one), partial(_write_annotation, one)) for one in measuring.annotations),
        ):
            if fresh or read_done(folder) is None:
                staging, own = stack.enter_context(publishing(folder))
                outputs.append(partial(write, staging))
                summaries.append(own)
        if fresh:
            summary.update(_read_split(work, text, outputs))
        else:
            for number in range(len(summary["blocks"])):
                _measure(number, read_batch(str(work.text / block_name(number))), outputs)
        for own in summaries:
            own["blocks"] = summary["blocks"]


def _write_signals(
    settings: SignalSettings, counter: Tokenizer | None, folder: Path, number: int, records: Records
) -> None:
    write_signals(folder, number, compute(records, settings, counter))


def _write_annotation(annotation: Annotation, folder: Path, number: int, records: Records) -> None:
    columns = annotation(records)
    if columns.num_rows != len(records) or columns.schema != annotation.schema:
        raise GristmillError(
            f"annotation {annotation.name!r} gave {columns.num_rows} rows of {columns.schema.names} for {len(records)} "
            f"records of {annotation.schema.names}; please report this"
        )
    write_batch(folder / block_name(number), columns, compress=False)


def _measure(number: int, batch: pa.RecordBatch, outputs: list[Callable[[int, Records], None]]) -> None:
    records = Records(batch)
    for write in outputs:
        write(number, records)


def _read_split(work: SplitWork, text: Path, outputs: list[Callable[[int, Records], None]]) -> dict[str, Any]:
    stats = ReadStats()
    bad: list[Converted] = []
    blocks: list[dict[str, int]] = []
    try:
        for good in _blocks(convert(read_rows(work.split, work.options), work.options, stats), bad, work.block_bytes):
            conversations = [one.conversation for one in good if one.conversation is not None]
            batch = assemble(conversations, [one.index for one in good], [one.part for one in good])
            write_batch(text / block_name(len(blocks)), batch)
            _measure(len(blocks), batch, outputs)
            blocks.append({"rows": len(good), "bytes": batch.nbytes})
    except OSError as error:
        raise GristmillError(f"{work.split.file.name}: {error}; the file changed or its store failed") from None
    quarantine = {
        "source": pa.nulls(len(bad), pa.string()),
        "file": pa.nulls(len(bad), pa.string()),
        "index": pa.array([one.index for one in bad], pa.int64()),
        "reason": pa.array([one.reason for one in bad], pa.string()),
        "raw": pa.array([(one.raw or b"")[:RAW_BYTES] for one in bad], pa.binary()),
    }
    write_batch(text / "quarantine.arrow", pa.RecordBatch.from_arrays(list(quarantine.values()), schema=QUARANTINE))
    return asdict(stats) | {"blocks": blocks}


def _blocks(rows: Iterable[Converted], bad: list[Converted], block_bytes: int) -> Iterator[list[Converted]]:
    """Readable rows in blocks of about ``block_bytes`` of raw text; unreadable ones go to ``bad``."""
    good: list[Converted] = []
    size = 0
    for row in rows:
        if row.conversation is None:
            bad.append(row)
            continue
        good.append(row)
        size += len(row.raw) if row.raw is not None else 512
        if size >= block_bytes or len(good) >= BLOCK_ROWS:
            yield good
            good, size = [], 0
    if good:
        yield good
