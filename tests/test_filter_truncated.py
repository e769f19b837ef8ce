"""Truncated: what stops in the middle goes; titles, lists, tables, code, verse, numbers and short answers stay."""

import pytest

from tests.annotated import alone, answers, failed, hostile, records
from transforms.filters.truncated import FILTER

PROSE = (
    "Supervised learning trains a model on labelled examples, while unsupervised learning looks for structure in data "
    "that nobody labelled. The first is used to predict, the second to group. "
)
ON = {"unmarked_words": 20}


@pytest.mark.parametrize(
    "ending",
    [
        "Both have their uses.", "Do both?", "Both!", "He said: “Both.”", '("Both.")', "**Both.**", "Both…", "Both 👍", "Both ❤️",
        "两者都有用途。", "कुल मिलाकर दोनों उपयोगी हैं।", "كلاهما مفيد؟", "See [1].", "Both :)", "Yours,\nAnn",
        "With gratitude,", "- one\n- two\n- three", "1. one\n2. two, three\n3. four. Five", "| a | b |\n|---|---|\n| 1 | 2 |",
        '{"uses": ["both", "neither"', "def uses(both):\n    return both, neither", "x = f(a,\n      b", "https://example.org/a,b",
        "```python\nprint('both', (1, 2)\n```", "#### 42", "= 6 * 7 = 42", "Total: $1,250", "Both uses",
        "Shall I compare thee to a summer's day\nThou art more lovely and more temperate",
        "ทั้งสองอย่างมีประโยชน์. มีประโยชน์มาก และ", "Half-open intervals such as [0, 1) are common.",
        "He is 6'2\" tall and she is 5'11\" tall.", "The fabric (also called Vichy) is woven.",
    ],
)  # fmt: skip
def test_what_is_complete_passes(ending: str):
    block = answers(f"{PROSE}\n{ending}", ending)
    assert failed(FILTER, block, **ON) == [set(), set()]


@pytest.mark.parametrize(
    ("ending", "fault"),
    [
        ("Both are common in clustering, anomaly detection, and", "dangling_words"),
        ("Both are common in clustering, anomaly detection,", "dangling_words"),
        ("Here are some examples of both kinds that I have found:", "dangling_words"),
        ("The most common way to tell which kind you need is the", "dangling_words"),
        ("Molempia käytetään ryhmittelyyn, ennustamiseen ja", "dangling_words"),
        ("使用以下方法可以区分监督学习与无监督学习：", "dangling_words"),
        ("Both are used in award-winning work on images.[", "dangling_words"),
        ("Both are used in work on images.[3", "unclosed_words"),
        ("Both are used (for example by the group that won in 2008", "unclosed_words"),
        ('She called them "two sides of a coin that nobody tossed', "unclosed_words"),
        ("Unsupervised learning is often used for groups. For", "unmarked_words"),
        ("两者都有用途。监督学习常用于预测，无监督学习常用于分", "unmarked_words"),
    ],
)
def test_what_stops_in_the_middle_fails(ending: str, fault: str):
    block = answers(f"{PROSE}{ending}", ending)  # the second has fewer words than the rules ask for
    found, short = failed(FILTER, block, **ON)
    assert fault in found
    assert short == set() or "，" in ending or "：" in ending  # a CJK character is a word: no short answer
    assert fault not in failed(FILTER, block, **{fault: None})[0]


def test_a_missing_full_stop_is_no_fault_by_default():
    block = answers(f"{PROSE}Both have been in safe use for more than seventy years")
    assert failed(FILTER, block) == [set()]
    assert failed(FILTER, block, unmarked_words=20) == [{"unmarked_words"}]
    assert failed(FILTER, block, unmarked_words=60) == [set()]


def test_an_open_block_of_code_fails_at_any_length():
    block = answers(
        "```python\nprint(1)",
        "Use this:\n```go\nfunc main() {\n```\nand this:\n\n```go\nx :=",
        "```python\nprint(1)\n```",
        "Write ``` to begin a block.",
        "  ```\n  a\n  ```\n> ```\n> b\n> ```",
    )
    assert failed(FILTER, block) == [{"open_fences"}, {"open_fences"}, set(), set(), set()]
    assert failed(FILTER, block, open_fences=False) == [set()] * 5


def test_the_close_of_a_letter_is_no_cut():
    letter = f"Hello,\n\n{PROSE}\n\nThank you and best regards,"
    assert failed(FILTER, answers(letter)) == [set()]


def test_only_the_last_answer_and_only_its_content_count():
    cut = f"{PROSE}Both are common in clustering, anomaly detection, and"
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": ["b", '}}
    block = records(
        [("user", "Go on"), ("assistant", cut), ("user", "Go on"), ("assistant", "Both.")],
        [("user", cut), ("assistant", "Both.")],
        [("user", "Go on"), {"role": "assistant", "content": cut, "tool_calls": [call]}],
        [("user", "Go on"), {"role": "assistant", "content": "Both.", "reasoning_content": cut}],
        [("user", "Go on"), {"role": "assistant", "content": cut, "reasoning_content": "Both."}],
    )
    assert failed(FILTER, block) == [set(), set(), set(), set(), {"dangling_words"}]


def test_a_record_is_measured_alone():
    assert alone(FILTER, hostile())
    assert failed(FILTER, records()) == []
