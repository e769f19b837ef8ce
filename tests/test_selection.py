"""A run with every section at once: each verdict, count and column of the release says the truth."""

from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.verify import verify
from tests.recipes import Published
from tests.selections import EVERYTHING, SIMILARITY, STAGES, Followed, Measured, content, curated
from transforms.annotate.tags import TASKS
from transforms.release import stage_of

WEIGHTS = EVERYTHING["quality"]["weights"]


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Published:
    return curated(tmp_path_factory.mktemp("selection") / "x", **EVERYTHING)


@pytest.fixture(scope="module")
def measured() -> Measured:
    return Measured.of(content(), WEIGHTS, EVERYTHING["seed"])


@pytest.fixture(scope="module")
def ways(release: Published, measured: Measured) -> Followed:
    return Followed(release, measured)


def test_the_release_verifies_and_every_stage_had_work(release: Published, ways: Followed):
    assert verify(release.path) == []
    for rule in ways.rules:
        if rule not in ("best.similarity", "mix.target"):
            assert ways.gone(rule), f"the rows no longer exercise {rule}"
    assert len({path for path in release.contents() if path.startswith("data/train")}) > len(STAGES)


def test_no_record_vanishes_between_stages(release: Published):
    for name, account in release.manifest.sources.items():
        left = account.records
        mine = [row for row in release.ledger if row["source"] == name]
        assert list(account.stages) == [
            "ingest", "filter", "exact_dedup", "near_dedup", "balance", "diversity", "best", "released"
        ]  # fmt: skip
        for stage in ("filter", "exact_dedup", "near_dedup", "balance", "diversity", "best"):
            gone = Counter(row["rule"] for row in mine if row["stage"] == stage)
            assert gone == {rule: n for rule, n in account.dropped.items() if stage_of(rule) == stage}
            left -= sum(gone.values())
            assert account.stages[stage].rows == left
        assert account.stages["released"].rows == sum(row["copies"] for row in mine)
    costs = release.manifest.selection.steps
    assert [one.stage for one in costs] == [
        "balance", "cap opening", "cap verb noun", "distance", "cluster quotas", "best"
    ]  # fmt: skip
    for one, following in pairwise(costs):
        assert (one.rows_after, one.words_after, one.quality_after) == (
            following.rows_before, following.words_before, following.quality_before
        )  # fmt: skip
    assert costs[-1].rows_after == sum(account.stages["best"].rows for account in release.manifest.sources.values())


def test_balance_gives_each_bin_its_target(release: Published, ways: Followed, measured: Measured):
    edges = EVERYTHING["balance"]["edges"]
    bins = [0, *edges]
    told = {(row.owner, row.least): row for row in release.manifest.selection.lengths}
    bins_of = [max(edge for edge in bins if edge <= words) for words in measured.columns["answer_words"]]
    for owner in content():
        for least in bins:
            mine = [n for n, row in enumerate(ways.rows) if (row["source"], bins_of[n]) == (owner, least)]
            row = told.get((owner, least))
            assert (row.held if row else 0) == len(mine)
            gone = [n for n in mine if ways.rows[n]["rule"] == "balance.length"]
            assert len(gone) == max(0, row.held - row.target if row else 0)
            for n in gone:
                assert row is not None
                assert (ways.rows[n]["value"], ways.rows[n]["threshold"]) == (row.held, row.target)


@pytest.mark.parametrize(("column", "most"), [("opening", 24), ("verb_noun", 0.18)])
def test_caps_hold_and_the_best_of_each_key_stay(ways: Followed, measured: Measured, column: str, most: Any):
    rule = f"diversity.{column}"
    before = ways.before(rule)
    cap = most if most > 1 else int(most * len(before))
    by_key: dict[int, list[int]] = {}
    for n in before:
        by_key.setdefault(int(measured.columns[column][n]), []).append(n)
    gone = [
        n
        for key, mine in by_key.items()
        if key
        for n in sorted(mine, key=lambda n: (measured.columns["order"][n], n))[cap:]
    ]
    assert sorted(gone) == ways.gone(rule)
    for n in gone:
        assert ways.rows[n]["value"] == len(by_key[int(measured.columns[column][n])]) > ways.rows[n]["threshold"] == cap


def test_who_goes_for_a_near_one_is_near_to_one_that_stays(release: Published, ways: Followed, measured: Measured):
    order = measured.columns["order"]
    for rule, similarity in (("diversity.similarity", SIMILARITY), ("best.similarity", 0.8)):
        stays = ways.after(rule)
        for n in ways.gone(rule):
            other = ways.at[ways.rows[n]["representative"]]
            assert other in stays
            found = float(measured.vectors[n] @ measured.vectors[other])
            assert ways.rows[n]["value"] == pytest.approx(found, abs=1e-6)
            assert ways.rows[n]["value"] >= ways.rows[n]["threshold"] == similarity
            assert order[other] < order[n] or rule == "best.similarity"  # of another source, walked before
    assert all(ways.rows[n]["representative"] is None for n in ways.gone("best.size") + ways.gone("diversity.cluster"))
    cluster = {ways.at[row["id"]]: row["cluster"] for row in [*release.rows(), *release.rows("validation")]}
    for one in cluster:
        for other in cluster:
            if one < other and cluster[one] == cluster[other]:
                assert measured.vectors[one] @ measured.vectors[other] <= SIMILARITY + 1e-6


