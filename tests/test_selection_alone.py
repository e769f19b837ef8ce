"""Each section of selection by itself, what they leave in odd cases, and a mistake told in one sentence."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pipelines.verify import verify
from schemas.errors import GristmillError
from tests.recipes import Published, Row, chat, published, run, write_recipe
from tests.selections import STAGES, Measured, content, curated, nearest

PLAIN: dict[str, Any] = {"seed": 3, "dedup": {"near": None}}
ROWS = sum(len(rows) for files in content().values() for rows in files.values())


def rules(release: Published) -> Counter[str]:
    return Counter(row["rule"] for row in release.ledger if row["verdict"] == "dropped")


@pytest.mark.parametrize(
    ("section", "settings", "gone"),
    [
        ("balance", {}, {"balance.length"}),
        (
            "balance",
            {"per": "all", "target": ["20 %"] * 5, "edges": [8, 20, 40, 80], "max_epochs": 3},
            {"balance.length"},
        ),
        ("diversity", {}, set()),
        ("diversity", {"max_opening": "3 rows"}, {"diversity.opening"}),
        ("diversity", {"max_verb_noun": "10 %", "order": "answer_words"}, {"diversity.verb_noun"}),
        ("diversity", {"similarity": 0.6}, {"diversity.similarity"}),
        ("diversity", {"quota": ["60 %", "40 %"], "clusters": 2}, {"diversity.cluster"}),
        ("diversity", {"quota": "equal", "clusters": 4096}, {"diversity.cluster"}),  # more than there are prompts
        ("best", {"size": "30 rows"}, {"best.size"}),
        ("best", {"size": "30 rows", "per": "cluster", "by": "evol"}, {"best.size"}),
        ("best", {"size": "1 rows", "similarity": None, "per": "task"}, {"best.size"}),
        ("release", {"curriculum": STAGES}, set()),
    ],
)
def test_a_section_by_itself(tmp_path: Path, section: str, settings: dict[str, Any], gone: set[str]):
    release = curated(tmp_path / "x", **PLAIN | {section: settings})
    assert verify(release.path) == []
    assert set(rules(release)) - {"best.similarity"} == gone
    kept = [row for row in release.ledger if row["verdict"] == "kept"]
    assert len(kept) + rules(release).total() == ROWS
    if section == "best":
        assert len(kept) == int(settings["size"].split()[0])
    if "max_opening" in settings:
        assert max(Counter(" ".join(row["messages"][1]["content"].split()[:3]) for row in release.rows()).values()) == 3


@pytest.mark.parametrize("mix", [None, {"unit": "characters", "shares": {"alpha": "50 %", "beta": "50 %"}}])
def test_a_bin_with_too_few_is_repeated(tmp_path: Path, mix: dict[str, Any] | None):
    balance = {"edges": [8, 40], "remain": "100 %", "max_epochs": 2, "per": "all"}
    release = curated(tmp_path / "x", **PLAIN, balance=balance, mix=mix)
    assert verify(release.path) == []
    measured = Measured.of(content(), {}, PLAIN["seed"])
    told = release.manifest.selection.lengths
    assert any(row.target > row.held for row in told)
    records = [row for row in release.ledger if row["rule"] != "balance.length"]
    if mix is None:
        assert all(1 <= row["copies"] <= 2 for row in records)
        words = dict(zip(measured.place, measured.columns["answer_words"].tolist(), strict=True))
        for row in told:
            mine = [one for one in records if row.least <= words[one["source"], one["file"], one["index"]]]
            above = sum(other.target for other in told if other.least >= row.least)
            assert sum(one["copies"] for one in mine) == above
        return
    characters = {row["id"]: row["characters"] for row in release.rows()}
    for source in release.manifest.mix:
        mine = [one for one in records if one["source"] == source.source and one["copies"]]
        assert source.got == sum(one["copies"] * characters[one["id"]] for one in mine)
        assert abs(source.got - source.target) <= max(
            (characters[one["id"]] for one in mine), default=0
        )  # half of two copies


def test_the_best_are_those_of_the_walk_over_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """However few candidates are looked at first."""
    measured = Measured.of(content(), {}, PLAIN["seed"])
    kept: list[int] = []
    for n in measured.columns["order"].argsort(kind="stable").tolist():
        if len(kept) < 40 and nearest(measured.vectors, n, kept, 0.3) is None:
            kept.append(n)
    for first in (1, 100):
        monkeypatch.setattr("pipelines.steps.BIN_BEST", first)
        release = curated(tmp_path / str(first), **PLAIN, best={"size": f"{len(kept)} rows", "similarity": 0.3})
        assert [n for n, row in enumerate(release.ledger) if row["verdict"] == "kept"] == sorted(kept)


def test_what_a_source_cannot_give_the_others_give(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Because it has too few, or because they are too near to each other."""
    files = content()
    files["alpha"] = {
        "a.jsonl": [chat("What does the mill grind today?", f"Answer number {n} of it") for n in range(40)]
    }
    best = {"size": "45 rows", "per": "source", "similarity": 0.95}
    release = curated(tmp_path / "x", files, **PLAIN, best=best)
    assert Counter(row["source"] for row in release.rows()) == {"alpha": 1, "beta": 22, "gamma": 22}
    assert "could be had" not in capsys.readouterr().err


