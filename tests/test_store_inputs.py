"""Sources in object stores are listed, sniffed, cut and read as local ones are, and give the same release."""

import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from pipelines import curate as chain
from schemas import store as shared
from schemas.errors import GristmillError
from tests.recipes import chat, lines, published, run, write_recipe
from tests.stores import a_store, memory_store  # noqa: F401
from tests.test_digest import CONTENT, SETTINGS, SOURCES
from transforms import storage
from transforms.readers import SourceOptions, list_files, plan_splits, read_rows, sniff


@pytest.fixture(params=["memory", "s3"])
def place(request: pytest.FixtureRequest) -> Path:
    return a_store(request)


def upload(folder: Path, target: Path) -> None:
    for name, found in storage.all_files(folder).items():
        storage.write_bytes(target / name, found.path.read_bytes())


def names(path: object) -> list[str]:
    return [file.name for file in list_files(str(path), "/")]


def test_folders_globs_and_files_mean_what_they_mean_here(place: Path, tmp_path: Path):
    row = lines([chat("q", "a")])
    for name in ("a.jsonl", "b.json", "README.md", "deep/c.jsonl", ".hidden/d.jsonl", "deep/.e.jsonl", "f-1.jsonl"):
        storage.write_bytes(place / name, row)
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(row)
    assert names(place) == names(tmp_path) == ["a.jsonl", "b.json", "deep/c.jsonl", "f-1.jsonl"]
    for pattern in ("*.jsonl", "deep/*.jsonl", "f-[12].jsonl", "?.json*", "a.jsonl"):
        assert names(place / pattern) == names(tmp_path / pattern), pattern
    assert names(f"{place}/") == names(place)
    assert names(place / "README.md") == ["README.md"]  # a file named by itself is always read
    (file,) = list_files(str(place / "a.jsonl"), "/")
    assert (file.path, file.size) == (str(place / "a.jsonl"), len(row))
    with pytest.raises(GristmillError, match=r'none/\*\.jsonl" matches no file; check the address'):
        names(place / "none" / "*.jsonl")
    with pytest.raises(GristmillError, match='none" holds no data files; check the address'):
        names(place / "none")


def test_a_saved_data_set(place: Path, tmp_path: Path):
    datasets = pytest.importorskip("datasets")
    rows = [{"instruction": f"q{number}", "output": "a"} for number in range(5)]
    datasets.Dataset.from_list(rows).save_to_disk(str(tmp_path / "saved"))
    (tmp_path / "saved" / "cache-1.arrow").write_bytes(b"not of the set")
    upload(tmp_path / "saved", place / "saved")
    assert names(place / "saved") == names(tmp_path / "saved")
    storage.remove_files([place / "saved" / names(place / "saved")[0]])
    with pytest.raises(GristmillError, match="lacks data-00000-of-00001"):
        names(place / "saved")


@pytest.mark.parametrize("container", ["jsonl", "parquet"])
def test_splits_read_their_own_range(memory: Path, container: str, monkeypatch: pytest.MonkeyPatch):
    rows = [{"instruction": f"question {number}", "output": f"{number:06d}" * 700} for number in range(2000)]
    path = memory / f"x.{container}"
    if container == "jsonl":
        storage.write_bytes(path, lines(list(rows)))
    else:
        with storage.replacing(path) as file:
            pq.write_table(pa.Table.from_pylist(rows), file, row_group_size=200, compression=None, use_dictionary=False)
    (listed,) = list_files(str(path), "/")
    kind = sniff(listed, SourceOptions())
    splits = plan_splits(listed, kind, 1 << 20)
    assert len(splits) > 7
    read, kind_of_store = [], type(shared.client(str(memory))[0])
    whole = kind_of_store.cat_file

    def cat_file(self, path, start=None, end=None, **more):
        read.append(end - start)
        return whole(self, path, start=start, end=end, **more)

    monkeypatch.setattr(kind_of_store, "cat_file", cat_file)
    found = []
    for split in splits:
        read.clear()
        found += [row["output"] for _, _, row in read_rows(split, SourceOptions())]
        assert sum(read) < (1.2 if container == "jsonl" else 8) * (1 << 20)
    assert found == [row["output"] for row in rows]


def sources_at(place: Path, tmp_path: Path) -> Path:
    """The recipe of tests/test_digest.py with its data in a store."""
    recipe = write_recipe(tmp_path / "there", CONTENT, SOURCES, **SETTINGS)
    plain = yaml.safe_load(recipe.read_text())
    for name, source in plain["sources"].items():
        upload(tmp_path / "there" / name, place / name)
        shutil.rmtree(tmp_path / "there" / name)
        source["path"] = f"{place}/{source['path']}"
    recipe.write_text(yaml.safe_dump(plain, sort_keys=False))
    return recipe


def test_the_release_is_the_same(place: Path, tmp_path: Path):
    here = run(write_recipe(tmp_path / "here", CONTENT, SOURCES, **SETTINGS), tmp_path / "one")
    there = run(sources_at(place, tmp_path), tmp_path / "two")
    drop = ("manifest.json", "README.md", "croissant.json", "report.html")  # they hold the recipe, and so its paths
    mine, theirs = ({name: data for name, data in one.contents().items() if name not in drop} for one in (here, there))
    assert mine == theirs


def test_an_object_that_changes_while_it_is_read_stops_the_run(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    recipe, found = sources_at(place, tmp_path), chain.find_inputs

    def find_then_change(*arguments: Any) -> Any:
        inputs = found(*arguments)
        storage.write_bytes(place / "hill" / "a.jsonl", lines([chat("other", "rows")]))
        return inputs

    monkeypatch.setattr(chain, "find_inputs", find_then_change)
    with pytest.raises(GristmillError, match=r"a\.jsonl changed while it was read"):
        run(recipe, tmp_path / "out")
    assert published(tmp_path / "out") == []


def test_an_object_that_did_not_change_is_not_digested_again(memory: Path, tmp_path: Path, monkeypatch):
    recipe = sources_at(memory, tmp_path)
    first = run(recipe, tmp_path / "out", tmp_path / "work")
    monkeypatch.setattr("pipelines.inputs.open_raw", None)
    assert run(recipe, tmp_path / "again", tmp_path / "work").contents() == first.contents()


def test_a_source_inside_the_output_is_refused(memory: Path, tmp_path: Path):
    recipe = sources_at(memory, tmp_path)
    with pytest.raises(GristmillError, match=r"lies in memory://.*, which this run writes to"):
        run(recipe, memory)


def test_credentials_in_a_recipe_are_refused(tmp_path: Path):
    recipe = write_recipe(tmp_path, {"a": {"x.jsonl": [chat("q", "a")]}}, {"a": {"path": "s3://mill:flour@box/x"}})
    with pytest.raises(GristmillError, match="source 'a': the URL s3://box/… holds credentials"):
        run(recipe, tmp_path / "out")
