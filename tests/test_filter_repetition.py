"""Repetition: loops go; verse, tables, classifications, sums and code stay; the measures are Gopher's."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.annotated import alone, answers, failed, features, hostile, pair, records
from transforms.annotate.repetition import DUPLICATE, TOP, Repetition
from transforms.filters.repetition import FILTER, Settings

DOGS = ("beagle", "poodle", "boxer", "collie", "husky", "corgi", "whippet", "setter")
LAWFUL = {
    "verse": "\n".join(
        line
        for verse in ("I came to the river at dawn", "I came to the valley at noon", "I came to the harbour at dusk")
        for line in (verse, "With nothing but dust on my shoes", "Oh roll, oh roll me along", "Oh roll, oh roll me along", "")
    ),
    "classification": "\n".join(f"A {dog} is a kind of dog.\nA {dog} cat is a kind of cat." for dog in DOGS),
    "titles": "\n".join(f"The Real Housewives of {place}" for place in (*DOGS, "Orange County", "New York City", "Dubai")),
    "table": "| day | open | shut |\n|---|---|---|\n" + "\n".join(f"| {dog} | yes | no |" for dog in DOGS * 2),
    "sum": "It doubles 20 times, so " + " * ".join(["2"] * 20) + " = 1,048,576 cells, and " + "that is the answer. " * 2
    + "Every twenty minutes the number of cells is twice what it was before, beginning with a single one in the dish.",
    "code": "void f() {\n" + "".join(f"    if (a[{n}] > a[{n + 1}]) {{\n        swap(a, {n});\n    }}\n" for n in range(12)) + "}",
}  # fmt: skip
LOOPS = {
    "phrase": "Ooh ooh ah ah! *giggle* " * 30,
    "sentence": "Sorry, let me think about that for a moment. " * 12,
    "line": "The gate is closed\n" * 20,
    "paragraph": "We went down to the mill and looked at the wheel.\n\n" * 10,
    "word": "very " * 80,
    "chinese": "坚持党的基本路线；" * 20,
    "ending": "There are many reasons, and I shall name the most important of them below. " + "It is good. " * 20,
}


@pytest.mark.parametrize("kind", LAWFUL)
def test_lawful_repetition_passes(kind: str):
    assert failed(FILTER, answers(LAWFUL[kind])) == [set()]


@pytest.mark.parametrize("kind", LOOPS)
def test_loops_fail(kind: str):
    assert failed(FILTER, answers(LOOPS[kind]))[0]


def test_short_answers_prompts_and_code_blocks_are_not_measured():
    loop = LOOPS["phrase"]
    block = records(
        pair("Say it often", "no no no no no no no no no no"),
        pair(loop, "That is a loop."),
        pair("Code, please", f"Here:\n```\n{loop}\n```\nThat prints it."),
        pair("Code, please", f"{loop}\n```\nprint('giggle')\n```\n"),
        pair("Code, please", f"```\n{loop}"),
    )
    found = failed(FILTER, block)
    assert [bool(one) for one in found] == [False, False, False, True, False]
    assert failed(FILTER, block, min_words=5)[0]


def test_the_worst_answer_of_a_record_counts():
    block = records([*pair("Go on", LOOPS["phrase"]), *pair("And now?", "Enough of that.")])
    assert "duplicate_10_grams" in failed(FILTER, block)[0]
    again = "Sure, one moment please. "  # said once an answer, which is no loop
    assert failed(FILTER, records([turn for _ in range(30) for turn in pair("Go on", again)])) == [set()]


def test_bounds_are_settings():
    block = answers(LAWFUL["verse"])
    value = features(FILTER, block, Settings())["duplicate_lines"][0].as_py()
    assert value == pytest.approx(7 / 12)  # 12 lines: 3 verses, the second line twice and the refrain five times again
    assert failed(FILTER, block, duplicate_lines=0.5) == [{"duplicate_lines"}]
    assert failed(FILTER, block, duplicate_lines=None, sentence_run=1) == [{"sentence_run"}]


def test_sentences_in_a_row_are_counted():
    text = "One two three four five six. " * 4 + "Something else entirely. " + " ".join(DOGS) + ". " + "}\n" * 30
    columns = features(FILTER, answers(text), Settings(min_words=10))
    assert columns["sentence_run"].to_pylist() == [4]


WORDS = st.lists(st.sampled_from(["ab", "cd", "ef", "g"]), min_size=1, max_size=60)


def naive_top(words: list[str], n: int) -> float:
    counts = Counter(tuple(words[at : at + n]) for at in range(len(words) - n + 1))
    return min(n * max(counts.values(), default=0) / len(words), 1)


def naive_duplicate(words: list[str], n: int) -> float:
    seen: set[tuple[str, ...]] = set()
    covered: set[int] = set()
    for at in range(len(words) - n + 1):
        gram = tuple(words[at : at + n])
        if gram in seen:
            covered |= set(range(at, at + n))
        seen.add(gram)
    return len(covered) / len(words)


@given(st.lists(WORDS, min_size=1, max_size=6))
def test_ngram_measures_equal_a_naive_count(texts: list[list[str]]):
    columns = Repetition(1)(answers(*(" ".join(words) for words in texts)))
    for n, naive in [(n, naive_top) for n in TOP] + [(n, naive_duplicate) for n in DUPLICATE]:
        name = f"{'top' if n in TOP else 'duplicate'}_{n}_grams"
        expected = np.array([naive(words, n) for words in texts], np.float32)
        assert columns[name].to_pylist() == expected.tolist()


def test_a_text_longer_than_a_block_is_measured_whole():
    text = " ".join(f"w{n}" for n in range(50_000))
    columns = features(FILTER, answers(f"{text} {text}", text, LOOPS["phrase"]), Settings())
    assert columns["duplicate_10_grams"].to_pylist()[:2] == [0.5, 0]
    assert columns["duplicate_10_grams"].to_pylist()[2] > 0.9


def test_a_record_is_measured_alone():
    block = hostile()
    assert alone(FILTER, block)
    for column in features(FILTER, block, Settings()).columns[:-1]:
        assert all(0 <= share <= 1 for share in column.to_pylist())
    assert failed(FILTER, records()) == []