def test_more_than_there_is_warns_and_keeps_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    release = curated(tmp_path / "x", **PLAIN, best={"size": "1000 rows", "similarity": None})
    assert len(release.rows()) == ROWS
    assert f"best: 1,000 rows were asked for and {ROWS} could be had" in " ".join(capsys.readouterr().err.split())


ODD: list[Row] = [
    {"messages": [{"role": "assistant", "content": "Only an answer"}]},
    chat("...", "!!"),
    chat("", ""),
    {"messages": [{"role": "system", "content": "Be kind"}, {"role": "assistant", "content": "磨坊"}]},
    {"messages": [{"role": "user", "content": "Hm"}, {"role": "assistant", "content": ""}]},
    *(chat("Say a word to me", f"word{n}") for n in range(4)),
]


def test_records_without_words_prompts_or_scores_are_selected_among(tmp_path: Path):
    settings: dict[str, Any] = {
        "filters": {}, "tags": True, "balance": {"edges": [1], "remain": "100 %"},
        "diversity": {"clusters": 3, "similarity": 0.9, "quota": "sqrt", "remain": "100 %", "max_opening": "5 rows",
                      "max_verb_noun": "5 rows", "order": "quality"},
        "best": {"size": "8 rows", "per": "task"}, "release": {"curriculum": STAGES[:1] + STAGES[2:]},
    }  # fmt: skip
    release = curated(tmp_path / "x", {"odd": {"a.jsonl": ODD}}, **PLAIN | settings)
    assert verify(release.path) == []
    # Texts without words are near to nothing; of four with one prompt one stays.
    assert rules(release) == {"diversity.similarity": 3}
    assert {row["quality"] for row in release.rows()} > {None}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"balance": {"remain": "0 %"}}, f"balance: none of {ROWS} records is left"),
        ({"diversity": {"quota": "equal", "remain": "0 %"}}, f"cluster quotas: none of {ROWS} records is left"),
        ({"filters": {"length": {"words": {"min": 9999}}}, "best": {"size": "5 rows"}}, "no record to release; loosen"),
        ({"filters": {"length": {"words": {"min": 9999}}}, "diversity": {"similarity": 0.5}}, "no record to release"),
    ],
)
def test_a_stage_that_leaves_nothing_says_so(tmp_path: Path, settings: dict[str, Any], said: str):
    with pytest.raises(GristmillError) as stopped:
        curated(tmp_path / "x", **PLAIN | settings)
    assert said in str(stopped.value)
    assert published(tmp_path / "x" / "out") == []


