"""datasketch's own MinHash and LSH find no near duplicate in a release, and find those that were left on purpose."""

from pathlib import Path

import pytest

from pipelines.second_opinion import near_duplicates
from schemas.errors import GristmillError
from tests.recipes import Published, Row, chat, run, write_recipe

WORDS = [f"word{number}" for number in range(400)]


def rows() -> list[Row]:
    """Ten different texts of 80 words, and a copy of each with its last word changed (Jaccard 75/77 = 0.97)."""
    texts = [WORDS[30 * start : 30 * start + 80] for start in range(10)]
    texts = [[*text, str(number)] for number, text in enumerate(texts)]
    changed = [[*text[:-1], "z"] for text in texts]
    return [chat("q", " ".join(text)) for text in [*texts, *changed]]


def release(folder: Path, near: dict[str, object]) -> Published:
    recipe = write_recipe(folder, {"a": {"x.jsonl": rows()}}, dedup={"near": near})
    return run(recipe, folder / "out")


def test_nothing_is_left_after_near_dedup(tmp_path: Path) -> None:
    made = release(tmp_path, {"similarity": 0.8})
    assert made.manifest.sources["a"].kept == 10
    assert list(near_duplicates(made.path, made.manifest)) == []


def test_what_a_stricter_threshold_left_is_found(tmp_path: Path) -> None:
    made = release(tmp_path, {"similarity": 0.99})
    assert made.manifest.sources["a"].kept == 20
    scheme = dict(made.manifest.near_dedup or {}) | {"similarity": 0.9}
    found = list(near_duplicates(made.path, made.manifest.model_copy(update={"near_dedup": scheme})))
    assert found[-1] == "near duplicates: 10 pairs in all"
    assert "are both released at similarity 0.97" in found[0]


def test_a_release_without_near_dedup_is_refused(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, {"a": {"x.jsonl": rows()}}, dedup={"near": None})
    made = run(recipe, tmp_path / "out")
    with pytest.raises(GristmillError, match="without near deduplication"):
        list(near_duplicates(made.path, made.manifest))
