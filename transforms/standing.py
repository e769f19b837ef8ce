"""How the records of a unit stand after a stage: verdicts on disk, one file a unit and stage, and their sums.

A stage reads the verdicts of the one before and writes its own, so a bundle that is run again starts from the same.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.errors import GristmillError
from transforms.blocks import Block as Keyed
from transforms.blocks import number_key
from transforms.census import Grouping, score_order, take_census
from transforms.corpus import read_batch, write_batch
from transforms.keys import U64, halves, seeded
from transforms.storage import place
from transforms.units import Ints, Plan, UnitView
from transforms.verdicts import VERDICT

CENSUS_ROWS, TALLY_ROWS = b"census", b"tally"  # kinds of keys that a stage's sums travel under

MICRO = 1_000_000
"""Scores are added up as millionths: sums of whole numbers do not depend on their order."""

# Per source and rule: how many rows it dropped (rule -1: still in), with their sizes.
TALLY = pa.schema(
    [("source", pa.int32()), ("rule", pa.int32())]
    + [(name, pa.int64()) for name in ("rows", "turns", "characters", "words", "tokens", "quality", "scored")]
)


class Standing:
    """A unit's verdicts as arrays [rows], to be changed by a stage."""

    def __init__(self, plan: Plan, view: UnitView, verdicts: pa.RecordBatch):
        self.plan, self.view = plan, view
        self.rule = np.array(verdicts["rule"]).astype(np.int32)
        self.value = np.array(verdicts["value"].fill_null(np.nan))
        self.threshold = np.array(verdicts["threshold"].fill_null(np.nan))
        self.choose: U64 = np.array(verdicts["choose"])
        self.times = np.array(verdicts["times"])
        self.cluster = np.array(verdicts["cluster"].fill_null(-1))
        self.representative = np.zeros((view.rows, 16), np.uint8)
        self.named = np.asarray(verdicts["representative"].is_valid()).copy()
        if self.named.any():
            self.representative[:] = id_bytes(verdicts["representative"])

    @staticmethod
    def read(plan: Plan, view: UnitView) -> "Standing":
        """The verdicts of ``plan``'s stage."""
        return Standing(plan, view, read_batch(plan.verdict_path(view.number)))

    @staticmethod
    def first(plan: Plan, view: UnitView, filtered: pa.RecordBatch) -> "Standing":
        """Verdicts of the filters alone."""
        rows = view.rows
        columns = [
            filtered["rule"].cast(pa.int16()),
            filtered["value"],
            filtered["threshold"],
            pa.nulls(rows, pa.binary(16)),
            pa.array(seeded(halves(view.features["id"]), plan.seed, "choose")),
            pa.array(np.ones(rows, np.int32)),
            pa.nulls(rows, pa.int32()),
        ]
        return Standing(plan, view, pa.RecordBatch.from_arrays(columns, schema=VERDICT))

    @property
    def alive(self) -> npt.NDArray[np.bool_]:
        return self.rule < 0

    def drop(self, rows: Ints, rule: int, value: Any, threshold: Any, representatives: pa.Array | None = None) -> None:
        """Drop some rows of the unit for a rule; ``representatives`` are the ids of the records that stay for them.

        Raises:
            GristmillError: one of them is gone already, so two stages would account for it.
        """
        if (self.rule[rows] >= 0).any():
            raise GristmillError(
                f"conservation broken in decide: rule {self.plan.rules[rule]} drops records that are gone already; "
                "nothing was published, please report this"
            )
        self.rule[rows], self.value[rows], self.threshold[rows] = rule, value, threshold
        if representatives is not None and len(rows):
            self.named[rows] = True
            self.representative[rows] = id_bytes(representatives)

    def order(self, by: str) -> U64:
        """The order [rows] in which records come first: by chance, or by a score."""
        return self.choose if by == "hash" else score_order(self.view.score(by), self.choose)

    def groups(self, grouping: Grouping) -> Ints:
        """The group [rows] of each record."""
        if grouping.by == "cluster":
            return self.cluster.astype(np.int64)
        if grouping.by == "source":
            return np.full(self.view.rows, self.view.source, np.int64)
        owner = self.owners(grouping.owner)
        if grouping.by == "owner":
            return owner
        length = np.asarray(self.view.features[grouping.measure].fill_null(0))
        return owner * (len(grouping.edges) + 1) + np.searchsorted(grouping.edges, length, side="right")

    def owners(self, owner: str) -> Ints:
        if owner == "all":
            return np.zeros(self.view.rows, np.int64)
        if owner == "source":
            return np.full(self.view.rows, self.view.source, np.int64)
        return (self.cluster if owner == "cluster" else np.asarray(self.view.column("task"))).astype(np.int64)

    def weight(self, grouping: Grouping) -> Ints:
        """What each row weighs: rows, or in a mix its unit, as often as it stands."""
        return self.view.weight() * self.times if grouping.by == "source" else np.ones(self.view.rows, np.int64)

    def leave(self) -> Iterator[Keyed]:
        """Write the verdicts; yields this unit's census for the stage to come, and its tally."""
        plan, view = self.plan, self.view
        columns = [
            pa.array(self.rule.astype(np.int16)),
            pa.array(self.value, from_pandas=True),
            pa.array(self.threshold, from_pandas=True),
            _masked_ids(self.representative, self.named),
            pa.array(self.choose),
            pa.array(self.times),
            pa.array(self.cluster, mask=self.cluster < 0),
        ]
        write_batch(place(plan.verdict_path(view.number)), pa.RecordBatch.from_arrays(columns, schema=VERDICT), False)
        grouping = plan.grouping
        census = take_census(
            self.groups(grouping), self.order(grouping.order), self.alive, self.weight(grouping),
            np.asarray(view.features["bytes"]).astype(np.int64) * self.times,
        )  # fmt: skip
        yield number_key(0, CENSUS_ROWS), census
        yield number_key(view.source, TALLY_ROWS), self._tally()

    def _tally(self) -> pa.RecordBatch:
        numbers, of = np.unique(self.rule, return_inverse=True)
        quality = self.view.score("quality") if self.plan.weights else np.full(len(self.rule), np.nan)
        own = {
            "rows": np.ones(len(self.rule)),
            "quality": np.round(np.nan_to_num(quality) * MICRO),
            "scored": ~np.isnan(quality),
        }
        columns: list[Any] = [np.full(len(numbers), self.view.source, np.int32), numbers]
        for name in TALLY.names[2:]:
            values = own[name] if name in own else np.asarray(self.view.features[name].fill_null(0))
            columns.append(np.bincount(of, values, len(numbers)).astype(np.int64))
        return pa.RecordBatch.from_arrays(
            [pa.array(column, kind) for column, kind in zip(columns, TALLY.types, strict=True)], schema=TALLY
        )


def id_bytes(ids: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.uint8]:
    """uint8 [n, 16] of a ``binary(16)`` column."""
    whole = ids.combine_chunks() if isinstance(ids, pa.ChunkedArray) else ids
    flat = np.frombuffer(whole.buffers()[1], np.uint8).reshape(-1, 16) if len(whole) else np.empty((0, 16), np.uint8)
    return flat[whole.offset : whole.offset + len(whole)]


def _masked_ids(ids: npt.NDArray[np.uint8], valid: npt.NDArray[np.bool_]) -> pa.Array:
    mask = pa.py_buffer(np.packbits(valid, bitorder="little"))
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(ids), [mask, pa.py_buffer(ids)])
