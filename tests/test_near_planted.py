"""Near deduplication of a planted set, through the whole pipeline, judged by the ledger.

Precision at least 99 %, recall at least 98 % of pairs at the stated similarity or above, no pair in the ledger below
it, at least 95 % of a template kept, equal short texts merged and different ones never.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines import graphs
from schemas.errors import GristmillError
from tests.planted import EXACT, Found, Planted, compare, jaccard, plant, real_texts
from tests.recipes import Published, Row, chat, run, write_recipe
from transforms import components

SOURCES_OF_PAIRS = {"random", "exact", "cjk"}


def release_of(planted: Planted, folder: Path, similarity: float, **settings: Any) -> Published:
    folder.mkdir(exist_ok=True)
    dedup = {"near": {"similarity": similarity, "recall": "99 %"}}
    # No filters: a short text may be all answer and no question here.
    return run(write_recipe(folder, planted.rows(), filters={}, dedup=dedup, **settings), folder / "out")


def check(found: Found) -> None:
    assert found.precision >= 0.99
    assert found.below == 0
    assert found.recall >= 0.98
    for source, asked in found.asked.items():
        assert found.found[source] >= 0.95 * asked > 0, source


def verdicts(release: Published) -> list[tuple[Any, ...]]:
    names = ("source", "index", "id", "verdict", "rule", "value", "representative")
    return [tuple(row[name] for name in names) for row in release.ledger]


@pytest.mark.parametrize("similarity", EXACT)
def test_what_is_planted(similarity):
    planted = plant(similarity, 600, 1000)
    assert set(planted.pairs) == SOURCES_OF_PAIRS
    values = np.array([value for pairs in planted.pairs.values() for _, _, value in pairs])
    assert (np.histogram(values, np.arange(0.5, 1, 0.05))[0] > 5).all(), "pairs on both sides of every threshold"
    assert {value for _, _, value in planted.pairs["exact"]} == {similarity}
    template, generator = planted.texts["template"], np.random.default_rng(3)
    between = [jaccard(template[a], template[b]) for a, b in generator.integers(1000, size=(1500, 2)) if a != b]
    assert 0.4 < min(between) < 0.5 < 0.6 < max(between) < 0.7


@pytest.mark.parametrize(
    ("similarity", "pairs", "template_rows"),
    [
        pytest.param(0.7, 900, 1000, id="0.7"),
        pytest.param(0.8, 3000, 10_000, id="0.8", marks=pytest.mark.slow),
        pytest.param(0.9, 900, 1000, id="0.9"),
    ],
)
def test_planted_set(tmp_path, similarity, pairs, template_rows):
    planted = plant(similarity, pairs, template_rows)
    found = compare(planted, release_of(planted, tmp_path, similarity), similarity)
    check(found)
    assert found.dropped > pairs / 8, "too few pairs to judge by"
    assert found.template_kept >= 0.95
    assert found.short_kept == found.short_classes > 80
    assert found.short_merged_wrongly == 0


@pytest.mark.needs_shared
def test_real_texts(tmp_path, shared):
    planted = Planted()
    planted.add_pairs("real", real_texts(shared / "data", 750))
    found = compare(planted, release_of(planted, tmp_path, 0.8), 0.8)
    check(found)
    assert found.dropped > 150


def test_rounds_over_parts_decide_as_one_merge_does(tmp_path, monkeypatch):
    planted = plant(0.8, 300, 300)
    merged = release_of(planted, tmp_path / "merged", 0.8)
    monkeypatch.setattr(graphs, "ONE_WORKER", 0)
    monkeypatch.setattr(graphs, "ROUNDS", 3)
    in_rounds = release_of(planted, tmp_path / "rounds", 0.8, ingest={"split": "64 KiB", "block": "16 KiB"})
    assert verdicts(in_rounds) == verdicts(merged)
    assert any(rule == "near.whole" for _, _, _, _, rule, _, _ in verdicts(merged))


def test_too_few_rounds_stop_the_run(tmp_path, monkeypatch):
    # Each record has 19 windows and shares 18 of them with the next: groups are paths, as long as luck has it.
    words = [f"w{number}" for number in range(600)]
    planted = Planted({"path": [" ".join(words[start : start + 23]) for start in range(577)]})
    monkeypatch.setattr(graphs, "ONE_WORKER", 0)
    monkeypatch.setattr(graphs, "ROUNDS", 1)
    with pytest.raises(GristmillError, match="records are not yet grouped"):
        release_of(planted, tmp_path / "one", 0.8)
    monkeypatch.setattr(graphs, "ROUNDS", components.ROUNDS)
    release = release_of(planted, tmp_path / "all", 0.8)
    assert sum(row["verdict"] == "kept" for row in release.ledger) < 577


def test_a_source_of_nothing_but_copies(tmp_path):
    rows: list[Row] = [
        chat(f"What is {n} times {n}, if you please?", f"It is {n * n}, if I am not mistaken.") for n in range(5)
    ]
    files = {"a": {"rows.jsonl": rows}, "b": {"rows.jsonl": rows}}
    recipe = write_recipe(tmp_path, files, {"a": {"priority": 1}})
    left = [(row["source"], row["verdict"]) for row in run(recipe, tmp_path / "out").ledger]
    assert left == [("a", "dropped")] * 5 + [("b", "kept")] * 5
