"""Shingles: a record's k-word windows as a set of 32-bit hashes, and the exact Jaccard similarity of sets.

A record of fewer than k words has no shingles. That does not mean "similar to nothing": short texts are
compared whole, elsewhere. 32 bits are what the signatures (``transforms.minhash``) take. Between two records
of a thousand windows each, some pair of different windows shares a hash with a chance of 2 in 10,000, and
then their similarity is off by less than a thousandth.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from transforms.words import word_hash

SHINGLE_WORDS = 5

_BASE = 0xD6E8FEB86659FD93  # odd: no word's bits are shifted out, however far back it stands
_MIX = 0xFF51AFD7ED558CCD
_U64 = (1 << 64) - 1

_SORT_BLOCK = 1 << 16
"""Shingles sorted at a time (0.5 MB): the sort and the passes around it stay in the L2 cache."""
_PAIR_BLOCK = 1 << 18
"""Shingles of both sides compared at a time."""


class Ragged(NamedTuple):
    """n sets of 32-bit hashes: set i is ``values[offsets[i]:offsets[i + 1]]``, ascending, without repeats."""

    values: npt.NDArray[np.uint32]  # [S]
    offsets: npt.NDArray[np.int64]  # [n + 1]


def shingle_sets(hashes: npt.NDArray[np.uint64], offsets: npt.NDArray[np.int64], k: int = SHINGLE_WORDS) -> Ragged:
    """The shingle sets of records given as word hashes (``transforms.words.Tokens``).

    A window's hash is the polynomial sum of its word hashes, mixed, upper 32 bits: order counts. Windows stay
    within their record. Rows are independent of each other.
    """
    values: list[npt.NDArray[np.uint32]] = []
    counts = np.zeros(len(offsets), np.int64)  # counts[i + 1]: shingles of record i
    for first, last in blocks(offsets, _SORT_BLOCK):
        found, found_offsets = _sets_of_block(
            hashes[offsets[first] : offsets[last]], offsets[first : last + 1] - offsets[first], k
        )
        values.append(found)
        counts[first + 1 : last + 1] = np.diff(found_offsets)
    return Ragged(np.concatenate([np.zeros(0, np.uint32), *values]), np.cumsum(counts))


def shingle_hash(words: Sequence[bytes]) -> int:
    """Plain-Python reference: the hash of one window of normalised words."""
    value = 0
    for word in words:
        value = (value * _BASE + word_hash(word)) & _U64
    value ^= value >> 32
    return (value * _MIX & _U64) >> 32


def jaccard_pairs(
    sets: Ragged, left: npt.NDArray[np.integer], right: npt.NDArray[np.integer]
) -> npt.NDArray[np.float64]:
    """[p] float64: |A and B| / |A or B| of the sets ``left[i]`` and ``right[i]``; 0.0 where both are
    empty."""
    sizes = np.diff(sets.offsets)
    total = sizes[left] + sizes[right]
    shared = np.zeros(len(total), np.int64)
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(total)])
    for first, last in blocks(ends, _PAIR_BLOCK):
        sides = np.concatenate([left[first:last], right[first:last]])
        pair = np.tile(np.arange(last - first, dtype=np.uint64), 2)
        keys = np.repeat(pair << np.uint64(32), sizes[sides])
        keys |= sets.values[_spans(sets.offsets[sides], sizes[sides])]
        keys.sort()
        # A set has no repeats, so a key that is there twice is in both sets.
        twice = keys[1:][keys[1:] == keys[:-1]] >> np.uint64(32)
        shared[first:last] = np.bincount(twice.astype(np.int64), minlength=last - first)
    return shared / np.maximum(total - shared, 1)


def blocks(offsets: npt.NDArray[np.int64], size: int) -> Iterator[tuple[int, int]]:
    """Runs (first, last) of whole records with about ``size`` values each; one record may be longer than
    that."""
    first, end = 0, len(offsets) - 1
    while first < end:
        last = int(np.searchsorted(offsets, offsets[first] + size, "right")) - 1
        last = min(max(last, first + 1), end)
        yield first, last
        first = last


def _sets_of_block(
    hashes: npt.NDArray[np.uint64], offsets: npt.NDArray[np.int64], k: int
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
    n, windows = len(offsets) - 1, len(hashes) - k + 1
    if windows <= 0:
        return np.zeros(0, np.uint32), np.zeros(n + 1, np.int64)
    value = hashes[:windows].copy()
    for word in range(1, k):
        value *= np.uint64(_BASE)
        value += hashes[word : word + windows]
    value ^= value >> np.uint64(32)
    value *= np.uint64(_MIX)
    # One sort orders every record's windows, because the record's number leads the key. Windows that start in
    # a record's last k - 1 words reach into the next one: they get the number n and so end up behind all
    # others.
    value >>= np.uint64(32)
    words = np.diff(offsets)
    count = np.maximum(words - (k - 1), 0)
    owner = np.repeat(
        np.stack([np.arange(n, dtype=np.uint64) << np.uint64(32), np.full(n, n << 32, np.uint64)], 1).ravel(),
        np.stack([count, words - count], 1).ravel(),
    )
    value |= owner[:windows]
    value.sort()
    value = value[: int(count.sum())]
    fresh = np.ones(len(value), bool)
    np.not_equal(value[1:], value[:-1], out=fresh[1:])
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(count)])
    ends -= np.searchsorted(np.flatnonzero(~fresh), ends)
    return value[fresh].astype(np.uint32), ends


def _spans(starts: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The indices ``starts[i] ... starts[i] + sizes[i] - 1`` of all i, one after another."""
    before = np.cumsum(sizes) - sizes
    return np.arange(int(sizes.sum())) + np.repeat(starts - before, sizes)
