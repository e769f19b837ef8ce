"""What the report says of each benchmark: sums of blocks, in any order, and examples for reading."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms.decontaminate.decide import FIELD_NAMES
from transforms.decontaminate.index import Index

OVERLAP = 0.02
"""Tulu 3 (section 3.2) calls a training set contaminated by a benchmark when it overlaps more than 2 % of its items."""
EXAMPLES = 5
"""Examples of each kind and benchmark."""

# One row an item, field and verdict: sums and bests, so that parts add up.
TALLY = pa.schema(
    [
        ("item", pa.int32()),
        ("field", pa.int8()),
        ("convicts", pa.bool_()),
        ("records", pa.int64()),
        ("score", pa.float64()),  # the best
        ("address", pa.int64()),  # of the record with the best score, the lowest of equals
    ]
)
# One row a source and benchmark.
DROPPED = pa.schema([("source", pa.int32()), ("benchmark", pa.int32()), ("records", pa.int64())])

Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Example:
    """One item and the record that holds most of it."""

    item: str  # "gsm8k_test 17"
    question: str
    field: str
    score: float
    records: int  # that hold the item
    address: int


@dataclass(frozen=True)
class Overlap:
    """One benchmark: ``items`` it has, ``found`` of them in records, by ``fields``; ``dropped`` records by source."""

    benchmark: str
    items: int
    found: int
    fields: dict[str, int]
    dropped: dict[str, int]
    examples: tuple[Example, ...]  # what convicted: the items that most records hold
    misses: tuple[Example, ...]  # what did not: the nearest

    @property
    def share(self) -> float:
        return self.found / self.items

    @property
    def contaminated(self) -> bool:
        """By Tulu 3's rule for a whole training set."""
        return self.share > OVERLAP


def tally(found: pa.RecordBatch, addresses: Int64) -> pa.RecordBatch:
    """TALLY of a block's MATCHES; ``addresses`` [n] are those of its records."""
    columns = [np.asarray(found[name]) for name in ("item", "field", "convicts")]
    return _add(columns, np.ones(found.num_rows, np.int64), np.asarray(found["score"]), addresses[found["row"]])


def add(parts: pa.Table) -> pa.RecordBatch:
    """TALLY rows of many blocks as one per item, field and verdict."""
    columns = [np.asarray(parts[name]) for name in ("item", "field", "convicts")]
    return _add(columns, np.asarray(parts["records"]), np.asarray(parts["score"]), np.asarray(parts["address"]))


def _add(
    keys: list[npt.NDArray[np.generic]], records: Int64, score: npt.NDArray[np.float64], address: Int64
) -> pa.RecordBatch:
    order = np.lexsort((address, -score, *keys[::-1]))
    changes = [column[order][1:] != column[order][:-1] for column in keys]
    first = np.flatnonzero(np.r_[True, np.logical_or.reduce(changes)][: len(order)])
    total = np.add.reduceat(records[order], first) if len(first) else np.zeros(0, np.int64)
    best = order[first]
    values = [*(column[best] for column in keys), total, score[best], address[best]]
    arrays = [pa.array(value).cast(kind.type) for value, kind in zip(values, TALLY, strict=True)]
    return pa.record_batch(arrays, schema=TALLY)


def dropped(found: pa.RecordBatch, index: Index, source: int) -> pa.RecordBatch:
    """DROPPED of a block's MATCHES, all of one source; a record that holds items of two benchmarks counts for both."""
    convicts = np.asarray(found["convicts"])
    benchmark = index.item_benchmark[np.asarray(found["item"])[convicts]].astype(np.int64)
    keys = np.unique(np.asarray(found["row"])[convicts].astype(np.int64) * len(index.names) + benchmark)
    benchmarks, records = np.unique(keys % max(len(index.names), 1), return_counts=True)
    columns = [np.full(len(benchmarks), source, np.int32), benchmarks.astype(np.int32), records.astype(np.int64)]
    return pa.record_batch([pa.array(column) for column in columns], schema=DROPPED)


def overlaps(parts: pa.Table, lost: pa.Table, sources: Mapping[int, str], index: Index) -> list[Overlap]:
    """All benchmarks by name, from the TALLY and DROPPED rows of all blocks."""
    rows = add(parts).to_pylist()
    sizes = np.bincount(index.item_benchmark, minlength=len(index.names))
    by_benchmark: list[list[dict[str, Any]]] = [[] for _ in index.names]
    for row in rows:
        by_benchmark[int(index.item_benchmark[row["item"]])].append(row)
    drops: list[dict[str, int]] = [{} for _ in index.names]
    for row in lost.sort_by([("source", "ascending")]).to_pylist():
        own = drops[row["benchmark"]]
        own[sources[row["source"]]] = own.get(sources[row["source"]], 0) + row["records"]
    return [
        _overlap(str(name), int(sizes[number]), by_benchmark[number], drops[number], index)
        for number, name in enumerate(index.names.to_pylist())
    ]


def _overlap(name: str, items: int, rows: list[dict[str, Any]], drops: dict[str, int], index: Index) -> Overlap:
    sure = [row for row in rows if row["convicts"]]
    found = {row["item"] for row in sure}
    near = [row for row in rows if not row["convicts"] and row["item"] not in found]
    fields = {
        field: len({row["item"] for row in sure if row["field"] == number}) for number, field in enumerate(FIELD_NAMES)
    }
    return Overlap(
        name,
        items,
        len(found),
        {field: count for field, count in fields.items() if count},
        drops,
        _examples(sure, "records", index),
        _examples(near, "score", index),
    )


def _examples(rows: list[dict[str, Any]], by: str, index: Index) -> tuple[Example, ...]:
    best = sorted(rows, key=lambda row: (-row[by], row["item"], row["field"]))
    return tuple(
        Example(
            index.label(row["item"]),
            str(index.questions[row["item"]]),
            FIELD_NAMES[row["field"]],
            row["score"],
            row["records"],
            row["address"],
        )
        for row in best[:EXAMPLES]
    )
