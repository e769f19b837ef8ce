"""Python in answers: what no parser takes is found; sessions, notebooks, stubs, pseudo-code and other languages stay."""

import warnings

import pytest

from tests.annotated import alone, answers, failed, features, hostile, pair, records
from transforms.annotate.python_code import MAX_CHARACTERS, judge, verdicts
from transforms.filters.python_code import FILTER, Settings

GOOD = "def add(a, b):\n    return a + b"
FLAT = "def factorial(n):\n if n <= 1:\n return 1\n else:\n return n * factorial(n - 1)"
BRACE = (
    "import requests\n\nif requests.get(url).ok:\n    print('Temperature:', 1)\nelse:\n    print('City not found.')}"
)
QUOTE = "import csv\n\ndef show(path):\n    print(path)\n\nshow('example.csv)"


def fenced(code: str, language: str = "python") -> str:
    return f"Here it is:\n\n```{language}\n{code}\n```\n\nIt adds."


@pytest.mark.parametrize(
    "code", [FLAT, BRACE, QUOTE, "def f(:\n    pass", "print('a'\nprint('b')", "x = = 1", "a\0b = 1"]
)
def test_what_does_not_parse_is_broken(code: str):
    assert judge(code) == "broken"
    assert verdicts(fenced(code)) == verdicts(fenced(code, "py")) == verdicts(fenced(code, "Python3")) == ["broken"]


@pytest.mark.parametrize("code", [FLAT, BRACE, QUOTE])
def test_whole_answers_that_are_evidently_python(code: str):
    assert verdicts(code) == ["broken"]
    assert verdicts(GOOD) == ["parses"]


@pytest.mark.parametrize(
    "code",
    [GOOD, "    x = 1\n    y = 2", "\tif x:\n\t\ty = 1", "async def f():\n    await g()", "match x:\n    case 1: pass", "return 1",
     "class A: ...", "# nothing", "é = 'ä'", "f'{a!r:>10}'", "'\\d'"],
)  # fmt: skip
def test_what_parses(code: str):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert judge(code) == "parses"


@pytest.mark.parametrize(
    "code",
    [">>> 1 + 1\n2", "!pip install numpy\nimport numpy", "%matplotlib inline\nx = 1", "pip install requests\nimport requests",
     "def f(a, ...):\n    ...", "for x in <your list>:\n    pass", "def f():\n    # your code here", "x = [1, 2, …", "(" * 5000,
     "-" * 200_000 + "1", "x = " + "(" * 190 + ")" * 190, "not " * 5000 + "x", "lambda: " * 5000 + "1", "x" * (MAX_CHARACTERS + 1)],
)  # fmt: skip
def test_what_is_spared(code: str):
    assert judge(code) == "spared"


@pytest.mark.parametrize(
    "code", ["print 'a'", "try:\n    f()\nexcept ValueError, e:\n    pass", "print x, y", "exec 'a'"]
)
def test_python_2_is_a_kind_of_its_own(code: str):
    assert judge(code) == "python2"
    assert failed(FILTER, answers(fenced(code), fenced(GOOD))) == [{"python2"}, set()]
    assert failed(FILTER, answers(fenced(code)), max_python2=None) == [set()]


@pytest.mark.parametrize(
    "text",
    ["import java.util.Scanner;\n\npublic class Main {\n}", "import React from 'react'\n\nclass A extends B {\n}", "class Foo {\n  bar() {}\n}",
     "import UIKit\n\nfunc f() {\n}", "from the start: he knew", "import duties are: high", "class struggle:\nis what Marx wrote on",
     "def: short for definition", "```js\nlet a = {\n```", "```\nif x then\n```", "The answer is 7.", "7", "", "import Foundation"],
)  # fmt: skip
def test_other_languages_and_prose_are_not_judged(text: str):
    assert verdicts(text) == []


def test_an_explanation_under_the_code_is_no_part_of_it():
    assert verdicts(f"{GOOD}\n\nThis function adds two numbers, whatever they are.\n\n- It is short") == ["parses"]
    assert verdicts(f"{GOOD}\n\n/* This function adds. */") == ["broken"]
    assert verdicts(f"{FLAT}\n\nThis function multiplies.") == ["broken"]


def test_blocks_are_counted_in_all_turns_of_the_assistant():
    block = records(
        [*pair("A?", fenced(FLAT) + fenced(GOOD)), *pair("B?", fenced(FLAT))],
        pair(fenced(FLAT), "No."),
        pair("C?", "```python\nx = (1,\n"),
    )
    found = features(FILTER, block, Settings())
    assert found["python_blocks"].to_pylist() == [3, 0, 1]
    assert found["python_broken"].to_pylist() == [2, 0, 1]
    assert failed(FILTER, block, max_broken=1) == [{"broken"}, set(), set()]


def test_warnings_are_no_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert features(FILTER, answers(fenced("x = '\\d'\nx is 1")), Settings())["python_broken"].to_pylist() == [0]


@pytest.mark.parametrize(
    "piece",
    [
        "a.",
        "a(",
        "a if b else ",
        "x[",
        "1 + ",
        "a = ",
        "if x:\n ",
        "f'{",
        "x, ",
        '"""',
        "\\\n",
        "lambda x: ",
        "a or ",
        "~",
        "await ",
    ],
)
def test_hostile_code_neither_crashes_nor_hangs(piece: str):
    assert judge(piece * (MAX_CHARACTERS // len(piece))) in ("spared", "broken", "parses", "python2")


def test_any_text_is_measured_and_a_record_alone_as_among_others():
    assert alone(FILTER, hostile())
