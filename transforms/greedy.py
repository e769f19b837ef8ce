"""Near duplicates inside groups: walk in survivor order, keep a record unless it is similar to one already kept.

A record is dropped only for a record that stays and to which its exact Jaccard similarity reaches the threshold;
nothing chains through third records. Inside a group every pair counts, whether LSH proposed that pair or another one
connected the two, so the result depends on the group alone.
"""

import math
from collections import defaultdict

import numpy as np
import numpy.typing as npt

from transforms.shingles import Ragged, jaccard_pairs

Ints = npt.NDArray[np.int64]

HUB_ROUNDS = 4
"""Rounds in which all groups at once compare their first open record with the rest. Most groups need one."""

SMALL = 32
"""Open records in a group up to which hub rounds go on; a larger rest (a template) walks through an index."""


def pick(groups: Ints, shingles: Ragged, similarity: float) -> tuple[Ints, npt.NDArray[np.float64]]:
    """Representative (row number, -1 for a record that stays) and similarity to it, for rows [n].

    Rows are sorted by group, then in survivor order. Greedy and sequential by definition:
    ``stays(x) = no y before x in its group with stays(y) and J(x, y) >= similarity``.
    """
    representative = np.full(len(groups), -1, np.int64)
    value = np.full(len(groups), np.nan)
    open_rows = np.arange(len(groups))
    rounds = 0
    while len(open_rows):
        of = groups[open_rows]
        starts = np.flatnonzero(np.r_[True, of[1:] != of[:-1]])
        sizes = np.diff(np.r_[starts, len(of)])
        if rounds >= HUB_ROUNDS and (sizes > SMALL).any():
            for start, size in zip(starts[sizes > SMALL], sizes[sizes > SMALL], strict=True):
                rows = open_rows[start : start + size]
                _walk(rows, shingles, similarity, representative, value)
            keep = np.repeat(sizes <= SMALL, sizes)
            open_rows = open_rows[keep]
            continue
        # The first open record of each group stays: it was compared with every kept one before it.
        hub = np.repeat(open_rows[starts], sizes)
        rest = open_rows != hub
        hub, open_rows = hub[rest], open_rows[rest]
        score = jaccard_pairs(shingles, hub, open_rows)
        similar = score >= similarity
        representative[open_rows[similar]] = hub[similar]
        value[open_rows[similar]] = score[similar]
        open_rows = open_rows[~similar]
        rounds += 1
    return representative, value


def _walk(
    rows: Ints, shingles: Ragged, similarity: float, representative: Ints, value: npt.NDArray[np.float64]
) -> None:
    """The same walk through one large group, with an index over kept records instead of all pairs.

    Prefix filter (Bayardo et al. 2007, "Scaling Up All Pairs Similarity Search"): order shingles from rare to common;
    two sets with J >= s share one among their first n - ceil(s * n) + 1. Nothing is missed, and records of a template
    that differ in their slots share no rare shingle and never meet.
    """
    sets = [shingles.values[shingles.offsets[row] : shingles.offsets[row + 1]] for row in rows]
    values, inverse, counts = np.unique(np.concatenate(sets), return_inverse=True, return_counts=True)
    rank = np.empty(len(values), np.int64)
    rank[np.lexsort((values, counts))] = np.arange(len(values))
    ranked = np.split(rank[inverse], np.cumsum([len(one) for one in sets])[:-1])
    index: defaultdict[int, list[int]] = defaultdict(list)
    kept_sets: dict[int, frozenset[int]] = {}
    for position, mine in enumerate(ranked):
        mine = np.sort(mine)
        # The tiny subtraction keeps rounding in s * n from shortening the prefix; a longer one only costs time.
        prefix = mine[: len(mine) - math.ceil(similarity * len(mine) - 1e-9) + 1].tolist()
        mine_set: frozenset[int] | None = None
        # Candidates in survivor order: the representative is the first similar record that stays.
        for other in sorted({kept for shingle in prefix for kept in index.get(shingle, ())}):
            small, large = sorted((len(mine), len(ranked[other])))
            if small < similarity * large - 1e-9:
                continue
            mine_set = mine_set if mine_set is not None else frozenset(mine.tolist())
            if other not in kept_sets:
                kept_sets[other] = frozenset(ranked[other].tolist())
            shared = len(mine_set & kept_sets[other])
            score = shared / (small + large - shared)
            if score >= similarity:
                representative[rows[position]] = rows[other]
                value[rows[position]] = score
                break
        else:
            for shingle in prefix:
                index[shingle].append(position)
