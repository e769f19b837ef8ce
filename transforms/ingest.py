"""Ingest: one split of a file → blocks of canonical records, their signals, and quarantined rows."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import xxhash

from schemas.errors import GristmillError
from schemas.ledger import QUARANTINE
from transforms.assemble import assemble
from transforms.corpus import block_name, publish_folder, read_batch, read_done, write_batch, write_signals
from transforms.readers import Converted, ReadStats, SourceOptions, Split, convert, read_rows
from transforms.signals import SignalSettings, compute
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
        return Path(self.corpus) / "text" / self.key

    def signals(self, settings: SignalSettings) -> Path:
        return Path(self.corpus) / "signals" / settings.key() / self.key


@dataclass(frozen=True)
class IngestSplits:
    """Block function: the key says which of ``works`` to do; gives nothing, the corpus is the result."""

    works: tuple[SplitWork, ...]
    settings: SignalSettings
    tokenizer: str | None

    def __call__(self, key: bytes, rows: pa.RecordBatch) -> Iterator[tuple[bytes, pa.RecordBatch]]:
        for number in rows["work"].to_pylist():
            ingest_split(self.works[number], self.settings, self.tokenizer)
        return iter(())


def ingest_split(work: SplitWork, settings: SignalSettings, tokenizer: str | None) -> None:
    """Bring the corpus to hold this split's text and signals; what is there already is not done again."""
    counter = Tokenizer(tokenizer) if tokenizer else None
    fresh = read_done(work.text) is None
    signals = work.signals(settings)
    if not fresh:
        if read_done(signals) is None:
            publish_folder(signals, lambda folder: _signal_stored(work, folder, settings, counter))
        return

    def write_both(text: Path) -> dict[str, Any]:
        summary: dict[str, Any] = {}

        def write_signal(folder: Path) -> dict[str, Any]:
            summary.update(_read_split(work, text, folder, settings, counter))
            return {"blocks": summary["blocks"]}

        publish_folder(signals, write_signal)
        return summary

    publish_folder(work.text, write_both)


def _read_split(
    work: SplitWork, text: Path, signals: Path, settings: SignalSettings, tokenizer: Tokenizer | None
) -> dict[str, Any]:
    stats = ReadStats()
    bad: list[Converted] = []
    blocks: list[dict[str, int]] = []
    try:
        for good in _blocks(convert(read_rows(work.split, work.options), work.options, stats), bad, work.block_bytes):
            conversations = [one.conversation for one in good if one.conversation is not None]
            batch = assemble(conversations, [one.index for one in good], [one.part for one in good])
            write_batch(text / block_name(len(blocks)), batch)
            write_signals(signals, len(blocks), compute(batch, settings, tokenizer))
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


def _signal_stored(
    work: SplitWork, folder: Path, settings: SignalSettings, tokenizer: Tokenizer | None
) -> dict[str, Any]:
    """Signals under new settings from stored text."""
    done = read_done(work.text) or {}
    for number in range(len(done["blocks"])):
        batch = read_batch(str(work.text / block_name(number)))
        write_signals(folder, number, compute(batch, settings, tokenizer))
    return {"blocks": done["blocks"]}