def test_a_model_of_lengths_that_has_nothing_left(tmp_path: Path):
    files = content() | {"gamma": {"a.jsonl": [chat("", "")]}}
    with pytest.raises(GristmillError, match=r"balance\.target: .*'gamma', which has no rows left"):
        curated(tmp_path / "x", files, **PLAIN, balance={"target": {"like": "gamma"}})


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"best": {"size": "9 rows", "per": "source", "shares": {"bta": "100 %"}}},
            "best.shares names 'bta', which is no",
        ),
        ({"best": {"size": "9 rows", "shares": {"beta": "100 %"}}}, "set per: source"),
        ({"best": {"size": "9 rows", "per": "source", "shares": {"beta": "90 %"}}}, "shares add up to 90 %"),
        ({"best": {"size": "9 tokens"}}, "size 9 tokens must be rows"),
        (
            {"best": {"size": "9 rows", "by": "qualty"}},
            "'qualty' shall decide who comes first, but nothing measures it",
        ),
        (
            {"best": {"size": "9 rows", "by": "reward"}},
            "'reward' shall decide who comes first, but no model gives it; add scores.reward",
        ),
        ({"best": {"size": "9 rows", "by": "index"}}, "'index' shall decide"),  # goes by how the work was divided
        ({"best": {"size": "9 rows", "by": "tokens"}}, "'tokens' shall decide"),  # no tokenizer, no tokens
        ({"diversity": {"order": "fluency", "max_opening": "2 rows"}}, "'fluency' shall decide"),
        ({"quality": {"weights": {"fluency": 1.0}}}, "quality.weights: unknown component 'fluency'"),
        ({"quality": {"weights": {"form": float("inf")}}}, "quality.weights.form"),
        ({"balance": {"edges": [20, 8]}}, "edges [20, 8] must ascend"),
        ({"balance": {"target": ["50 %"] * 6}}, "target adds up to 300 %, not 100 %"),
        ({"balance": {"target": {"like": "delta"}}}, "names 'delta', which is no source"),
        ({"balance": {"target": {"like": "beta"}, "per": "all"}}, "set per: source"),
        ({"balance": {"by": "answer_tokens"}}, "set tokenizer"),
        (
            {"release": {"curriculum": [{"name": "a", "tasks": ["codin"]}]}},
            "unknown task 'codin'; did you mean 'coding'?",
        ),
        ({"release": {"curriculum": [{"name": "a", "sources": ["delta"]}]}}, "'delta', which is no source"),
        ({"release": {"curriculum": [{"name": "a", "sources": ["alpha"]}, {"name": "a"}]}}, "the same name"),
        ({"diversity": {"embedding": {"model2vec": "absent"}, "similarity": 0.5}}, "absent is no folder"),
    ],
)
def test_a_mistake_is_told_before_work_starts(tmp_path: Path, settings: dict[str, Any], said: str):
    with pytest.raises(GristmillError) as refused:
        run(write_recipe(tmp_path, content(), **settings), tmp_path / "out")
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "out" / ".gristmill" / "corpus").exists()


def test_benchmarks_of_which_nothing_is_found_leave_all(tmp_path: Path):
    """The common case: clean data. Nothing is convicted, and the report says so."""
    (tmp_path / "bench.jsonl").write_text('{"question": "Which colour has the left boot of a one-legged heron?"}\n')
    release = curated(tmp_path / "x", **PLAIN, decontaminate={"benchmarks": [str(tmp_path / "bench.jsonl")]})
    assert verify(release.path) == []
    assert [(row.items, row.found) for row in release.manifest.selection.benchmarks] == [(1, 0)]
    assert not any(row["stage"] == "decontaminate" for row in release.ledger)


def test_a_contaminated_record_names_the_item(tmp_path: Path):
    question = "Which colour has the left boot of a one-legged heron on a windy Tuesday in Tromsø?"
    write_rows: list[Row] = [
        chat(f"Please answer: {question}", "Red."),
        chat("How many mills stand by the river?", "Three."),
    ]
    (tmp_path / "bench.jsonl").write_text(json.dumps({"question": question}) + "\n", encoding="utf-8")
    path = write_recipe(tmp_path, {"a": {"x.jsonl": write_rows}}, decontaminate={"benchmarks": ["bench.jsonl"]})
    release = run(path, tmp_path / "out")
    assert verify(release.path) == []
    (gone,) = [row for row in release.ledger if row["verdict"] == "dropped"]
    assert (gone["index"], gone["stage"], gone["representative"]) == (0, "decontaminate", "bench 0")
    assert gone["rule"].startswith("decontaminate.")
    (row,) = release.manifest.selection.benchmarks
    assert (row.benchmark, row.found, row.dropped) == ("bench", 1, {"a": 1})
