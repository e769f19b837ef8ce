"""Blocks: how they travel, that every stage's element type is the block, and that arrival order means nothing."""

import itertools
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest
from apache_beam.coders import registry
from apache_beam.pipeline import PipelineVisitor
from apache_beam.typehints.native_type_compatibility import convert_to_beam_type
from hypothesis import given
from hypothesis import strategies as st

from pipelines import curate, graphs
from pipelines.engine import Engine
from schemas.record import CORPUS
from tests.recipes import Row, chat, run, write_recipe
from transforms.assemble import assemble
from transforms.blocks import (
    Block,
    MapBlocks,
    RecordBatchCoder,
    Repartition,
    Start,
    hash_parts,
    key_kind,
    key_number,
    number_key,
    split_by,
)
from transforms.spill import Spill

CODER = RecordBatchCoder()
TALK = {"messages": [{"role": "user", "content": "grain " * 20}, {"role": "assistant", "content": "flour"}]}
BATCHES: dict[str, pa.RecordBatch] = {
    "numbers": pa.record_batch({"n": pa.array(range(10_000), pa.int64()), "m": pa.array([None, 2.5] * 5000)}),
    "text": pa.record_batch({"t": [f"text {n}" for n in range(1000)], "b": [b"x" * 50, None] * 500}),
    "corpus": assemble([TALK] * 500, range(500), [0] * 500),
    "ids": pa.record_batch({"id": pa.array([bytes([n % 256]) * 16 for n in range(1000)], pa.binary(16))}),
    "one row": pa.record_batch({"n": [1]}),
    "lists": pa.record_batch({"l": pa.array([[1, 2], None, []] * 300, pa.large_list(pa.uint32()))}),
}


