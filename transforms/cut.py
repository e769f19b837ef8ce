"""An exact number of records out of each group, in an order: whole bins first, then one pass over the bin that is cut.

The command settles a ``Quota`` per group from its census; the rows of the bin in which the target falls, and a few
after it, go to one place per group, which finds the cut; every unit then knows which of its rows are taken.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms.blocks import Block as Keyed
from transforms.blocks import key_number, number_key
from transforms.census import BIN_SHIFT, Grouping
from transforms.standing import Standing
from transforms.units import Ints, Plan, UnitView

CUT_ROW = pa.schema([("order", pa.uint64()), ("address", pa.int64()), ("weight", pa.int64())])
# The first row that is not taken, and rows after it that are: what still fits into the target.
CUT = pa.schema(
    [("group", pa.int32()), ("order", pa.uint64()), ("address", pa.int64()), ("fitting", pa.list_(pa.int64()))]
)

FILL = 64
"""Rows after the cut that are tried for the rest of the target. Records are not all small: cut at the nearest record
alone, a mix of 40,000 tokens missed by 0.7 %; filled, by less than the smallest of the 64."""


@dataclass(frozen=True)
class Quota:
    """Which records of a group are taken: every one ``repeats`` times, and once more the first ones in order:
    all bins below ``bin``, and records of weight ``rest`` inside it (bin -1: none)."""

    repeats: int
    bin: int
    rest: int
    last: int = -1  # the last bin whose rows are looked at: it holds at least FILL rows after the cut, if there are any


def quota(weights: Sequence[int], target: int, rows: Sequence[int] | None = None) -> Quota:
    """Quota that gives ``target`` from a group whose bins weigh ``weights`` and hold ``rows`` (default: one bin only is
    looked at)."""
    total = sum(weights)
    if total == 0 or target == 0:
        return Quota(0, -1, 0)
    repeats, rest = divmod(target, total)
    if rest == 0:  # not bin 0 and up: bins of records that weigh nothing would give one copy more
        return Quota(repeats, -1, 0)
    running = 0
    for number, weight in enumerate(weights):
        if running + weight > rest:
            last, after = number, 0
            while rows is not None and after < FILL and last + 1 < len(rows):
                last += 1
                after += rows[last]
            return Quota(repeats, number, rest - running, last)
        running += weight
    raise AssertionError("rest is below total")


class Cut(NamedTuple):
    """Rows before (``order``, ``address``) are taken, and of those after it the ``fitting`` addresses."""

    order: int
    address: int
    fitting: tuple[int, ...] = ()


def find_cut(table: pa.Table, rest: int) -> Cut:
    """Of the rows [CUT_ROW] from the cut bin on: the longest beginning that weighs at most ``rest``, and of the FILL
    rows after it each that still fits; or the beginning that is nearest to ``rest``, where that is nearer."""
    orders, addresses = np.asarray(table["order"]), np.asarray(table["address"])
    ranking = np.lexsort((addresses, orders))
    weights = np.asarray(table["weight"])[ranking]
    before = np.r_[0, np.cumsum(weights)]
    most = before[np.searchsorted(before, rest, side="right") - 1]
    taken = int(np.searchsorted(before, most))  # the shortest of equal weight: records that weigh nothing stay out
    left, fitting = rest - int(most), []
    for place in range(taken, min(taken + FILL, len(ranking))):
        if 0 < weights[place] <= left:
            left -= int(weights[place])
            fitting.append(int(addresses[ranking[place]]))
    nearest = int(np.argmin(np.abs(before - rest)))
    if abs(int(before[nearest]) - rest) < left:
        taken, fitting = nearest, []
    if taken == len(ranking):
        return Cut(2**64 - 1, 2**63 - 1)
    return Cut(int(orders[ranking[taken]]), int(addresses[ranking[taken]]), tuple(fitting))


def copies(quota: Quota, cut: Cut | None, order: npt.NDArray[np.uint64], addresses: Ints) -> npt.NDArray[np.int32]:
    """How often each of a group's records [n] is taken."""
    taken = np.full(len(order), quota.repeats, np.int32)
    if quota.bin < 0:
        return taken
    bins = order >> BIN_SHIFT
    extra = bins < quota.bin
    if cut is not None:
        first = np.uint64(cut.order)
        before = (order < first) | ((order == first) & (addresses < cut.address))
        # With a cut beyond its bin all of the bin is taken; what stands after the bin only fits.
        extra |= (bins >= quota.bin) & (bins <= quota.last) & before
        extra |= np.isin(addresses, cut.fitting)
    return taken + extra


