"""Near duplicates inside groups: walk in survivor order, keep a record unless it is similar to one already kept.

A record is dropped only for a record that stays and to which its exact Jaccard similarity reaches the threshold, as
must that of a second pair of sets (the answers' words) where one is given; nothing chains through third records.
Inside a group every pair counts, whether LSH proposed that pair or another one connected the two, so the result
depends on the group alone.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from transforms.shingles import Ragged, jaccard_pairs
from transforms.walk import Second, compare_with_first, walk

Ints = npt.NDArray[np.int64]

SMALL = 8
"""Open records in a group up to which its first one is compared with all others, round after round."""

HUB_ROUNDS = 4
"""Such rounds for every group. Most need one: its first record is similar to all others."""

HUB_SHARE = 8
"""A larger group goes on with rounds as long as one drops more than one in so many; then it walks with an index."""

_WALKED = 1 << 20
"""Shingles of groups that walk together; a larger group walks alone."""


def pick(
    groups: Ints, shingles: Ragged, similarity: float, second: Second | None = None
) -> tuple[Ints, npt.NDArray[np.float64]]:
    """Representative (row number, -1 for a record that stays) and similarity of shingles to it, for rows [n].

    Rows are sorted by group, then in survivor order. Greedy and sequential by definition:
    ``stays(x) = no y before x in its group with stays(y) and J(x, y) >= similarity`` (and J of the second sets at
    least their own threshold); the first such y represents x.
    """
    representative = np.full(len(groups), -1, np.int64)
    value = np.full(len(groups), np.nan)
    rest = np.arange(len(groups))
    large: list[Ints] = []
    rounds = 0
    while len(rest):
        # The first open record of each group stays: it was compared with every kept one before it.
        _, hub, rest = compare_with_first(groups[rest], rest)
        score, similar = _compare(shingles, similarity, second, hub, rest)
        representative[rest[similar]] = hub[similar]
        value[rest[similar]] = score[similar]
        rounds += 1
        if rounds >= HUB_ROUNDS and len(rest):
            leave = _leaving(groups[rest], similar)[~similar]
            large.append(rest[~similar][leave])
            rest = rest[~similar][~leave]
        else:
            rest = rest[~similar]
    for rows in _together(groups, np.sort(np.concatenate([*large, rest])), shingles):
        stays, scores = walk(groups[rows], rows, shingles, similarity, second)
        dropped = stays >= 0
        representative[rows[dropped]] = rows[stays[dropped]]
        value[rows[dropped]] = scores[dropped]
    return representative, value


def _compare(
    shingles: Ragged, similarity: float, second: Second | None, left: Ints, right: Ints
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Jaccard similarity of pairs [p] and whether they are near duplicates; the short second sets come first."""
    asked = np.arange(len(left))
    if second is not None:
        asked = np.flatnonzero(jaccard_pairs(second.sets, left, right) >= second.least)
    score = np.zeros(len(left))
    score[asked] = jaccard_pairs(shingles, left[asked], right[asked])
    similar = np.zeros(len(left), bool)
    similar[asked] = score[asked] >= similarity
    return score, similar


def _leaving(groups: Ints, similar: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Which rows [n] are of a group that is large still and lost little in its last round."""
    starts = np.flatnonzero(np.r_[True, groups[1:] != groups[:-1]])
    sizes = np.diff(np.r_[starts, len(groups)])
    lost = np.add.reduceat(similar, starts, dtype=np.int64)
    return np.repeat((sizes - lost > SMALL) & (lost * HUB_SHARE < sizes), sizes)


def _together(groups: Ints, rows: Ints, shingles: Ragged) -> Iterator[Ints]:
    """Whole groups of ``rows``, as many as make a walk worth its start."""
    if len(rows) == 0:
        return
    starts = np.flatnonzero(np.r_[True, groups[rows][1:] != groups[rows][:-1]])
    before = np.r_[0, np.cumsum(np.diff(shingles.offsets)[rows])][starts]
    run = before // _WALKED
    cuts = starts[np.flatnonzero(np.r_[True, run[1:] != run[:-1]])]
    yield from np.split(rows, cuts[1:])
