"""The walk through large groups: blocks of records in survivor order, each compared with all that are left.

Candidates come from an index over rare terms. Prefix filter (Bayardo et al. 2007, "Scaling Up All Pairs Similarity
Search") with the position bound of PPJoin (Xiao et al. 2008, "Efficient Similarity Joins for Near Duplicate
Detection"): let t be the rarest term that x and y share, with ``before`` shingles ranked before it in each. Their
overlap is at most ``size - before`` on both sides, and J >= s asks for an overlap of s / (1 + s) * (size x + size y).
So nothing is missed, and records of a template that differ in their slots never meet.

Records just below the threshold all meet, and each pair at many terms. Where an index would draw more pairs than there
are, every pair is looked at instead, by the bitmaps of both: still quadratic, at a third of the price or less.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from transforms.shingles import Ragged, blocks, jaccard_pairs
from transforms.terms import Ints, Terms, find_terms, fresh, spans

Rows = npt.NDArray[np.int64]
Floats = npt.NDArray[np.floating]

_BLOCK = 1 << 11
"""Records walked at a time. The first blocks are smaller: in a cluster, one record settles most of the others."""
_GROWTH = 4
_HUB_SHARE = 32
"""In a block, a record is compared with all the rest as long as that drops more than one in so many."""
_PAIRS = 1 << 18
"""Candidates looked at before the next ones are drawn: 12 MB with all that is noted about them."""
_SLACK = 1e-6
"""Keeps rounding in bounds from losing a pair; a looser bound only costs time."""
_LOW, _32 = np.uint64(0xFFFFFFFF), np.uint64(32)


@dataclass(frozen=True)
class Second:
    """Sets that must be similar too: row by row those of the answers, and the least Jaccard similarity of theirs."""

    sets: Ragged
    least: float


def walk(
    groups: Ints, rows: Rows, shingles: Ragged, similarity: float, second: Second | None = None
) -> tuple[Rows, Floats]:
    """Representative (position in ``rows``, -1 for a record that stays) and similarity to it, for ``rows`` [n].

    ``groups`` [n] is ascending; within a group, rows come in survivor order. With second sets, either side can lead:
    a long context that all records share says nothing, their answers tell them apart; a template's answers may be
    four letters. The side whose index has the fewer pairs leads, and the other is asked about what it finds.
    """
    one = _Walk(groups, find_terms(groups, shingles, rows), similarity)
    if second is not None:
        other = _Walk(groups, find_terms(groups, second.sets, rows), second.least)
        if other.pairs() < one.pairs():
            one = other
            one.ask(shingles, rows, similarity, tells_value=True)
        else:
            one.ask(second.sets, rows, second.least, tells_value=False)
    everything = np.arange(len(rows))
    index, indexed = one.index(everything), len(rows)
    size = 1
    while len(left := np.flatnonzero(one.open)):
        if 2 * len(left) < indexed:
            index, indexed = one.index(left), len(left)
        block = left[:size]
        kept = one.settle(block)
        one.open[block] = False
        for y, x, score in one.similar(index, kept):
            one.drop(y, x, score)
        size = min(size * _GROWTH, _BLOCK)
    return one.representative, one.value


class _Index:
    """The rows that hold a term in their prefix, by term, and those first that may be similar to the largest rows."""

    def __init__(self, rows: Rows, term: npt.NDArray[np.uint32], reach: Ints, row: Rows):
        self.rows = rows  # all that it was made of, ascending
        self.largest = int(reach.max(initial=0))
        keys = self.keys_of(term, reach)
        order = np.argsort(keys)
        self.keys, self.row = keys[order], row[order].astype(np.uint32)

    def keys_of(self, term: npt.NDArray[np.uint32], reach: Ints) -> npt.NDArray[np.uint64]:
        """Ascending by term and then from far reaches to near ones."""
        return (term.astype(np.uint64) << _32) | (self.largest - reach).astype(np.uint64)

    def find(self, term: npt.NDArray[np.uint32], size: Ints) -> tuple[Rows, Rows]:
        """Ranges (start, length) of entries of a term that reach a size."""
        start = np.searchsorted(self.keys, term.astype(np.uint64) << _32)
        end = np.searchsorted(self.keys, self.keys_of(term, np.minimum(size, self.largest)), side="right")
        return start, np.where(size > self.largest, 0, end - start)


class _Walk:
    """The state of one walk: which rows are open, and who stands for those that are dropped."""

    def __init__(self, groups: Ints, terms: Terms, similarity: float):
        self.groups, self.terms, self.similarity = groups, terms, similarity
        self.ends = np.searchsorted(groups, groups, side="right")  # [n] one past the last row of each row's group
        self.open = np.ones(len(groups), bool)
        self.representative = np.full(len(groups), -1, np.int64)
        self.value = np.full(len(groups), np.nan)
        self.prefix = _prefixes(terms, similarity)
        self.asked: Callable[[Rows, Rows], Floats] | None = None
        self.asked_least, self.asked_tells_value = 0.0, False

    def ask(self, sets: Ragged, rows: Rows, least: float, tells_value: bool) -> None:
        """Ask other sets about the pairs that this walk finds; ``tells_value``: what is noted is their similarity."""
        self.asked = lambda left, right: jaccard_pairs(sets, rows[left], rows[right])
        self.asked_least, self.asked_tells_value = least, tells_value

    def pairs(self) -> int:
        """Pairs of rows that share a term of their prefixes, each once per term: what an index of them costs."""
        terms = self.terms.term[spans(self.terms.offsets[:-1], self.prefix)]
        counts = np.bincount(terms).astype(np.float64)
        return int(counts @ counts)

    def judge(self, left: Rows, right: Rows) -> tuple[npt.NDArray[np.bool_], Floats]:
        """Whether pairs [p] are near duplicates, and the similarity that is noted."""
        value = self.score(left, right)
        similar = value >= self.similarity
        if self.asked is not None:
            some = np.flatnonzero(similar)
            answer = self.asked(left[some], right[some])
            similar[some] = answer >= self.asked_least
            if self.asked_tells_value:
                value[some] = answer
        return similar, value

    def settle(self, block: Rows) -> Rows:
        """Walk through the rows of a block alone; returns those that stay."""
        rest, kept = block, [block[:0]]
        dropped = len(rest)
        while len(rest) and dropped * _HUB_SHARE >= len(rest):
            firsts, hub, rest = compare_with_first(self.groups[rest], rest)
            kept.append(firsts)
            similar, score = self.judge(hub, rest)
            self.drop(hub[similar], rest[similar], score[similar])
            rest, dropped = rest[~similar], int(similar.sum())
        for left, right, score in self.similar(self.index(rest), rest):
            for y, x, value in zip(left.tolist(), right.tolist(), score.tolist(), strict=True):
                # All that could drop y came before.
                if self.open[y] and self.open[x]:
                    self.open[x], self.representative[x], self.value[x] = False, y, value
        return np.sort(np.concatenate([*kept, rest[self.open[rest]]]))

    def drop(self, stays: Rows, rows: Rows, score: Floats) -> None:
        """Drop ``rows`` for the first row that stays of each."""
        order = np.lexsort((stays, rows))
        rows, first = np.unique(rows[order], return_index=True)
        self.open[rows] = False
        self.representative[rows] = stays[order][first]
        self.value[rows] = score[order][first]

    def score(self, left: Rows, right: Rows) -> Floats:
        """Jaccard similarity of pairs [p]."""
        shared = self.terms.shared(left, right)
        return shared / np.maximum(self.terms.sizes[left] + self.terms.sizes[right] - shared, 1)

    def index(self, rows: Rows) -> _Index:
        terms = self.terms
        place = spans(terms.offsets[rows], self.prefix[rows])
        row = np.repeat(rows, self.prefix[rows])
        # before <= size x - s / (1 + s) * (size x + size y), solved for s * size y
        reach = terms.sizes[row] - (1 + self.similarity) * terms.before[place]
        return _Index(rows, terms.term[place], np.ceil(reach + _SLACK).astype(np.int64), row)

    def similar(self, index: _Index, rows: Rows) -> Iterator[tuple[Rows, Rows, Floats]]:
        """Pairs (one of ``rows``, a later open row) and their similarity where it reaches the threshold.

        ``rows`` ascend; so do the first rows of pairs, from one yield to the next.
        """
        terms = self.terms
        place = spans(terms.offsets[rows], self.prefix[rows])
        row = np.repeat(rows, self.prefix[rows])
        wanted = np.ceil(self.similarity * terms.sizes[row] - _SLACK).astype(np.int64)
        start, length = index.find(terms.term[place], wanted)
        there = index.rows[self.open[index.rows]]
        low, high = np.searchsorted(there, rows, side="right"), np.searchsorted(there, self.ends[rows])
        if length.sum() > (high - low).sum():
            yield from self._similar_of_all(rows, there, low, high)
            return
        largest = (terms.sizes[row] - (1 + self.similarity) * terms.before[place]) / self.similarity + _SLACK
        for first, last in blocks(np.r_[0, np.cumsum(length)], _PAIRS):
            found = index.row[spans(start[first:last], length[first:last])].astype(np.int64)
            by = np.repeat(np.arange(first, last), length[first:last])
            fits = self.open[found] & (found > row[by]) & (terms.sizes[found] <= largest[by])
            pairs = row[by[fits]].astype(np.uint64) << _32 | found[fits].astype(np.uint64)
            pairs.sort()  # np.unique would hash, at ten times the cost
            pairs = pairs[fresh(pairs)]
            left, right = (pairs >> _32).astype(np.int64), (pairs & _LOW).astype(np.int64)
            near = terms.may_differ_by(left, right, self._may_differ(left, right))
            left, right = left[near], right[near]
            similar, score = self.judge(left, right)
            yield left[similar], right[similar], score[similar]

    def _similar_of_all(self, rows: Rows, there: Rows, low: Ints, high: Ints) -> Iterator[tuple[Rows, Rows, Floats]]:
        """As ``similar``, of every pair of ``rows[i]`` and ``there[low[i]:high[i]]``."""
        bits = self.terms.bits[there]
        for first, last in blocks(np.r_[0, np.cumsum(high - low)], _PAIRS):
            found = []
            for row, start, end in zip(rows[first:last], low[first:last], high[first:last], strict=True):
                others = there[start:end]
                differ = np.bitwise_count(bits[start:end] ^ self.terms.bits[row]).sum(1, np.uint16)
                found.append(others[(differ <= self._may_differ(row, others)) & self.open[others]])
            left, right = np.repeat(rows[first:last], [len(one) for one in found]), np.concatenate(found)
            similar, score = self.judge(left, right)
            yield left[similar], right[similar], score[similar]

    def _may_differ(self, left: Rows | np.int64, right: Rows) -> Floats:
        """[p] how many shingles only one of a pair may have: J >= s allows for (1 - s) / (1 + s) of both sizes."""
        both = self.terms.sizes[left] + self.terms.sizes[right]
        return both * ((1 - self.similarity) / (1 + self.similarity)) + _SLACK


def _prefixes(terms: Terms, similarity: float) -> Ints:
    """Terms of each row [n] with ``before <= size - s * size``: with less left, no row can share enough."""
    most = terms.sizes * (1 - similarity) + _SLACK
    low, high = terms.offsets[:-1].copy(), terms.offsets[1:].copy()
    while len(open_rows := np.flatnonzero(low < high)):  # binary search in all rows at once
        middle = (low[open_rows] + high[open_rows]) // 2
        inside = terms.before[middle] <= most[open_rows]
        low[open_rows[inside]] = middle[inside] + 1
        high[open_rows[~inside]] = middle[~inside]
    return low - terms.offsets[:-1]


def compare_with_first(groups: Ints, rows: Rows) -> tuple[Rows, Rows, Rows]:
    """First row of each group; pairs (first row, another row of its group). ``groups`` [n] is ascending."""
    first = np.r_[True, groups[1:] != groups[:-1]]
    hub = rows[np.maximum.accumulate(np.where(first, np.arange(len(rows)), 0))]
    return rows[first], hub[~first], rows[~first]
