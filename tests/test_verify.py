"""``gristmill verify``: a good release passes, each broken law is found and named, and no damage makes it trace back."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from pipelines.cli import app, main
from pipelines.verify import verify
from schemas.errors import GristmillError
from tests.forging import (
    QUARANTINE,
    RECORDS,
    TRAIN,
    VALIDATION,
    Content,
    content_of,
    file_at,
    found,
    rewrite,
    seal,
    step,
)
from tests.recipes import run


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory, repo: Path) -> Path:
    return run(repo / "examples" / "quickstart" / "recipe.yaml", tmp_path_factory.mktemp("verify")).path


@pytest.fixture
def release(good: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    return Path(shutil.copytree(good, tmp_path / "release"))


def test_a_good_release_passes(good: Path, tmp_path: Path):
    assert verify(good) == []
    result = CliRunner().invoke(app, ["verify", str(good)])
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"{good}: verified\n", "")
    (tmp_path / "latest").symlink_to(good)  # a link to a release is that release
    assert verify(tmp_path / "latest") == []


def test_a_resealed_copy_passes(release: Path):
    """The forger's tools of this file break nothing by themselves."""
    seal(release)
    for path in (RECORDS, QUARANTINE, TRAIN):
        rewrite(release, path, lambda rows: None)
    seal(release)
    assert verify(release) == []


@pytest.mark.parametrize("path", [TRAIN, VALIDATION, RECORDS, "ledger/quarantined.parquet", QUARANTINE, "README.md"])
@pytest.mark.parametrize("where", [0, 0.5, -1])
def test_a_changed_byte(release: Path, path: str, where: float):
    data = bytearray((release / path).read_bytes())
    data[int(where * len(data)) if where > 0 else int(where)] ^= 1
    (release / path).write_bytes(data)
    assert len(verify(release)) == 1
    found(release, path, f"has {len(data)} bytes and sha256", "the manifest says")


def test_a_file_cut_short(release: Path):
    (release / TRAIN).write_bytes((release / TRAIN).read_bytes()[:-1])
    found(release, TRAIN, "bytes")


@pytest.mark.parametrize("path", [TRAIN, RECORDS, "README.md", "croissant.json", "report.html"])
def test_a_missing_file(release: Path, path: str):
    (release / path).unlink()
    found(release, path, "is missing")


@pytest.mark.parametrize("name", ["extra.txt", "data/train-00001-of-00001.parquet", "data/.hidden", "new/deep/file"])
def test_an_extra_file(release: Path, name: str):
    (release / name).parent.mkdir(parents=True, exist_ok=True)
    (release / name).write_bytes(b"x")
    found(release, name, "is in the release but not in the manifest")


def test_an_unlisted_file_is_found(release: Path):
    seal(release, lambda content: content["files"].pop(0))
    assert verify(release)


def test_a_link_out_of_the_release(release: Path, tmp_path: Path):
    shutil.move(release / TRAIN, tmp_path / "outside.parquet")
    (release / TRAIN).symlink_to(tmp_path / "outside.parquet")
    found(release, TRAIN, "points out of the release")


def test_a_folder_that_is_a_link_out_of_the_release(release: Path, tmp_path: Path):
    shutil.move(release / "data", tmp_path / "outside")
    (release / "data").symlink_to(tmp_path / "outside")
    found(release, TRAIN, "points out of the release")


@pytest.mark.parametrize("target", ["nowhere", "train-00000-of-00001.parquet", "."])
def test_a_link_that_leads_nowhere(release: Path, target: str):
    (release / TRAIN).unlink()
    (release / TRAIN).symlink_to(target)
    found(release, TRAIN, "cannot be read")


@pytest.mark.parametrize(
    "path", ["../../etc/passwd", "/etc/passwd", "data/../../outside", "data", "", ".", "no\0thing", "a" * 5000]
)
def test_a_path_that_is_no_file_of_the_release(release: Path, path: str):
    (release.parent / "outside").write_bytes(b"x")
    seal(release, lambda content: content["files"][0].update(path=path))
    said = verify(release)
    assert any(one.startswith(f"{path}: ") for one in said), said
    if ".." in path or path.startswith("/"):
        assert f"{path}: points out of the release" in said


def test_the_same_file_twice(release: Path):
    seal(release, lambda content: content["files"].append(content["files"][-1]))
    found(release, "lists", "twice")


COUNTS: dict[str, tuple[tuple[Any, ...], str]] = {
    "kept": (("sources", "dolly", "kept"), "dolly"),
    "records": (("sources", "dolly", "records"), "dolly"),
    "quarantined": (("sources", "dolly", "quarantined"), "dolly"),
    "dropped": (("sources", "dolly", "dropped", "near.whole"), "dolly"),
    "file's records": (("sources", "dolly", "files", 0, "records"), "dolly"),
    "file's quarantined": (("sources", "dolly", "files", 0, "quarantined"), "dolly"),
    "file's rows": (("sources", "forum", "files", 0, "rows"), "forum_tree.json"),
    "ingest": (("sources", "dolly", "stages", "ingest", "rows"), "dolly"),
    "filter": (("sources", "dolly", "stages", "filter", "rows"), "filter"),
    "exact": (("sources", "dolly", "stages", "exact_dedup", "rows"), "exact_dedup"),
    "near": (("sources", "dolly", "stages", "near_dedup", "rows"), "near_dedup"),
    "released rows": (("sources", "dolly", "stages", "released", "rows"), "dolly"),
    "released words": (("sources", "dolly", "stages", "released", "words"), "dolly"),
    "mix": (("mix", 2, "got"), "mix: dolly"),
    "split rows": (("splits", "train", "rows"), "split train"),
    "split turns": (("splits", "train", "turns"), "split train"),
    "split words": (("splits", "validation", "words"), "split validation"),
    "split characters": (("splits", "validation", "characters"), "split validation"),
}


