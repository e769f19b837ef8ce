"""From verdicts to the release: the one place where text is moved, and moved once.

cut (which record of the last bin is the last one) → select (kept rows to shards, every row to the ledger) → write.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from schemas.ledger import DROPPED, KEPT, LEDGER
from schemas.record import CORPUS, RELEASE
from transforms import mix, shards
from transforms.blocks import Block as Keyed
from transforms.blocks import hash_parts, key_number, number_key, split_by
from transforms.corpus import Block, read_batch
from transforms.decide import Plan
from transforms.keys import U64, halves, hex_ids, seeded

Ints = npt.NDArray[np.int64]

LEDGER_ROWS = 1 << 18
"""Records per ledger file; a fixed number, so that the files do not depend on how the work was divided."""

SELECTED = pa.schema(
    [("source", pa.int32()), ("split", pa.int32())]
    + [(name, pa.int64()) for name in ("rows", "unique", "turns", "words", "characters", "tokens", "answer_tokens", "bytes")]
)


@dataclass(frozen=True)
class SourceFacts:
    """What the recipe says of a source and its records do not."""

    name: str
    origin: str | None
    license: str | None
    generator: str | None
    language: str | None
    task: str | None


@dataclass(frozen=True)
class ReleasePlan:
    """Everything the release stages share."""

    decide: Plan
    sources: tuple[SourceFacts, ...]
    quotas: tuple[mix.Quota, ...] | None  # None: no mix, everything that is left
    splits: tuple[str, ...]  # train first
    split_bounds: tuple[int, ...]  # upper bound of each split but train in the 64-bit hash space, ascending
    partitions: tuple[int, ...]  # per split
    shard_bytes: int
    row_group_bytes: int
    staging: str

    def split_of(self, ids: tuple[U64, U64]) -> Ints:
        """Number of the split of each id [n]; by id, so that equal content is never on both sides."""
        place = np.searchsorted(np.array(self.split_bounds, np.uint64), seeded(ids, self.decide.seed, "split"), side="right")
        return np.where(place < len(self.split_bounds), place + 1, 0)

    def weights(self, features: pa.RecordBatch) -> Ints:
        if self.decide.unit == "rows":
            return np.ones(features.num_rows, np.int64)
        return np.asarray(features[self.decide.unit].fill_null(0)).astype(np.int64)


@dataclass(frozen=True)
class EmitCut:
    """Block → its rows in the bin where its source's target falls, to that source."""

    plan: ReleasePlan

    def __call__(self, key: bytes, rows: pa.RecordBatch) -> Iterator[Keyed]:
        block = self.plan.decide.block(key_number(key))
        quota = self.plan.quotas[block.source] if self.plan.quotas else mix.Quota(1, -1, 0)
        if quota.rest <= 0:
            return
        verdicts = read_batch(self.plan.decide.verdict_path(block.number))
        choose = np.asarray(verdicts["choose"])
        hit = np.flatnonzero((np.asarray(verdicts["rule"]) < 0) & ((choose >> np.uint64(56)) == quota.bin))
        weights = self.plan.weights(read_batch(block.signals))
        columns = [pa.array(choose[hit]), pa.array(block.base + hit), pa.array(weights[hit])]
        yield number_key(block.source), pa.RecordBatch.from_arrays(columns, schema=mix.CUT_ROW)


@dataclass(frozen=True)
class FindCut:
    """A source's rows of that bin → its cut, as one row."""

    plan: ReleasePlan

    def __call__(self, key: bytes, table: pa.Table) -> Iterator[Keyed]:
        assert self.plan.quotas is not None
        source = key_number(key)
        choose, address = mix.find_cut(table, self.plan.quotas[source].rest)
        columns = [pa.array([source], pa.int32()), pa.array([choose], pa.uint64()), pa.array([address], pa.int64())]
        yield key, pa.RecordBatch.from_arrays(columns, schema=mix.CUT)


