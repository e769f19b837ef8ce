"""Opening a release to train on: splits, row groups, digests; one clear sentence when it is none."""

import hashlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow.parquet as pq
import pytest

from schemas.errors import GristmillError
from schemas.manifest import FILE_NAME
from tests.recipes import Row, chat, run, write_recipe
from trainer.release import open_release


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """600 rows in several shards of several row groups."""
    folder = tmp_path_factory.mktemp("release")
    rows: list[Row] = [chat(f"What is {n} squared?", f"{n} squared is {n * n}. " * 40) for n in range(600)]
    layout = {"splits": {"validation": "20 %"}, "shard": "200 kB", "row_group": "50 kB"}
    recipe = write_recipe(folder, {"squares": {"a.jsonl": rows}}, filters={}, dedup={"near": None}, release=layout)
    return run(recipe, folder / "out").path


@pytest.fixture
def release(made: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    return Path(shutil.copytree(made, tmp_path / "release"))


def rewrite(release: Path, change: Any, seal: bool = True) -> None:
    """Change the manifest, and make its digest right again or not."""
    path = release / FILE_NAME
    data = orjson.loads(path.read_bytes())
    change(data)
    if seal:
        plain = {key: value for key, value in data.items() if key != "release_digest"}
        data["release_digest"] = hashlib.sha256(orjson.dumps(plain, option=orjson.OPT_SORT_KEYS)).hexdigest()
    path.write_bytes(orjson.dumps(data))


def test_splits_and_row_groups_are_those_of_the_files(made: Path):
    release = open_release(str(made))
    assert set(release.splits) == {"train", "validation"}
    assert release.rows("train") + release.rows("validation") == 600
    assert release.digest == release.manifest.release_digest == release.manifest.digest()
    assert release.manifest_sha256 == hashlib.sha256((made / FILE_NAME).read_bytes()).hexdigest()
    groups = release.row_groups("train")
    files = sorted((made / "data").glob("train-*.parquet"))
    assert len(files) > 1
    found = [
        (number, group, pq.ParquetFile(file).metadata.row_group(group).num_rows)
        for number, file in enumerate(files)
        for group in range(pq.ParquetFile(file).num_row_groups)
    ]
    assert len(found) > len(files)
    assert list(zip(groups.files.tolist(), groups.groups.tolist(), groups.rows.tolist(), strict=True)) == found
    assert groups.starts[-1] == release.rows("train")


def test_rows_are_read_by_number(made: Path):
    shards = open_release(str(made)).open("train", ("id",))
    whole = pq.read_table(sorted((made / "data").glob("train-*.parquet")), columns=["id"]).column("id").to_pylist()
    rows = np.array([len(whole) - 1, 0, 7])
    assert shards.take(rows).column("id").to_pylist() == [whole[row] for row in rows]


def test_a_url_is_as_good_as_a_folder(made: Path):
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.put(str(made), "/gristmill-test", recursive=True)
    try:
        here, there = open_release(str(made)), open_release("memory://gristmill-test/")
        assert there.digest == here.digest
        assert there.row_groups("train").rows.tolist() == here.row_groups("train").rows.tolist()
        assert there.shards("train")[0].url == "memory://gristmill-test/data/" + here.shards("train")[0].name
    finally:
        memory.rm("/gristmill-test", recursive=True)


def test_a_folder_is_relative_to_the_configuration(made: Path):
    assert open_release(made.name, made.parent).digest == open_release(str(made)).digest


@pytest.mark.parametrize(
    ("location", "sentence"),
    [
        ("nowhere", "nowhere is no release: it has no manifest.json; give a folder <out>/<name>/<version>"),
        ("nosuch://bucket/x", "no store is known by nosuch://"),
        ("memory://nothing/here", "memory://nothing/here is no release"),
    ],
)
def test_what_is_no_release_is_told(tmp_path: Path, location: str, sentence: str):
    with pytest.raises(GristmillError) as error:
        open_release(location, tmp_path)
    assert sentence in str(error.value)


def test_a_split_that_is_not_there(made: Path):
    with pytest.raises(GristmillError, match="has no split 'trian'; did you mean 'train'"):
        open_release(str(made)).row_groups("trian")


def test_a_changed_manifest_is_refused(release: Path):
    rewrite(release, lambda data: data.update(description="other"), seal=False)
    with pytest.raises(GristmillError, match="it was changed after it was published"):
        open_release(str(release))


def test_a_manifest_of_an_earlier_gristmill_is_itself(release: Path):
    """A field that it does not have, and that has a default now, does not make it another release."""
    rewrite(release, lambda data: data.pop("selection"))
    assert open_release(str(release)).rows("train") > 0


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"format": 9}', b"\xff"])
def test_a_damaged_manifest_is_told(release: Path, content: bytes):
    (release / FILE_NAME).write_bytes(content)
    with pytest.raises(GristmillError, match=FILE_NAME):
        open_release(str(release))


def without_a_shard(data: dict[str, Any]) -> None:
    data["files"] = [file for file in data["files"] if "train-00001" not in file["path"]]


def with_a_way_out(data: dict[str, Any]) -> None:
    data["files"][1]["path"] = "data/../../secrets.parquet"


def with_an_uncounted_shard(data: dict[str, Any]) -> None:
    next(file for file in data["files"] if file["path"].startswith("data/"))["rows"] = None


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (without_a_shard, "shards of split train, and their names say"),
        (with_a_way_out, "which is no shard"),
        (with_an_uncounted_shard, "which is no shard with a number of rows"),
    ],
)
def test_a_manifest_with_odd_shards_is_told(release: Path, change: Any, sentence: str):
    rewrite(release, change)
    with pytest.raises(GristmillError, match=sentence):
        open_release(str(release)).row_groups("train")


def test_a_bad_shard_is_named(release: Path):
    files = sorted((release / "data").glob("train-*.parquet"))
    opened = open_release(str(release))
    kept = files[1].read_bytes()
    files[1].write_bytes(kept[: len(kept) // 2])
    with pytest.raises(GristmillError, match=r"train-00001-of-\d{5}\.parquet is no Parquet file"):
        opened.row_groups("train")
    pq.write_table(pq.read_table(files[0]).slice(1), files[1])
    with pytest.raises(GristmillError, match=r"train-00001-of-\d{5}\.parquet has \d+ rows, and the manifest says"):
        opened.row_groups("train")
    files[1].unlink()
    with pytest.raises(GristmillError, match=r"train-00001-of-\d{5}\.parquet is absent"):
        opened.row_groups("train")
