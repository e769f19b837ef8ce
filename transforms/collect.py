"""Small results back to the command: summary rows in files of the run's own folder."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from transforms.corpus import read_batch, write_batch
from transforms.storage import files_in, place


def leave(folder: str, name: str, key: bytes, batch: pa.RecordBatch) -> None:
    """Leave rows for the command under ``name``; one file a key, so a retried bundle replaces its own."""
    write_batch(place(folder) / f"{name}-{key.hex()}.arrow", batch)


@dataclass(frozen=True)
class Keep:
    """All rows of a key as one file for the command; their order means nothing."""

    name: str
    folder: str

    def __call__(self, key: bytes, table: pa.Table) -> Iterator[tuple[bytes, pa.RecordBatch]]:
        leave(self.folder, self.name, key, in_one(table))
        return iter(())


def in_one(table: pa.Table) -> pa.RecordBatch:
    """A table's rows as one batch, none of them too."""
    batches = table.to_batches()
    return pa.concat_batches(batches) if batches else pa.RecordBatch.from_pylist([], schema=table.schema)


def collected(folder: Path, name: str) -> list[dict[str, Any]]:
    """All rows that stages have left under ``name``, in the order of their keys."""
    return [row for file in files_in(folder, f"{name}-*.arrow") for row in read_batch(str(file)).to_pylist()]


def add_up(table: pa.Table, by: tuple[str, ...]) -> pa.RecordBatch:
    """Rows with equal ``by`` columns as one row, the other columns added, sorted by ``by``."""
    rest = [name for name in table.schema.names if name not in by]
    total = table.group_by(list(by)).aggregate([(name, "sum") for name in rest])
    total = total.rename_columns([name.removesuffix("_sum") for name in total.schema.names])
    total = total.select(table.schema.names).sort_by([(name, "ascending") for name in by]).cast(table.schema)
    return pa.RecordBatch.from_arrays([column.combine_chunks() for column in total.columns], schema=table.schema)
