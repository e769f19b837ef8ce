"""Batches that lie in a file while their place travels."""

from pathlib import Path

import pyarrow as pa
import pytest

from tests.recipes import run, write_recipe
from tests.stores import contents, hidden, memory_store  # noqa: F401
from tests.test_digest import CONTENT, SETTINGS, SOURCES
from transforms import spill
from transforms.spill import Spill, Spilled, fetch, spill_into
from transforms.storage import all_files, place

NUMBERS = pa.record_batch({"n": pa.array(range(5000), pa.int64())})
TEXT = pa.record_batch({"t": ["grain"] * 3000, "n": pa.array(range(3000), pa.int64())})


@pytest.fixture(params=["disk", "store"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    found: Path = tmp_path if request.param == "disk" else request.getfixturevalue("memory")
    return found


def test_what_was_left_comes_back_at_once_and_later(folder: Path):
    batches = [NUMBERS, TEXT, NUMBERS.slice(7, 900), TEXT.slice(1)]
    with Spilled(Spill(str(folder), 1000)) as spilled:
        left = [spilled.leave(batch) for batch in batches]
        assert all(fetch(one).equals(batch) for one, batch in zip(left, batches, strict=True))
    assert all(one.num_rows == 1 and one.nbytes < 200 for one in left)
    assert all(fetch(one).equals(batch) for one, batch in zip(left, batches, strict=True))
    files = all_files(place(str(folder)))
    assert len(files) == (len(batches) if "://" in str(folder) else 1)


def test_small_batches_travel_themselves_and_leave_no_file(folder: Path):
    with Spilled(Spill(str(folder), NUMBERS.nbytes + 1)) as spilled:
        assert spilled.leave(NUMBERS) is NUMBERS
    with Spilled(None) as spilled:
        assert spilled.leave(TEXT) is TEXT
    assert fetch(NUMBERS) is NUMBERS
    assert not all_files(place(str(folder)))


def test_numbers_on_a_disk_are_aligned(tmp_path: Path):
    with Spilled(Spill(str(tmp_path), 1)) as spilled:
        left = [spilled.leave(TEXT.slice(0, 5)), spilled.leave(NUMBERS)]
    assert fetch(left[1])["n"].buffers()[1].address % 8 == 0


def test_a_store_takes_large_batches_only():
    assert spill_into("somewhere").least < spill_into("s3://bucket/work").least


def test_a_cluster_that_spills_into_a_store_makes_the_same_bytes(
    memory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    recipe = write_recipe(tmp_path / "recipe", CONTENT, SOURCES, **SETTINGS)
    reference = run(recipe, tmp_path / "out").contents()
    put: list[str] = []
    real = spill.write_bytes

    def counted(path: Path, content: bytes) -> None:
        put.append(str(path))
        real(path, content)

    monkeypatch.setattr(spill, "IN_STORE", 100)
    monkeypatch.setattr(spill, "write_bytes", counted)
    made = run(recipe, memory, engine="apache_beam.runners.portability.fn_api_runner.FnApiRunner").path
    assert contents(made) == reference
    assert len(put) > 10
    assert hidden(memory) == {}
