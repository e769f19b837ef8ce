"""The order in which an epoch's rows are read: row groups shuffled into streams, rows shuffled in blocks.

The scheme is mosaicml/streaming's, made for row groups: a block is small enough to be held in memory and large enough
to mix, and every draw is a function of (identity, seed, epoch, purpose, index), so that nothing has a state.
"""

import heapq
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from trainer.plan.keys import bits, draw, salt
from trainer.plan.lengths import Int64s, Lengths
from trainer.plan.settings import PlanSettings

GROUPS_PER_STREAM = 4  # with fewer, the streams' sizes differ too much


class Parts(NamedTuple):
    """Neighbouring ranges: part i is ``starts[i]:starts[i + 1]``, and lies in segment ``segment[i]``."""

    starts: Int64s  # [p + 1]
    segment: Int64s  # [p]

    @property
    def sizes(self) -> Int64s:
        return np.diff(self.starts)


@dataclass(frozen=True)
class Layout:
    """The pieces of a pool (a row group's rows of one stage), and the stream that reads each; the same every epoch."""

    rows: Int64s  # [n] ids, by stage, group and id
    starts: Int64s  # [p + 1] of the pieces in ``rows``
    stage: Int64s  # [p]
    stream: Int64s  # [p]
    streams: Int64s  # [stages] streams of each stage


class Reading(NamedTuple):
    """An epoch: ``rows`` [n] in the order of reading; a segment is one stream's part of a stage."""

    rows: Int64s
    sizes: Int64s  # [g] rows of each segment
    stage: Int64s  # [g]
    stream: Int64s  # [g]


def lay_out(lengths: Lengths, rows: Int64s, settings: PlanSettings) -> Layout:
    """Pieces and streams of the rows ``rows`` (ascending ids that are not out)."""
    stage = lengths.stage[rows].astype(np.int64) if settings.curriculum else np.zeros(len(rows), np.int64)
    order = np.argsort(stage, kind="stable")
    rows, stage = rows[order], stage[order]
    stage = np.cumsum(np.diff(stage, prepend=stage[:1]) > 0)  # 0, 1, 2, … of the stages that have rows
    group = lengths.group[rows].astype(np.int64)
    first = np.flatnonzero((np.diff(group, prepend=-1) != 0) | (np.diff(stage, prepend=-1) != 0))
    starts = np.append(first, len(rows))
    tokens = np.add.reduceat(lengths.tokens[rows].astype(np.int64), first)
    piece_stage = stage[first]
    stream = np.zeros(len(first), np.int64)
    streams = np.ones(int(piece_stage[-1]) + 1, np.int64)
    for number in range(len(streams)):
        here = np.flatnonzero(piece_stage == number)
        held = int(starts[here[-1] + 1] - starts[here[0]])
        streams[number] = stream_count(settings, held, len(here))
        stream[here] = _longest_first(tokens[here], int(streams[number]))
    return Layout(rows, starts, piece_stage, stream, streams)


def stream_count(settings: PlanSettings, rows: int, groups: int) -> int:
    """The largest divisor of C with at least a block of rows and a few row groups in each stream.

    A small release then has one stream, and is shuffled whole; eight streams of a tenth of a block each would only
    keep apart rows that could have been mixed.
    """
    most = max(1, min(rows // settings.block, groups // GROUPS_PER_STREAM))
    return max(count for count in range(1, settings.streams + 1) if settings.streams % count == 0 and count <= most)


def _longest_first(tokens: Int64s, streams: int) -> Int64s:
    """The stream of each group: the longest first, to the stream that has least (Graham 1969); ties by number."""
    stream = np.zeros(len(tokens), np.int64)
    loads = [(0, number) for number in range(streams)]
    for group in np.argsort(-tokens, kind="stable").tolist():
        load, number = heapq.heappop(loads)
        stream[group] = number
        heapq.heappush(loads, (load + int(tokens[group]), number))
    return stream


def read_order(layout: Layout, settings: PlanSettings, identity: str, epoch: int, pool: str) -> Reading:
    """The rows of an epoch in the order of reading. ``pool`` tells sources apart, which are ordered on their own."""
    pieces = len(layout.stage)
    chance = draw(salt(identity, settings.seed, epoch, "groups", pool), np.arange(pieces))
    order = np.lexsort((chance, layout.stream, layout.stage))
    sizes = np.diff(layout.starts)[order]
    begins = np.cumsum(sizes) - sizes
    rows = layout.rows[np.arange(len(layout.rows)) + np.repeat(layout.starts[:-1][order] - begins, sizes)]
    stage, stream = layout.stage[order], layout.stream[order]
    first = np.flatnonzero((np.diff(stage, prepend=-1) != 0) | (np.diff(stream, prepend=-1) != 0))
    held = np.add.reduceat(sizes, first)
    blocks = cut(held, settings.block)
    places = shuffled(blocks.starts, salt(identity, settings.seed, epoch, "rows", pool))
    return Reading(rows[places], held, stage[first], stream[first])


def cut(sizes: Int64s, most: int) -> Parts:
    """Each segment (none is empty) in as few parts as can be of at most ``most``, of sizes that differ by one at most.

    Equal parts instead of full ones and a rest: a window of a few rows packs badly.
    """
    count = -(-sizes // most)
    segment = np.repeat(np.arange(len(sizes)), count)
    number = np.arange(len(segment)) - np.repeat(np.cumsum(count) - count, count)
    begins = np.cumsum(sizes) - sizes
    starts = begins[segment] + number * sizes[segment] // count[segment]
    return Parts(np.append(starts, sizes.sum()), segment)


def shuffled(starts: Int64s, key: np.uint64) -> Int64s:
    """A permutation [n] that moves places only within their part.

    One sort of (part, chance, place in the part) in 64 bits: at 10 million rows some 39 bits are chance.
    """
    sizes = np.diff(starts)
    total = int(starts[-1])
    part_bits, place_bits = bits(len(sizes)), bits(int(sizes.max(initial=1)))
    mask = np.uint64((1 << place_bits) - 1)
    begins = np.repeat(starts[:-1], sizes)
    keys = draw(key, np.arange(total))
    keys >>= np.uint64(part_bits)
    keys &= ~mask
    keys |= (np.arange(total) - begins).astype(np.uint64)
    keys |= np.repeat(high(np.arange(len(sizes)), part_bits), sizes)
    keys.sort()
    keys &= mask
    return begins + keys.astype(np.int64)


def high(numbers: npt.NDArray[np.int64], width: int) -> npt.NDArray[np.uint64]:
    """Numbers of ``width`` bits in the highest bits of 64."""
    if width == 0:
        return np.zeros(len(numbers), np.uint64)
    return numbers.astype(np.uint64) << np.uint64(64 - width)
