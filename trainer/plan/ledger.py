"""Which rows a step holds, and which steps hold a row: computed from the plan, never logged."""

from typing import NamedTuple

from trainer.plan.plan import Plan


class Entry(NamedTuple):
    """A row in a step; ``place`` counts the rows of its pack."""

    step: int
    slot: int
    place: int
    row: int
    source: str
    stage: int
    epoch: int  # in a mixture, of the source
    tokens: int
    supervised: int


def rows_of(plan: Plan, step: int) -> list[Entry]:
    """All rows of a step, by slot and place.

    Raises:
        GristmillError: there is no such step.
    """
    return [entry for slot, _ in enumerate(plan.packs(step)) for entry in _entries(plan, step, slot)]


def steps_of(plan: Plan, row: int) -> list[Entry]:
    """Everywhere a row is trained on, in the order of steps; empty when it is out of the plan.

    Raises:
        GristmillError: the split has no such row.
    """
    return [entry for step, slot in plan.find(row) for entry in _entries(plan, step, slot) if entry.row == row]


def _entries(plan: Plan, step: int, slot: int) -> list[Entry]:
    lengths = plan.lengths
    position = step * plan.settings.packs_per_step + slot
    return [
        Entry(
            step,
            slot,
            place,
            row,
            lengths.sources[int(lengths.source[row])],
            int(lengths.stage[row]),
            int(plan.epochs[position]),
            int(lengths.tokens[row]),
            int(lengths.supervised[row]),
        )
        for place, row in enumerate(plan.packs(step)[slot].tolist())
    ]
