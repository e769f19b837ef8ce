"""Decontamination as stages: how common each gram is, then every unit's verdicts and what the report adds up."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa

from schemas.decontaminate import Decontaminate
from transforms.blocks import Block as Keyed
from transforms.blocks import key_kind, key_number, number_key
from transforms.collect import in_one, leave
from transforms.corpus import read_batch
from transforms.decontaminate.account import add, dropped, tally
from transforms.decontaminate.decide import FIELD_NAMES, matches, worst
from transforms.decontaminate.index import load
from transforms.decontaminate.match import Contamination
from transforms.decontaminate.score import Weights
from transforms.decontaminate.weigh import FREQUENCY, add_frequencies, document_frequency, weights
from transforms.standing import Standing
from transforms.units import Ints, Plan, UnitView

FREQUENCY_ROWS, OVERLAP_ROWS, LOST_ROWS = b"frequency", b"overlap", b"lost"  # kinds of keys

RULES = tuple(f"decontaminate.{field}" for field in FIELD_NAMES)


@dataclass(frozen=True)
class Cleaning:
    """What its stages share."""

    before: Plan
    after: Plan
    contamination: Contamination
    settings: Decontaminate

    def columns(self, view: UnitView) -> pa.RecordBatch:
        return view.table(self.contamination.schema.names)


@lru_cache(maxsize=1)
def _plain(contamination: Contamination) -> Weights:
    return weights(load(contamination.index_path, contamination.index_digest), None)


@lru_cache(maxsize=1)
def _weighed(contamination: Contamination, frequencies: str) -> Weights:
    index = load(contamination.index_path, contamination.index_digest)
    return weights(index, np.asarray(read_batch(frequencies)["records"]))


def item_ids(items: Ints) -> pa.Array:
    """Numbers of benchmark items [n] as ``binary(16)``: where another record would stand for one that goes."""
    return pa.array([int(item).to_bytes(16, "big") for item in items], pa.binary(16))


@dataclass(frozen=True)
class CountGrams:
    """Unit → in how many of its records each of the benchmarks' grams stands."""

    cleaning: Cleaning

    def __call__(self, key: bytes, rows: pa.RecordBatch) -> Iterator[Keyed]:
        one = self.cleaning
        view = UnitView(one.before, key_number(key))
        index = load(one.contamination.index_path, one.contamination.index_digest)
        yield number_key(0, FREQUENCY_ROWS), document_frequency(one.columns(view), index, _plain(one.contamination))


@dataclass(frozen=True)
class Clean:
    """Unit → the verdicts of the next stage, and its part of the report. The value is the score of the worst match."""

    cleaning: Cleaning
    frequencies: str  # file with the records of every gram

    @property
    def before(self) -> Plan:
        return self.cleaning.before

    @property
    def after(self) -> Plan:
        return self.cleaning.after

    def __call__(self, key: bytes, rows: pa.RecordBatch) -> Iterator[Keyed]:
        one = self.cleaning
        view = UnitView(one.after, key_number(key))
        standing = Standing.read(one.before, view)
        standing.plan = one.after
        index = load(one.contamination.index_path, one.contamination.index_digest)
        found = matches(one.columns(view), index, _weighed(one.contamination, self.frequencies), one.settings)
        # The report is on what is left by deduplication: what went before would be counted twice.
        found = found.filter(pa.array(standing.alive[np.asarray(found["row"])]))
        verdicts = worst(found, view.rows)
        convicted = np.flatnonzero(np.asarray(verdicts["contaminated"]))
        field = np.asarray(verdicts["field"])[convicted]
        for number, rule in enumerate(RULES):
            mine = convicted[field == number]
            score, needed = (np.asarray(verdicts[name])[mine] for name in ("score", "threshold"))
            items = np.asarray(verdicts["item"])[mine]
            standing.drop(mine, one.after.number_of(rule), score, needed, item_ids(items))
        yield from standing.leave()
        yield number_key(0, OVERLAP_ROWS), tally(found, view.addresses)
        yield number_key(0, LOST_ROWS), dropped(found, index, view.source)


@dataclass(frozen=True)
class AddOverlaps:
    """Frequencies or parts of the report → their sums, left for the command."""

    cleaning: Cleaning

    def __call__(self, key: bytes, table: pa.Table) -> Iterator[Keyed]:
        one, kind = self.cleaning, key_kind(key)
        if kind == FREQUENCY_ROWS:
            index = load(one.contamination.index_path, one.contamination.index_digest)
            total = add_frequencies(table, index)
            found = pa.record_batch(
                [pa.array(np.arange(len(total), dtype=np.int32)), pa.array(total)], schema=FREQUENCY
            )
        elif kind == OVERLAP_ROWS:
            found = add(table)
        else:
            found = in_one(table)
        leave(one.before.folder, kind.decode(), key, found)
        return iter(())
