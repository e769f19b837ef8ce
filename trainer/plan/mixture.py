"""Which source the next pack is of, so that every source keeps its share of the supervised tokens all the time.

Each pack of source j has a time: the supervised tokens that j has given before it, and half its own, over j's share.
Packs go by time (weighted fair queueing; Demers, Keshav and Shenker 1989). At every moment v each source has then given
its share of v to within half a pack, and so its share of the total to within half a pack of each source and half of its
own. That equals choosing the largest deficit, but is one sort; and when a source ends, the others go on in the
proportions of their shares without anything being computed anew.
"""

import numpy as np

from schemas.errors import GristmillError
from schemas.strict import nearest
from trainer.plan.epochs import Packs, Pool, joined
from trainer.plan.lengths import Float64s, Int64s, Lengths
from trainer.plan.settings import PlanSettings


class _Source:
    """One source's packs, as many epochs of them as were asked for."""

    def __init__(self, pool: Pool, share: float, most: int):
        self.pool, self.share, self.most = pool, share, most
        self.epochs: list[Packs] = []
        self.grow(1)
        self.supervised = float(self.masses(self.epochs[0]).sum())  # of an epoch

    def grow(self, epochs: int) -> None:
        while len(self.epochs) < min(epochs, self.most):
            before = sum(len(one.starts) - 1 for one in self.epochs)
            self.epochs.append(self.pool.epoch(len(self.epochs), before))

    def masses(self, packs: Packs) -> Float64s:
        return packs.sums(self.pool.lengths.supervised)

    @property
    def capacity(self) -> float:
        return self.most * self.supervised


def mixed(lengths: Lengths, settings: PlanSettings, identity: str) -> tuple[Packs, Int64s]:
    """Packs of single sources in the order of the mixture, and the epoch of its source that each is from.

    The mixture is as long as ``epochs`` passes over its sources, in supervised tokens, or as ``steps`` asks for.

    Raises:
        GristmillError: a source is unknown or has no rows, or the sources end before ``steps``.
    """
    sources = [_source(lengths, settings, identity, name, share) for name, share in settings.mixture or () if share]
    if settings.steps is None:
        packs, epochs = _merged(sources, settings, settings.epochs * sum(one.supervised for one in sources))
        return packs, epochs
    wanted = settings.steps * settings.packs_per_step
    mean = [one.supervised / (len(one.epochs[0].starts) - 1) for one in sources]
    budget = 1.02 * wanted / sum(one.share / size for one, size in zip(sources, mean))
    while True:
        packs, epochs = _merged(sources, settings, budget)
        count = len(packs.starts) - 1
        if count >= wanted:
            return packs.chosen(np.arange(wanted)), epochs[:wanted]
        if budget >= _longest(sources, settings):
            raise GristmillError(
                f"mixture: {settings.steps} steps need {wanted} packs, and with max_epochs {settings.max_epochs} and "
                f"exhausted: {settings.exhausted} it has {count}, which are {count // settings.packs_per_step} steps; "
                "ask for fewer steps or raise max_epochs"
            )
        budget *= 1.5


def _source(lengths: Lengths, settings: PlanSettings, identity: str, name: str, share: float) -> _Source:
    if name not in lengths.sources:
        raise GristmillError(f"mixture: the split has no source {name!r}; {nearest(name, lengths.sources)}")
    mine = (lengths.source == lengths.sources.index(name)) & (lengths.tokens > 0)
    rows = np.flatnonzero(mine)
    if not lengths.supervised[rows].any():
        raise GristmillError(
            f"mixture: source {name} has no row that can be trained on, but a share of {share:.4g}; take it out"
        )
    return _Source(Pool(lengths, rows, settings, identity, name), share, settings.max_epochs)


def _merged(sources: list[_Source], settings: PlanSettings, budget: float) -> tuple[Packs, Int64s]:
    """Packs by time until ``budget`` supervised tokens are given, or the sources have ended."""
    moment = _moment(sources, settings, budget)
    slack = float(settings.capacity) * (len(sources) + 1)  # a pack of each may be ahead
    times, masses, numbers = [], [], []
    end = np.inf
    for number, one in enumerate(sources):
        one.grow(int(np.ceil((one.share * moment + slack) / one.supervised)))
        mass = np.concatenate([one.masses(epoch) for epoch in one.epochs])
        times.append((np.cumsum(mass) - mass / 2) / one.share)
        masses.append(mass)
        numbers.append(np.full(len(mass), number))
        if len(one.epochs) == one.most and settings.exhausted == "stop":
            end = min(end, mass.sum() / one.share)
    time, mass = np.concatenate(times), np.concatenate(masses)
    order = np.lexsort((np.arange(len(time)), time))
    given = np.cumsum(mass[order])
    count = min(int(np.searchsorted(given, budget, side="left")) + 1, int(np.searchsorted(time[order], end, "right")))
    packs = joined([epoch for one in sources for epoch in one.epochs])
    epochs = np.concatenate(
        [np.full(len(epoch.starts) - 1, number) for one in sources for number, epoch in enumerate(one.epochs)]
    )
    return packs.chosen(order[:count]), epochs[order[:count]]


def _moment(sources: list[_Source], settings: PlanSettings, budget: float) -> float:
    """The time v at which Σ min(share · v, what the source has) is the budget; at most when the last source ends."""
    ends = sorted(((one.capacity / one.share, one) for one in sources), key=lambda pair: pair[0])
    if settings.exhausted == "stop":
        return min(budget, ends[0][0])
    given, rate, moment = 0.0, 1.0, 0.0
    for end, one in ends:
        if given + (end - moment) * rate >= budget:
            break
        given += (end - moment) * rate
        rate, moment = rate - one.share, end
    else:
        return moment
    return moment + (budget - given) / max(rate, 1e-12)


def _longest(sources: list[_Source], settings: PlanSettings) -> float:
    """A budget that no merge of these sources can use up."""
    return sum(one.capacity for one in sources) + settings.capacity
