"""The decision stages as block functions, in order: survey → exact → bands → groups → near → conclude.

They see features and addresses; a stage that needs a block's features again maps its file again, which costs less
than sending them through a shuffle. Nothing here moves text.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms import components
from transforms.blocks import Block as Keyed
from transforms.blocks import hash_parts, key_kind, key_number, number_key, split_by
from transforms.collect import add_up, leave
from transforms.corpus import read_batch, read_once, write_batch
from transforms.exact import CANDIDATE, find_copies
from transforms.filters import apply
from transforms.keys import halves, mix
from transforms.lsh import band_keys
from transforms.near import band_rows, find_near, member_rows
from transforms.standing import CENSUS_ROWS, Standing
from transforms.storage import files_in, place
from transforms.units import Ints, Plan, UnitView
from transforms.verdicts import EXACT, NEAR, NO_DROPS

STARS = "stars"
"""Files in the run's folder: the stars of each part of the bands."""

# What filters say of each row of a unit: they are asked once.
FILTERED = pa.schema([("rule", pa.int32()), ("value", pa.float64()), ("threshold", pa.float64())])


@dataclass(frozen=True)
class _Stage:
    plan: Plan

    def route(self, batch: pa.RecordBatch) -> Iterator[Any]:
        """Rows to the units that their addresses lie in."""
        return split_by(batch, self.plan.units_of(np.asarray(batch["address"])))


class Survey(_Stage):
    """Unit → candidates of exact dedup (filtered rows are out), and the unit's own presence downstream."""

    def __call__(self, key: bytes, rows: pa.RecordBatch) -> Iterator[tuple[str, bytes, pa.RecordBatch]]:
        view = UnitView(self.plan, key_number(key))
        rule, _, value, threshold = apply(view.table(self.plan.filter_columns), self.plan.filters)
        columns: list[pa.Array] = [pa.array(column) for column in (rule, value, threshold)]
        write_batch(
            place(self.plan.filtered_path(view.number)), pa.RecordBatch.from_arrays(columns, schema=FILTERED), False
        )
        yield "present", key, NO_DROPS
        if self.plan.exact is None:
            return
        alive = np.flatnonzero(rule < 0)
        taken = pa.array(alive)
        columns = [
            view.features["exact_key"].take(taken),
            pa.array(view.order[alive]),
            view.features["id"].take(taken),
            pa.array(view.addresses[alive]),
        ]
        batch = pa.RecordBatch.from_arrays(columns, schema=CANDIDATE)
        yield from split_by(batch, hash_parts(halves(columns[0])[0], self.plan.parts), "candidates")


class FindCopies(_Stage):
    """Part of the keys → drops, to their units."""

    def __call__(self, key: bytes, table: pa.Table) -> Iterator[Keyed]:
        return self.route(find_copies(table))


class EmitBands(_Stage):
    """Unit and its exact drops → band keys of what is left."""

    def __call__(self, key: bytes, table: pa.Table) -> Iterator[Keyed]:
        view = UnitView(self.plan, key_number(key))
        filtered = read_batch(self.plan.filtered_path(view.number))
        alive = np.asarray(filtered["rule"]) < 0
        alive[np.asarray(table["address"]) - view.base] = False
        chosen = np.flatnonzero(alive)
        if len(chosen) == 0:
            return iter(())
        signatures = view.signatures(chosen)
        # No shingles, no candidates: a text shorter than a shingle is compared whole, by exact dedup.
        compared = (signatures[:, :2] != np.uint32(0xFFFFFFFF)).any(axis=1)
        chosen = chosen[compared]
        keys = band_keys(signatures[compared], self.plan.bands, self.plan.rows)
        batch = band_rows(keys, view.addresses[chosen])
        return split_by(batch, hash_parts(keys.reshape(-1), self.plan.parts))


@dataclass(frozen=True)
class LinkBuckets(_Stage):
    """Part of the bands → stars of the groups seen there; ``meet``: left in a file, for one worker to merge."""

    meet: bool

    def __call__(self, key: bytes, table: pa.Table) -> Iterator[Keyed]:
        members, roots = components.bucket_edges(np.asarray(table["band"]), np.asarray(table["address"]))
        stars = components.edges(*components.contract(members, roots))
        if self.meet:
            # All of them under one key would be one record to a runner, of any size.
            leave(self.plan.folder, STARS, key, stars)
            stars = stars.slice(0, 0)
        yield number_key(0), stars


