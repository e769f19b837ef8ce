"""The best of what is left, down to a budget: DEITA's walk from the highest score, past what is near to a better one.

Only a bounded number of candidates comes to one place: the command settles from the census how many of each owner
(a source, a task, a cluster, or all) are looked at, and looks again at more where the walk ran out before its budget.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa

from transforms.blocks import Block as Keyed
from transforms.blocks import key_number, number_key
from transforms.census import order_score
from transforms.collect import leave
from transforms.corpus import read_batch
from transforms.cut import Quotas
from transforms.distance import above, in_order, vector_rows
from transforms.nearest import walk
from transforms.standing import Standing
from transforms.units import Ints, Plan, UnitView

# What became of a candidate: kept, or passed over for ``representative``, or neither (the budget was full).
WALKED = pa.schema(
    [
        ("address", pa.int64()),
        ("group", pa.int64()),
        ("order", pa.uint64()),
        ("kept", pa.bool_()),
        ("value", pa.float64()),  # similarity to the representative, else null
        ("representative", pa.binary(16)),
    ]
)


@dataclass(frozen=True)
class Best:
    """The selection as its stages see it."""

    before: Plan
    after: Plan
    by: str  # the score
    similarity: float | None
    quotas: Quotas  # how many candidates of each owner are looked at; their grouping says who the owners are
    budget: Mapping[int, int]  # how many of each owner are kept
    round: int = 0  # of looking at more candidates; what a round leaves has its own name


@dataclass(frozen=True)
class EmitCandidates:
    """Unit → its candidates, all to one place."""

    best: Best

    def __call__(self, key: bytes, rows: pa.RecordBatch) -> Iterator[Keyed]:
        plan, grouping = self.best.before, self.best.quotas.grouping
        view = UnitView(plan, key_number(key))
        standing = Standing.read(plan, view)
        taken = self.best.quotas.copies(standing, ()) > 0
        chosen = np.flatnonzero(taken)
        vectors = view.vectors(chosen) if self.best.similarity else np.zeros((len(chosen), 1), np.float32)
        ids = view.features["id"].take(pa.array(chosen))
        groups, order = standing.groups(grouping)[chosen], standing.order(grouping.order)[chosen]
        yield number_key(0), vector_rows(groups, order, view.addresses[chosen], ids, vectors)


@dataclass(frozen=True)
class WalkBest:
    """All candidates → what became of each, left for the command and the units."""

    best: Best

    def __call__(self, key: bytes, table: pa.Table) -> Iterator[Keyed]:
        walked = walk_best(table, self.best.budget, self.best.similarity)
        leave(self.best.before.folder, f"walked-{self.best.round}", key, walked)
        return iter(())


def walk_best(table: pa.Table, budget: Mapping[int, int], similarity: float | None) -> pa.RecordBatch:
    """WALKED of candidates: owner after owner in their order, each held against all that was kept before.

    Without a ``similarity`` the first of each owner are kept.
    """
    groups, order, addresses, ids, vectors = in_order(table)
    kept, near, value = np.zeros(len(groups), bool), np.full(len(groups), -1), np.full(len(groups), np.nan)
    held: Ints = np.empty(0, np.int64)
    for group in np.unique(groups).tolist():
        mine = np.flatnonzero(groups == group)
        room = budget.get(group, 0)
        if similarity is None:
            kept[mine[:room]] = True
            continue
        rows = np.concatenate([held, mine])
        found = walk(vectors[rows], similarity, keep_first=len(held), stop_after=len(held) + room)
        own = slice(len(held), len(rows))
        kept[mine] = found.kept[own]
        taken = np.flatnonzero(found.kept[own])
        # The walk looks at some rows after the one that fills the budget; they go for the budget, whatever is near.
        end = len(mine) if len(taken) < room else int(taken[-1]) if room else 0
        passed = np.flatnonzero(found.neighbour[own][:end] >= 0)
        near[mine[passed]] = rows[found.neighbour[own][passed]]
        value[mine[passed]] = above(found.similarity[own][passed], similarity)
        held = np.concatenate([held, mine[taken]])
    columns = [
        pa.array(addresses),
        pa.array(groups),
        pa.array(order),
        pa.array(kept),
        pa.array(value, from_pandas=True),
        ids.take(pa.array(near, mask=near < 0)),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=WALKED)


def lowest_kept(walked: pa.RecordBatch) -> dict[int, float]:
    """By owner: the lowest score that was kept, to six decimals."""
    kept = walked.filter(walked["kept"])
    groups, order = np.asarray(kept["group"]), np.asarray(kept["order"])
    return {group: round(order_score(int(order[groups == group].max())), 6) for group in np.unique(groups).tolist()}


@lru_cache(maxsize=1)
def _walked(path: str) -> pa.RecordBatch:
    return read_batch(path)


@dataclass(frozen=True)
class KeepBest:
    """Unit → the verdicts of the next stage: all but the kept candidates go, by distance or by the budget.

    By the budget, the value is the record's score and the threshold the lowest score of its owner that was kept.
    """

    best: Best
    walked: str  # file of WALKED
    lowest: Mapping[int, float]  # by owner

    @property
    def before(self) -> Plan:
        return self.best.before

    @property
    def after(self) -> Plan:
        return self.best.after

    def __call__(self, key: bytes, rows: pa.RecordBatch) -> Iterator[Keyed]:
        best = self.best
        view = UnitView(best.after, key_number(key))
        standing = Standing.read(best.before, view)
        standing.plan = best.after
        walked = _walked(self.walked)
        address = np.asarray(walked["address"]) - view.base
        mine = (address >= 0) & (address < view.rows)
        kept, passed = np.asarray(walked["kept"]) & mine, np.asarray(walked["representative"].is_valid()) & mine
        stays = np.zeros(view.rows, bool)
        stays[address[kept]] = True
        near = address[passed]
        stays[near] = True  # dropped by the distance, not by the budget
        if best.similarity:
            standing.drop(
                near, best.after.number_of("best.similarity"), np.asarray(walked["value"].fill_null(0))[passed],
                best.similarity, walked["representative"].filter(pa.array(passed)),
            )  # fmt: skip
        out = np.flatnonzero(standing.alive & ~stays)
        owners = standing.groups(best.quotas.grouping)[out].tolist()
        lowest = np.array([self.lowest.get(owner, np.nan) for owner in owners], np.float64)
        standing.drop(out, best.after.number_of("best.size"), view.score(best.by)[out], lowest)
        yield from standing.leave()
