"""Best-fit-decreasing packing of windows (arXiv:2404.10830; training.md 6.2), a run of equal lengths at a time.

The longest row first, each into the pack with the least room that is enough. Of packs with the same room, the one that
came to that room last is taken (training.md says the one opened first; neither packs better, and a stack needs no
order). A pack that was just given a row is then the best fit for the next row of the same length, as long as it fits:
so a pack takes a whole run of equal lengths at once, which gives exactly what one at a time would.
"""

from array import array
from bisect import bisect_left
from itertools import pairwise

import numpy as np

from trainer.plan.keys import bits
from trainer.plan.lengths import Int32s, Int64s
from trainer.plan.order import high


def pack(tokens: Int32s, starts: Int64s, capacity: int, documents: int) -> tuple[Int64s, Int64s]:
    """Put rows of ``tokens`` [n] (each 1 … capacity) into packs, window by window.

    Args:
        starts: [w + 1] windows, none of them empty.
        documents: rows of a pack, at most.

    Returns:
        The pack of each row [n], counted from 0 in each window; and the packs of each window [w].
    """
    order = _longest_first(tokens, starts, capacity)
    falling = tokens[order]
    first = np.ones(len(tokens), np.bool_)
    first[1:] = falling[1:] != falling[:-1]
    first[starts[:-1]] = True
    runs = first.nonzero()[0]
    lengths = falling[runs].tolist()
    repeats = np.diff(runs, append=len(tokens)).tolist()
    cuts = np.searchsorted(runs, starts).tolist()
    numbers, takes = array("q"), array("q")  # a pack, and how many of the next rows it takes
    counts = np.empty(len(starts) - 1, np.int64)
    for window, (begin, end) in enumerate(pairwise(cuts)):
        counts[window] = _fill(lengths[begin:end], repeats[begin:end], capacity, documents, numbers, takes)
    packs = np.empty(len(tokens), np.int64)
    packs[order] = np.repeat(np.array(numbers), np.array(takes))
    return packs, counts


def _fill(
    lengths: list[int], repeats: list[int], capacity: int, documents: int, numbers: "array[int]", takes: "array[int]"
) -> int:
    """Pack one window, given as falling lengths and how often each is there; the number of packs."""
    opened = 0
    rooms: list[int] = []  # rising: every room that an open pack has
    packs: dict[int, list[int]] = {}  # by room
    held: list[int] = []  # rows of each pack
    for length, count in zip(lengths, repeats):
        while count:
            at = bisect_left(rooms, length)
            if at == len(rooms):
                take = min(count, capacity // length, documents)
                chosen, room = opened, capacity
                opened += 1
                held.append(take)
            else:
                room = rooms[at]
                same = packs[room]
                chosen = same.pop()
                if not same:
                    del rooms[at]
                take = min(count, room // length, documents - held[chosen])
                held[chosen] += take
            numbers.append(chosen)
            takes.append(take)
            count -= take
            room -= take * length
            if room and held[chosen] < documents:
                same = packs.setdefault(room, [])
                if not same:
                    rooms.insert(bisect_left(rooms, room), room)
                same.append(chosen)
    return opened


def _longest_first(tokens: Int32s, starts: Int64s, capacity: int) -> Int64s:
    """The rows by window, length descending and place: one sort of the three in 64 bits."""
    sizes = np.diff(starts)
    window_bits, place_bits = bits(len(sizes)), bits(int(sizes.max(initial=1)))
    begins = np.repeat(starts[:-1], sizes)
    keys = (capacity - tokens).astype(np.uint64) << np.uint64(place_bits)
    keys |= (np.arange(len(tokens)) - begins).astype(np.uint64)
    keys |= np.repeat(high(np.arange(len(sizes)), window_bits), sizes)
    keys.sort()
    keys &= np.uint64((1 << place_bits) - 1)
    return begins + keys.astype(np.int64)
