"""Shards: sorted, bounded in bytes, with row groups of a few megabytes, the same bytes every time."""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from schemas.errors import GristmillError
from schemas.ledger import LEDGER
from schemas.record import RELEASE
from transforms.storage import opened, replacing

ORDER = "__order"
"""Travels with the rows, sorts them, and is not written."""

_TOTALS = ("characters", "words", "tokens", "answer_tokens")
# One row per written file; counts are of its rows.
FILE = pa.schema(
    [("name", pa.string()), ("sha256", pa.string())] + [(name, pa.int64()) for name in ("rows", "bytes", *_TOTALS)]
)
_DICTIONARY = ["source", "origin", "generator", "license", "language", "task", "tools"]
_LEDGER_DICTIONARY = ["source", "file", "verdict", "stage", "rule", "split"]


def in_order(table: pa.Table) -> pa.Table:
    """Rows of RELEASE and ORDER sorted by ORDER, which is left out.

    Ties go to id and copy, which no two rows share unless they are equal.
    """
    table = table.combine_chunks()
    order = np.asarray(table[ORDER])
    if len(np.unique(order)) == len(order):
        ranking = pa.array(np.argsort(order))
    else:
        keys = [(ORDER, "ascending"), ("id", "ascending"), ("copy", "ascending")]
        ranking = pc.sort_indices(table.select([ORDER, "id", "copy"]), sort_keys=keys)
    return table.drop_columns([ORDER]).take(ranking).cast(RELEASE)


def write_shard(
    sorted_rows: Iterable[pa.Table], rows: int, size: int, stem: Path, shard_bytes: int, row_group_bytes: int
) -> Iterator[pa.RecordBatch]:
    """Write ``rows`` rows of ``size`` bytes as ``<stem>-<k>.parquet``, several files where they are too large.

    The tables are written one after the other; besides one of them a worker holds one row group. Yields a FILE row per
    file. The bytes do not depend on how the rows are divided into tables.
    """
    files = max(1, -(-size // shard_bytes))
    stream = _Stream(sorted_rows)
    for part in range(files):
        mine = rows * (part + 1) // files - rows * part // files
        if mine:
            groups = max(1, round(size * mine / rows / row_group_bytes))
            yield _write(stream, mine, -(-mine // groups), stem.with_name(f"{stem.name}-{part:03d}.parquet"))
    stream.end()


class _Stream:
    """Tables, read by so many rows at a time."""

    def __init__(self, tables: Iterable[pa.Table]):
        self._tables, self._rest = iter(tables), RELEASE.empty_table()

    def next(self, rows: int) -> pa.Table:
        """The next rows; raises GristmillError where there are fewer."""
        found = []
        while rows > self._rest.num_rows:
            found.append(self._rest)
            rows -= self._rest.num_rows
            following = next(self._tables, None)
            if following is None:
                raise GristmillError(f"a shard's pieces hold {rows} rows less than was counted; nothing was published")
            self._rest = following
        found.append(self._rest.slice(0, rows))
        self._rest = self._rest.slice(rows)
        # In one piece: Parquet's pages end where a chunk ends.
        return pa.concat_tables(found).combine_chunks()

    def end(self) -> None:
        """Raises GristmillError where rows are left."""
        left = self._rest.num_rows + sum(table.num_rows for table in self._tables)
        if left:
            raise GristmillError(f"a shard's pieces hold {left} rows more than was counted; nothing was published")


def _write(stream: _Stream, rows: int, group: int, path: Path) -> pa.RecordBatch:
    """The next ``rows`` rows as a file with row groups of ``group`` rows."""
    totals, counted = dict.fromkeys(_TOTALS, 0), set()
    with replacing(path) as staging:
        with pq.ParquetWriter(
            staging, RELEASE, compression="zstd", compression_level=3, use_dictionary=_DICTIONARY,
            write_page_index=True,
        ) as writer:  # fmt: skip
            for first in range(0, rows, group):
                table = stream.next(min(group, rows - first))
                for name in _TOTALS:
                    totals[name] += pc.sum(table[name]).as_py() or 0
                    if table[name].null_count < table.num_rows:
                        counted.add(name)
                writer.write_table(table)
            # Without a tokenizer there is no count, which is not the same as none.
            footer = {"rows": rows} | {name: totals[name] for name in _TOTALS if name in counted}
            writer.add_key_value_metadata({f"gristmill.{name}": str(total) for name, total in footer.items()})
        return file_row(staging, path.name, rows, totals)


def size_of(table: pa.Table) -> int:
    """Uncompressed bytes of a table's rows, however they are cut into chunks: values and offsets, not bitmaps."""
    return sum(_size_of(chunk) for column in table.columns for chunk in column.chunks)


def _size_of(array: pa.Array) -> int:
    kind = array.type
    if pa.types.is_struct(kind):
        return sum(_size_of(field) for field in array.flatten())
    if pa.types.is_list(kind):
        return 4 * len(array) + _size_of(array.flatten())
    if pa.types.is_string(kind):
        return 4 * len(array) + (pc.sum(pc.binary_length(array)).as_py() or 0)
    return len(array) * -(-kind.bit_width // 8)  # a bit counts as a byte, so that sums do not depend on the cut


def write_ledger(table: pa.Table, path: Path) -> pa.RecordBatch:
    """Sort ledger rows by address and write them; gives a FILE row."""
    table = table.sort_by(ORDER).drop_columns([ORDER]).cast(LEDGER)
    with replacing(path) as staging:
        pq.write_table(table, staging, compression="zstd", use_dictionary=_LEDGER_DICTIONARY)
        return file_row(staging, path.name, table.num_rows, {})


def file_row(path: Path, name: str, rows: int, totals: dict[str, int]) -> pa.RecordBatch:
    """A FILE row of a file that is going to be called ``name``."""
    size, digest = file_digest(path)
    values: dict[str, Any] = {"name": name, "sha256": digest, "rows": rows, "bytes": size} | totals
    return pa.RecordBatch.from_pylist([values], schema=FILE)


def file_digest(path: Path) -> tuple[int, str]:
    """Size in bytes and sha256 (hex) of a file, local or in a store."""
    with opened(path) as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]
        return stream.tell(), digest
