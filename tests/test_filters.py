"""Filters: pure functions from features to (rule, value, threshold); settings typed, mistakes named."""

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import GristmillError
from schemas.features import FEATURES
from transforms.assemble import assemble
from transforms.filters import DEFAULT, FILTERS, apply, choose, needed
from transforms.records import Records
from transforms.signals import SignalSettings, compute

NEEDS_A_MODEL = {"classified"}
SETTINGS = SignalSettings("whole", "whole", 5, 8, 1, None)


def features(*conversations: list[tuple[str, str]], **columns: list[Any]) -> pa.RecordBatch:
    """FEATURES of conversations given as (role, content)."""
    made = [{"messages": [{"role": role, "content": content} for role, content in one]} for one in conversations]
    for name, values in columns.items():
        made = [one | {name: value} for one, value in zip(made, values, strict=True)]
    records = Records(assemble(made, range(len(made)), [0] * len(made)))
    batches = [compute(records, SETTINGS, None).features, *(one(records) for one in needed(choose(None, False)))]
    found = {field.name: batch[field.name] for batch in batches for field in batch.schema}
    return pa.RecordBatch.from_arrays(list(found.values()), list(found))


def pair(prompt: str, answer: str) -> list[tuple[str, str]]:
    return [("user", prompt), ("assistant", answer)]


def decided(batch: pa.RecordBatch, settings: dict[str, Any] | None) -> list[tuple[str | None, float, float]]:
    rule, names, value, threshold = apply(batch, choose(settings, has_tokenizer=True))
    return [
        (names[r] if r >= 0 else None, v, t) for r, v, t in zip(rule, value.tolist(), threshold.tolist(), strict=True)
    ]


def rules(batch: pa.RecordBatch, settings: dict[str, Any] | None) -> list[str | None]:
    return [rule for rule, _, _ in decided(batch, settings)]


def test_empty_drops_what_holds_nothing_and_says_how_much():
    batch = features(
        pair("How?", "So."), pair("How?", ""), pair("", "So."), pair(" \n", "So."), pair("How?", "\t"),
        [("assistant", "So.")], [("system", "Be brief."), ("assistant", "So.")], [*pair("How?", "So."), *pair("", " ")],
        [("system", ""), *pair("How?", "So.")], pair("?", "7"),
    )  # fmt: skip
    blank = "empty.blank_turns"
    assert rules(batch, {"empty": {}}) == [
        None,
        blank,
        blank,
        blank,
        blank,
        "empty.prompt_characters",
        None,
        blank,
        None,
        None,
    ]
    assert decided(batch, {"empty": {}})[7] == (blank, 2, 0)
    assert decided(batch, {"empty": {}})[5] == ("empty.prompt_characters", 0, 1)


def test_undesirable_goes_by_the_data_sets_own_label():
    batch = features(*[pair("How?", "So.")] * 3, label=[True, False, None])
    assert rules(batch, {"undesirable": {}}) == [None, "undesirable.label", None]
    assert rules(batch, None) == [None, "undesirable.label", None]
    assert rules(batch, {}) == [None, None, None]


BOUND = st.one_of(st.none(), st.integers(0, 12))
TEXT = st.lists(st.sampled_from(["mill", "x", "磨", ".", "  "]), max_size=6).map(" ".join)


@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=5), BOUND, BOUND)
def test_rules_on_answers_never_read_the_prompt(pairs: list[tuple[str, str]], least: int | None, most: int | None):
    if least is not None and most is not None and least > most:
        least, most = most, least
    bounds = {key: bound for key, bound in (("min", least), ("max", most)) if bound is not None}
    settings = {"length": {"answer_characters": bounds}}
    found = rules(features(*(pair(p, a) for p, a in pairs)), settings)
    assert found == rules(features(*(pair("another prompt, much longer than before", a) for _, a in pairs)), settings)
    for (_, answer), rule in zip(pairs, found, strict=True):
        low, high = least is not None and len(answer) < least, most is not None and len(answer) > most
        assert rule == ("length.answer_characters.min" if low else "length.answer_characters.max" if high else None)


