"""Shards: the same bytes however the rows arrive, in row groups, without a copy of the whole."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.errors import GristmillError
from schemas.record import RELEASE
from transforms.blocks import hash_parts
from transforms.shards import ORDER, in_order, size_of, write_shard

ROWS = 600


def rows(tokens: bool = True) -> pa.Table:
    rng = np.random.default_rng(5)
    made: list[dict[str, Any]] = []
    for number in range(ROWS):
        text = "word " * int(rng.integers(1, 90))
        message = {"role": "user", "content": text, "train": None if number % 3 else True}
        calls = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}] if number % 5 else None
        made.append(
            {
                "id": f"{number:032x}", "messages": [message, message | {"role": "assistant", "tool_calls": calls}],
                "tools": None, "label": None if number % 2 else True, "source": "mill", "characters": len(text),
                "words": 7, "tokens": number if tokens else None, "copy": 0,
                "provenance": {"file": "a.jsonl", "index": number, "part": 0},
            }
        )  # fmt: skip
    table = pa.Table.from_pylist(made, schema=RELEASE)
    return table.append_column(ORDER, pa.array(rng.integers(0, 1 << 64, ROWS, np.uint64)))


def cut(table: pa.Table, seed: int) -> pa.Table:
    """The rows in another order, in batches of odd sizes."""
    rng = np.random.default_rng(seed)
    table = table.take(pa.array(rng.permutation(len(table))))
    bounds = [0, *sorted(rng.integers(1, len(table), 9).tolist()), len(table)]
    return pa.concat_tables([table.slice(low, high - low) for low, high in itertools.pairwise(bounds)])


def pieces(table: pa.Table, number: int) -> list[pa.Table]:
    """Rows that arrived somehow, in so many ranges of their order, each of them sorted."""
    part = hash_parts(np.asarray(table[ORDER]), number)
    return [in_order(table.filter(pa.array(part == one))) for one in range(number)]


def written(tables: list[pa.Table], folder: Path, shard_bytes: int = 1 << 30, group: int = 8192) -> dict[str, bytes]:
    folder.mkdir()
    rows, size = sum(one.num_rows for one in tables), sum(map(size_of, tables))
    files = write_shard(tables, rows, size, folder / "train-00000", shard_bytes, group)
    found = [batch.to_pylist()[0] for batch in files]
    assert [one["name"] for one in found] == sorted(file.name for file in folder.iterdir())
    for one in found:
        assert one["rows"] == pq.ParquetFile(folder / one["name"]).metadata.num_rows
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def test_bytes_do_not_depend_on_arrival(tmp_path: Path):
    table = rows()
    first = written([in_order(table)], tmp_path / "whole")
    for seed, number in enumerate((1, 2, 7, 40)):
        assert written(pieces(cut(table, seed), number), tmp_path / str(seed)) == first
    assert {size_of(cut(table, seed)) for seed in range(20)} == {size_of(table)}


def test_rows_stand_in_their_order_and_none_is_lost(tmp_path: Path):
    table = rows()
    ranking = np.argsort(np.asarray(table[ORDER]))
    wanted = table.drop_columns([ORDER]).take(pa.array(ranking)).to_pylist()
    for size, files in ((1 << 30, 1), (size_of(in_order(table)) // 3, 4)):
        written(pieces(cut(table, 1), 5), tmp_path / str(files), size)
        found = sorted((tmp_path / str(files)).iterdir())
        assert len(found) == files
        assert pa.concat_tables([pq.read_table(file) for file in found]).to_pylist() == wanted


def test_equal_places_fall_back_on_the_id():
    table = rows()
    table = table.set_column(table.num_columns - 1, ORDER, pa.array(np.zeros(ROWS, np.uint64)))
    assert in_order(cut(table, 3)).equals(in_order(table))
    ids = in_order(cut(table, 4))["id"].to_pylist()
    assert ids == sorted(ids)


@pytest.mark.parametrize("group", [2048, 8192, 1 << 30])
def test_row_groups_are_about_as_large_as_asked(tmp_path: Path, group: int):
    table = rows()
    name = next(iter(written(pieces(table, 3), tmp_path / "a", group=group)))
    metadata = pq.ParquetFile(tmp_path / "a" / name).metadata
    assert metadata.num_row_groups == pytest.approx(max(1, size_of(in_order(table)) / group), rel=0.05)
    sizes = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
    assert len(set(sizes[:-1])) <= 1
    assert sum(sizes) == ROWS


@pytest.mark.parametrize("tokens", [True, False])
def test_footer_tells_the_sums_and_not_what_was_not_counted(tmp_path: Path, tokens: bool):
    name = next(iter(written(pieces(rows(tokens), 3), tmp_path / "a")))
    told = pq.ParquetFile(tmp_path / "a" / name).metadata.metadata
    assert told[b"gristmill.rows"] == str(ROWS).encode()
    assert told[b"gristmill.words"] == str(7 * ROWS).encode()
    assert (b"gristmill.tokens" in told) == tokens
    if tokens:
        assert told[b"gristmill.tokens"] == str(sum(range(ROWS))).encode()


@pytest.mark.parametrize(
    ("counted", "said"), [(ROWS + 2, "hold 2 rows less than"), (ROWS - 3, "hold 3 rows more than")]
)
def test_pieces_that_changed_stop_the_run(tmp_path: Path, counted: int, said: str):
    tables = pieces(rows(), 3)
    with pytest.raises(GristmillError, match=said):
        list(write_shard(tables, counted, 1, tmp_path / "train-00000", 1 << 30, 8192))
