"""JSON answers: what is meant to be JSON and does not parse goes; braces and brackets in prose stay."""

import pytest

from tests.annotated import alone, answers, failed, hostile, pair, records
from transforms.annotate.json_answers import state
from transforms.filters.json_answers import FILTER

STATES = {
    "valid": [
        '{"a": 1}', '[{"a": [1, 2.5, null]}]', "{}", "[]", "[1, 2, 3]", "Here it is:\n```json\n{\"a\": 1}\n```\nDone.",
        '```json\n[1]\n```', f"[{10**40}]", '  {"ä": "\\u00e4"}\n',
    ],
    "broken": [
        '{"a": 1', '{"a": 1 "b": 2}', '[{"a": 1}, {"b": ]', '```json\n{"a": 1\n```', '```json\n{"name": "mill", "stones": [1, 2',
        '{"a": "b", "c"}',
    ],
    "lines": ['{"a": 1}\n{"a": 2}', '```json\n{"a": 1}\n\n{"a": 2}\n```'],
    "relaxed": ['{"a": 1, // how many\n "b": 2}', '{"a": [1, 2,],}', '{"a": NaN}', '[{"a": 1}, ...]', '```json\n{"a": 1 # one\n}\n```'],
    "python": ["```json\n{'a': True, 'b': None}\n```", '[{"a": None}]', '{"weather": weather("London")}'],
    "none": [
        "{Total} = {M} + {N} - {Both}\nThe answer is (A).", "[1st Place- 25 pts], [2nd place- 20 pts]", "{12,2}, {7,3,4}",
        "[QUESTION] Given the sentence", "[II] yes", "{ firstName: 'John' }", "['first_name', 'Age']", "7", "", "{", "[",
        "[i*i for i in range(1, 11) if i % 2 == 0]", "[item # of () in [v]] block的作用", "[1] Smith, J. (2001). Mills.",
        '["yes"] is what I would say.', "```json\n\n```", "A JSON object looks like {\"a\": 1", "```python\n{'a': 1\n```",
    ],
}  # fmt: skip


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in STATES.items() for text in texts])
def test_states(name: str, text: str):
    assert state(text) == name


def test_a_prompt_that_asks_for_json_makes_any_brace_json():
    asked = [pair("Give it as JSON", text) for text in ("{ name: mill }", '{"a": 1}', "I cannot.", "{'a': 1}")]
    assert failed(FILTER, records(*asked, pair("Give it", "{ name: mill }"))) == [
        {"broken"},
        set(),
        set(),
        set(),
        set(),
    ]


def test_strings_are_no_comments():
    assert state('{"url": "https://example.com/#a", "b": "/* c */, }"}') == "valid"
    assert state('{"url": "https://example.com/#a", } ') == "relaxed"


def test_any_turn_counts_the_worst_and_kinds_are_dropped_when_named():
    block = records(
        [*pair("A?", '{"a": 1'), *pair("B?", '{"a": 1}')], pair('{"a": 1', "Fine."), pair("C?", '{"a": 1,}')
    )
    assert failed(FILTER, block) == [{"broken"}, set(), set()]
    assert failed(FILTER, block, drop=["relaxed", "python"]) == [set(), set(), {"relaxed"}]


@pytest.mark.parametrize(
    "text", ['[{"a":' * 100_000, "[" * 200_000, '{"a": "' + "\\" * 100_001, "[1," * 100_000, '{"a":1}\n' * 20_000]
)
def test_hostile_values_are_judged_in_time(text: str):
    assert state(text) in ("valid", "broken", "lines", "none")
    assert state(f"```json\n{text}\n```") in ("valid", "broken", "lines")


def test_any_text_is_measured_and_a_record_alone_as_among_others():
    assert alone(FILTER, hostile())
    assert alone(FILTER, answers('{"a": 1', "7", '{"a": 1}'))