@dataclass(frozen=True)
class Quotas:
    """A quota for each group of a grouping; a group without one gives nothing."""

    grouping: Grouping
    by_group: Mapping[int, Quota]

    def copies(self, standing: Standing, cuts: Sequence[Keyed]) -> npt.NDArray[np.int32]:
        """How often each row [rows] of a unit is taken; rows that are out, not at all."""
        found = {
            row["group"]: Cut(row["order"], row["address"], tuple(row["fitting"]))
            for _, cut in cuts
            for row in cut.to_pylist()
        }
        groups, order = standing.groups(self.grouping), standing.order(self.grouping.order)
        taken = np.zeros(len(groups), np.int32)
        for group in np.unique(groups[standing.alive]).tolist():
            rows = np.flatnonzero((groups == group) & standing.alive)
            quota = self.by_group.get(group, Quota(0, -1, 0))
            taken[rows] = copies(quota, found.get(group), order[rows], standing.view.addresses[rows])
        # What weighs nothing is no part of a mix: no supervised token under this template, say.
        taken[standing.weight(self.grouping) == 0] = 0
        return taken


@dataclass(frozen=True)
class EmitCut:
    """Unit → its rows in the bin where a group's target falls, to that group."""

    plan: Plan
    quotas: Quotas

    def __call__(self, key: bytes, rows: pa.RecordBatch) -> Iterator[Keyed]:
        standing = Standing.read(self.plan, UnitView(self.plan, key_number(key)))
        grouping = self.quotas.grouping
        groups, order, weight = standing.groups(grouping), standing.order(grouping.order), standing.weight(grouping)
        for group in np.unique(groups[standing.alive]).tolist():
            quota = self.quotas.by_group.get(group)
            if quota is None or quota.rest <= 0:
                continue
            bins = order >> BIN_SHIFT
            looked = (bins >= quota.bin) & (bins <= quota.last)
            hit = np.flatnonzero(standing.alive & (groups == group) & looked)
            columns = [pa.array(order[hit]), pa.array(standing.view.addresses[hit]), pa.array(weight[hit])]
            yield number_key(group), pa.RecordBatch.from_arrays(columns, schema=CUT_ROW)


@dataclass(frozen=True)
class FindCut:
    """A group's rows of that bin → its cut, as one row."""

    quotas: Quotas

    def __call__(self, key: bytes, table: pa.Table) -> Iterator[Keyed]:
        group = key_number(key)
        cut = find_cut(table, self.quotas.by_group[group].rest)
        row = {"group": group, "order": cut.order, "address": cut.address, "fitting": list(cut.fitting)}
        yield key, pa.RecordBatch.from_pylist([row], schema=CUT)


@dataclass(frozen=True)
class Take:
    """Unit and the cuts → the verdicts of the next stage: rows that are not taken are dropped.

    The ledger's value is what the group held, its threshold what it may give, both in rows.
    """

    before: Plan
    after: Plan
    quotas: Quotas
    rule: str
    held: Mapping[int, tuple[int, int]]  # by group: rows there, rows asked for

    def __call__(self, key: bytes, rows: pa.RecordBatch, cuts: Sequence[Keyed] = ()) -> Iterator[Keyed]:
        view = UnitView(self.after, key_number(key))
        standing = Standing.read(self.before, view)
        standing.plan = self.after
        taken = self.quotas.copies(standing, cuts)
        groups = standing.groups(self.quotas.grouping)
        out = np.flatnonzero(standing.alive & (taken == 0))
        sizes = np.array([self.held.get(group, (0, 0)) for group in groups[out].tolist()], np.float64).reshape(-1, 2)
        standing.times = np.where(taken > 0, standing.times * taken, standing.times)
        standing.drop(out, self.after.number_of(self.rule), sizes[:, 0], sizes[:, 1])
        yield from standing.leave()
