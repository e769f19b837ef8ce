"""The packs of one epoch after another: of all rows, or of one source."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from trainer.plan.keys import bits, salt
from trainer.plan.lengths import Float64s, Int64s, Lengths
from trainer.plan.order import cut, lay_out, read_order, shuffled
from trainer.plan.packing import pack
from trainer.plan.settings import PlanSettings


class Packs(NamedTuple):
    """Packs in the order of training; pack i holds ``rows[starts[i]:starts[i + 1]]``, ids ascending."""

    rows: npt.NDArray[Any]  # int32, or int64 where ids need it
    starts: Int64s  # [p + 1]

    def sums(self, values: npt.NDArray[Any]) -> Float64s:
        """Sum over each pack [p] of ``values`` [n rows of the split], added in the order of the rows."""
        number = np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))
        weights = values[self.rows].astype(np.float64)
        return np.bincount(number, weights=weights, minlength=len(self.starts) - 1).astype(np.float64, copy=False)

    def chosen(self, packs: Int64s) -> "Packs":
        """These packs, in this order."""
        sizes = np.diff(self.starts)[packs]
        starts = np.concatenate([[0], np.cumsum(sizes)])
        moved = np.repeat(self.starts[:-1][packs] - starts[:-1], sizes)
        return Packs(self.rows[np.arange(starts[-1]) + moved], starts)


def joined(parts: list[Packs]) -> Packs:
    """One behind the other; there is at least one."""
    sizes = np.concatenate([np.diff(part.starts) for part in parts])
    return Packs(np.concatenate([part.rows for part in parts]), np.concatenate([[0], np.cumsum(sizes)]))


class Pool:
    """Rows that are ordered and packed together."""

    def __init__(self, lengths: Lengths, rows: Int64s, settings: PlanSettings, identity: str, name: str):
        self.lengths, self.settings, self.identity, self.name = lengths, settings, identity, name
        self.layout = lay_out(lengths, rows, settings)

    def epoch(self, number: int, before: int) -> Packs:
        """The packs of an epoch, when ``before`` packs come before it.

        Streams take turns within a stage; one that has ended is skipped, so that no slot stays empty and every stage
        ends before the next begins. At position m the turn starts with stream m mod C, and so slot s of a step (C
        divides G) holds stream s mod C, except at the end of a stage.
        """
        settings = self.settings
        reading = read_order(self.layout, settings, self.identity, number, self.name)
        windows = cut(reading.sizes, settings.window)
        tokens = self.lengths.tokens[reading.rows]
        row_pack, counts = pack(tokens, windows.starts, settings.capacity, settings.documents)
        begins = np.concatenate([[0], np.cumsum(counts)])
        row_pack += np.repeat(begins[:-1], windows.sizes)
        # packs of a window in an order of chance; then windows of a stream, then streams in turn
        key = salt(self.identity, settings.seed, number, "packs", self.name)
        order = shuffled(begins, key)
        segment = np.repeat(windows.segment, counts)
        sizes = np.bincount(segment, minlength=len(reading.sizes))
        turn = np.arange(len(segment)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        stage = reading.stage[segment]
        of_stage = np.bincount(stage)
        ahead = (before + np.cumsum(of_stage) - of_stage)[stage]
        stream = (reading.stream[segment] - ahead) % self.layout.streams[stage]
        place = np.empty(len(order), np.int64)
        place[order[np.lexsort((stream, turn, stage))]] = np.arange(len(order))
        return _by_pack(reading.rows, place[row_pack], len(order))


def _by_pack(rows: Int64s, packs: Int64s, count: int) -> Packs:
    """Rows sorted by pack, then id, in one sort of 64 bits."""
    width = bits(int(rows.max()) + 1)
    keys = packs.astype(np.uint64) << np.uint64(width)
    keys |= rows.astype(np.uint64)
    keys.sort()
    ids = keys & np.uint64((1 << width) - 1)
    kind = np.int32 if width < 32 else np.int64
    starts = np.concatenate([[0], np.cumsum(np.bincount(packs, minlength=count))])
    return Packs(ids.astype(kind), starts)
