"""Parquet files, on this machine's disk or in a store, read by Arrow row group by row group."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from transforms.storage import is_remote, opened


def on_this_thread(stream: Any) -> pq.ParquetFile:
    """A Parquet file whose bytes Python gives; to be read with ``use_threads=False``.

    Arrow's own threads may let go of a Python file after the call that read it has returned. Where that meets the end
    of the interpreter, the process aborts ("terminate called without an active exception"). So no other thread than
    the caller's ever holds one: no datasets API, no buffering ahead, no threads.
    """
    return pq.ParquetFile(stream, pre_buffer=False)


class Parquet:
    """A file to read; one on the disk is read by Arrow itself and its threads, an object by the calling thread.

    Raises:
        OSError, pyarrow.ArrowException: it is not there, or no Parquet file; also from every reading method.
        GristmillError: the store is away.
    """

    def __init__(self, path: Path):
        self._threads = not is_remote(path)
        self._file = pq.ParquetFile(path) if self._threads else on_this_thread(opened(path))
        self.schema: pa.Schema = self._file.schema_arrow

    def groups(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The row groups in order, of them these columns (default: all)."""
        for number in range(self._file.num_row_groups):
            yield self._group(number, columns)

    def read(self) -> pa.Table:
        """The whole file."""
        found: pa.Table = self._file.read(use_threads=self._threads)
        return found

    def where(self, condition: pc.Expression, by: Sequence[str], columns: Sequence[str]) -> pa.Table:
        """These columns of the rows that meet a condition on the columns ``by``; they are only read of row groups that
        hold such a row. Raises KeyError for a column that is not there."""
        found = [self.schema.empty_table().select(columns)]
        for number in range(self._file.num_row_groups):
            rows = self._group(number, by)
            kept = rows.append_column("_row", pa.array(np.arange(rows.num_rows))).filter(condition)["_row"]
            if len(kept):
                found.append(self._group(number, columns).take(kept))
        return pa.concat_tables(found)

    def _group(self, number: int, columns: Sequence[str] | None) -> pa.Table:
        found: pa.Table = self._file.read_row_group(number, columns=columns, use_threads=self._threads)
        return found
