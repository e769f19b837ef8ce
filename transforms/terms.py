"""A large group of similar records in few numbers: shingles that the same records hold count as one weighted term.

Records of a template share most shingles, and each slot's value brings its five shingles along: a record of 120
shingles is 10 terms. Shingles that only one record holds meet nothing and enter its size alone. Overlaps and sizes stay
exact whole numbers.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from transforms.keys import mix
from transforms.shingles import Ragged, blocks

Ints = npt.NDArray[np.int64]
U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]

_LOW, _32 = np.uint64(0xFFFFFFFF), np.uint64(32)
_SLICE = 1 << 22
"""Shingles sorted at a time (32 MB): a group of any size needs this much beside what it keeps."""
_BITS, _BIT_BLOCK = 512, 1 << 13
_PAIR_BLOCK = 1 << 18
"""Terms of both sides compared at a time."""


@dataclass(frozen=True)
class Terms:
    """Rows [n] as sets of terms: those of row i stand at ``offsets[i]:offsets[i + 1]``, rare ones first.

    The order of terms is one for all rows of a group; a row's own shingles come before its terms.
    """

    sizes: Ints  # [n] shingles of each row
    offsets: Ints  # [n + 1]
    term: U32  # [entries] numbers of terms
    before: U32  # [entries] shingles of the row that come before this term
    weight: Ints  # [terms] shingles in each term
    bits: U64  # [n, 8] parity of the shingles at each of 512 hash values

    def may_differ_by(self, left: Ints, right: Ints, most: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
        """[p] whether ``left[i]`` and ``right[i]`` can be so near that ``most[i]`` shingles are in one of them only.

        Each such shingle changes one bit, so they are at least as many as the bits that differ (bitmap filter, Sandes
        et al. 2020, "Exact set similarity joins using bitmap filter"). A no is certain.
        """
        out = np.empty(len(left), bool)
        for first in range(0, len(left), _BIT_BLOCK):
            some = slice(first, first + _BIT_BLOCK)
            out[some] = np.bitwise_count(self.bits[left[some]] ^ self.bits[right[some]]).sum(1, np.int64) <= most[some]
        return out

    def shared(self, left: Ints, right: Ints) -> Ints:
        """[p] int64: shingles in both of the rows ``left[i]`` and ``right[i]``."""
        counts = np.diff(self.offsets)
        out = np.zeros(len(left), np.int64)
        ends = np.r_[0, np.cumsum(counts[left] + counts[right])]
        for first, last in blocks(ends, _PAIR_BLOCK):
            sides = np.concatenate([left[first:last], right[first:last]])
            keys = np.repeat(np.tile(np.arange(last - first, dtype=np.uint64), 2) << _32, counts[sides])
            keys |= self.term[spans(self.offsets[sides], counts[sides])]
            keys.sort()
            twice = keys[1:][keys[1:] == keys[:-1]]
            weight = self.weight[(twice & _LOW).astype(np.int64)]
            # float64 sums of whole numbers are exact below 2^53
            found = np.bincount((twice >> _32).astype(np.int64), weight, minlength=last - first)
            out[first:last] = found.astype(np.int64)
        return out


def spans(starts: Ints, sizes: Ints) -> Ints:
    """The indices ``starts[i] ... starts[i] + sizes[i] - 1`` of all i, one after another."""
    before = np.cumsum(sizes) - sizes
    return np.arange(int(sizes.sum())) + np.repeat(starts - before, sizes)


def find_terms(groups: Ints, shingles: Ragged, rows: Ints) -> Terms:
    """Terms of ``rows`` [n], fewer than 2^32; ``groups`` [n] is ascending, and rows of two groups share no term.

    Two sets of rows are told apart by the sum of 64-bit hashes of their members: taking two for one has the chance of
    1 in 2^64 a pair.
    """
    sizes = np.diff(shingles.offsets)[rows]
    group = np.cumsum(np.r_[False, groups[1:] != groups[:-1]]).astype(np.uint64)
    found = [_held_by_several(keys, group) for keys in _slices(shingles, rows, sizes)]
    held, holders, counts = (np.concatenate(parts) for parts in zip(*found, strict=True))
    holders, first, term_of, weight = np.unique(holders, return_index=True, return_inverse=True, return_counts=True)
    order = np.lexsort((holders, counts[first]))
    weight = weight[order]
    rank = np.empty(len(order), np.uint64)
    rank[order] = np.arange(len(order), dtype=np.uint64)
    term_of_held = rank[term_of]

    # Rows have at most as many terms as shingles; pages that stay unused cost no memory.
    terms, befores = np.empty((2, int(sizes.sum())), np.uint32)
    lengths, filled = np.zeros(len(rows), np.int64), 0
    for start, end, keys in _keys(shingles, rows, sizes):
        keys.sort()  # searching in order is much faster
        row = keys & _LOW
        shingle = keys & ~_LOW | group[row.astype(np.int64)]
        place = np.searchsorted(held, shingle)
        known = np.flatnonzero(place < len(held))
        known = known[held[place[known]] == shingle[known]]
        entries = row[known] << _32 | term_of_held[place[known]]
        entries.sort()
        entries = entries[fresh(entries)]
        term, of = (entries & _LOW).astype(np.uint32), (entries >> _32).astype(np.int64) - start
        lengths[start:end] = np.bincount(of, minlength=end - start)
        bounds = np.r_[0, np.cumsum(lengths[start:end])]
        through = np.r_[0, np.cumsum(weight[term])]
        own = sizes[start:end] - np.diff(through[bounds])
        befores[filled : filled + len(of)] = through[:-1] + (own - through[bounds[:-1]])[of]
        terms[filled : filled + len(of)] = term
        filled += len(of)
    offsets = np.r_[0, np.cumsum(lengths)]
    return Terms(sizes, offsets, terms[:filled], befores[:filled], weight, _parities(shingles, rows, sizes))


def fresh(ascending: U64) -> npt.NDArray[np.bool_]:
    """Which values are not repeats of the one before."""
    return np.r_[True, ascending[1:] != ascending[:-1]][: len(ascending)]


def _keys(shingles: Ragged, rows: Ints, sizes: Ints) -> Iterator[tuple[int, int, U64]]:
    """Rows first to last, a block at a time, and their (shingle, position in ``rows``) pairs as one number each."""
    for first, last in blocks(np.r_[0, np.cumsum(sizes)], _PAIR_BLOCK):
        keys = shingles.values[spans(shingles.offsets[rows[first:last]], sizes[first:last])].astype(np.uint64) << _32
        keys |= np.repeat(np.arange(first, last, dtype=np.uint64), sizes[first:last])
        yield first, last, keys


def _slices(shingles: Ragged, rows: Ints, sizes: Ints) -> Iterator[U64]:
    """All keys in ascending order, in slices of the hash range: one pass over the rows for each."""
    slices = int(sizes.sum()) // _SLICE + 1
    for number in range(slices):
        low, high = ((end << 32) // slices << 32 for end in (number, number + 1))
        parts = [np.empty(0, np.uint64)]
        for _, _, keys in _keys(shingles, rows, sizes):
            parts.append(keys if slices == 1 else keys[(keys >= low) & (keys <= high - 1)])
        keys = np.concatenate(parts)
        keys.sort()
        yield keys


def _held_by_several(keys: U64, group: U64) -> tuple[U64, U64, Ints]:
    """Of ascending keys: the shingles (with their group) of two rows or more, a hash of those rows, their number."""
    row = (keys & _LOW).astype(np.int64)
    shingle = keys & ~_LOW | group[row]
    starts = np.flatnonzero(fresh(shingle))
    counts = np.diff(np.r_[starts, len(keys)])
    several = counts > 1
    holders = np.add.reduceat(mix((keys & _LOW) + np.uint64(1)), starts) if len(starts) else np.empty(0, np.uint64)
    return shingle[starts[several]], holders[several], counts[several]


def _parities(shingles: Ragged, rows: Ints, sizes: Ints) -> U64:
    bits = np.empty((len(rows), _BITS // 64), np.uint64)
    for first, last in blocks(np.r_[0, np.cumsum(sizes)], _PAIR_BLOCK):
        for low in range(first, last, _BITS):
            high = min(low + _BITS, last)
            lengths = sizes[low:high]
            place = shingles.values[spans(shingles.offsets[rows[low:high]], lengths)].astype(np.int64) & (_BITS - 1)
            place += np.repeat(np.arange(high - low) * _BITS, lengths)
            odd = np.bincount(place, minlength=(high - low) * _BITS).astype(np.uint8) & 1
            bits[low:high] = np.packbits(odd).view(np.uint64).reshape(-1, _BITS // 64)
    return bits
