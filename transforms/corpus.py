"""The corpus: canonical records and their signals on disk, keyed by content, reused by the next run.

::

    <work_dir>/corpus/text/<split key>/00000.arrow …   records (CORPUS schema), one file a block
                                      quarantine.arrow rows that could not be read, with their bytes
                                      done.json        counts, digests; its presence means the split is complete
    <work_dir>/corpus/signals/<settings key>/<split key>/00000.features.arrow, 00000.shingles.arrow, done.json
    <work_dir>/corpus/annotations/<annotation key>/<split key>/00000.arrow, done.json

A split's folder is written beside its place and renamed, so a killed run leaves nothing half-written in place, and
two workers doing the same split do no harm: both write the same bytes, the first rename wins. In an object store, which
has no rename, the files are put straight to their places, and ``done.json`` last: without it nothing is believed, and
who does the split again puts the same bytes there.
"""

import mmap
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import xxhash

from transforms.shingles import Ragged
from transforms.signals import Signals
from transforms.storage import all_files, is_remote, mapped, read_bytes, replacing, scratch

_LZ4 = pa.ipc.IpcWriteOptions(compression="lz4")
DONE = "done.json"


@dataclass(frozen=True)
class Block:
    """Where a block lies and where it stands: the address of its row i is ``base + i``.

    Addresses number all records of a run in the order of source, file, row, part; block sizes do not reach them.
    """

    base: int
    rows: int
    bytes: int  # of the text
    source: int  # position among the recipe's sources by name
    file: str  # name in the provenance
    first_row: int  # raw row of the file at which the block's split begins
    text: str  # path of the records
    signals: str  # path of the features, shingles beside it
    unit: int = 0  # neighbouring small blocks of a source are decided together


UNIT_ROWS, UNIT_BYTES = 1 << 14, 32 << 20
"""Blocks of a source are decided together up to this size: many small files would otherwise mean many small messages,
and a message costs as much as a thousand rows."""


def assign_units(blocks: Sequence[Block]) -> list[Block]:
    """The same blocks with their units filled in, from 0, in order; a unit never spans two sources."""
    assigned: list[Block] = []
    unit, rows, size = -1, 0, 0
    for block in blocks:
        full = rows + block.rows > UNIT_ROWS or size + block.bytes > UNIT_BYTES
        if not assigned or full or assigned[-1].source != block.source:
            unit, rows, size = unit + 1, 0, 0
        rows, size = rows + block.rows, size + block.bytes
        assigned.append(replace(block, unit=unit))
    return assigned


