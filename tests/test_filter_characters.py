"""Characters: shares of special characters and of repeated stretches, in any script; every bound open by default."""

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import GristmillError
from tests.annotated import alone, answers, failed, features, hostile, pair, records
from transforms.annotate.characters import WINDOW
from transforms.filters.characters import FILTER, Settings

ROW = "a, b; c!"


def test_special_is_what_no_script_writes_words_or_numbers_with():
    block = records(
        pair("plain words", "Plain words and 42 numbers"),
        pair("(a)", "中文字和日本語のテキスト"),
        pair("héllo", "ไทย मिल हिन्दी ١٢٣ e\u0301\u00a0\u3000x"),
        pair("!?", ROW),
        pair("$1", "★☆★☆"),
        pair("", ""),
    )
    columns = features(FILTER, block, Settings())
    assert columns["answer_special"].to_pylist() == [0, 0, 0, 0.375, 1, 0]
    assert columns["prompt_special"].to_pylist() == pytest.approx([0, 2 / 3, 0, 1, 0.5, 0])


def test_all_bounds_are_open_by_default_and_each_is_a_rule():
    block = answers("Plain words.", "#!@$%^&*()", "ha" * 50)
    assert failed(FILTER, block) == [set()] * 3
    assert failed(FILTER, block, answer_special={"max": 0.5})[1] == {"answer_special.max"}
    assert failed(FILTER, block, answer_special={"min": 0.01})[2] == {"answer_special.min"}
    assert failed(FILTER, block, answer_character_repetition={"max": 0.5})[2] == {"answer_character_repetition.max"}
    assert failed(FILTER, block, prompt_special={"max": 0.01}) == [{"prompt_special.max"}] * 3
    with pytest.raises(GristmillError, match=r"answer_special: min 0\.5 is above max 0\.2"):
        failed(FILTER, block, answer_special={"min": 0.5, "max": 0.2})


def naive(text: str) -> float:
    windows = [text[at : at + WINDOW] for at in range(len(text) - WINDOW + 1)]
    return 1 - len(set(windows)) / len(windows) if windows else 0


TEXT = st.one_of(
    st.text(max_size=60), st.text(alphabet="ab", max_size=60), st.text(alphabet="中文é😀 ", min_size=5, max_size=90)
)


@given(st.lists(TEXT, min_size=1, max_size=6))
def test_measures_equal_a_naive_count(texts: list[str]):
    block = answers(*texts)
    kept = [str(block.texts[2 * row + 1]) for row in range(len(texts))]
    columns = features(FILTER, block, Settings())
    assert (
        columns["answer_character_repetition"].to_pylist()
        == np.array([naive(one) for one in kept], np.float32).tolist()
    )


@given(st.characters(codec="utf-8", categories=("L", "M", "N", "P", "S", "Z")))
def test_special_agrees_with_pythons_categories(character: str):
    special = unicodedata.category(character)[0] not in "LMNZ"
    assert features(FILTER, answers(character), Settings())["answer_special"].to_pylist() == [float(special)]


def test_repetition_is_none_without_it_and_nearly_all_in_a_loop():
    block = answers("Each of these words stands here once.", "odd even " * 40, "short", "3.3333333333333335")
    value = features(FILTER, block, Settings())["answer_character_repetition"].to_pylist()
    assert value[0] == value[2] == 0
    assert value[1] > 0.95
    assert 0 < value[3] < 1


def test_the_worst_answer_counts_and_answers_are_not_joined():
    block = records(
        [*pair("Go on", "odd even " * 40), *pair("And?", "Done.")],
        [*pair("a", "Sure, here you are."), *pair("b", "Sure, here you are.")],
    )
    value = features(FILTER, block, Settings())["answer_character_repetition"].to_pylist()
    assert value[0] > 0.95
    assert value[1] == 0


def test_a_record_is_measured_alone():
    block = hostile()
    assert alone(FILTER, block)
    for column in features(FILTER, block, Settings()).columns:
        assert all(0 <= share <= 1 for share in column.to_pylist())
    assert failed(FILTER, records()) == []
