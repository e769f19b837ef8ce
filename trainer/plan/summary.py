"""What a plan holds, for people: packs, steps, tokens, and what became of each source."""

from dataclasses import dataclass

import numpy as np

from trainer.plan.epochs import Packs
from trainer.plan.lengths import Lengths
from trainer.plan.settings import PlanSettings


@dataclass(frozen=True)
class SourceSummary:
    """One source; tokens are of all steps, so a row counts as often as it is trained on."""

    source: str
    rows: int  # in the split
    dropped: int  # out before the plan: too long, refused, or failed
    truncated: int
    unused: int  # could be trained on, but no step holds it
    trained: int  # rows of all steps, repetitions counted
    epochs: float  # how often one of its usable rows is trained on, on average
    tokens: int
    supervised: int
    asked: float | None  # share of the supervised tokens, by the mixture
    share: float  # share of the supervised tokens that it has


@dataclass(frozen=True)
class PlanSummary:
    """Tokens and rows are of all steps."""

    rows: int
    packs: int
    steps: int
    dummies: int  # empty slots of the last step
    tokens: int
    supervised: int
    capacity: int  # tokens of a pack
    packs_per_step: int
    efficiency: float  # share of the packs' slots that hold tokens; dummies are not counted
    dropped: int
    truncated: int
    sources: tuple[SourceSummary, ...]


def summarise(lengths: Lengths, settings: PlanSettings, packs: Packs, steps: int) -> PlanSummary:
    """Count."""
    count = len(packs.starts) - 1
    seen = np.bincount(packs.rows, minlength=len(lengths))
    names = range(len(lengths.sources))
    asked = dict(settings.mixture or ())
    truncated = np.zeros(len(lengths), np.bool_) if lengths.truncated is None else lengths.truncated
    out = lengths.tokens == 0

    def by_source(values: np.ndarray) -> list[int]:
        found = np.bincount(lengths.source, weights=values, minlength=len(names))
        return [int(one) for one in found]  # exact below 2^53

    rows, dropped = by_source(np.ones(len(lengths))), by_source(out)
    cut, unused = by_source(truncated & ~out), by_source(~out & (seen == 0))
    trained, tokens = by_source(seen), by_source(seen * lengths.tokens.astype(np.int64))
    supervised = by_source(seen * lengths.supervised.astype(np.int64))
    total = sum(supervised)
    sources = tuple(
        SourceSummary(
            source=lengths.sources[one],
            rows=rows[one],
            dropped=dropped[one],
            truncated=cut[one],
            unused=unused[one],
            trained=trained[one],
            epochs=trained[one] / max(rows[one] - dropped[one], 1),
            tokens=tokens[one],
            supervised=supervised[one],
            asked=None if settings.mixture is None else asked.get(lengths.sources[one], 0.0),
            share=supervised[one] / max(total, 1),
        )
        for one in names
    )
    return PlanSummary(
        rows=int(seen.sum()),
        packs=count,
        steps=steps,
        dummies=steps * settings.packs_per_step - count,
        tokens=sum(tokens),
        supervised=total,
        capacity=settings.capacity,
        packs_per_step=settings.packs_per_step,
        efficiency=sum(tokens) / max(count * settings.capacity, 1),
        dropped=sum(dropped),
        truncated=sum(cut),
        sources=sources,
    )