@pytest.mark.parametrize("name", COUNTS)
def test_a_changed_count(release: Path, name: str):
    path, named = COUNTS[name]
    seal(release, lambda content: step(content, *path))
    found(release, named)


@pytest.mark.parametrize(
    ("path", "count"),
    [(TRAIN, "rows"), (TRAIN, "words"), (TRAIN, "characters"), (RECORDS, "rows"), (QUARANTINE, "rows")],
)
def test_a_changed_count_of_a_file(release: Path, path: str, count: str):
    seal(release, lambda content: step(content, "files", file_at(content, path), count))
    found(release, path, count, "the manifest says")


def test_counts_that_are_moved_from_one_source_to_another(release: Path):
    def move(content: Content) -> None:
        for name, by in (("dolly", 1), ("chat", -1)):
            content["sources"][name]["stages"]["released"]["rows"] += by

    seal(release, move)
    found(release, "source dolly", "rows in the shards")


def test_a_manifest_that_was_edited(release: Path):
    content = content_of(release) | {"description": "something else"}
    (release / "manifest.json").write_bytes(orjson.dumps(content))
    found(release, "release_digest is", "its content gives")


def test_a_recipe_that_was_edited(release: Path):
    seal(release, lambda content: content["recipe"].update(seed=21))
    found(release, "recipe_digest is", "its recipe gives")


@pytest.mark.parametrize(
    "change",
    [
        lambda recipe: recipe.pop("seed"),
        lambda recipe: recipe.update(seed=None),
        lambda recipe: recipe.pop("release"),
        lambda recipe: recipe.update(release=[]),
        lambda recipe: recipe["release"].update(splits={}),
        lambda recipe: recipe["release"]["splits"].update(validation="much"),
        lambda recipe: recipe["release"]["splits"].update(validation="900 %"),
        lambda recipe: recipe["release"]["splits"].update(validation="1/0 %"),
        lambda recipe: recipe["release"]["splits"].update(validation=3),
    ],
)
def test_a_recipe_that_does_not_say_how_it_splits(release: Path, change: Callable[[Content], Any]):
    seal(release, lambda content: change(content["recipe"]))
    assert verify(release)


@pytest.mark.parametrize("path", [TRAIN, RECORDS, QUARANTINE])
@pytest.mark.parametrize("kind", ["truncated", "text", "empty", "other columns", "another order"])
def test_a_table_of_another_form(release: Path, path: str, kind: str):
    place = release / path
    if kind in ("other columns", "another order"):
        table = pq.read_table(place)
        pq.write_table(table.drop_columns(table.schema.names[:1]) if kind == "other columns" else table.select(
            table.schema.names[::-1]), place)  # fmt: skip
    else:
        place.write_bytes({"truncated": place.read_bytes()[:-40], "text": b"no table " * 9, "empty": b""}[kind])
    seal(release)
    found(release, path, "its columns are not those" if "o" in kind and " " in kind else "cannot be read")


def test_no_tables_at_all(release: Path):
    for folder in ("data", "ledger", "quarantine"):
        shutil.rmtree(release / folder)
    seal(release, lambda content: content.update(files=[f for f in content["files"] if "/" not in f["path"]]))
    found(release, "split train", "holds 0 rows")


@pytest.mark.parametrize(
    "content",
    [None, b"", b"{", b"[]", b"null", b"{}", b'{"format": 2}', b'{"format": 1}', b"\xff\xfe", b'{"format": 1, "name": 3}',
     b"[" * 100_000],
)  # fmt: skip
def test_a_manifest_that_is_none(release: Path, content: bytes | None, monkeypatch: pytest.MonkeyPatch, capsys):
    """One sentence and status 2."""
    (release / "manifest.json").unlink()
    if content is not None:
        (release / "manifest.json").write_bytes(content)
    with pytest.raises(GristmillError):
        verify(release)
    monkeypatch.setattr("sys.argv", ["gristmill", "verify", str(release)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert str(release) in said.err


def test_a_manifest_with_another_key(release: Path):
    content = content_of(release)
    content["sources"]["dolly"]["recods"] = content["sources"]["dolly"].pop("records")
    (release / "manifest.json").write_bytes(orjson.dumps(content))
    with pytest.raises(GristmillError, match=r"sources\.dolly"):
        verify(release)


@pytest.mark.parametrize("place", ["nowhere", "README.md", "data"])
def test_a_place_that_is_no_release(release: Path, place: str):
    with pytest.raises(GristmillError, match=r"is no release: it has no manifest\.json"):
        verify(release / place)


def test_control_characters_do_not_reach_the_terminal(release: Path):
    (release / "\x1b[31mred\u202e.txt").write_bytes(b"x")
    result = CliRunner().invoke(app, ["verify", str(release)])
    assert "\x1b" not in result.stderr
    assert "\u202e" not in result.stderr
    assert "\\x1b[31mred" in result.stderr
