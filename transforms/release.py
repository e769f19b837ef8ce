"""From verdicts to the release: the one place where text is moved, and moved once.

cut (which record of the last bin is the last one) → select (kept rows to pieces, every row to the ledger) → write
(pieces, ledger files) → bind (the pieces of a shard, one after the other, to the shard).

A piece is a range of a shard's order that fits a worker's memory many times over; a release of shards that small has
one piece a shard, which is written as the shard itself.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from schemas.features import FEATURES
from schemas.ledger import DROPPED, KEPT, LEDGER
from schemas.record import RECORD, RELEASE
from transforms import shards
from transforms.blocks import Block as Keyed
from transforms.blocks import hash_parts, key_kind, key_number, number_key, split_by
from transforms.collect import add_up, in_one, leave
from transforms.corpus import read_batch, read_once, write_batch
from transforms.cut import Quotas
from transforms.decontaminate.index import load
from transforms.keys import U64, halves, hex_ids, seeded
from transforms.keys import mix as mix64
from transforms.released import CurriculumStage, SourceFacts, constant, measured, released, stages_of, tagged
from transforms.sampling import sampled
from transforms.spill import Spill
from transforms.standing import Standing
from transforms.storage import place
from transforms.units import Plan, UnitView

Ints = npt.NDArray[np.int64]

PIECE_ROWS, LEDGER_PART, SELECTED_ROWS, SAMPLE_ROWS = b"piece", b"ledger", b"selected", b"sample"
"""Kinds of keys out of ``Select``: one shuffle carries them all."""

LEDGER_ROWS = 1 << 16
"""Records per ledger file; a fixed number, so that the files do not depend on how the work was divided."""

# A piece that lies sorted in the run's folder.
PIECE = pa.schema([("piece", pa.int64()), ("rows", pa.int64()), ("bytes", pa.int64())])

SELECTED = pa.schema(
    [("source", pa.int32()), ("split", pa.int32())]
    + [
        (name, pa.int64())
        for name in (
            "rows",
            "unique",
            "turns",
            "words",
            "characters",
            "tokens",
            "answer_tokens",
            "supervised_tokens",
            "bytes",
        )
    ]
)


@dataclass(frozen=True)
class ReleasePlan:
    """Everything the release stages share."""

    decide: Plan
    sources: tuple[SourceFacts, ...]
    quotas: Quotas | None  # None: no mix, everything that is left
    splits: tuple[str, ...]  # train first
    split_bounds: tuple[int, ...]  # upper bound of each split but train in the 64-bit hash space, ascending
    partitions: tuple[int, ...]  # per split, a multiple of the curriculum's stages
    pieces: int  # of each partition
    curriculum: tuple[CurriculumStage, ...]
    samples: tuple[int, int] | None  # highest hashes of the samples for the portrait; None: no portrait
    shard_bytes: int
    row_group_bytes: int
    staging: str

    @property
    def spill(self) -> Spill | None:
        return self.decide.spill

    def partition_name(self, number: int) -> str:
        """``<split>-<partition of the split>`` for a partition counted over all splits."""
        for split, partitions in zip(self.splits, self.partitions, strict=True):
            if number < partitions:
                return f"{split}-{number:05d}"
            number -= partitions
        raise ValueError(f"partition {number} is beyond the last")

    def piece_path(self, number: int) -> Path:
        return place(self.decide.folder) / "pieces" / f"{number:08d}.arrow"

    def split_of(self, ids: tuple[U64, U64]) -> Ints:
        """Number of the split of each id [n]; by id, so that equal content is never on both sides."""
        place = np.searchsorted(
            np.array(self.split_bounds, np.uint64), seeded(ids, self.decide.seed, "split"), side="right"
        )
        return np.where(place < len(self.split_bounds), place + 1, 0)


@dataclass(frozen=True)
class Select:
    """Unit → its kept rows with their text to shards, its ledger rows, and its share of the statistics."""

    plan: ReleasePlan

    def __call__(self, key: bytes, rows: pa.RecordBatch, cuts: Sequence[Keyed] = ()) -> Iterator[Keyed]:
        plan = self.plan
        view = UnitView(plan.decide, key_number(key))
        verdicts = read_batch(plan.decide.verdict_path(view.number))
        standing = Standing(plan.decide, view, verdicts)
        taken = np.where(standing.alive, standing.times, 0)
        if plan.quotas is not None:
            taken *= plan.quotas.copies(standing, cuts)
        ids = halves(view.features["id"])
        split = plan.split_of(ids)
        if taken.any():
            placed = ids
            if plan.decide.exact is None:
                # Equal records are all kept then; by their ids alone they would stand side by side.
                placed = (ids[0] ^ mix64(view.addresses.astype(np.uint64)), ids[1])
            yield from self._records(standing, taken, split, seeded(placed, plan.decide.seed, "order"))
        yield from self._ledger(view, verdicts, taken, split)
        yield number_key(view.source, SELECTED_ROWS), _selected(view, taken, split)
        if plan.samples is not None:
            for sample in sampled(standing, taken, plan.samples):
                yield number_key(0, SAMPLE_ROWS), sample

    def _records(self, standing: Standing, taken: npt.NDArray[np.int32], split: Ints, order: U64) -> Iterator[Keyed]:
        plan, view = self.plan, standing.view
        facts = plan.sources[view.source]
        kept = np.flatnonzero(taken)
        records = pa.concat_batches(
            [released(block, facts, read_batch(block.text).take(pa.array(rows))) for block, rows in view.by_block(kept)]
        )
        rows = np.repeat(np.arange(len(kept)), taken[kept])
        of = kept[rows]
        copy = (np.arange(len(rows)) - np.repeat(np.cumsum(taken[kept]) - taken[kept], taken[kept])).astype(np.int32)
        stage = stages_of(view, plan.curriculum)
        found = measured(standing, stage)
        if len(rows) > len(kept):
            records = records.take(pa.array(rows))
        columns = dict(zip(RECORD.names, records.columns, strict=True))
        columns |= {name: column.take(pa.array(of)) for name, column in found.items()}
        columns |= tagged(view, of, columns["task"], columns["language"])
        # Copies of a record are spread evenly round the order, so that none follows another.
        step = np.uint64(2**64 - 1) // taken[of].astype(np.uint64)
        where = order[of] + copy.astype(np.uint64) * step
        columns |= {"copy": pa.array(copy), shards.ORDER: pa.array(where)}
        names = [*RELEASE.names, shards.ORDER]
        piece = np.zeros(len(of), np.int64)
        first, stages = 0, max(1, len(plan.curriculum))
        for number, partitions in enumerate(plan.partitions):
            mine = split[of] == number
            each = partitions // stages * plan.pieces
            piece[mine] = first + stage[of[mine]] * each + hash_parts(where[mine], each).astype(np.int64)
            first += partitions * plan.pieces
        batch = pa.RecordBatch.from_arrays([columns[name] for name in names], names)
        yield from split_by(batch, piece, kind=PIECE_ROWS)

    def _ledger(
        self, view: UnitView, verdicts: pa.RecordBatch, taken: npt.NDArray[np.int32], split: Ints
    ) -> Iterator[Keyed]:
        rules = self.plan.decide.rules
        rule = np.asarray(verdicts["rule"]).astype(np.int64)
        # One more rule: still in after all decisions, but not chosen by the mix.
        rule = np.where((rule < 0) & (taken == 0), len(rules), rule)
        kept = rule < 0
        names = pa.array([*rules, "mix.target", "release"])
        stages = pa.array([*(stage_of(name) for name in rules), "mix", "release"])
        place = pa.array(np.where(kept, len(rules) + 1, rule))
        split_names = pa.array(self.plan.splits).take(pa.array(split))
        sizes = [block.rows for block in view.blocks]
        first_rows = np.repeat([block.first_row for block in view.blocks], sizes)
        columns = {
            "source": constant(self.plan.sources[view.source].name, view.rows),
            "file": pa.array([block.file for block in view.blocks]).take(
                pa.array(np.repeat(np.arange(len(sizes)), sizes))
            ),
            "index": pa.array(np.asarray(view.features["index"]) + first_rows),
            "part": view.features["part"],
            "id": hex_ids(view.features["id"]),
            "verdict": pa.array([DROPPED, KEPT]).take(pa.array(kept.astype(np.int8))),
            "stage": stages.take(place),
            "rule": names.take(place),
            "value": verdicts["value"],
            "threshold": verdicts["threshold"],
            "representative": self._representatives(verdicts, stages.take(place)),
            "copies": pa.array(taken),
            "split": pc.if_else(pa.array(kept), split_names, None),
        }
        ledger = pa.RecordBatch.from_arrays([columns[field.name] for field in LEDGER], schema=LEDGER)
        ledger = ledger.append_column(shards.ORDER, pa.array(view.addresses.astype(np.uint64)))
        yield from split_by(ledger, view.addresses // LEDGER_ROWS, kind=LEDGER_PART)

    def _representatives(self, verdicts: pa.RecordBatch, stages: pa.Array) -> pa.Array:
        """Ids of the records that stand for those that went; for a contaminated one, the benchmark's item."""
        found = hex_ids(verdicts["representative"])
        index = self.plan.decide.benchmarks
        rows = np.flatnonzero(np.asarray(pc.equal(stages, "decontaminate")))
        if index is None or not len(rows):
            return found
        items = halves(verdicts["representative"].take(pa.array(rows)))[1]
        labels: list[str | None] = [None] * len(found)
        for row, item in zip(rows.tolist(), items.tolist(), strict=True):
            labels[row] = load(*index).label(item)
        return pc.coalesce(pa.array(labels, pa.string()), found)