@contextmanager
def publishing(target: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """A temporary folder and an empty summary to fill; afterwards the folder is ``target`` and holds ``done.json``:
    the summary and a digest of every file. Nothing of it is left when the filling fails."""
    if is_remote(target):
        with _putting(target) as filling:
            yield filling
        return
    staging = scratch(target.parent, target.name)
    summary: dict[str, Any] = {}
    try:
        yield staging, summary
        summary["files"] = {path.name: _digest(path) for path in sorted(staging.iterdir())}
        (staging / DONE).write_bytes(orjson.dumps(summary, option=orjson.OPT_SORT_KEYS))
        try:
            os.rename(staging, target)
        except OSError:
            if read_done(target) is None:
                # What stands there is not a finished split: a power cut, or somebody's hand. It is made anew.
                shutil.rmtree(target)
                os.rename(staging, target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


@contextmanager
def _putting(target: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """As ``publishing``, for a store: filled on this machine's disk, then put there."""
    from transforms.remote import upload_all, write_bytes

    with tempfile.TemporaryDirectory(prefix="gristmill-") as folder:
        staging, summary = Path(folder), dict[str, Any]()
        yield staging, summary
        files = sorted(staging.iterdir())
        summary["files"] = {path.name: _digest(path) for path in files}
        summary["sizes"] = {path.name: path.stat().st_size for path in files}
        upload_all([(path, str(target / path.name)) for path in files])
        write_bytes(str(target / DONE), orjson.dumps(summary, option=orjson.OPT_SORT_KEYS))


def _digest(path: Path) -> str:
    with open(path, "rb") as stream:
        if not os.fstat(stream.fileno()).st_size:
            return xxhash.xxh3_64_hexdigest(b"")
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return xxhash.xxh3_64_hexdigest(data)


def sound(folder: Path) -> bool:
    """Whether every file of a complete split still has the bytes that it was written with.

    A store keeps checksums of its own and answers for its bytes: there, only names and sizes are looked at.
    """
    summary = read_done(folder)
    if is_remote(folder):
        sizes = summary.get("sizes") if summary else None
        return isinstance(sizes, dict) and sizes == {
            name: found.size for name, found in all_files(folder).items() if name in sizes
        }
    files = summary.get("files") if summary else None
    try:
        return isinstance(files, dict) and all(_digest(folder / name) == digest for name, digest in files.items())
    except OSError:
        return False


def read_done(folder: Path) -> dict[str, Any] | None:
    """The summary of a complete split, or None."""
    try:
        # Of a store, what was once complete is not asked for again: it never changes.
        done = mapped(folder / DONE) if is_remote(folder) else read_bytes(folder / DONE)
        summary = orjson.loads(memoryview(done))
    except (FileNotFoundError, NotADirectoryError, orjson.JSONDecodeError):
        return None
    return summary if isinstance(summary, dict) and isinstance(summary.get("blocks"), list) else None


def write_batch(path: Path, batch: pa.RecordBatch, compress: bool = True) -> None:
    """Write one block file."""
    options = _LZ4 if compress else None
    with replacing(path) as staging, pa.ipc.new_file(str(staging), batch.schema, options=options) as writer:
        writer.write_batch(batch)


def read_batch(path: str) -> pa.RecordBatch:
    """A whole block file, memory-mapped: columns that nobody touches are not read. Of a store, all of it is read."""
    return pa.ipc.open_file(mapped(path)).get_batch(0)


def read_once(path: Path) -> pa.Table:
    """A block file that is read once: what comes from a store is not kept for the next who asks."""
    source = pa.BufferReader(read_bytes(path)) if is_remote(path) else pa.memory_map(str(path))
    return pa.ipc.open_file(source).read_all()


def block_name(number: int) -> str:
    return f"{number:05d}.arrow"


def write_signals(folder: Path, number: int, signals: Signals) -> None:
    width = 4 * signals.signatures.shape[1]
    signature = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(width), len(signals.signatures), [None, pa.py_buffer(np.ascontiguousarray(signals.signatures))]
    )
    features = signals.features.append_column("signature", signature)
    # Hashes do not compress; uncompressed files are mapped without a copy.
    write_batch(folder / f"{number:05d}.features.arrow", features, compress=False)
    sets = {"shingles": ragged_array(signals.shingles), "answers": ragged_array(signals.answers)}
    write_batch(folder / f"{number:05d}.shingles.arrow", pa.record_batch(sets), compress=False)


def ragged_array(sets: Ragged) -> pa.LargeListArray:
    return pa.LargeListArray.from_arrays(pa.array(sets.offsets), pa.array(sets.values))


def annotation_path(folder: str, text: str) -> str:
    """Where an annotation (``folder``: its own, over all splits) keeps the columns of the block with this ``text``."""
    return (
        "/".join((folder, *text.rsplit("/", 2)[-2:])) if is_remote(text) else str(Path(folder, *Path(text).parts[-2:]))
    )


def signals_path(folder: Path, number: int) -> str:
    return str(folder / f"{number:05d}.features.arrow")


def read_signatures(features: pa.RecordBatch) -> npt.NDArray[np.uint32]:
    """uint32 [rows, permutations], a view of the file."""
    column = features["signature"]
    width = column.type.byte_width // 4
    flat = np.frombuffer(column.buffers()[1], np.uint32)
    return flat[column.offset * width : (column.offset + len(column)) * width].reshape(-1, width)


def read_sets(signals: str, name: str) -> Ragged:
    """The ``shingles`` or ``answers`` that lie beside a features file."""
    column = read_batch(signals.replace(".features.", ".shingles."))[name]
    return Ragged(np.asarray(column.values), np.asarray(column.offsets))
