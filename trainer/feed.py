"""From the plan to packs of this rank: which rows, read by the stream, put into packs, with the source of each."""

from collections.abc import Generator, Sequence
from typing import NamedTuple

import numpy as np

from trainer.distributed import World
from trainer.pack import collate
from trainer.plan.plan import Plan
from trainer.step import Slot
from trainer.stream import Stream


class Fed(NamedTuple):
    """What this rank runs in a step; ``denominator`` is the whole step's, over all ranks."""

    step: int
    denominator: float
    slots: list[Slot]


def trained_steps(plan: Plan) -> list[int]:
    """Steps with anything to learn; the others are skipped by all ranks, and the learning rate does not move on."""
    return np.flatnonzero(plan.step_weights > 0).tolist()


def feed(
    plan: Plan, stream: Stream, steps: Sequence[int], world: World, micro_batch: int, pad_id: int
) -> Generator[Fed, None, None]:
    """The steps' packs of this rank, as many micro-batches on every rank; a micro-batch of several packs is one long
    pack. Documents are read and rendered ahead by the stream's thread."""
    owned = plan.slots(world.rank, world.size)
    owned += [-1] * (-len(owned) % micro_batch)
    numbers = owned[::micro_batch]
    batches = (plan.owned(step, world.rank, world.size, micro_batch) for step in steps)
    rows = ([np.concatenate(packs) for packs in batch] for batch in batches)
    capacity = plan.settings.capacity * micro_batch
    names = plan.lengths.sources
    for step, packs in zip(steps, stream.iterate(rows)):
        slots = []
        for number, documents in zip(numbers, packs):
            sources = tuple(names[int(plan.lengths.source[one.row])] for one in documents)
            slots.append(Slot(number, collate(documents, capacity, pad_id), sources))
        yield Fed(step, plan.weight(step), slots)
