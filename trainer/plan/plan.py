"""The plan: the packs of every step, known before the first one, the same for any number of ranks and workers.

A pure function of (lengths, settings, identity). A run's place in it is one integer, the step, and ``digest`` says of
which plan; going on with another number of ranks is asking the same plan for other slots.
"""

import hashlib
from typing import Any

import numpy as np
import orjson

from schemas.errors import GristmillError
from trainer.plan.epochs import Packs, Pool, joined
from trainer.plan.lengths import Float64s, Int64s, Lengths
from trainer.plan.mixture import mixed
from trainer.plan.settings import PlanSettings
from trainer.plan.summary import PlanSummary, summarise

PLAN_VERSION = 1  # raise it when the same input gives another plan
NONE = -1  # a slot that no pack of the step has: a dummy

__all__ = ["NONE", "PLAN_VERSION", "Plan", "PlanSettings", "make_plan"]


class Plan:
    """Steps of G packs each. Position m of all packs is slot m mod G of step m div G; what is missing is empty."""

    def __init__(self, lengths: Lengths, settings: PlanSettings, identity: str, packs: Packs, epochs: Int64s):
        self.lengths, self.settings, self.identity = lengths, settings, identity
        self.contents = packs
        self.epochs = epochs  # [p] the epoch that each pack is from; in a mixture, of its source
        self.pack_count = len(packs.starts) - 1
        self.steps = -(-self.pack_count // settings.packs_per_step)
        self.pack_weights = packs.sums(lengths.weight)
        of_step = np.arange(self.pack_count) // settings.packs_per_step
        sums = np.bincount(of_step, weights=self.pack_weights, minlength=self.steps)
        self.step_weights: Float64s = sums.astype(np.float64, copy=False)
        self.digest = self._digest()

    def packs(self, step: int) -> list[Int64s]:
        """Row ids of each of the step's G packs, ascending; empty is a dummy pack."""
        first = self._checked(step) * self.settings.packs_per_step
        return [self._pack(first + slot) for slot in range(self.settings.packs_per_step)]

    def weight(self, step: int) -> float:
        """N of the step: the sum of the target weights of all its packs, over all ranks. 0: the step is skipped."""
        return float(self.step_weights[self._checked(step)])

    def epoch(self, step: int) -> int:
        """The epoch that the step's first pack is from; in a mixture, of its source."""
        return int(self.epochs[self._checked(step) * self.settings.packs_per_step])

    def slots(self, rank: int, ranks: int) -> list[int]:
        """Slots of every step that a rank owns, ascending: s mod ranks = rank, NONE up to ⌈G / ranks⌉ of them.

        Raises:
            GristmillError: there is no such rank.
        """
        if not 0 <= rank < ranks:
            raise GristmillError(f"plan: there is no rank {rank} of {ranks}")
        count = self.settings.packs_per_step
        owned = list(range(rank, count, ranks))
        return owned + [NONE] * (-(-count // ranks) - len(owned))

    def owned(self, step: int, rank: int, ranks: int, micro_batch: int = 1) -> list[list[Int64s]]:
        """The micro-batches of a rank in a step: as many for every rank, each of ``micro_batch`` packs.

        Raises:
            GristmillError: there is no such step or rank.
        """
        if micro_batch < 1:
            raise GristmillError(f"plan: micro_batch is {micro_batch}; it must be at least 1")
        first = self._checked(step) * self.settings.packs_per_step
        slots = self.slots(rank, ranks)
        slots += [NONE] * (-len(slots) % micro_batch)
        packs = [self._pack(first + slot if slot != NONE else self.pack_count) for slot in slots]
        return [packs[start : start + micro_batch] for start in range(0, len(packs), micro_batch)]

    def find(self, row: int) -> list[tuple[int, int]]:
        """Every (step, slot) that holds the row, in the order of steps.

        Raises:
            GristmillError: the split has no such row.
        """
        if not 0 <= row < len(self.lengths):
            raise GristmillError(f"plan: there is no row {row}; the split has {len(self.lengths)}, counted from 0")
        places = np.flatnonzero(self.contents.rows == row)
        packs = np.searchsorted(self.contents.starts, places, side="right") - 1
        return [divmod(one, self.settings.packs_per_step) for one in packs.tolist()]

    def summary(self) -> PlanSummary:
        """What it holds, by source."""
        return summarise(self.lengths, self.settings, self.contents, self.steps)

    def _pack(self, position: int) -> Int64s:
        if position >= self.pack_count:
            return np.zeros(0, np.int64)
        starts = self.contents.starts
        return self.contents.rows[starts[position] : starts[position + 1]].astype(np.int64)

    def _checked(self, step: int) -> int:
        if not 0 <= step < self.steps:
            raise GristmillError(f"plan: there is no step {step}; it has {self.steps}, counted from 0")
        return step

    def _digest(self) -> str:
        """sha256 of what was asked and of what came out, so that no change of either passes for the same plan."""
        head: dict[str, Any] = {"version": PLAN_VERSION, "identity": self.identity, "settings": self.settings.plain()}
        whole = hashlib.sha256(orjson.dumps(head, option=orjson.OPT_SORT_KEYS))
        arrays = ((self.contents.rows, "<i4" if self.contents.rows.dtype == np.int32 else "<i8"),)
        for array, kind in (*arrays, (self.contents.starts, "<i8"), (self.step_weights, "<f8")):
            whole.update(np.ascontiguousarray(array, kind).data)
        return whole.hexdigest()


def make_plan(lengths: Lengths, settings: PlanSettings, identity: str) -> Plan:
    """All packs of all steps.

    Args:
        identity: digest of what the lengths are of (release, split, template, tokenizer); all chance follows from it
            and the seed.

    Raises:
        GristmillError: no row is left, one is longer than a pack, or the mixture cannot be made.
    """
    if not (lengths.tokens > 0).any():
        raise GristmillError(
            f"plan: none of the split's {len(lengths)} rows is left to train on (all were dropped or refused); look at "
            "the template and at sequence_length"
        )
    longest = int(lengths.tokens.argmax())
    if lengths.tokens[longest] > settings.capacity:
        raise GristmillError(
            f"plan: row {longest} has {lengths.tokens[longest]} tokens, and a pack holds {settings.capacity}; drop or "
            "truncate it before, or raise sequence_length"
        )
    packs, epochs = (mixed if settings.mixture is not None else _in_epochs)(lengths, settings, identity)
    return Plan(lengths, settings, identity, packs, epochs)


def _in_epochs(lengths: Lengths, settings: PlanSettings, identity: str) -> tuple[Packs, Int64s]:
    """All rows, epoch after epoch."""
    pool = Pool(lengths, np.flatnonzero(lengths.tokens > 0), settings, identity, "")
    wanted = None if settings.steps is None else settings.steps * settings.packs_per_step
    made: list[Packs] = []
    counts: list[int] = []
    while len(made) < settings.epochs if wanted is None else sum(counts) < wanted:
        made.append(pool.epoch(len(made), sum(counts)))
        counts.append(len(made[-1].starts) - 1)
    packs, epochs = joined(made), np.repeat(np.arange(len(made)), counts)
    if wanted is not None:
        packs, epochs = packs.chosen(np.arange(wanted)), epochs[:wanted]
    return packs, epochs
