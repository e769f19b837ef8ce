"""Parquet read from a store: by the calling thread alone, and no more of it than is asked for."""

import io
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from pipelines.open_release import open_manifest
from pipelines.second_opinion import near_duplicates
from pipelines.verify import verify
from pipelines.why import find, why
from tests.recipes import run, write_recipe
from tests.stores import memory_store  # noqa: F401
from tests.test_digest import CONTENT, SETTINGS, SOURCES
from transforms import remote
from transforms.parquet import Parquet

ROWS = 3_000


@pytest.fixture
def file(memory: Path) -> Path:
    table = pa.table({"id": [f"{row:04}" for row in range(ROWS)], "text": [f"row {row} " * 50 for row in range(ROWS)]})
    sink = io.BytesIO()
    pq.write_table(table, sink, row_group_size=500, compression="none", use_dictionary=False)
    place = memory / "rows.parquet"
    remote.write_bytes(str(place), sink.getvalue())
    return place


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """Threads that have read, or let go of, an object opened as a file."""
    seen: set[int] = set()

    class Watched(remote._Ranges):
        def readinto(self, buffer: object) -> int:
            seen.add(threading.get_ident())
            return super().readinto(buffer)

        def __del__(self) -> None:
            seen.add(threading.get_ident())

    monkeypatch.setattr(remote, "_Ranges", Watched)
    return seen


@pytest.mark.parametrize(
    "read",
    [
        lambda parquet: parquet.read(),
        lambda parquet: list(parquet.groups()),
        lambda parquet: next(parquet.groups(["id"])),
        lambda parquet: parquet.where(pc.field("id") == "1234", ["id"], ["text"]),
    ],
    ids=["whole", "groups", "abandoned", "where"],
)
def test_only_the_caller_touches_a_file_of_a_store(file: Path, threads: set[int], read: Callable[[Parquet], object]):
    for _ in range(20):
        read(Parquet(file))
    assert threads == {threading.get_ident()}


def test_what_watches_notices_arrow_s_own_threads(file: Path, threads: set[int]):
    for _ in range(20):
        pq.read_table(remote.opened(str(file)), filters=pc.field("id") == "1234")
    assert threads > {threading.get_ident()}


def test_commands_on_a_release_in_a_store(memory: Path, tmp_path: Path, threads: set[int]):
    made = run(write_recipe(tmp_path, CONTENT, SOURCES, **SETTINGS), memory).path
    threads.clear()
    why(made, "b.jsonl:0")
    assert verify(made) == []
    assert list(near_duplicates(made, open_manifest(made))) == []
    assert find(made, open_manifest(made), "b.jsonl:0")[0]["file"] == "b.jsonl"
    assert threads == {threading.get_ident()}


@pytest.mark.parametrize("local", [True, False])
def test_where_gives_the_rows_and_columns_that_were_asked_for(file: Path, tmp_path: Path, local: bool):
    if local:
        content = remote.read_bytes(str(file))
        file = tmp_path / "rows.parquet"
        file.write_bytes(content)
    parquet = Parquet(file)
    found = parquet.where(pc.field("id").isin(["0007", "2999", "2500"]), ["id"], ["text", "id"])
    assert found.column_names == ["text", "id"]
    assert found["id"].to_pylist() == ["0007", "2500", "2999"]
    assert found["text"][2].as_py() == "row 2999 " * 50
    none = parquet.where(pc.field("id") == "absent", ["id"], ["text"])
    assert (none.num_rows, none.column_names) == (0, ["text"])
    with pytest.raises(KeyError):
        parquet.where(pc.field("id") == "0007", ["id"], ["absent"])
    assert sum(rows.num_rows for rows in parquet.groups()) == parquet.read().num_rows == ROWS


def test_where_leaves_what_it_need_not_read(file: Path, monkeypatch: pytest.MonkeyPatch):
    read: list[int] = []
    inner = remote._Ranges.readinto

    def counted(self: remote._Ranges, buffer: object) -> int:
        read.append(inner(self, buffer))
        return read[-1]

    monkeypatch.setattr(remote._Ranges, "readinto", counted)
    monkeypatch.setattr(remote, "BUFFER", 4096)
    parquet = Parquet(file)
    read.clear()
    parquet.where(pc.field("id") == "0001", ["id"], ["text"])
    assert 0 < sum(read) < remote.size_of(str(file)) / 4


def test_the_end_of_the_process_is_quiet(file: Path, tmp_path: Path):
    """With Arrow's threads this aborts in every second try."""
    local = tmp_path / "rows.parquet"
    local.write_bytes(remote.read_bytes(str(file)))
    program = (
        "import sys, pyarrow.compute as pc\n"
        "from transforms import parquet\n"
        "parquet.is_remote, parquet.opened = lambda path: True, lambda path: open(path, 'rb')\n"
        "print(len(parquet.Parquet(sys.argv[1]).where(pc.field('id') == '1234', ['id'], ['text'])))"
    )
    for _ in range(5):
        done = subprocess.run([sys.executable, "-c", program, local], capture_output=True, text=True)
        assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")
