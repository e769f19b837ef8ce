"""Near deduplication: what each block contributes, and what each part of the shuffle does with it."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms.greedy import Second, pick
from transforms.keys import halves
from transforms.shingles import Ragged, blocks
from transforms.terms import spans
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
        ("answers", pa.large_list(pa.uint32())),
    ]
)
_SETS = ("shingles", "answers")

_TOGETHER = 1 << 20
"""Shingles of small groups that are decided together (4 MB); a larger group is decided alone."""
_COPIED = 1 << 18
"""Shingles copied at a time."""


def band_rows(keys: npt.NDArray[np.uint64], addresses: Ints) -> pa.RecordBatch:
    """Band keys [n, bands] of records at ``addresses`` [n] as BAND rows."""
    return pa.RecordBatch.from_arrays(
        [pa.array(keys.reshape(-1)), pa.array(np.repeat(addresses, keys.shape[1]))], schema=BAND
    )


def take_ragged(ragged: Ragged, rows: Ints) -> Ragged:
    """The sets of ``rows``, in that order."""
    return _gather([ragged], np.zeros(len(rows), np.int64), rows)


def find_near(table: pa.Table, similarity: float, answers: float = 0.0) -> pa.RecordBatch:
    """Drops [DROP] among whole groups [MEMBER]; above 0, ``answers`` is how similar the answers' words must be too.

    Sets stay where they arrived; those of some whole groups at a time are copied, in survivor order.
    """
    columns = {name: table[name].combine_chunks() for name in MEMBER.names if name not in _SETS}
    root, order = np.asarray(columns["root"]), np.asarray(columns["order"])
    address = np.asarray(columns["address"])
    id_high, id_low = halves(columns["id"])
    ranking = np.lexsort((address, id_low, id_high, order, root))
    root = root[ranking]
    arrived, arrived_answers = (
        [Ragged(np.asarray(chunk.values), np.asarray(chunk.offsets)) for chunk in table[name].chunks] for name in _SETS
    )
    starts = np.cumsum([0] + [len(one.offsets) - 1 for one in arrived])
    piece = np.searchsorted(starts, ranking, side="right") - 1
    row = ranking - starts[piece]
    sizes = np.concatenate([np.zeros(0, np.int64), *(np.diff(one.offsets) for one in arrived)])[ranking]
    representative, value = np.full(len(root), -1, np.int64), np.full(len(root), np.nan)
    for first, last in _whole_groups(root, sizes):
        shingles = _gather(arrived, piece[first:last], row[first:last])
        second = None
        if answers > 0:
            second = Second(_gather(arrived_answers, piece[first:last], row[first:last]), answers)
        found, value[first:last] = pick(root[first:last], shingles, similarity, second)
        representative[first:last] = np.where(found < 0, -1, found + first)
    dropped = np.flatnonzero(representative >= 0)
    stays = columns["id"].take(pa.array(ranking[representative[dropped]]))
    return drops(address[ranking[dropped]], NEAR, value[dropped], stays)


def _whole_groups(root: Ints, sizes: Ints) -> Iterator[tuple[int, int]]:
    """Runs (first, last) of whole groups with about ``_TOGETHER`` shingles each; ``root`` [n] is ascending."""
    starts = np.flatnonzero(np.r_[True, root[1:] != root[:-1]])
    ends = np.r_[starts[1:], len(root)]
    before = np.r_[0, np.cumsum(sizes)]
    for first, last in blocks(np.r_[0, before[ends]], _TOGETHER):
        yield int(starts[first]), int(ends[last - 1])


def _gather(sources: Sequence[Ragged], source: Ints, row: Ints) -> Ragged:
    """Sets ``row[i]`` of ``sources[source[i]]``, in that order. Besides the result it needs a few megabytes."""
    lengths = np.zeros(len(row), np.int64)
    places = [np.flatnonzero(source == number) for number in range(len(sources))]
    for ragged, place in zip(sources, places, strict=True):
        lengths[place] = np.diff(ragged.offsets)[row[place]]
    offsets = np.r_[0, np.cumsum(lengths)]
    values = np.empty(offsets[-1], np.uint32)
    for ragged, place in zip(sources, places, strict=True):
        for first, last in blocks(np.r_[0, np.cumsum(lengths[place])], _COPIED):
            some = place[first:last]
            values[spans(offsets[some], lengths[some])] = ragged.values[spans(ragged.offsets[row[some]], lengths[some])]
    return Ragged(values, offsets)


def member_rows(
    roots: Ints, order: npt.NDArray[np.uint64], ids: pa.Array, addresses: Ints, shingles: Ragged, answers: Ragged
) -> pa.RecordBatch:
    """MEMBER rows of a block's grouped records."""
    return pa.RecordBatch.from_arrays(
        [
            pa.array(roots, pa.int64()),
            pa.array(order, pa.uint64()),
            ids,
            pa.array(addresses, pa.int64()),
            *(
                pa.LargeListArray.from_arrays(pa.array(one.offsets), pa.array(one.values))
                for one in (shingles, answers)
            ),
        ],
        schema=MEMBER,
    )
