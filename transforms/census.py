"""Groups of records and the order in them: what quotas are settled from, and how a target is cut exactly.

Every stage that takes a number of records of a group (lengths, clusters, sources in a mix) is the same move: a census
of each group over 256 bins of an order, totals to the command, which settles quotas, and one exact pass over the bin
in which a group's target falls. No step needs all records of a group in one place.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms.keys import U64

Ints = npt.NDArray[np.int64]
BIN_SHIFT = np.uint64(56)  # the top byte of an order is its bin

# Per group: what is still in, by bin.
CENSUS = pa.schema(
    [("group", pa.int32()), ("bin", pa.int32()), ("rows", pa.int64()), ("weight", pa.int64()), ("bytes", pa.int64())]
)


@dataclass(frozen=True)
class Grouping:
    """What a census goes by.

    ``by`` says what the groups are: sources (in the mix's unit), lengths (owner × bin), clusters, or owners (source,
    task, cluster or all) of a budget. ``order`` is "hash" or the score that comes first.
    """

    by: Literal["source", "length", "cluster", "owner"] = "source"
    owner: Literal["source", "task", "cluster", "all"] = "source"
    order: str = "hash"
    measure: str = ""  # of lengths: the feature that is binned
    edges: tuple[int, ...] = ()


SOURCES = Grouping()


def score_order(scores: npt.NDArray[np.float64], choose: U64) -> U64:
    """Order [n] in which higher scores come first, equal ones by their hash, missing ones (NaN) last.

    x / (1 + |x|) brings any scale into (-1, 1) and is exact arithmetic, the same on every machine; 32 bits of it stand
    before 32 bits of the hash.
    """
    scores = np.clip(scores, -1e300, 1e300)  # infinity over infinity would be a missing score
    squashed = (scores / (1 + np.abs(scores)) + 1) / 2
    rank = np.where(np.isnan(squashed), 0.0, np.floor(squashed * (2**32 - 2)) + 1)
    return ((np.uint64(2**32 - 1) - rank.astype(np.uint64)) << np.uint64(32)) | (choose >> np.uint64(32))


def order_score(order: int) -> float:
    """The score that ``score_order`` put into an order, to about nine digits; NaN for a missing one."""
    rank = 2**32 - 1 - (order >> 32)
    squashed = 2 * (rank - 1) / (2**32 - 2) - 1
    return squashed / (1 - abs(squashed)) if rank > 0 and abs(squashed) < 1 else float("nan")


def take_census(groups: Ints, order: U64, alive: npt.NDArray[np.bool_], weight: Ints, size: Ints) -> pa.RecordBatch:
    """CENSUS of the rows [n] still in; groups and bins without any are left out."""
    bins = (order[alive] >> BIN_SHIFT).astype(np.int64)
    keys, of = np.unique(groups[alive] * 256 + bins, return_inverse=True)
    columns: list[Any] = [keys // 256, keys % 256]
    for values in (np.ones(len(alive)), weight, size):
        # float64 sums of whole numbers are exact below 2^53
        columns.append(np.bincount(of, values[alive], len(keys)))
    return pa.RecordBatch.from_arrays(
        [
            pa.array(column.astype(np.int64), pa.int64()).cast(field.type)
            for column, field in zip(columns, CENSUS, strict=True)
        ],
        schema=CENSUS,
    )


def by_group(rows: list[dict[str, int]], field: str) -> dict[int, list[int]]:
    """Weights of each group's 256 bins, from collected CENSUS rows."""
    found: dict[int, list[int]] = {}
    for row in rows:
        found.setdefault(row["group"], [0] * 256)[row["bin"]] += row[field]
    return found
