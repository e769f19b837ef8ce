import unicodedata
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.repair import repair_text


def repaired(text, ftfy=False):
    stats = SimpleNamespace(repaired={})
    return repair_text(text, stats, ftfy), stats.repaired


@pytest.mark.parametrize(
    ("text", "expected", "kinds"),
    [
        ("plain\ttext\n", "plain\ttext\n", {}),
        ("", "", {}),
        ("a\r\nb\rc", "a\nb\nc", {"newline": 1}),
        ("a\x00b\x1b[0m", "ab[0m", {"control": 1}),
        ("cafe\u0301", "caf\u00e9", {"nfc": 1}),
        ("\ud83d\ude00", "\U0001f600", {"surrogate": 1}),
        ("x\ud800y", "x\ufffdy", {"surrogate": 1}),
        ("one\x85two\u2028three", "one\x85two\u2028three", {}),
        ("e\x00\u0301", "\u00e9", {"control": 1}),
        ("\x0b\x0c\x08\x7f", "\x7f", {"control": 1}),
    ],
)
def test_each_kind_of_dirt_is_repaired_and_counted(text, expected, kinds):
    assert repaired(text) == (expected, kinds)


def test_clean_text_is_the_same_object():
    for text in ("clean text", "sauber: äöü 中文"):
        assert repair_text(text) is text


def test_ftfy_only_where_asked():
    broken = "Itâ€™s"
    assert repaired(broken) == (broken, {})
    assert repaired(broken, ftfy=True) == ("It's", {"ftfy": 1})


@given(st.text(st.characters(codec=None), max_size=40))
def test_repair_is_complete_and_stable(text):
    once = repair_text(text)
    assert repair_text(once) == once
    once.encode()
    assert unicodedata.is_normalized("NFC", once)
    assert not any(ord(character) < 32 and character not in "\t\n" for character in once)
