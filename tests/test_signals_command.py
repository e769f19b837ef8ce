"""``gristmill signals``: its numbers against a plain count, what a threshold would drop against a real run, examples at
the edge, other thresholds for every filter's rules, mistakes, and hostile names and texts."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from pipelines.cli import main
from pipelines.figures import share, short
from pipelines.job import prepare
from pipelines.report import Report
from pipelines.rule_examples import one_line, shortened
from pipelines.rule_setting import inspect
from pipelines.signal_measures import QUANTILES, quantiles
from pipelines.signal_table import print_facts
from pipelines.signals import Asked, Facts, signals, write_json
from schemas.errors import GristmillError
from tests.recipes import Row, chat, run, write_recipe
from transforms.filters import FILTERS

WORDS = [1, 1, 2, 3, 5, 8, 13, 21, 34, 55]


def answers(tag: str, lengths: list[int] = WORDS) -> list[Row]:
    """Rows with answers of so many words."""
    return [chat(f"Question {n} of {tag}?", " ".join(f"{tag}{n}w{w}" for w in range(k))) for n, k in enumerate(lengths)]


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    files: dict[str, dict[str, list[Row]]] = {
        "long": {"x.jsonl": answers("l", [40, 50, 60, 70])},
        "short": {"x.jsonl": answers("s"), "y.jsonl": answers("t", [2, 4])},
    }
    return write_recipe(
        tmp_path, files, tags=True, quality={}, filters={"empty": {}, "length": {"answer_words": {"max": 50}}}
    )


def look(recipe: Path, out: Path, **asked: Any) -> Facts:
    return signals(recipe, out / ".gristmill", 1, Asked(**asked), Report(quiet=True))


def said(facts: Facts, width: int = 80) -> str:
    console = Console(width=width, soft_wrap=True, emoji=False, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    print_facts(facts, console)
    return console.export_text()


def test_numbers_are_those_of_a_plain_count(recipe: Path, tmp_path: Path):
    plain = look(recipe, tmp_path / "out").plain()
    found = plain["signals"]["answer_words"]
    for source, lengths in (("long", [40, 50, 60, 70]), ("short", [*WORDS, 2, 4])):
        one = found["sources"][source]
        assert (one["rows"], one["of"], one["min"], one["max"]) == (len(lengths),) * 2 + (min(lengths), max(lengths))
        assert one["mean"] == pytest.approx(np.mean(lengths), rel=1e-5)
        expected = np.quantile(lengths, QUANTILES, method="inverted_cdf").tolist()
        assert list(one["quantiles"].values()) == expected
    assert found["all"]["rows"] == plain["records"] == 16
    assert plain["sources"] == {"long": 4, "short": 12}
    assert sum(plain["signals"]["task"]["all"]["counts"].values()) == 16
    assert 0 < plain["signals"]["quality"]["all"]["mean"] <= 1
    assert "tokens" not in plain["signals"]  # nobody counted them
    assert not {"id", "exact_key", "index", "part"} & set(plain["signals"])
    assert plain["quantiles_of_rows"] == 16


def test_nothing_is_published_and_curate_goes_on_from_there(recipe: Path, tmp_path: Path):
    look(recipe, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".gristmill"]
    assert list((tmp_path / "out").rglob("runs/*")) == []
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / ".gristmill" / "corpus").rglob("*.arrow")}
    run(recipe, tmp_path / "out")
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())


def test_what_rules_drop(recipe: Path, tmp_path: Path):
    plain = look(recipe, tmp_path / "out").plain()
    rule = plain["rules"]["length.answer_words.max"]
    assert (rule["threshold"], rule["alone"], rule["first"]) == (50, 3, 3)
    assert {name: one["alone"] for name, one in rule["sources"].items()} == {"long": 2, "short": 1}
    assert plain["dropped_by_filters"] == 3


@pytest.mark.parametrize("bound", [0, 1, 8, 40, 69, 1000])
def test_another_threshold_drops_what_a_run_with_it_drops(tmp_path: Path, bound: int):
    files: dict[str, dict[str, list[Row]]] = {"a": {"x.jsonl": [*answers("a"), chat("Why?", "")]}}
    recipe = write_recipe(tmp_path, files, dedup={"exact": None, "near": None})
    facts = look(recipe, tmp_path / "out", rule="length.answer_words.max", threshold=float(bound))
    assert facts.rule is not None
    told = facts.plain()["rule"]
    assert told["threshold_of_recipe"] is None
    recipe = write_recipe(
        tmp_path, files, dedup={"exact": None, "near": None},
        filters={"empty": {}, "undesirable": {}, "length": {"answer_words": {"max": bound}}, "repetition": {}, "roles": {},
                 "template_tokens": {}},
    )  # fmt: skip
    if bound == 0:
        assert told["drops"]["alone"] == 10
        return  # nothing is left to release
    ledger = run(recipe, tmp_path / "out").ledger
    assert told["drops"]["first"] == sum(row["rule"] == "length.answer_words.max" for row in ledger)
    assert told["dropped_by_filters"] == sum(row["stage"] == "filter" and row["verdict"] == "dropped" for row in ledger)


def test_the_curve_is_exact_and_falls(recipe: Path, tmp_path: Path):
    facts = look(recipe, tmp_path / "out", rule="length.answer_words.max")
    lengths = [40, 50, 60, 70, *WORDS, 2, 4]
    curve = facts.plain()["rule"]["curve"]
    assert len(curve) > 5
    for point in curve:
        assert point["dropped"] == sum(length > point["threshold"] for length in lengths)
    assert [point["threshold"] for point in curve] == sorted(point["threshold"] for point in curve)


def test_examples_lie_at_the_edge(recipe: Path, tmp_path: Path):
    facts = look(recipe, tmp_path / "out", rule="length.answer_words.max", threshold=30.0, examples=2)
    found = facts.plain()["rule"]["examples"]
    assert [one["value"] for one in found["just dropped"]] == [34, 40]
    assert [one["value"] for one in found["just kept"]] == [21, 13]
    assert {one["value"] for one in found["drawn"]} <= {50, 55, 60, 70}
    first = found["just dropped"][0]
    assert (first["source"], first["place"], first["prompt"]) == ("short", "x.jsonl:8", "Question 8 of s?")
    assert first["answer"].startswith("s8w0 s8w1")
    assert "34  short  x.jsonl:8" in said(facts)
    lower = look(recipe, tmp_path / "out", rule="length.answer_words.min", threshold=3.0, examples=2)
    found = lower.plain()["rule"]["examples"]
    assert [one["value"] for one in found["just dropped"]] == [2, 2]
    assert [one["value"] for one in found["just kept"]] == [3, 4]
    none = look(recipe, tmp_path / "out", rule="length.answer_words.max", threshold=500.0, examples=1)
    assert [one["value"] for one in none.plain()["rule"]["examples"]["just kept"]] == [70]


def test_a_content_that_stands_often_is_one_example(tmp_path: Path):
    rows: list[Row] = [*[chat("Same?", "one two three")] * 50, chat("Other?", "one two three four")]
    files = {"a": {"x.jsonl": rows}}
    recipe = write_recipe(tmp_path, files)
    facts = look(recipe, tmp_path / "out", rule="length.answer_words.max", threshold=2.0)
    assert [one["value"] for one in facts.plain()["rule"]["examples"]["just dropped"]] == [3, 4]


def test_a_flag_has_no_other_threshold(tmp_path: Path):
    recipe = write_recipe(tmp_path, {"a": {"x.jsonl": [chat("Why?", "Because.", label=n > 1) for n in range(4)]}})
    facts = look(recipe, tmp_path / "out", rule="undesirable.label")
    assert facts.rule is not None
    assert facts.rule.inspected.setting is None
    assert "has no other threshold" in said(facts)
    assert "what other bounds would drop" not in said(facts)
    with pytest.raises(GristmillError, match="no other threshold"):
        look(recipe, tmp_path / "out", rule="undesirable.label", threshold=3.0)


SETTINGS = {
    "echo.quoted_words": "echo.quoted_words",
    "language.not_allowed": "language.min_score",
    "length.words.min": "length.words.min",
    "pii.card": "pii.max.card",
    "placeholders.count": "placeholders.count",
    "python_code.broken": "python_code.max_broken",
    "roles.user_runs": "roles.user_runs",
    "roles.closing_tools": "roles.closing_tools",
    "scores.quality.min": "scores.quality.min",
    "script.han.max": "script.max.han",
    "tags.task.coding": "tags.confidence",
    "tags.difficulty.max": "tags.difficulty.max",
    "urls.share": "urls.share",
}


def test_settings_are_found_behind_rules(tmp_path: Path):
    """Also where rule and setting have other names, and where the recipe does not set them."""
    filters = {"language": {"allow": ["en"]}, "tags": {"tasks": {"drop": ["coding"]}}, "empty": {}}
    job = prepare(write_recipe(tmp_path, {"a": {"x.jsonl": answers("a")}}, filters=filters))
    for rule, place in SETTINGS.items():
        if rule.partition(".")[0] in FILTERS:
            found = inspect(job, rule, 1.0)
            assert found.place == f"filters.{place}"
            assert float(found.threshold) == 1.0
    for rule in ("empty.blank_turns", "empty.answer_characters"):
        assert inspect(job, rule, None).setting is None


def test_a_share_with_its_sign_is_turned_too(tmp_path: Path):
    rows: list[Row] = [chat("Say it", "word " * 30 + "中" * n) for n in range(0, 200, 20)]
    recipe = write_recipe(tmp_path, {"a": {"x.jsonl": rows}}, filters={"script": {"max": {"han": "5 %"}}})
    strict = look(recipe, tmp_path / "out", rule="script.han.max").plain()["rule"]
    loose = look(recipe, tmp_path / "out", rule="script.han.max", threshold=0.4).plain()["rule"]
    assert (strict["threshold"], loose["threshold_of_recipe"]) == (0.05, 0.05)
    assert 0 < loose["drops"]["alone"] < strict["drops"]["alone"]


def test_a_users_own_rule(tmp_path: Path):
    (tmp_path / "rules.py").write_text(
        "def measure(record):\n    return len(record['messages'][1]['content'].split())\n", encoding="utf-8"
    )
    recipe = write_recipe(
        tmp_path, {"a": {"x.jsonl": answers("a")}}, filters={"mine": {"function": "rules.py:measure", "max": 20}}
    )
    facts = look(recipe, tmp_path / "out", rule="mine.max", threshold=7.5)
    told = facts.plain()["rule"]
    assert (told["setting"], told["threshold_of_recipe"]) == ("filters.mine.max", 20)
    assert told["drops"]["alone"] == sum(length > 7.5 for length in WORDS)
    assert told["drops_of_recipe"]["alone"] == sum(length > 20 for length in WORDS)


def test_what_else_a_rule_asks_is_asked_at_another_threshold_too(tmp_path: Path):
    """A link is spared where the prompt asks for one."""
    link = "https://example.org/" + "a" * 60
    rows: list[Row] = [chat("Give me a link.", link), chat("Why is the sky blue?", link)]
    recipe = write_recipe(tmp_path, {"a": {"x.jsonl": rows}}, filters={"urls": {}})
    facts = look(recipe, tmp_path / "out", rule="urls.share", threshold=0.1)
    assert facts.plain()["rule"]["drops"]["alone"] == 1
    assert facts.plain()["rule"]["beyond_but_kept"] == 1
    assert "1 record above 0.1 stays" in said(facts)


def test_it_narrows(recipe: Path, tmp_path: Path):
    facts = look(recipe, tmp_path / "out", sources=("long",), signals=("words", "task"))
    plain = facts.plain()
    assert (list(plain["sources"]), list(plain["signals"])) == (["long"], ["words", "task"])
    text = said(facts)
    assert "of long of 2 sources" in text
    assert "short" not in text
    assert "answer_words" not in text


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ({"sources": ("shrot",)}, "no source 'shrot'; did you mean 'short'?"),
        ({"signals": ("answer_wrds",)}, "did you mean 'answer_words'?"),
        ({"threshold": 3.0}, "--rule FILTER.RULE"),
        ({"rule": "lenght.turns.max", "threshold": 3.0}, "did you mean 'length.turns.max'?"),
        ({"rule": "length.anser_words.max"}, "did you mean 'length.answer_words.max'?"),
        ({"rule": "zzz"}, "a rule begins with its filter's name"),
        ({"rule": "length.turns.max"}, "give --threshold"),
        ({"rule": "length.answer_words.max", "threshold": 2.5}, "got 2.5"),
        ({"rule": "length.answer_words.max", "threshold": -1.0}, "--threshold -1 is not possible"),
        ({"rule": "length.answer_words.max", "threshold": float("nan")}, "finite"),
        ({"rule": "length.answer_tokens.max", "threshold": 9.0}, "set tokenizer"),
        ({"examples": -1}, "--examples -1"),
    ],
)
def test_mistakes_are_one_sentence(recipe: Path, tmp_path: Path, asked: dict[str, Any], part: str):
    with pytest.raises(GristmillError) as error:
        look(recipe, tmp_path / "out", **asked)
    assert part in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out" / ".gristmill" / "corpus").exists()


def test_a_source_over_its_error_budget_stops_it(tmp_path: Path):
    rows: list[Row] = [b"{", *answers("a")]
    recipe = write_recipe(tmp_path, {"a": {"x.jsonl": rows}}, {"a": {"max_bad": "1 %"}})
    for _ in range(2):  # with and without anything to read
        with pytest.raises(GristmillError, match=r"max_bad 1 %; first reason: x\.jsonl:0"):
            look(recipe, tmp_path / "out")


def test_a_large_corpus_is_sampled(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    whole = look(recipe, tmp_path / "out").plain()
    monkeypatch.setattr("pipelines.signals.SAMPLE_ROWS", 10)
    facts = look(recipe, tmp_path / "out")
    assert facts.sample.drawn == {1: 6}  # the small source is whole
    assert "quantiles are of 10 rows" in said(facts)
    plain = facts.plain()
    for name, one in plain["signals"].items():
        assert one["all"]["rows"] == whole["signals"][name]["all"]["rows"]
        if "mean" in one["all"]:
            for exact in ("mean", "min", "max"):
                assert one["all"][exact] == whole["signals"][name]["all"][exact]
            assert one["sources"]["long"] == whole["signals"][name]["sources"]["long"]
    assert plain["rules"] == whole["rules"]
    assert look(recipe, tmp_path / "out").plain() == plain


def test_a_sample_of_copies_is_no_larger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("pipelines.signals.SAMPLE_ROWS", 7)
    recipe = write_recipe(tmp_path, {"a": {"x.jsonl": [chat("Same?", "Same.")] * 40}})
    facts = look(recipe, tmp_path / "out")
    assert facts.sample.size == 7
    assert facts.plain()["signals"]["words"]["all"]["rows"] == 40


def test_json_does_not_depend_on_blocks(recipe: Path, tmp_path: Path):
    made: list[bytes] = []
    for block in ("4 MiB", "200 B"):
        text = recipe.read_text(encoding="utf-8") + f"ingest:\n  block: {block}\n"
        other = recipe.with_name(f"{len(made)}.yaml")
        other.write_text(text, encoding="utf-8")
        for rule in (None, "length.answer_words.max"):
            facts = look(other, tmp_path / block.replace(" ", ""), rule=rule, signals=("words", "quality", "tone"))
            path = tmp_path / "made" / f"{len(made)}.json"
            write_json(facts, path)
            made.append(path.read_bytes())
    assert made[:2] == made[2:]
    parsed = orjson.loads(made[0])
    assert orjson.dumps(parsed, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2) + b"\n" == made[0]


@pytest.mark.parametrize("width", [60, 80, 160])
def test_lines_fit_the_terminal(recipe: Path, tmp_path: Path, width: int):
    for asked in ({}, {"rule": "length.answer_words.max"}, {"signals": ("words", "task")}):
        facts = look(recipe, tmp_path / "out", **asked)
        assert max(len(line.rstrip()) for line in said(facts, width).splitlines()) <= width


def test_texts_and_names_are_no_markup(tmp_path: Path):
    bad = "[red]\x1b[31m\u202e:warning: "
    rows: list[Row] = [chat(bad + "question\n\n?", bad * n, license=bad) for n in range(1, 9)]
    recipe = write_recipe(tmp_path, {"a": {"[b]\u202e.jsonl": rows}}, filters={"licence": {}, "length": {}})
    facts = look(recipe, tmp_path / "out", rule="length.answer_characters.max", threshold=50.0)
    text = said(facts) + said(look(recipe, tmp_path / "out", signals=("licence",)))
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "[b]\\u202e.jsonl:" in text
    assert "[red]" in text
    assert ":warning:" in text
    assert "↵" in text


def test_no_examples(recipe: Path, tmp_path: Path):
    facts = look(recipe, tmp_path / "out", rule="length.answer_words.max", examples=0)
    assert all(found == [] for found in facts.plain()["rule"]["examples"].values())
    assert "nearest the bound" not in said(facts)


def test_the_command(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def calling(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["gristmill", "signals", str(recipe), *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        told = capsys.readouterr()
        return int(ended.value.code or 0), told.out, told.err

    out = ("--out", tmp_path / "out", "--workers", 1)
    status, text, _ = calling(*out)
    assert status == 0
    for part in ("answer_words", "means by source", "length.answer_words.max", "task"):
        assert part in text
    status, text, err = calling(*out, "--rule", "length.answer_words.max", "--threshold", 30, "--json", tmp_path / "f")
    assert (status, err) == (0, "")
    assert "drops what lies above 30; the recipe has 50" in " ".join(text.split())
    assert orjson.loads((tmp_path / "f").read_bytes())["rule"]["drops"]["alone"] == 6
    status, text, err = calling(*out, "--source", "nobody")
    assert (status, text, err.count("\n")) == (2, "", 1)
    assert err.startswith("error: --source")


def test_a_second_look_imports_no_beam(recipe: Path, repo: Path, tmp_path: Path):
    """It is asked for often; Beam alone takes as long as all the rest."""
    look(recipe, tmp_path / "out")
    program = (
        "import sys; from pipelines.cli import app; app(sys.argv[1:], standalone_mode=False); "
        "print('loaded', sorted({'apache_beam', 'torch', 'transformers', 'datasets'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "signals", str(recipe), "--out", str(tmp_path / "out")],
        capture_output=True, text=True, env=dict(os.environ, PYTHONPATH=str(repo)), cwd=tmp_path, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "loaded []"
    assert done.stderr == ""


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=60), st.lists(st.floats(0, 1), min_size=1, max_size=5))
def test_quantiles_are_numpys(values: list[int], shares: list[float]):
    found = quantiles(np.array(values), np.ones(len(values)), shares)
    assert list(found) == np.quantile(values, shares, method="inverted_cdf").tolist()


@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(1, 5)), min_size=1, max_size=20))
def test_a_weight_is_so_many_rows(rows: list[tuple[int, int]]):
    values, weights = (np.array(column) for column in zip(*rows))
    repeated = np.repeat(values, weights)
    assert quantiles(values, weights.astype(float), QUANTILES) == quantiles(repeated, np.ones(len(repeated)), QUANTILES)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (7, "7"), (0.25, "0.25"), (1234, "1,234"), (9999, "9,999"), (12345, "12.3k"), (4.56e6, "4.56M"),
     (0.0004, "4e-4"), (0.9996, "1"), (99.96, "100"), (999_999, "1.00M"), (-3.5, "-3.50"), (float("nan"), "–"),
     (float("inf"), "∞"), (9999.7, "10.0k"), (1e300, "1.0e300"), (0.001, "0.001"), (2**31, "2.15G")],
)  # fmt: skip
def test_short_numbers(value: float, text: str):
    assert short(value) == text


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-9e14, max_value=9e14))
def test_short_numbers_are_short_and_near(value: float):
    text = short(value)
    assert len(text) <= 7
    factor = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}.get(text[-1], 1)
    assert float(text.rstrip("kMGT").replace(",", "")) * factor == pytest.approx(value, rel=0.06, abs=6e-4)


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (0, 0, "0 %"),
        (0, 9, "0 %"),
        (9, 9, "100 %"),
        (1, 10**6, "<0.1 %"),
        (10**6 - 1, 10**6, "99.9 %"),
        (1, 3, "33.3 %"),
    ],
)
def test_shares(part: int, whole: int, text: str):
    assert share(part, whole) == text


@given(st.text(), st.integers(40, 200))
def test_texts_become_one_harmless_line(text: str, room: int):
    line = shortened(one_line(text), room)
    assert line.isprintable()
    assert len(line) <= room


def test_a_huge_text_is_read_at_its_ends():
    line = one_line("beginning " + "x" * 5_000_000 + " end")
    assert line.startswith("beginning")
    assert line.endswith("end")
    assert len(line) < 3000
