"""Writing systems: shares of letters, and bounds on them."""

import unicodedata

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import GristmillError
from schemas.strict import validate
from tests.annotated import alone, answers, failed, features, hostile
from transforms.annotate import scripts
from transforms.annotate.scripts import SCRIPTS, script_letters
from transforms.filters.script import FILTER, Settings


def letters(text: str) -> dict[str, int]:
    counts = script_letters(pa.array([text], pa.large_string()))[0]
    return {name: int(count) for name, count in zip(SCRIPTS, counts, strict=True) if count}


def test_each_script_is_counted():
    assert letters("Mill 2 é ß, 磨坊は水車 мир ε ש ا क ไ 한 ვ ա ᚠ 😀!") == {
        "latin": 6, "han": 4, "kana": 1, "cyrillic": 3, "greek": 1, "hebrew": 1, "arabic": 1, "devanagari": 1, "thai": 1,
        "hangul": 1, "georgian": 1, "armenian": 1, "other": 1,
    }  # fmt: skip


@given(st.lists(st.text(max_size=30), max_size=6))
def test_as_one_character_at_a_time(texts: list[str]):
    found = script_letters(pa.array(["-", *texts], pa.large_string()).slice(1))
    want = [sum(unicodedata.category(one)[0] == "L" for one in text) for text in texts]
    assert found.sum(axis=1).tolist() == want


def test_windows_cut_no_character(monkeypatch: pytest.MonkeyPatch):
    texts = pa.array(["磨a坊é", "", "水b" * 20, None, "x"], pa.large_string())
    whole = script_letters(texts).tolist()
    for size in (1, 2, 3, 5, 64):
        monkeypatch.setattr(scripts, "_WINDOW", size)
        assert script_letters(texts).tolist() == whole


ENGLISH = "The character for a mill is drawn with eleven strokes."


def test_bounds_are_on_letters_of_answers_and_short_answers_stay():
    block = answers(
        ENGLISH,
        ENGLISH + " 磨",
        ENGLISH + " 磨坊在河边",
        "磨坊",
        "磨坊在河边，已经为整个山谷磨了一百多年的面粉。",
        "7",
        "",
    )
    assert failed(FILTER, block, max={"han": "5 %"}) == [set(), set(), {"han.max"}, set(), {"han.max"}, set(), set()]
    assert failed(FILTER, block, min={"latin": "50 %"}) == [set(), set(), set(), set(), {"latin.min"}, set(), set()]
    assert failed(FILTER, block, max={"han": "5 %"}, min_letters=1)[3] == {"han.max"}
    assert failed(FILTER, block) == [set()] * 7


def test_shares_are_null_without_letters():
    assert features(FILTER, answers("42", "a"), Settings())["script_latin"].to_pylist() == [None, 1.0]


def test_any_text_is_measured_and_a_record_alone_as_among_others():
    assert alone(FILTER, hostile())


@pytest.mark.parametrize("plain", [{"max": {"chinese": "5 %"}}, {"max": {"han": 5}}, {"min_letters": 0}])
def test_mistakes_are_named(plain: dict[str, object]):
    with pytest.raises(GristmillError):
        validate(Settings, plain, "filters.script")