@dataclass(frozen=True)
class Select:
    """Block → its kept rows with their text to shards, its ledger rows, and its share of the statistics."""

    plan: ReleasePlan

    def __call__(
        self, key: bytes, rows: pa.RecordBatch, cuts: list[Keyed]
    ) -> Iterator[tuple[str, bytes, pa.RecordBatch]]:
        plan = self.plan
        block = plan.decide.block(key_number(key))
        verdicts, features = read_batch(plan.decide.verdict_path(block.number)), read_batch(block.signals)
        left = np.asarray(verdicts["rule"]) < 0
        taken = left.astype(np.int32)
        if plan.quotas is not None:
            found = {row["source"]: (row["choose"], row["address"]) for _, cut in cuts for row in cut.to_pylist()}
            addresses = block.base + np.arange(block.rows)
            choose = np.asarray(verdicts["choose"])
            taken *= mix.copies(plan.quotas[block.source], found.get(block.source), choose, addresses)
        ids = halves(features["id"])
        split = plan.split_of(ids)
        if taken.any():
            yield from self._records(block, features, taken, split, ids)
        yield from self._ledger(block, features, verdicts, taken, split)
        yield "selected", number_key(block.source), _selected(block, features, taken, split)

    def _records(
        self, block: Block, features: pa.RecordBatch, taken: npt.NDArray[np.int32], split: Ints, ids: tuple[U64, U64]
    ) -> Iterator[tuple[str, bytes, pa.RecordBatch]]:
        plan = self.plan
        source = np.flatnonzero(taken)
        text = read_batch(block.text).take(pa.array(source))
        rows = np.repeat(np.arange(len(source)), taken[source])
        copy = np.arange(len(rows)) - np.repeat(np.cumsum(taken[source]) - taken[source], taken[source])
        of = source[rows]
        # Copies of a record are spread evenly round the order, so that none follows another.
        step = np.uint64(2**64 - 1) // np.maximum(taken[of], 1).astype(np.uint64)
        order = seeded(ids, plan.decide.seed, "order")[of] + copy.astype(np.uint64) * step
        records = _released(block, plan.sources[block.source], text, features.take(pa.array(source)))
        if len(rows) != len(source):
            records = records.take(pa.array(rows))
        records = records.set_column(records.schema.get_field_index("copy"), "copy", pa.array(copy.astype(np.int32)))
        records = records.append_column(shards.ORDER, pa.array(order))
        partition = np.zeros(len(rows), np.int64)
        first = 0
        for number, partitions in enumerate(plan.partitions):
            mine = split[of] == number
            partition[mine] = first + hash_parts(order[mine], partitions).astype(np.int64)
            first += partitions
        yield from split_by(records, partition, "shards")

    def _ledger(
        self, block: Block, features: pa.RecordBatch, verdicts: pa.RecordBatch, taken: npt.NDArray[np.int32], split: Ints
    ) -> Iterator[tuple[str, bytes, pa.RecordBatch]]:
        rules = self.plan.decide.rules
        rule = np.asarray(verdicts["rule"]).astype(np.int64)
        # One more rule: still in after all decisions, but not chosen by the mix.
        rule = np.where((rule < 0) & (taken == 0), len(rules), rule)
        kept = rule < 0
        names = pa.array([*rules, "mix.target", "release"])
        stages = pa.array([*(stage_of(name) for name in rules), "mix", "release"])
        place = pa.array(np.where(kept, len(rules) + 1, rule))
        split_names = pa.array(self.plan.splits).take(pa.array(split))
        columns = {
            "source": _constant(self.plan.sources[block.source].name, block.rows),
            "file": _constant(block.file, block.rows),
            "index": pa.array(np.asarray(features["index"]) + block.first_row),
            "part": features["part"],
            "id": hex_ids(features["id"]),
            "verdict": pa.array([DROPPED, KEPT]).take(pa.array(kept.astype(np.int8))),
            "stage": stages.take(place),
            "rule": names.take(place),
            "value": verdicts["value"],
            "threshold": verdicts["threshold"],
            "representative": hex_ids(verdicts["representative"]),
            "copies": pa.array(taken),
            "split": pc.if_else(pa.array(kept), split_names, None),
        }
        ledger = pa.RecordBatch.from_arrays([columns[field.name] for field in LEDGER], schema=LEDGER)
        addresses = block.base + np.arange(block.rows)
        ledger = ledger.append_column(shards.ORDER, pa.array(addresses.astype(np.uint64)))
        yield from split_by(ledger, addresses // LEDGER_ROWS, "ledger")


def stage_of(rule: str) -> str:
    """The stage that a rule belongs to: ``empty.blank_turns`` is a filter, ``near.whole`` is near_dedup."""
    head = rule.partition(".")[0]
    return {"exact": "exact_dedup", "near": "near_dedup"}.get(head, "filter")


def _released(block: Block, facts: SourceFacts, text: pa.RecordBatch, features: pa.RecordBatch) -> pa.RecordBatch:
    """Corpus rows → RELEASE rows: what the recipe knows fills what the row does not say."""
    rows = text.num_rows
    index = pa.array(np.asarray(text["index"]) + block.first_row)
    provenance = pa.StructArray.from_arrays(
        [_constant(block.file, rows), index, text["part"]], fields=list(RELEASE.field("provenance").type)
    )
    columns: dict[str, Any] = {name: text[name] for name in CORPUS.names if name in RELEASE.names}
    for name in ("origin", "license", "generator", "language", "task"):
        default = getattr(facts, name)
        columns[name] = text[name] if default is None else text[name].fill_null(default)
    columns |= {"id": hex_ids(text["id"]), "source": _constant(facts.name, rows), "provenance": provenance}
    columns |= {name: features[name] for name in ("characters", "words", "turns", "tokens", "answer_tokens")}
    columns["copy"] = pa.array(np.zeros(rows, np.int32))
    return pa.RecordBatch.from_arrays([columns[field.name] for field in RELEASE], schema=RELEASE)


def _constant(value: str, rows: int) -> pa.Array:
    return pa.repeat(pa.scalar(value, pa.string()), rows)


def _selected(block: Block, features: pa.RecordBatch, taken: npt.NDArray[np.int32], split: Ints) -> pa.RecordBatch:
    numbers = np.unique(split[taken > 0])
    columns: dict[str, Any] = {"source": np.full(len(numbers), block.source), "split": numbers}
    for name in SELECTED.names[2:]:
        if name == "rows":
            values = taken
        elif name == "unique":
            values = (taken > 0).astype(np.int32)
        else:
            values = np.asarray(features[name].fill_null(0)).astype(np.int64) * taken
        columns[name] = [int(values[(split == number) & (taken > 0)].sum()) for number in numbers]
    return pa.RecordBatch.from_arrays([pa.array(columns[f.name], f.type) for f in SELECTED], schema=SELECTED)


@dataclass(frozen=True)
class WriteShard:
    """Part of a split's order → its shard files under temporary names, and what is known of them."""

    plan: ReleasePlan

    def __call__(self, key: bytes, table: pa.Table) -> Iterator[Keyed]:
        number, split = key_number(key), 0
        while number >= self.plan.partitions[split]:
            number -= self.plan.partitions[split]
            split += 1
        folder = Path(self.plan.staging) / "data"
        for info in shards.write_shard(
            table, folder, f"{self.plan.splits[split]}-{number:05d}", self.plan.shard_bytes, self.plan.row_group_bytes
        ):
            yield key, info


@dataclass(frozen=True)
class WriteLedger:
    """Part of the addresses → its ledger file."""

    plan: ReleasePlan

    def __call__(self, key: bytes, table: pa.Table) -> Iterator[Keyed]:
        yield key, shards.write_ledger(table, Path(self.plan.staging) / "ledger" / f"records-{key_number(key):05d}.parquet")