def test_each_measure_is_of_what_it_says():
    batch = features([("system", "aa bb"), *pair("ccc 磨坊", "dddd ee ff"), *pair("g", "h")])
    want = {
        "characters": 5 + 6 + 10 + 1 + 1,
        "words": 2 + 3 + 3 + 1 + 1,
        "answer_characters": 11,
        "answer_words": 4,
        "turns": 2,
    }
    for name, number in want.items():
        assert rules(batch, {"length": {name: {"min": number, "max": number}}}) == [None]
        assert decided(batch, {"length": {name: {"min": number + 1}}}) == [(f"length.{name}.min", number, number + 1)]
        assert decided(batch, {"length": {name: {"max": number - 1}}}) == [(f"length.{name}.max", number, number - 1)]


def test_short_answers_survive_the_defaults():
    assert rules(features(pair("2 + 2?", "4"), pair("Is it?", "No")), None) == [None, None]


def test_the_first_rule_decides():
    batch = features(pair("", "x"), pair("How?", "x"))
    assert rules(batch, {"empty": {}, "length": {"words": {"min": 9}, "characters": {"min": 99}}}) == [
        "empty.blank_turns", "length.characters.min",
    ]  # fmt: skip


def test_a_row_is_decided_alone():
    rows = [pair("How?", "x" * n) for n in range(20)]
    settings = {"empty": {}, "length": {"answer_characters": {"min": 5, "max": 12}}}
    together = decided(features(*rows), settings)
    assert str([decided(features(row), settings)[0] for row in rows]) == str(together)
    assert str(decided(features(*rows).slice(7, 4), settings)) == str(together[7:11])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lenght": {}}, r"filters\.lenght: unknown filter; did you mean 'length'\?"),
        ({"zzz": {}}, r"filters\.zzz: unknown filter; known here: attachments, "),
        (
            {"length": {"answer_word": {}}},
            r"filters\.length: answer_word: unknown key; did you mean 'answer_words'\?",
        ),
        (
            {"length": {"answer_words": {"mx": 3}}},
            r"filters\.length: answer_words\.mx: unknown key; did you mean 'max'\?",
        ),
        ({"length": {"words": {"min": 5, "max": 3}}}, r"filters\.length: words: min 5 is above max 3"),
        ({"length": {"words": {"min": -1}}}, r"filters\.length: words\.min: .* got -1"),
        ({"length": {"words": {"min": "3"}}}, r"filters\.length: words\.min: .* got '3'"),
        ({"length": {"words": {"min": 3.0}}}, r"filters\.length: words\.min: .* got 3\.0"),
        ({"length": {"words": {"min": True}}}, r"filters\.length: words\.min: .* got True"),
        ({"length": {"words": 3}}, r"filters\.length: words: "),
        ({"empty": {"min": 1}}, r"filters\.empty: min: unknown key"),
        (
            {"length": {"tokens": {"max": 3}}},
            r"filters\.length: a bound is in tokens but the recipe names no tokenizer",
        ),
    ],
)
def test_mistakes_in_settings_are_named(settings: dict[str, Any], message: str):
    with pytest.raises(GristmillError, match=message):
        choose(settings, has_tokenizer=False)


def test_filters_keep_their_contract():
    assert set(DEFAULT) <= set(FILTERS)
    for name, one in FILTERS.items():
        assert one.name == name
        if name in NEEDS_A_MODEL:
            continue
        columns = [FEATURES, *(annotation.schema for annotation in one.needs(one.settings()))]
        none = pa.RecordBatch.from_pylist([], schema=pa.schema([field for schema in columns for field in schema]))
        findings = list(one.decide(none, one.settings()))
        assert all(finding.rule.startswith(f"{name}.") for finding in findings)
        assert all(len(finding.failed) == len(finding.value) == 0 for finding in findings)
