"""Caps: at most so many records with one key (an opening phrase, a verb and noun), the first in a declared order.

A unit sends the first ``most`` rows that it has of a key and the one after them, and how many there are; the key's
part finds the first one too many and tells the units that have rows of that key.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from transforms.blocks import Block as Keyed
from transforms.blocks import hash_parts, key_number, split_by
from transforms.keys import U64, mix
from transforms.standing import Standing
from transforms.units import Ints, Plan, UnitView

# A unit's first rows of a key; ``held`` on the first of them says how many it has, 0 on the others.
CLAIM = pa.schema(
    [("key", pa.uint64()), ("order", pa.uint64()), ("address", pa.int64()), ("held", pa.int64()), ("unit", pa.int64())]
)
# To every unit with rows of a key that has too many: the first (order, address) that goes, and how many there are.
LIMIT = pa.schema([("key", pa.uint64()), ("order", pa.uint64()), ("address", pa.int64()), ("held", pa.int64())])
NO_LIMITS = pa.RecordBatch.from_pylist([], schema=LIMIT)


@dataclass(frozen=True)
class Cap:
    """A cap as its stage sees it: at most ``most`` rows with one value of ``column`` (0 and null are nobody's key)."""

    before: Plan
    after: Plan
    column: str
    most: int
    order: str
    rule: str

    def keys(self, view: UnitView) -> U64:
        """The key [rows] of each record, 0 without one."""
        return np.asarray(view.column(self.column).fill_null(0)).astype(np.uint64)


@dataclass(frozen=True)
class Claim:
    """Unit → its first rows of each key, to the keys' parts; and its own presence downstream."""

    cap: Cap

    def __call__(self, key: bytes, rows: pa.RecordBatch) -> Iterator[tuple[str, bytes, pa.RecordBatch]]:
        yield "present", key, NO_LIMITS
        view = UnitView(self.cap.before, key_number(key))
        standing = Standing.read(self.cap.before, view)
        keys = self.cap.keys(view)
        order = standing.order(self.cap.order)
        claimed = claims(keys, order, view.addresses, standing.alive, self.cap.most, view.number)
        yield from split_by(claimed, hash_parts(mix(np.asarray(claimed["key"])), self.cap.before.parts), "claims")


def claims(keys: U64, order: U64, addresses: Ints, alive: Any, most: int, unit: int) -> pa.RecordBatch:
    """CLAIM of a unit's rows [n]: of each key the first ``most`` that are still in, and the one after them, which may
    be the first of all units that is one too many."""
    rows = np.flatnonzero(alive & (keys != 0))
    rows = rows[np.lexsort((addresses[rows], order[rows], keys[rows]))]
    first, held, rank = ranks(keys[rows])
    sent = rank <= most
    columns = [keys[rows], order[rows], addresses[rows], np.where(first, held, 0), np.full(len(rows), unit)]
    return pa.RecordBatch.from_arrays(
        [pa.array(column[sent], field.type) for column, field in zip(columns, CLAIM, strict=True)], schema=CLAIM
    )


def ranks(keys: U64) -> tuple[Any, Ints, Ints]:
    """Of sorted keys [n]: whether a row is its key's first, how many the key has, and the row's place among them."""
    first = np.r_[True, keys[1:] != keys[:-1]] if len(keys) else np.empty(0, bool)
    starts = np.flatnonzero(first)
    sizes = np.diff(np.r_[starts, len(keys)])
    return first, np.repeat(sizes, sizes), np.arange(len(keys)) - np.repeat(starts, sizes)


@dataclass(frozen=True)
class Settle:
    """A part of the keys → limits, to the units that have rows of a key with too many."""

    cap: Cap

    def __call__(self, key: bytes, table: pa.Table) -> Iterator[Keyed]:
        limits, units = find_limits(table, self.cap.most)
        return split_by(limits, units)


def find_limits(table: pa.Table, most: int) -> tuple[pa.RecordBatch, Ints]:
    """LIMIT rows and the unit each is for, from CLAIM rows; every claim on a key must be in ``table``."""
    keys, order, addresses, held, unit = (np.asarray(table[name]) for name in CLAIM.names)
    ranking = np.lexsort((addresses, order, keys))
    keys, order, addresses, held, unit = (column[ranking] for column in (keys, order, addresses, held, unit))
    first, _, rank = ranks(keys)
    group = np.cumsum(first) - 1
    total = np.bincount(group, held, int(group[-1]) + 1 if len(group) else 0).astype(np.int64)
    cut = np.flatnonzero(rank == most)  # at most one row a key: the first that goes
    place = np.full(len(total), -1)
    place[group[cut]] = cut
    told = np.flatnonzero((held > 0) & (place[group] >= 0))
    at = place[group[told]]
    columns = [keys[told], order[at], addresses[at], total[group[told]]]
    return (
        pa.RecordBatch.from_arrays(
            [pa.array(column, field.type) for column, field in zip(columns, LIMIT, strict=True)], schema=LIMIT
        ),
        unit[told],
    )


@dataclass(frozen=True)
class Enforce:
    """Unit and its limits → verdicts of the next stage; the value is how many share the key, the threshold the cap."""

    cap: Cap

    def __call__(self, key: bytes, table: pa.Table) -> Iterator[Keyed]:
        cap = self.cap
        view = UnitView(cap.after, key_number(key))
        standing = Standing.read(cap.before, view)
        standing.plan = cap.after
        rows, held = over(cap.keys(view), standing.order(cap.order), view.addresses, standing.alive, table)
        standing.drop(rows, cap.after.number_of(cap.rule), held, cap.most)
        yield from standing.leave()


def over(keys: U64, order: U64, addresses: Ints, alive: Any, limits: pa.Table) -> tuple[Ints, Ints]:
    """Rows of a unit that are beyond their key's limit, and how many records share that key."""
    limited, bound, address, held = (np.asarray(limits[name]) for name in LIMIT.names)
    if len(limited) == 0:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    by_key = np.argsort(limited)
    limited, bound, address, held = limited[by_key], bound[by_key], address[by_key], held[by_key]
    at = np.minimum(np.searchsorted(limited, keys), len(limited) - 1)
    beyond = (order > bound[at]) | ((order == bound[at]) & (addresses >= address[at]))
    rows = np.flatnonzero(alive & (limited[at] == keys) & beyond)
    return rows, held[at[rows]]