@pytest.mark.parametrize("name", BATCHES)
def test_a_batch_travels_as_it_is(name: str):
    batch = BATCHES[name]
    for part in (
        batch,
        batch.slice(0, 0),
        batch.slice(len(batch) // 3, max(1, len(batch) // 4)),
        batch.slice(len(batch)),
    ):
        back = CODER.decode(CODER.encode(part))
        back.validate(full=True)
        assert back.schema == batch.schema
        assert back.equals(part)


@pytest.mark.parametrize("name", sorted(set(BATCHES) - {"one row"}))
def test_a_slice_does_not_take_its_parent_along(name: str):
    batch = BATCHES[name]
    whole, part = len(CODER.encode(batch)), len(CODER.encode(batch.slice(7, 3)))
    empty = len(CODER.encode(batch.slice(0, 0)))
    assert part - empty < 0.2 * (whole - empty) or part < 600 + empty
    assert CODER.decode(CODER.encode(batch.slice(7, 3))).nbytes < 4096


def test_an_empty_corpus_batch_keeps_its_columns():
    empty = assemble([], [], [])
    assert CODER.decode(CODER.encode(empty)).schema == CORPUS


def test_the_coder_is_the_registered_one():
    assert isinstance(registry.get_coder(pa.RecordBatch), RecordBatchCoder)
    assert not CODER.is_deterministic()
    assert CODER.estimate_size(BATCHES["ids"]) == BATCHES["ids"].nbytes


class Walk(PipelineVisitor):
    """Collects (name of the transform, its type, element types in, element types out)."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, Any, list[Any], list[Any]]] = []

    def visit_transform(self, node: Any) -> None:
        into = [one.element_type for one in node.inputs if isinstance(one, beam.pvalue.PCollection)]
        out = [one.element_type for tag, one in node.outputs.items() if isinstance(one, beam.pvalue.PCollection)]
        self.steps.append((node.full_label, node.transform, into, out))

    def enter_composite_transform(self, node: Any) -> None:
        if isinstance(node.transform, beam.GroupByKey | MapBlocks):
            self.visit_transform(node)


class Recorder(Engine):
    """An engine that walks through every graph before it runs it."""

    def __init__(self) -> None:
        super().__init__(1)
        self.walks: dict[str, Walk] = {}

    def run(self, build: Any, alone: bool = False) -> None:
        pipeline = beam.Pipeline()
        build(pipeline)
        self.walks[build.func.__name__] = walk = Walk()
        pipeline.visit(walk)
        super().run(build, alone)


@pytest.fixture(scope="module", params=["one worker's merge", "rounds"])
def walks(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Walk]:
    """The graphs of a run with everything that a recipe can switch on."""
    folder = tmp_path_factory.mktemp("walk")
    rows: list[Row] = [chat("How?", f"number {n % 7} of the many that there are in the mill") for n in range(12)]
    recipe = write_recipe(folder, {"a": {"x.jsonl": rows}, "b": {"y.jsonl": rows[:3]}}, mix={"size": "3 rows"})
    from pipelines.report import Report

    recorder = Recorder()
    with pytest.MonkeyPatch.context() as patch, recorder as opened:
        if request.param == "rounds":
            patch.setattr(graphs, "ONE_WORKER", 0)
        curate.curate(recipe, folder / "out", folder / "work", opened, Report(quiet=True))
    return recorder.walks


def test_every_stage_gives_and_takes_blocks(walks: dict[str, Walk]):
    """What is typed Any is pickled: a slice would take its whole parent along, and keys would not group for sure."""
    block = convert_to_beam_type(Block)
    assert set(walks) == {"ingest", "decide", "release"}
    for name, walk in walks.items():
        stages = [step for step in walk.steps if isinstance(step[1], MapBlocks)]
        assert stages
        for label, transform, into, out in stages:
            assert into == [block], (name, label)
            assert out == [block] * max(1, len(transform.outputs)), (name, label)
        grouped = [step for step in walk.steps if isinstance(step[1], beam.GroupByKey)]
        assert grouped
        for label, _, into, _ in grouped:
            assert into == [block], (name, label, into)
    found = {
        label for walk in walks.values() for label, transform, *_ in walk.steps if isinstance(transform, MapBlocks)
    }
    assert {
        "read",
        "survey",
        "exact",
        "bands",
        "link",
        "gather",
        "near",
        "conclude",
        "add up",
        "select",
        "write",
    } <= found
    assert {"emit cut", "find cut"} <= found


def test_what_feeds_a_grouping_is_coded_by_our_coder(walks: dict[str, Walk]):
    for walk in walks.values():
        for label, transform, into, _ in walk.steps:
            if isinstance(transform, beam.GroupByKey):
                coder = registry.get_coder(into[0])
                assert isinstance(coder.value_coder(), RecordBatchCoder), label
                assert coder.key_coder().is_deterministic(), label


parts = st.lists(st.integers(0, 5), max_size=40)


@given(parts)
def test_split_by(numbers: list[int]):
    batch = pa.record_batch({"row": pa.array(range(len(numbers)), pa.int64()), "part": pa.array(numbers, pa.int64())})
    got = list(split_by(batch, np.array(numbers, np.int64)))
    assert [key_number(key) for key, _ in got] == sorted(set(numbers))
    for key, rows in got:
        assert set(rows["part"].to_pylist()) == {key_number(key)}
        assert rows["row"].to_pylist() == sorted(rows["row"].to_pylist())  # rows keep their order
        assert rows.schema == batch.schema
    assert sorted(row for _, rows in got for row in rows["row"].to_pylist()) == list(range(len(numbers)))
    tagged = list(split_by(batch, np.array(numbers, np.int64), "out", b"kind"))
    assert [(tag, key, rows.to_pylist()) for tag, key, rows in tagged] == [
        ("out", b"kind" + key, rows.to_pylist()) for key, rows in got
    ]


@given(st.integers(0, 2**63), st.binary(max_size=9))
def test_keys(number: int, kind: bytes):
    key = number_key(number, kind)
    assert (key_number(key), key_kind(key)) == (number, kind)
    assert number_key(number) < number_key(number + 1)


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=30), st.integers(1, 2**31))
def test_hash_parts(hashes: list[int], partitions: int):
    keys = np.array(sorted(hashes), np.uint64)
    found = hash_parts(keys, partitions)
    assert found.max() < partitions
    assert (np.diff(found.astype(np.int64)) >= 0).all()  # ranges: the order of hashes is the order of parts
    assert hash_parts(np.array([0, 2**64 - 1], np.uint64), partitions).tolist() == [0, partitions - 1]


def test_hash_parts_are_even():
    keys = np.random.Generator(np.random.PCG64(1)).integers(0, 2**64, 70_000, np.uint64)
    counts = np.bincount(hash_parts(keys, 7).astype(int))
    assert abs(counts - 10_000).max() < 500


def collect(folder: Path, given_blocks: list[Block], spill: Spill | None) -> dict[bytes, list[int]]:
    """Regroup blocks by a row's last digit; the function sorts, as every function of ours does."""

    def spread(key: bytes, rows: pa.RecordBatch) -> Iterator[Block]:
        return split_by(rows, np.asarray(rows["n"]) % 3)

    def gather(key: bytes, table: pa.Table) -> Iterator[Block]:
        assert isinstance(table, pa.Table)
        (folder / key.hex()).write_text(",".join(map(str, sorted(table["n"].to_pylist()))))
        yield key, pa.record_batch({"n": [table.num_rows]})

    def build(pipeline: Any) -> None:
        spreading = pipeline | Start(given_blocks) | "spread rows" >> MapBlocks(spread, "spread", spill=spill)
        _ = spreading | "gather rows" >> Repartition(gather, "gather", spill=spill)

    with Engine(1) as engine:
        engine.run(build)
    return {bytes.fromhex(file.name): [int(n) for n in file.read_text().split(",")] for file in folder.iterdir()}


@pytest.mark.parametrize("spilling", [False, True])
def test_repartition_does_not_depend_on_arrival(tmp_path: Path, spilling: bool):
    made = [
        (number_key(number), pa.record_batch({"n": pa.array(range(number, 90, 4), pa.int64())})) for number in range(4)
    ]
    results = []
    for number, order in enumerate([made, made[::-1], [made[2], made[0], made[3], made[1]]]):
        for name in ("out", "spill"):
            (tmp_path / f"{name}{number}").mkdir()
        spill = Spill(str(tmp_path / f"spill{number}"), 1) if spilling else None
        results.append(collect(tmp_path / f"out{number}", order, spill))
        assert bool(list((tmp_path / f"spill{number}").iterdir())) == spilling
    assert results[0] == results[1] == results[2]
    assert results[0] == {number_key(part): [n for n in range(90) if n % 3 == part] for part in range(3)}


def test_named_outputs_and_side_inputs(tmp_path: Path):
    def sort_out(key: bytes, rows: pa.RecordBatch, side: list[Block]) -> Iterator[tuple[str, bytes, pa.RecordBatch]]:
        (limit,) = [batch["limit"][0].as_py() for _, batch in side]
        for tag, mask in (("small", np.asarray(rows["n"]) < limit), ("large", np.asarray(rows["n"]) >= limit)):
            yield tag, key, rows.filter(pa.array(mask))

    def save(name: str, key: bytes, rows: pa.RecordBatch) -> Iterator[Block]:
        (tmp_path / f"{name}{key_number(key)}").write_text(str(rows["n"].to_pylist()))
        return iter(())

    def build(pipeline: Any) -> None:
        side = pipeline | "side" >> Start([(b"x", pa.record_batch({"limit": [3]}))])
        rows = [(number_key(n), pa.record_batch({"n": [n, n + 2]})) for n in range(3)]
        extra = (beam.pvalue.AsList(side),)
        found = pipeline | "rows" >> Start(rows) | MapBlocks(sort_out, "sort", ("small", "large"), extra=extra)
        assert set(found) == {"small", "large"}
        for name, one in found.items():
            _ = one | name >> MapBlocks(partial(save, name), "save")

    with Engine(1) as engine:
        engine.run(build)
    got = {file.name: file.read_text() for file in tmp_path.iterdir()}
    assert got == {
        "small0": "[0, 2]",
        "small1": "[1]",
        "small2": "[2]",
        "large0": "[]",
        "large1": "[3]",
        "large2": "[4]",
    }


def test_a_release_does_not_depend_on_where_rows_meet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The whole chain, with everything spilled and with nothing spilled."""
    rows: list[Row] = [
        chat("How?", f"number {n % 7} of the many that there are in the mill, {n % 3}") for n in range(30)
    ]
    recipe = write_recipe(tmp_path, {"a": {"x.jsonl": rows}})
    contents = []
    for number, limit in enumerate([1, 1 << 40]):
        monkeypatch.setattr("transforms.spill.ON_DISK", limit)
        contents.append(run(recipe, tmp_path / str(number)).contents())
    assert contents[0] == contents[1]
    assert len(list(itertools.chain(contents[0]))) > 4