# Stages by the head of their rules, in the order in which they decide; every other rule is a filter's.
STAGES = {"exact": "exact_dedup", "near": "near_dedup"} | {
    name: name for name in ("decontaminate", "balance", "diversity", "best", "mix")
}


def stage_of(rule: str) -> str:
    """The stage that a rule belongs to: ``empty.blank_turns`` is a filter, ``near.whole`` is near_dedup."""
    head = rule.partition(".")[0]
    return STAGES.get(head, "filter")


def _selected(view: UnitView, taken: npt.NDArray[np.int32], split: Ints) -> pa.RecordBatch:
    """Sizes of what is taken, by split [SELECTED]."""
    numbers = np.unique(split[taken > 0])
    columns: dict[str, Any] = {"source": np.full(len(numbers), view.source), "split": numbers}
    for name in SELECTED.names[2:]:
        if name == "rows":
            values = taken
        elif name == "unique":
            values = (taken > 0).astype(np.int32)
        elif name in FEATURES.names:
            values = np.asarray(view.features[name].fill_null(0)).astype(np.int64) * taken
        elif name in view.columns:
            values = np.asarray(view.column(name).fill_null(0)).astype(np.int64) * taken
        else:
            values = 0 * taken
        columns[name] = [int(values[(split == number) & (taken > 0)].sum()) for number in numbers]
    return pa.RecordBatch.from_arrays([pa.array(columns[f.name], f.type) for f in SELECTED], schema=SELECTED)