def test_clusters_give_what_they_are_asked_for(release: Published, ways: Followed):
    told = release.manifest.selection.clusters
    gone = Counter((ways.rows[n]["value"], ways.rows[n]["threshold"]) for n in ways.gone("diversity.cluster"))
    asked: Counter[tuple[float, float]] = Counter()
    for row in told:
        assert row.kept <= row.held
        asked[row.held, row.kept] += row.held - row.kept
        assert row.words
    assert gone == +asked
    assert sum(row.held for row in told) == len(ways.before("diversity.cluster"))
    assert (
        sum(row.kept for row in told)
        == len(ways.after("diversity.cluster"))
        == round(0.8 * sum(row.held for row in told))
    )


def test_the_best_of_each_source_stay(ways: Followed, measured: Measured):
    scores = measured.columns["quality"]
    assert len(ways.after("best.size")) == 60
    for source in content():
        kept = [n for n in ways.after("best.size") if ways.rows[n]["source"] == source]
        lowest = min(scores[kept])
        for n in ways.gone("best.size"):
            if ways.rows[n]["source"] == source:
                assert ways.rows[n]["value"] == pytest.approx(scores[n])
                assert ways.rows[n]["threshold"] == pytest.approx(lowest, abs=2e-6)
                assert scores[n] <= lowest


def test_the_mix_counts_what_balance_repeats(release: Published, ways: Followed):
    table = {row.source: row for row in release.manifest.mix}
    copies: Counter[str] = Counter()
    for row in ways.rows:
        copies[row["source"]] += row["copies"]
    for name, told in table.items():
        mine = [ways.rows[n] for n in ways.after("best.size") if ways.rows[n]["source"] == name]
        assert len(mine) <= told.available <= 2 * len(mine)
        assert abs(told.got - told.target) <= 1  # half of the heaviest record, which weighs two
        assert told.got == copies[name]
        assert max(one["copies"] for one in mine) <= 2 * 2
    assert Counter(row["id"] for split in ("train", "validation") for row in release.rows(split)) == {
        row["id"]: row["copies"] for row in ways.rows if row["copies"]
    }


def test_rows_stand_in_the_order_of_the_curriculum(release: Published, ways: Followed, measured: Measured):
    for split in ("train", "validation"):
        rows = release.rows(split)
        stages = [row["stage"] for row in rows]
        assert stages == sorted(stages)
        for row in rows:
            easy = row["difficulty"] <= np.float32(0.3) and measured.columns["answer_words"][ways.at[row["id"]]] <= 20
            assert row["stage"] == (0 if easy else 1 if row["source"] in ("alpha", "beta") else 2)
    assert set(stages) <= {0, 1, 2}
    assert {row["stage"] for row in release.rows()} == {0, 1, 2}


def test_released_columns_are_what_was_measured(release: Published, ways: Followed, measured: Measured):
    seen: dict[str, set[int]] = {}
    for row in [*release.rows(), *release.rows("validation")]:
        n = ways.at[row["id"]]
        assert row["quality"] == np.float32(measured.columns["quality"][n])
        assert row["difficulty"] == np.float32(measured.columns["difficulty"][n])
        assert row["task"] == TASKS[measured.columns["task"][n]].replace("_", "-")
        assert 0 <= row["cluster"] < 5
        seen.setdefault(row["id"], set()).add(row["copy"])
        assert row["supervised_tokens"] is row["tokens"] is None
    assert all(copies == set(range(len(copies))) for copies in seen.values())


def test_a_released_column_is_null_when_nothing_asks_for_it(tmp_path: Path):
    plain = curated(tmp_path / "plain", dedup={"near": None})
    assert not plain.manifest.selection.steps
    assert not plain.manifest.selection.portrait
    for row in plain.rows():
        assert row["quality"] is row["difficulty"] is row["cluster"] is row["stage"] is row["task"] is None
    asked = curated(tmp_path / "asked", dedup={"near": None}, tags=True, quality={})
    assert verify(asked.path) == []
    for row in asked.rows():
        assert 0 < row["quality"] <= 1
        assert 0 <= row["difficulty"] <= 1
        assert row["task"] in {name.replace("_", "-") for name in TASKS}
        assert row["cluster"] is row["stage"] is None