class MergeStars(_Stage):
    """All stars → one root per grouped record, to the records' units."""

    def __call__(self, key: bytes, table: pa.Table) -> Iterator[Keyed]:
        stars = pa.concat_tables(read_once(file) for file in files_in(place(self.plan.folder), f"{STARS}-*.arrow"))
        members, roots = components.contract(np.asarray(stars["member"]), np.asarray(stars["root"]))
        return self.route(_labels(members, roots))


@dataclass(frozen=True)
class SpreadEdges(_Stage):
    """Edges → parts by their larger end (small star), or by both ends (large star)."""

    both: bool

    def __call__(self, key: bytes, batch: pa.RecordBatch) -> Iterator[Keyed]:
        member, root = np.asarray(batch["member"]), np.asarray(batch["root"])
        if self.both:
            member, root = np.concatenate([member, root]), np.concatenate([root, member])
        parts = hash_parts(mix(member.astype(np.uint64)), self.plan.parts)
        return split_by(components.edges(member, root), parts)


@dataclass(frozen=True)
class Star(_Stage):
    """One half of an alternation on a part of the nodes."""

    large: bool

    def __call__(self, key: bytes, table: pa.Table) -> Iterator[Keyed]:
        star = components.large_star if self.large else components.small_star
        yield key, components.edges(*star(np.asarray(table["member"]), np.asarray(table["root"])))


class FinishStars(_Stage):
    """Stars by member after the last round → checked labels, to the records' units."""

    def __call__(self, key: bytes, table: pa.Table) -> Iterator[Keyed]:
        # Both directions of each edge are here: the ones seen from the root tell which nodes are roots.
        found = components.finish_stars(np.asarray(table["member"]), np.asarray(table["root"]))
        return self.route(_labels(*found))


def _labels(members: Ints, roots: Ints, own: Ints | None = None) -> pa.RecordBatch:
    """(address, root) of all grouped records, roots included."""
    own = np.unique(roots) if own is None else own
    return pa.record_batch(
        {"address": pa.array(np.concatenate([members, own])), "root": pa.array(np.concatenate([roots, own]))}
    )


class GatherMembers(_Stage):
    """Unit and the labels of its grouped records → those records with their shingles, to their groups."""

    def __call__(self, key: bytes, table: pa.Table) -> Iterator[Keyed]:
        view = UnitView(self.plan, key_number(key))
        ascending = np.argsort(np.asarray(table["address"]))
        addresses, roots = np.asarray(table["address"])[ascending], np.asarray(table["root"])[ascending]
        rows = addresses - view.base
        ids = view.features["id"].take(pa.array(rows))
        shingles, answers = view.sets(rows, "shingles"), view.sets(rows, "answers")
        members = member_rows(roots, view.order[rows], ids, addresses, shingles, answers)
        return split_by(members, hash_parts(mix(roots.astype(np.uint64)), self.plan.parts))


class FindNear(_Stage):
    """Part of the groups → drops, to their units."""

    def __call__(self, key: bytes, table: pa.Table) -> Iterator[Keyed]:
        return self.route(find_near(table, self.plan.similarity, self.plan.answers))


class Conclude(_Stage):
    """Unit and all its drops → its verdicts on disk; census and tally, to be added up."""

    def __call__(self, key: bytes, table: pa.Table) -> Iterator[Keyed]:
        plan, view = self.plan, UnitView(self.plan, key_number(key))
        standing = Standing.first(plan, view, read_batch(plan.filtered_path(view.number)))
        for stage, number, limit in ((EXACT, plan.exact_rule, 1.0), (NEAR, plan.near_rule, plan.similarity)):
            found = table.filter(pc.equal(table["stage"], stage))
            rows = np.asarray(found["address"]) - view.base
            standing.drop(rows, number, np.asarray(found["value"]), limit, found["representative"])
        yield from standing.leave()


class AddUp(_Stage):
    """Censuses or tallies → their sum, left for the command."""

    def __call__(self, key: bytes, table: pa.Table) -> Iterator[Keyed]:
        kind = key_kind(key)
        by = ("group", "bin") if kind == CENSUS_ROWS else ("source", "rule")
        leave(self.plan.folder, f"{kind.decode()}-{self.plan.stage}", key, add_up(table, by))
        return iter(())
