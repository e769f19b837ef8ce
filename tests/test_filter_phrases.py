"""A user's own phrases: whole words, in the turns they were given for."""

import pytest

from schemas.errors import GristmillError
from tests.annotated import answers, failed, features, hostile, pair, records
from transforms.annotate.annotation import key
from transforms.annotate.phrases import Mentions
from transforms.filters.phrases import FILTER, Settings
from transforms.records import ASSISTANT, USER


def test_whole_words_in_any_case():
    block = answers("From Shutterstock.", "SHUTTERSTOCK", "shutterstocks", "a shutterstock图片", "_Shutterstock_", "")
    assert failed(FILTER, block, answers=["Shutterstock"]) == [
        {"answers"},
        {"answers"},
        set(),
        {"answers"},
        set(),
        set(),
    ]


def test_phrases_signs_and_scripts():
    block = answers(
        "in  the\nmill", "in the miller", "C++ is", "C is", "我喜欢北京烤鸭", "Die Übung", "Übungen", "a.b", "axb"
    )
    wanted = ["in the mill", "C++", "北京", "übung", "a.b"]
    assert failed(FILTER, block, answers=wanted) == [
        {"answers"}, set(), {"answers"}, set(), {"answers"}, {"answers"}, set(), {"answers"}, set(),
    ]  # fmt: skip


def test_turns():
    block = records(pair("mill", "wheel"), pair("wheel", "mill"), [("system", "mill"), *pair("wheel", "wheel")])
    assert failed(FILTER, block, answers=["mill"]) == [set(), {"answers"}, set()]
    assert failed(FILTER, block, prompts=["mill"]) == [{"prompts"}, set(), set()]
    assert failed(FILTER, block, answers=["wheel"], prompts=["mill"]) == [{"answers", "prompts"}, set(), {"answers"}]
    assert FILTER.needs(FILTER.settings()) == ()


def test_counts_with_many_phrases():
    many = tuple(f"word{number}" for number in range(200))
    column = Mentions("found", many, ASSISTANT)(answers("word7 word7, word199 word200", "word"))["found"]
    assert column.to_pylist() == [3, 0]


def test_the_phrases_are_part_of_what_it_is_cached_by():
    one = Mentions("found", ("mill",), ASSISTANT)
    assert key(one) != key(Mentions("found", ("wheel",), ASSISTANT))
    assert key(one) != key(Mentions("found", ("mill",), USER))
    assert key(Mentions("found", ("a", "b"), USER)) == key(Mentions("found", ("b", "a", "a"), USER))


@pytest.mark.parametrize("blank", ["", " ", "\n"])
def test_a_blank_phrase_is_refused(blank: str):
    with pytest.raises(GristmillError, match="answers"):
        failed(FILTER, answers("So."), answers=[blank])


def test_hostile_text():
    block = hostile()
    settings = Settings(answers=["\\E", "[", "(?i)", "\0", "$", "x y"], prompts=["a|b"])
    assert features(FILTER, block, settings).num_rows == len(block)
