"""Small results back to the command: summary rows in files of the run's own folder."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import xxhash

from transforms.blocks import Block
from transforms.corpus import read_batch, write_batch


@dataclass(frozen=True)
class AddUp:
    """Rows with equal ``by`` columns → one row, the other columns added; a file per key."""

    folder: str
    name: str
    by: tuple[str, ...]

    def __call__(self, key: bytes, table: pa.Table) -> Iterator[Block]:
        rest = [name for name in table.schema.names if name not in self.by]
        total = table.group_by(list(self.by)).aggregate([(name, "sum") for name in rest])
        total = total.rename_columns([name.removesuffix("_sum") for name in total.schema.names])
        total = total.select(table.schema.names).sort_by([(name, "ascending") for name in self.by]).cast(table.schema)
        for batch in total.combine_chunks().to_batches():
            write_batch(Path(self.folder) / f"{self.name}-{key.hex()}.arrow", batch)
        return iter(())


@dataclass(frozen=True)
class Collect:
    """Rows as they are; a file per batch, named by its content."""

    folder: str
    name: str

    def __call__(self, key: bytes, batch: pa.RecordBatch) -> Iterator[Block]:
        digest = xxhash.xxh3_128_hexdigest(repr(batch.to_pylist()).encode())
        write_batch(Path(self.folder) / f"{self.name}-{key.hex()}-{digest}.arrow", batch)
        return iter(())


def collected(folder: Path, name: str) -> list[dict[str, Any]]:
    """All rows that stages have left under ``name``, in the order of their files."""
    return [row for file in sorted(folder.glob(f"{name}-*.arrow")) for row in read_batch(str(file)).to_pylist()]
