"""The distance filter: in a declared order, a record goes that is too near to one of its cluster that stays."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms.blocks import Block as Keyed
from transforms.blocks import hash_parts, key_number, number_key, split_by
from transforms.keys import U64, halves, mix, seeded
from transforms.nearest import walk
from transforms.standing import Standing
from transforms.units import Ints, Plan, UnitView

MOST = 200_000
"""Rows that are walked together. A larger cluster is cut by hash into slices of about this size, and neighbours in
different slices are not seen; more clusters are the better answer."""

NEAR_DROP = pa.schema([("address", pa.int64()), ("value", pa.float64()), ("representative", pa.binary(16))])
NO_NEAR_DROPS = pa.RecordBatch.from_pylist([], schema=NEAR_DROP)


def vector_rows(
    groups: Ints, order: U64, addresses: Ints, ids: pa.Array, vectors: npt.NDArray[np.float32]
) -> pa.RecordBatch:
    """What travels to where a group is walked: 40 bytes and the vector."""
    flat = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1), pa.float32()), vectors.shape[1])
    columns = {"group": pa.array(groups), "order": pa.array(order), "address": pa.array(addresses), "id": ids}
    return pa.record_batch(columns | {"vector": flat})


class Ordered(NamedTuple):
    """``vector_rows`` by group, then order, then address."""

    groups: Ints
    order: U64
    addresses: Ints
    ids: pa.Array
    vectors: npt.NDArray[np.float32]


def in_order(table: pa.Table) -> Ordered:
    """Arrival order means nothing."""
    groups, order, addresses = (np.asarray(table[name]) for name in ("group", "order", "address"))
    ranking = np.lexsort((addresses, order, groups))
    vector = table["vector"].combine_chunks()
    vectors = np.asarray(vector.flatten()).reshape(len(vector), vector.type.list_size)
    ids = table["id"].combine_chunks().take(pa.array(ranking))
    return Ordered(groups[ranking], order[ranking], addresses[ranking], ids, vectors[ranking])


@dataclass(frozen=True)
class Distance:
    """The filter as its stage sees it."""

    before: Plan
    after: Plan
    similarity: float
    order: str
    slices: Mapping[int, int]  # of clusters above MOST: into how many they are cut
    rule: str


@dataclass(frozen=True)
class EmitVectors:
    """Unit → its rows with their vectors, to their clusters; and its own presence downstream."""

    distance: Distance

    def __call__(self, key: bytes, rows: pa.RecordBatch) -> Iterator[tuple[str, bytes, pa.RecordBatch]]:
        yield "present", key, NO_NEAR_DROPS
        plan = self.distance.before
        standing = Standing.read(plan, UnitView(plan, key_number(key)))
        alive = np.flatnonzero(standing.alive)
        groups = standing.cluster[alive].astype(np.int64)
        cut = np.array([self.distance.slices.get(cluster, 1) for cluster in groups.tolist()], np.uint64)
        groups = (groups << 20) + (mix(standing.choose[alive]) % np.maximum(cut, np.uint64(1))).astype(np.int64)
        ids = standing.view.features["id"].take(pa.array(alive))
        order = standing.order(self.distance.order)[alive]
        batch = vector_rows(groups, order, standing.view.addresses[alive], ids, standing.view.vectors(alive))
        yield from split_by(batch, hash_parts(mix(groups.astype(np.uint64)), plan.parts), "vectors")


@dataclass(frozen=True)
class WalkClusters:
    """A part of the clusters → drops, to their units."""

    distance: Distance

    def __call__(self, key: bytes, table: pa.Table) -> Iterator[Keyed]:
        found = near_drops(table, self.distance.similarity)
        return split_by(found, self.distance.before.units_of(np.asarray(found["address"])))


def above(cosines: npt.NDArray[np.float32], similarity: float) -> npt.NDArray[np.float64]:
    """Cosines that were found to be above ``similarity``, as float64: float32 rounds some of them to below it."""
    return np.maximum(cosines.astype(np.float64), similarity)


def near_drops(table: pa.Table, similarity: float) -> pa.RecordBatch:
    """NEAR_DROP rows of whole groups of ``vector_rows``; arrival order means nothing."""
    groups, _, addresses, ids, vectors = in_order(table)
    edges = [*np.flatnonzero(np.diff(groups, prepend=-1)).tolist(), len(groups)]
    gone, near, value = [], [], []
    for start, end in pairwise(edges):
        found = walk(vectors[start:end], similarity)
        rows = np.flatnonzero(~found.kept)
        gone.append(start + rows)
        near.append(start + found.neighbour[rows])
        value.append(above(found.similarity[rows], similarity))
    if not gone:
        return NO_NEAR_DROPS
    columns = [
        pa.array(addresses[np.concatenate(gone)]),
        pa.array(np.concatenate(value)),
        ids.take(pa.array(np.concatenate(near))),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=NEAR_DROP)


@dataclass(frozen=True)
class KeepApart:
    """Unit and its drops → the verdicts of the next stage."""

    distance: Distance

    def __call__(self, key: bytes, table: pa.Table) -> Iterator[Keyed]:
        one = self.distance
        view = UnitView(one.after, key_number(key))
        standing = Standing.read(one.before, view)
        standing.plan = one.after
        rows = np.asarray(table["address"]) - view.base
        standing.drop(
            rows, one.after.number_of(one.rule), np.asarray(table["value"]), one.similarity, table["representative"]
        )
        yield from standing.leave()


def sample_rows(view: UnitView, standing: Standing, bound: int, key: U64) -> pa.RecordBatch:
    """``vector_rows`` of the rows still in whose ``key`` is below ``bound``: a seeded sample."""
    rows = np.flatnonzero(standing.alive & (key <= np.uint64(bound)))
    ids = view.features["id"].take(pa.array(rows))
    return vector_rows(np.zeros(len(rows), np.int64), key[rows], view.addresses[rows], ids, view.vectors(rows))


@dataclass(frozen=True)
class EmitSample:
    """Unit → a seeded sample of its rows with their vectors, all to one place."""

    plan: Plan
    bound: int  # highest hash that is in the sample

    def __call__(self, key: bytes, rows: pa.RecordBatch) -> Iterator[Keyed]:
        view = UnitView(self.plan, key_number(key))
        hashes = seeded(halves(view.features["id"]), self.plan.seed, "sample")
        yield number_key(0), sample_rows(view, Standing.read(self.plan, view), self.bound, hashes)
