"""Same recipe, same content: the same bytes, whatever did the work and in whatever order it came."""

import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from pipelines import inputs
from tests.recipes import Published, Row, chat, run, write_recipe
from transforms import release

WORDS = [
    "mill",
    "river",
    "stone",
    "grain",
    "flour",
    "sack",
    "cart",
    "horse",
    "miller",
    "wheel",
    "water",
    "wind",
    "bread",
]


def rows(seed: int, count: int) -> list[Row]:
    """Different texts, copies and near copies of 40 to 400 characters, a few in Chinese and a few unreadable."""
    draw = random.Random(seed)
    made: list[Row] = []
    for number in range(count):
        if number % 50 == 49:
            made.append(b"{broken " + str(number).encode())
        elif number % 40 == 20:
            made.append(chat("", " ".join(draw.choices(WORDS, k=60))))  # two filters have a reason to drop it
        elif number % 5 == 4 and isinstance(made[-3], dict):
            made.append(made[-3])
        else:
            text = " ".join(draw.choices(WORDS, k=draw.randint(6, 60)))
            more = {"license": "MIT"} if number % 7 == 0 else {"note": number}
            made.append(chat(text[:30] if number % 3 else "磨坊在哪里", text, **more))
    return made


CONTENT: dict[str, dict[str, list[Row]]] = {
    "river": {"b.jsonl": rows(1, 300), "a.jsonl": rows(2, 150)},
    "hill": {"a.jsonl": rows(3, 250)},
    "dale": {"x.jsonl": rows(1, 60)},
}
SOURCES: dict[str, Any] = {"river": {"origin": "synthetic"}, "hill": {"origin": "human", "priority": 1}}
SETTINGS: dict[str, Any] = {
    "seed": 11,
    "dedup": {"near": {"similarity": 0.6}},
    "mix": {
        "unit": "characters",
        "shares": {"river": "50 %", "hill": "40 %", "dale": "10 %"},
        "max_epochs": 2,
    },
    # Small, so that the cuts between shards and row groups would show any difference in what Arrow holds.
    "filters": {"length": {"answer_words": {"max": 55}}, "empty": {}},
    "release": {"splits": {"validation": "10 %", "test": "5 %"}, "shard": "64 KiB", "row_group": "4 KiB"},
}


def curated(folder: Path, **changes: Any) -> Published:
    folder.mkdir()
    return run(write_recipe(folder, CONTENT, SOURCES, **SETTINGS | changes), folder / "out")


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    made = curated(tmp_path_factory.mktemp("digest") / "reference")
    manifest = made.manifest
    assert manifest.digest() == manifest.release_digest
    assert sum(path.startswith("data/train") for path in made.contents()) > 2
    assert all(account.kept and account.dropped for account in manifest.sources.values())
    return made.contents()


@pytest.mark.parametrize(
    ("split", "block"), [("16 KiB", "64 KiB"), ("1 MiB", "4 MiB"), ("30 kB", "1 MiB"), ("64 MiB", "8 KiB")]
)
def test_sizes_of_the_work_do_not_reach_the_bytes(tmp_path: Path, reference: dict[str, bytes], split: str, block: str):
    assert curated(tmp_path / "x", ingest={"split": split, "block": block}).contents() == reference


def test_units_do_not_reach_the_bytes(tmp_path: Path, reference: dict[str, bytes], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("transforms.corpus.UNIT_ROWS", 40)
    monkeypatch.setattr("transforms.ingest.BLOCK_ROWS", 33)
    assert curated(tmp_path / "x").contents() == reference


def test_partitions_do_not_reach_the_bytes(
    tmp_path: Path, reference: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("pipelines.outcome.PART_ROWS_HERE", 20)
    assert curated(tmp_path / "x").contents() == reference


@pytest.mark.parametrize(("piece", "most"), [(1, 1 << 40), (2000, 1 << 40), (1, 70)])
def test_pieces_of_shards_do_not_reach_the_bytes(
    tmp_path: Path, reference: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, piece: int, most: int
):
    monkeypatch.setattr("pipelines.shares.PIECE", piece)
    monkeypatch.setattr("pipelines.shares.MOST_PIECES", most)
    bound: list[int] = []
    real = release.Bind.__call__

    def counted(self: release.Bind, key: bytes, table: Any) -> Any:
        bound.append(len(table))
        return real(self, key, table)

    monkeypatch.setattr(release.Bind, "__call__", counted)
    assert curated(tmp_path / "x").contents() == reference
    assert max(bound) > 1


def test_order_of_sources_files_and_keys_does_not_reach_the_bytes(
    tmp_path: Path, reference: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
):
    listed = inputs.list_files
    monkeypatch.setattr(inputs, "list_files", lambda *arguments: listed(*arguments)[::-1])
    turned = {source: dict(reversed(files.items())) for source, files in reversed(CONTENT.items())}
    mix = {key: SETTINGS["mix"][key] for key in reversed(SETTINGS["mix"])}
    mix["shares"] = dict(reversed(mix["shares"].items()))
    filters = dict(reversed(SETTINGS["filters"].items()))
    sets = SETTINGS["release"] | {"splits": dict(reversed(SETTINGS["release"]["splits"].items()))}
    (tmp_path / "elsewhere" / "deep").mkdir(parents=True)
    folder = tmp_path / "elsewhere" / "deep"
    settings = SETTINGS | {"mix": mix, "filters": filters, "release": sets}
    assert run(write_recipe(folder, turned, SOURCES, **settings), folder / "out").contents() == reference


def test_content_and_seed_do_reach_the_bytes(tmp_path: Path, reference: dict[str, bytes]):
    other = curated(tmp_path / "x", seed=12).contents()
    train = [path for path in reference if path.startswith("data/")]
    assert all(other.get(path) != reference[path] for path in train)
    assert other["manifest.json"] != reference["manifest.json"]


def test_one_worker_and_two_give_the_same_bytes(tmp_path: Path, repo: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("pipelines.curate.ALONE_RECORDS", 0)  # small runs would decide in one process
    shutil.copytree(repo / "examples" / "quickstart", tmp_path / "quickstart")
    one = run(repo / "examples" / "quickstart" / "recipe.yaml", tmp_path / "one")
    two = run(tmp_path / "quickstart" / "recipe.yaml", tmp_path / "two", workers=2)
    assert one.manifest.release_digest == two.manifest.release_digest
    assert one.contents() == two.contents()
