"""Near deduplication: what each block contributes, and what each part of the shuffle does with it."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms.greedy import pick
from transforms.keys import halves
from transforms.shingles import Ragged
from transforms.verdicts import NEAR, drops

Ints = npt.NDArray[np.int64]

BAND = pa.schema([("band", pa.uint64()), ("address", pa.int64())])
# A record that shares a band with another: it travels once, with its shingles, to where its group is decided.
MEMBER = pa.schema(
    [
        ("root", pa.int64()),
        ("order", pa.uint64()),
        ("id", pa.binary(16)),
        ("address", pa.int64()),
        ("shingles", pa.large_list(pa.uint32())),
    ]
)


def band_rows(keys: npt.NDArray[np.uint64], addresses: Ints) -> pa.RecordBatch:
    """Band keys [n, bands] of records at ``addresses`` [n] as BAND rows."""
    return pa.RecordBatch.from_arrays(
        [pa.array(keys.reshape(-1)), pa.array(np.repeat(addresses, keys.shape[1]))], schema=BAND
    )


def take_ragged(ragged: Ragged, rows: Ints) -> Ragged:
    """The sets of ``rows``, in that order."""
    lengths = np.diff(ragged.offsets)[rows]
    offsets = np.r_[0, np.cumsum(lengths)]
    positions = np.arange(offsets[-1]) + np.repeat(ragged.offsets[rows] - offsets[:-1], lengths)
    return Ragged(ragged.values[positions], offsets)


def find_near(table: pa.Table, similarity: float) -> pa.RecordBatch:
    """Drops [DROP] among whole groups [MEMBER]."""
    columns = {name: table[name].combine_chunks() for name in MEMBER.names}
    root, order = np.asarray(columns["root"]), np.asarray(columns["order"])
    address = np.asarray(columns["address"])
    id_high, id_low = halves(columns["id"])
    ranking = np.lexsort((address, id_low, id_high, order, root))
    lists = columns["shingles"]
    shingles = take_ragged(Ragged(np.asarray(lists.values), np.asarray(lists.offsets)), ranking)
    representative, value = pick(root[ranking], shingles, similarity)
    dropped = np.flatnonzero(representative >= 0)
    stays = columns["id"].take(pa.array(ranking[representative[dropped]]))
    return drops(address[ranking[dropped]], NEAR, value[dropped], stays)


def member_rows(
    roots: Ints, order: npt.NDArray[np.uint64], ids: pa.Array, addresses: Ints, shingles: Ragged
) -> pa.RecordBatch:
    """MEMBER rows of a block's grouped records."""
    return pa.RecordBatch.from_arrays(
        [
            pa.array(roots, pa.int64()),
            pa.array(order, pa.uint64()),
            ids,
            pa.array(addresses, pa.int64()),
            pa.LargeListArray.from_arrays(pa.array(shingles.offsets), pa.array(shingles.values)),
        ],
        schema=MEMBER,
    )