@dataclass(frozen=True)
class Write:
    """All rows of a piece, a ledger file or a source's statistics → the file; what is known of it for the command."""

    plan: ReleasePlan

    def __call__(self, key: bytes, table: pa.Table) -> Iterator[Keyed]:
        kind, number, folder = key_kind(key), key_number(key), self.plan.decide.folder
        staging = place(self.plan.staging)
        if kind == SELECTED_ROWS:
            leave(folder, "selected", key, add_up(table, ("source", "split")))
        elif kind == SAMPLE_ROWS:
            leave(folder, "portrait", key, in_one(table))
        elif kind == LEDGER_PART:
            file = staging / "ledger" / f"records-{number:05d}.parquet"
            leave(folder, "ledger", key, shards.write_ledger(table, file))
        else:
            rows = shards.in_order(table)
            facts = {"piece": number, "rows": rows.num_rows, "bytes": shards.size_of(rows)}
            if self.plan.pieces == 1:
                _leave_shard(self.plan, number, [rows], facts["rows"], facts["bytes"])
            else:
                write_batch(self.plan.piece_path(number), in_one(rows))
                yield number_key(number // self.plan.pieces), pa.RecordBatch.from_pylist([facts], PIECE)


@dataclass(frozen=True)
class Bind:
    """What is known of a shard's pieces → the shard, which no worker ever holds."""

    plan: ReleasePlan

    def __call__(self, key: bytes, table: pa.Table) -> Iterator[Keyed]:
        pieces = (self.plan.piece_path(number) for number in sorted(table["piece"].to_pylist()))
        rows, size = (pc.sum(table[name]).as_py() for name in ("rows", "bytes"))
        _leave_shard(self.plan, key_number(key), (read_once(path) for path in pieces), rows, size)
        return iter(())


def _leave_shard(plan: ReleasePlan, number: int, sorted_rows: Iterable[pa.Table], rows: int, size: int) -> None:
    stem = place(plan.staging) / "data" / plan.partition_name(number)
    files = shards.write_shard(sorted_rows, rows, size, stem, plan.shard_bytes, plan.row_group_bytes)
    leave(plan.decide.folder, "shard", number_key(number), pa.concat_batches(list(files)))
