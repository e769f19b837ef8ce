"""Selection gives the same bytes however the work was divided, and another threshold opens no text again."""

from pathlib import Path
from typing import Any

import pytest

from pipelines import inputs
from tests.recipes import run, write_recipe
from tests.selections import EVERYTHING, STAGES, content, curated
from tests.test_rerun import no_reading
from transforms import ingest


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return curated(tmp_path_factory.mktemp("bytes") / "x", **EVERYTHING).contents()


@pytest.mark.parametrize(("split", "block"), [("2 KiB", "1 KiB"), ("64 MiB", "3 KiB")])
def test_sizes_of_the_work_do_not_reach_the_bytes(tmp_path: Path, reference: dict[str, bytes], split: str, block: str):
    again = curated(tmp_path / "x", **EVERYTHING, ingest={"split": split, "block": block})
    assert again.contents() == reference


def test_units_and_partitions_do_not_reach_the_bytes(
    tmp_path: Path, reference: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("transforms.corpus.UNIT_ROWS", 11)
    monkeypatch.setattr("transforms.ingest.BLOCK_ROWS", 7)
    monkeypatch.setattr("pipelines.outcome.PART_ROWS", 9)
    assert curated(tmp_path / "x", **EVERYTHING).contents() == reference


def test_two_workers_give_the_same_bytes(tmp_path: Path, reference: dict[str, bytes], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("pipelines.curate.ALONE_RECORDS", 0)  # small runs would decide in one process
    recipe = write_recipe(tmp_path, content(), **EVERYTHING)
    assert run(recipe, tmp_path / "out", workers=2).contents() == reference


def test_large_batches_go_through_files(tmp_path: Path, reference: dict[str, bytes], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("transforms.spill.ON_DISK", 1024)  # a cut, a side input of one row, is never larger
    assert curated(tmp_path / "x", **EVERYTHING).contents() == reference


def turned(plain: Any) -> Any:
    """The same settings with the keys of every mapping written in the opposite order."""
    if isinstance(plain, dict):
        return {key: turned(value) for key, value in reversed(plain.items())}
    return [turned(one) for one in plain] if isinstance(plain, list) else plain


def test_order_of_sources_files_and_keys_does_not_reach_the_bytes(
    tmp_path: Path, reference: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
):
    listed = inputs.list_files
    monkeypatch.setattr(inputs, "list_files", lambda *arguments: listed(*arguments)[::-1])
    files = {source: dict(reversed(by_file.items())) for source, by_file in reversed(content().items())}
    assert list(turned(EVERYTHING)) == list(EVERYTHING)[::-1]
    assert curated(tmp_path / "x", files, **turned(EVERYTHING)).contents() == reference


def test_slices_of_a_large_cluster_are_the_same_for_any_units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for place in ("transforms.distance.MOST", "pipelines.steps.MOST"):
        monkeypatch.setattr(place, 10)
    settings: dict[str, Any] = {"dedup": {"near": None}, "diversity": {"clusters": 2, "similarity": 0.7}}
    first = curated(tmp_path / "first", **settings)
    monkeypatch.setattr("transforms.corpus.UNIT_ROWS", 11)
    monkeypatch.setattr("transforms.ingest.BLOCK_ROWS", 7)
    assert curated(tmp_path / "second", **settings).contents() == first.contents()
    monkeypatch.undo()
    dropped = [row for row in first.ledger if row["rule"] == "diversity.similarity"]
    whole = [row for row in curated(tmp_path / "whole", **settings).ledger if row["rule"] == "diversity.similarity"]
    assert 0 < len(dropped) < len(whole)  # neighbours in different slices are not seen


def test_the_seed_reaches_the_choice(tmp_path: Path, reference: dict[str, bytes]):
    other = curated(tmp_path / "x", **EVERYTHING | {"seed": 6}).contents()
    ledger = "ledger/records-00000.parquet"
    assert other[ledger] != reference[ledger]


CHANGES: list[dict[str, Any]] = [
    {
        "seed": 9, "quality": {"weights": {"substance": 1.0}}, "mix": None,
        "balance": {"edges": [20], "target": {"like": "beta"}, "remain": "70 %"},
        "best": {"size": "20 rows", "by": "difficulty", "per": "cluster"},
    },
    {
        "balance": {"by": "answer_characters", "edges": [100], "per": "task"},
        "diversity": {"max_opening": "10 %", "max_verb_noun": "5 rows", "clusters": 3, "similarity": 0.9},
        "best": {"size": "20 rows", "by": "answer_words", "similarity": None, "per": "task"},
        "release": {"curriculum": STAGES[1:], "splits": {}},
    },
]  # fmt: skip


def test_another_threshold_opens_no_text_again(tmp_path: Path):
    run(write_recipe(tmp_path, content(), **EVERYTHING), tmp_path / "out")
    for number, change in enumerate(CHANGES):
        recipe = write_recipe(tmp_path, content(), version=f"1.0.{number + 1}", **EVERYTHING | change)
        with pytest.MonkeyPatch.context() as patch:
            no_reading(patch)
            patch.setattr(ingest, "ingest_split", None)
            again = run(recipe, tmp_path / "out")
        assert again.manifest.digest() == again.manifest.release_digest
    # What was reused is what a first run would have made.
    assert run(recipe, tmp_path / "fresh").contents() == again.contents()


def test_another_embedding_reads_no_file_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run(write_recipe(tmp_path, content(), **EVERYTHING), tmp_path / "out")
    no_reading(monkeypatch)
    diversity = EVERYTHING["diversity"] | {"text": "response", "embedding": {"dimensions": 64}}
    changed = EVERYTHING | {"diversity": diversity, "version": "1.0.1"}
    assert run(write_recipe(tmp_path, content(), **changed), tmp_path / "out").rows()
