"""The corpus on disk: folders that appear whole, once; units that respect sources and limits; blocks that read back."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms import corpus
from transforms.assemble import assemble
from transforms.collect import add_up, collected, leave
from transforms.corpus import (
    UNIT_BYTES,
    UNIT_ROWS,
    Block,
    assign_units,
    publishing,
    read_batch,
    read_done,
    sound,
    write_batch,
)
from transforms.records import Records
from transforms.signals import SignalSettings, compute
from transforms.storage import replacing


def fill(folder: Path, text: str = "x") -> dict[str, Any]:
    (folder / "00000.arrow").write_text(text)
    return {"blocks": [{"rows": 1}], "by": text}


def publish_folder(target: Path, write: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    with publishing(target) as (folder, summary):
        summary.update(write(folder))
    return summary


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_is_published_whole(tmp_path: Path):
    target = tmp_path / "deep" / "target"
    seen: list[list[str]] = []

    def write(folder: Path) -> dict[str, Any]:
        seen.append(names(target.parent))
        assert not target.exists()
        assert folder.parent == target.parent  # a rename within one folder is one step
        assert folder.name.startswith(".")
        return fill(folder)

    assert read_done(target) is None
    assert publish_folder(target, write) == read_done(target)
    assert len(seen[0]) == 1
    assert names(target) == ["00000.arrow", "done.json"]
    assert names(target.parent) == ["target"]


def test_a_second_writer_changes_nothing(tmp_path: Path):
    target = tmp_path / "target"
    publish_folder(target, lambda folder: fill(folder, "first"))
    publish_folder(target, lambda folder: fill(folder, "second"))
    assert (target / "00000.arrow").read_text() == "first"
    done = read_done(target)
    assert done is not None
    assert done["by"] == "first"
    assert names(tmp_path) == ["target"]


def test_a_race_has_one_winner(tmp_path: Path):
    for number in range(10):
        target, gate = tmp_path / str(number), threading.Barrier(4)

        def write(folder: Path, gate: threading.Barrier = gate) -> dict[str, Any]:
            gate.wait(10)
            made = fill(folder, threading.current_thread().name)
            gate.wait(10)
            return made

        errors: list[BaseException] = []

        def work(target: Path = target, write: Any = write, errors: list[BaseException] = errors) -> None:
            try:
                publish_folder(target, write)
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert errors == []
        done = read_done(target)
        assert done is not None
        assert (target / "00000.arrow").read_text() == done["by"]
        assert names(target) == ["00000.arrow", "done.json"]
    assert names(tmp_path) == sorted(map(str, range(10)))


def test_a_changed_byte_is_noticed(tmp_path: Path):
    target = tmp_path / "target"
    publish_folder(target, fill)
    assert sound(target)
    (target / "00000.arrow").write_text("y")
    assert not sound(target)
    (target / "00000.arrow").unlink()
    assert not sound(target)


def test_a_split_without_digests_is_not_sound(tmp_path: Path):
    """Written before there were digests."""
    target = tmp_path / "target"
    publish_folder(target, fill)
    (target / "done.json").write_text('{"blocks": []}')
    assert not sound(target)


@pytest.mark.parametrize("error", [OSError("disk"), KeyboardInterrupt()])
def test_a_failed_writer_leaves_nothing(tmp_path: Path, error: BaseException):
    def write(folder: Path) -> dict[str, Any]:
        fill(folder)
        raise error

    with pytest.raises(type(error)):
        publish_folder(tmp_path / "target", write)
    assert names(tmp_path) == []


def test_an_unfinished_split_in_the_place_is_made_anew(tmp_path: Path):
    """Only a complete split may make a writer give way; what a power cut left must not block every later run."""
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "stranger").write_text("x")
    publish_folder(tmp_path / "target", fill)
    assert names(tmp_path) == ["target"]
    assert "stranger" not in names(tmp_path / "target")
    assert read_done(tmp_path / "target") is not None


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b"3", b"null", b"\xff"])
def test_a_damaged_summary_is_none(tmp_path: Path, content: bytes | None):
    if content is not None:
        (tmp_path / "done.json").write_bytes(content)
    assert read_done(tmp_path) is None
    (tmp_path / "file").write_bytes(b"x")
    assert read_done(tmp_path / "file") is None


def test_replacing_is_all_or_nothing(tmp_path: Path):
    path = tmp_path / "x"
    path.write_text("old")

    def stop() -> None:
        with replacing(path) as staging:
            staging.write_text("half")
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        stop()
    assert (path.read_text(), names(tmp_path)) == ("old", ["x"])
    with replacing(path) as staging:
        staging.write_text("new")
        assert path.read_text() == "old"
    assert (path.read_text(), names(tmp_path)) == ("new", ["x"])


sizes = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, UNIT_ROWS * 2), st.integers(0, UNIT_BYTES * 2)), min_size=1, max_size=30
)


def blocks_of(made: list[tuple[int, int, int]]) -> list[Block]:
    """Blocks in the order of their sources, as take_stock gives them."""
    blocks, base = [], 0
    for source, rows, size in sorted(made, key=lambda one: one[0]):
        blocks.append(Block(base, rows, size, source, "x", 0, "t", "s"))
        base += rows
    return blocks


@given(sizes)
def test_units(made: list[tuple[int, int, int]]):
    blocks = blocks_of(made)
    assigned = assign_units(blocks)
    assert [(one.base, one.rows, one.source) for one in assigned] == [
        (one.base, one.rows, one.source) for one in blocks
    ]
    units: dict[int, list[Block]] = {}
    for one in assigned:
        units.setdefault(one.unit, []).append(one)
    assert [one.unit for one in assigned] == sorted(one.unit for one in assigned)
    assert list(units) == list(range(len(units)))
    for number, members in units.items():
        assert len({one.source for one in members}) == 1
        fits = sum(one.rows for one in members) <= UNIT_ROWS and sum(one.bytes for one in members) <= UNIT_BYTES
        assert len(members) == 1 or fits
        following = units.get(number + 1)
        if following and following[0].source == members[0].source:  # no unit is smaller than it needs to be
            together = [*members, following[0]]
            assert sum(one.rows for one in together) > UNIT_ROWS or sum(one.bytes for one in together) > UNIT_BYTES


def test_no_blocks_have_no_units():
    assert assign_units([]) == []


SETTINGS = SignalSettings("whole", "whole", 2, 16, 1, None)
TALKS = [
    {"messages": [{"role": "user", "content": "grain " * n}, {"role": "assistant", "content": f"flour {n}"}]}
    for n in range(9)
]


@pytest.mark.parametrize("compress", [True, False])
def test_a_batch_reads_back(tmp_path: Path, compress: bool):
    batch = assemble(TALKS, range(9), [0] * 9)
    path = tmp_path / corpus.block_name(3)
    assert path.name == "00003.arrow"
    for part in (batch, batch.slice(0, 0), batch.slice(2, 4)):
        write_batch(path, part, compress)
        back = read_batch(str(path))
        back.validate(full=True)
        assert back.equals(part)
        assert names(tmp_path) == ["00003.arrow"]


def test_a_block_that_is_mapped_survives_its_replacement(tmp_path: Path):
    """A retried bundle writes the same file again while somebody reads it."""
    batch = assemble(TALKS, range(9), [0] * 9)
    write_batch(tmp_path / "x.arrow", batch, compress=False)
    mapped = read_batch(str(tmp_path / "x.arrow"))
    write_batch(tmp_path / "x.arrow", batch.slice(5), compress=False)
    assert mapped.equals(batch)
    assert read_batch(str(tmp_path / "x.arrow")).num_rows == 4


@pytest.mark.parametrize("rows", [0, 1, 9])
def test_signals_read_back(tmp_path: Path, rows: int):
    signals = compute(Records(assemble(TALKS[:rows], range(rows), [0] * rows)), SETTINGS, None)
    corpus.write_signals(tmp_path, 2, signals)
    place = corpus.signals_path(tmp_path, 2)
    assert names(tmp_path) == ["00002.features.arrow", "00002.shingles.arrow"]
    features = read_batch(place)
    assert features.select(signals.features.schema.names).equals(signals.features)
    assert np.array_equal(corpus.read_signatures(features), signals.signatures)
    assert np.array_equal(corpus.read_signatures(features.slice(rows // 2)), signals.signatures[rows // 2 :])
    for name, sets in (("shingles", signals.shingles), ("answers", signals.answers)):
        back = corpus.read_sets(place, name)
        assert np.array_equal(back.values, sets.values)
        assert np.array_equal(back.offsets, sets.offsets)


def test_summaries_are_collected_in_the_order_of_their_keys(tmp_path: Path):
    batches = {key: pa.record_batch({"n": [key[-1], 10 * key[-1]]}) for key in (b"\x00\x02", b"\x00\x01", b"\xff\x00")}
    for key, batch in batches.items():
        leave(str(tmp_path), "tally", key, batch)
    leave(str(tmp_path), "tally", b"\x00\x02", batches[b"\x00\x02"])  # a retried bundle
    leave(str(tmp_path), "other", b"\x00\x02", batches[b"\x00\x02"])
    assert [row["n"] for row in collected(tmp_path, "tally")] == [1, 10, 2, 20, 0, 0]
    assert collected(tmp_path, "nothing") == []


def test_add_up_sums_by_key():
    schema = pa.schema([("a", pa.int32()), ("b", pa.int32()), ("n", pa.int64())])
    table = pa.table({"a": [2, 1, 2, 1], "b": [1, 1, 1, 0], "n": [1, 2, 3, 4]}, schema=schema)
    assert add_up(table, ("a", "b")).to_pylist() == [
        {"a": 1, "b": 0, "n": 4},
        {"a": 1, "b": 1, "n": 2},
        {"a": 2, "b": 1, "n": 4},
    ]
    assert add_up(table, ("a", "b")).schema == schema
    assert add_up(table.slice(0, 0), ("a",)).num_rows == 0
