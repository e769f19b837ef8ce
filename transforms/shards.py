"""Shards: sorted, bounded in bytes, with row groups of a few megabytes, the same bytes every time."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from schemas.ledger import LEDGER
from schemas.record import RELEASE
from transforms.storage import opened, replacing

ORDER = "__order"
"""Travels with the rows, sorts them, and is not written."""

# One row per written file; counts are of its rows.
FILE = pa.schema(
    [("name", pa.string()), ("sha256", pa.string())]
    + [(name, pa.int64()) for name in ("rows", "bytes", "characters", "words", "tokens", "answer_tokens")]
)
_DICTIONARY = ["source", "origin", "generator", "license", "language", "task", "tools"]
_LEDGER_DICTIONARY = ["source", "file", "verdict", "stage", "rule", "split"]


def write_shard(table: pa.Table, stem: Path, shard_bytes: int, row_group_bytes: int) -> Iterator[pa.RecordBatch]:
    """Sort ``table`` (RELEASE and ORDER columns) and write it as ``<stem>-<k>.parquet``, several where it is too large.

    Yields a FILE row per file. Ties in the order go to id and copy, which no two rows share unless they are equal.
    """
    table = table.combine_chunks()
    order = np.asarray(table[ORDER])
    if len(np.unique(order)) == len(order):
        ranking = pa.array(np.argsort(order))
    else:
        keys = [(ORDER, "ascending"), ("id", "ascending"), ("copy", "ascending")]
        ranking = pc.sort_indices(table.select([ORDER, "id", "copy"]), sort_keys=keys)
    table = table.drop_columns([ORDER]).take(ranking)
    files = max(1, -(-table.nbytes // shard_bytes))
    bounds = [table.num_rows * part // files for part in range(files + 1)]
    for part in range(files):
        rows = table.slice(bounds[part], bounds[part + 1] - bounds[part])
        if rows.num_rows:
            yield _write(rows, stem.with_name(f"{stem.name}-{part:03d}.parquet"), row_group_bytes)


def _write(rows: pa.Table, path: Path, row_group_bytes: int) -> pa.RecordBatch:
    totals = {name: int(pc.sum(rows[name]).as_py() or 0) for name in ("characters", "words", "tokens", "answer_tokens")}
    # Without a tokenizer there is no count, which is not the same as none.
    counted = {name: total for name, total in totals.items() if rows[name].null_count < rows.num_rows}
    footer = {"gristmill.rows": str(rows.num_rows)} | {f"gristmill.{key}": str(sum_) for key, sum_ in counted.items()}
    schema = RELEASE.with_metadata(footer)
    groups = max(1, round(rows.nbytes / row_group_bytes))
    with replacing(path) as staging:
        pq.write_table(
            rows.cast(schema), staging, row_group_size=-(-rows.num_rows // groups),
            compression="zstd", compression_level=3, use_dictionary=_DICTIONARY, write_page_index=True,
        )  # fmt: skip
        return file_row(staging, path.name, rows.num_rows, totals)


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
