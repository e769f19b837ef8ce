"""The greedy distance filter: walk records from best to worst, keep one unless it is too near to one already kept.

This is DEITA's data selector as published (Liu et al. 2023, arXiv 2312.15685: threshold 0.9 on the cosine, stop at the
budget), not the filter on each record's nearest neighbour in the whole pool that some libraries offer by that name.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from transforms.cosines import COARSE, Floats, Ints, check_unit, coarse, coarse_error, fine

DEFAULT_THRESHOLD = 0.9
"""DEITA's threshold."""
ROWS = 1024
"""Rows looked at together. No decision depends on it."""
KEPT = 4096
"""Kept vectors multiplied at a time; ROWS x KEPT float32 products are held (16 MB)."""


@dataclass(frozen=True)
class Walk:
    """What the walk found for n rows, in their order."""

    kept: npt.NDArray[np.bool_]  # [n]
    neighbour: Ints  # [n]: for a dropped row the nearest row among those kept before it; -1 for all others
    similarity: Floats  # [n]: the cosine to it; NaN where there is none
    seen: int  # rows walked; those after them are not kept because the budget was full


def walk(
    vectors: Floats,
    threshold: float = DEFAULT_THRESHOLD,
    keep_first: int = 0,
    stop_after: int | None = None,
    rows: int = ROWS,
) -> Walk:
    """Keep x unless its cosine to a row kept before it is above ``threshold``; exactly ``threshold`` is kept.

    ``vectors`` [n, d] float32 are unit vectors (or zeros, near to nothing) in the order of preference. The first
    ``keep_first`` rows are kept whatever they are: what an earlier release holds. The walk stops when ``stop_after``
    rows are kept, those first ones included. Cosines near the threshold are computed again to 1e-7, so a decision
    depends on the vectors alone: not on ``rows``, threads or machine. Memory: the kept vectors twice, and a few
    arrays of rows x max(KEPT, rows).

    Raises:
        ValueError: a row is neither a unit vector nor zeros.
    """
    check_unit(vectors)
    n, dimensions = vectors.shape
    budget = n if stop_after is None else stop_after
    band = coarse_error(dimensions) + 1e-5
    state = _Kept(vectors, threshold, band)
    kept = np.zeros(n, np.bool_)
    neighbour = np.full(n, -1, np.int64)
    low = min(keep_first, budget, n)
    kept[:low] = True
    state.add(np.arange(low))  # whatever is near to them
    while low < n and len(state) < budget:
        high = min(low + rows, n)
        stay, near = state.block(low, high)
        room = budget - len(state)
        if stay.sum() > room:  # the walk ends inside this block, right after the row that fills the budget
            high = low + int(np.flatnonzero(stay)[room - 1]) + 1
            stay, near = stay[: high - low], near[: high - low]
        kept[low:high] = stay
        neighbour[low:high] = near
        state.add(low + np.flatnonzero(stay))
        low = high
    dropped = np.flatnonzero(neighbour >= 0)
    similarity = np.full(n, np.nan, np.float32)
    for begin in range(0, len(dropped), KEPT):
        some = dropped[begin : begin + KEPT]
        similarity[some] = fine(vectors[some], vectors[neighbour[some]])
    return Walk(kept, neighbour, similarity, low)


class _Kept:
    """The rows kept so far."""

    def __init__(self, vectors: Floats, threshold: float, band: float):
        self._vectors, self._threshold = vectors, threshold
        self._low = np.float32((threshold - band) * COARSE**2)
        self._high = np.float32((threshold + band) * COARSE**2)
        self._rows = np.zeros(0, np.int64)  # [kept]: where they stand
        self._held = np.zeros((256, vectors.shape[1]), np.float32)  # [room, d]: their coarse vectors

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, rows: Ints) -> None:
        size = len(self._rows)
        self._rows = np.concatenate([self._rows, rows])
        if len(self._rows) > len(self._held):
            grown = np.zeros((2 * len(self._rows), self._held.shape[1]), np.float32)
            grown[:size] = self._held[:size]
            self._held = grown
        self._held[size : len(self._rows)] = coarse(self._vectors[rows])

    def block(self, low: int, high: int) -> tuple[npt.NDArray[np.bool_], Ints]:
        """(stays [b], nearest kept row [b] or -1) of the rows low to high.

        The nearest is the highest coarse product among the kept rows that are too near, the earlier of equals. When
        some product is above the band, the highest is; only when none is does the band need a finer look.
        """
        points = coarse(self._vectors[low:high])
        best, near = self._before(points, low)
        inside = points @ points.T  # [b, b]
        inside[np.triu_indices(len(points))] = -np.inf  # only rows before a row count
        near_inside = self._too_near(inside, low, np.arange(low, high))
        stay = np.ones(high - low, np.bool_)
        for row in np.flatnonzero((near >= 0) | near_inside.any(axis=1)):  # all others stay
            stay[row] = near[row] < 0 and not near_inside[row, :row][stay[:row]].any()
        near[stay] = -1
        gone = np.flatnonzero(~stay)
        candidates = np.where(near_inside[gone] & stay, inside[gone], -np.inf)
        closest = candidates.argmax(axis=1)
        value = candidates[np.arange(len(gone)), closest]
        nearer = value > best[gone]
        near[gone[nearer]] = low + closest[nearer]
        return stay, near

    def _before(self, points: Floats, low: int) -> tuple[Floats, Ints]:
        """(highest product [b] among the too near, its row [b]) over the rows kept before this block; -inf and -1."""
        best = np.full(len(points), -np.inf, np.float32)
        near = np.full(len(points), -1, np.int64)
        for begin in range(0, len(self), KEPT):
            end = min(begin + KEPT, len(self))
            products = points @ self._held[begin:end].T
            highest = products.max(axis=1)
            # Most rows have nothing near; only the others are looked at again.
            some = np.flatnonzero((highest >= self._low) & (highest > best))
            if not len(some):
                continue
            chosen = np.where(self._too_near(products[some], low, self._rows[begin:end], some), products[some], -np.inf)
            closest = chosen.argmax(axis=1)
            value = chosen[np.arange(len(some)), closest].astype(np.float32)
            better = value > best[some]
            best[some[better]] = value[better]
            near[some[better]] = self._rows[begin:end][closest[better]]
        return best, near

    def _too_near(self, products: Floats, low: int, rows: Ints, some: Ints | None = None) -> npt.NDArray[np.bool_]:
        """[b, m]: whether the cosine is above the threshold; products inside the band are computed again."""
        above = products > self._high
        i, j = np.nonzero((products >= self._low) & ~above)
        for begin in range(0, len(i), KEPT):
            a, b = i[begin : begin + KEPT], j[begin : begin + KEPT]
            left = low + (a if some is None else some[a])
            above[a, b] = fine(self._vectors[left], self._vectors[rows[b]]) > self._threshold
        return above
