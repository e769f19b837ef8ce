"""Which of many hashes are equal within their text: one sort, shared by the measures of repetition."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from transforms.words import fmix64

BLOCK = 1 << 16
"""Hashes sorted at a time (0.5 MB): the sort stays in the L2 cache. Blocks hold whole texts; a longer text is a block
of its own."""

_POSITION_BITS = 16


class Groups(NamedTuple):
    """w hashes in groups: the equal ones of a text stand together, those of a group in the order of the text."""

    order: npt.NDArray[np.int64]  # [w]: positions, group after group
    again: npt.NDArray[np.bool_]  # [w]: order[i] is of the same group as order[i - 1]


def groups(hashes: npt.NDArray[np.uint64], owner: npt.NDArray[np.integer]) -> Groups:
    """Groups of equal hashes [w] of the same text ``owner`` [w].

    The position takes the low bits of what is sorted, and the hash keeps the rest, 48 bits for a block of ``BLOCK``:
    of 65,000 different windows of a text some pair is taken as equal with a chance of 1 in 130,000. The number of
    bits depends on the texts beside a text in no case: only a text that is a block of its own exceeds ``BLOCK``.
    """
    bits = np.uint64(max(_POSITION_BITS, (len(hashes) - 1).bit_length()))
    mask = (np.uint64(1) << bits) - np.uint64(1)
    packed = fmix64(hashes)
    packed &= ~mask
    packed |= np.arange(len(hashes), dtype=np.uint64)
    packed.sort()
    order = (packed & mask).astype(np.int64)
    packed >>= bits
    again = np.zeros(len(hashes), bool)
    np.equal(packed[1:], packed[:-1], out=again[1:])
    again[1:] &= owner[order[1:]] == owner[order[:-1]]
    return Groups(order, again)
