"""tokenise against its plain-Python reference, on text that breaks tokenisers."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms import words
from transforms.words import tokenise, word_hash, words_of

NASTY = [
    "",
    " ",
    "Hello, World! it's snake_case_x2",
    "touching",  # two rows without a separator between them must not make one word
    "rows",
    "naïve café ÉCOLE cafe\u0301 E\u0301COLE",  # composed and combining
    "ΟΔΟΣ οδος Straße STRASSE ẞ İstanbul ISTANBUL 300 K and Å",
    "İ",
    "K",
    "漢字かな交じり文 and English, 한국어 텍스트도",
    "ภาษาไทย ลาวລາວ မြန်မာ ខ្មែរ",
    "emoji 👩‍👩‍👧‍👦 ❤️ 👍🏽 done",
    "zero\u200bwidth\u200djoin\ufeffbom soft\u00adhyphen",
    "next\u0085line\u2028sep\u00a0nbsp\x00nul\x1funit",
    "a" * 64 + " " + "b" * 65 + " " + "c" * 200,
    "é" * 100 + "x" + "я" * 40 + "𝒳" * 33 + " देवनागरी" * 30,
    "देवनागरी" * 12,
    "中" * 100 + "a" * 70 + "文",
    "“curly” — dash… ½ ² ⅷ ٣",
    "\U0003134a\U000e0100x\U0010fffdy\ue000z",
    "tail without end",
]


def expected(texts):
    return [[word_hash(word.encode()) for word in words_of(text or "")] for text in texts]


def got(tokens):
    return [tokens.hashes[a:b].tolist() for a, b in zip(tokens.offsets[:-1], tokens.offsets[1:])]


def test_words_of_reads_as_documented():
    assert words_of("Hello, World! it's snake_case") == ["hello", "world", "it", "s", "snake_case"]
    assert words_of("漢字 in 日本") == ["漢", "字", "in", "日", "本"]
    assert words_of("한국어 텍스트") == ["한국어", "텍스트"]
    assert words_of("İ K ΟΔΟΣ cafe\u0301") == ["i", "k", "οδοσ", "cafe\u0301"]
    assert words_of("❤️ 👍🏽") == []
    assert words_of("x" * 130) == ["x" * 64, "x" * 64, "xx"]
    assert words_of("a" + "é" * 40) == ["a" + "é" * 31, "é" * 9]


def test_nasty_texts_match_the_reference():
    tokens = tokenise(pa.array(NASTY))
    assert tokens.hashes.dtype == np.uint64
    assert tokens.offsets.dtype == np.int64
    assert got(tokens) == expected(NASTY)


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
def test_every_string_type_sliced_and_with_nulls(kind):
    texts = [None, *NASTY, None, "end"]
    column = pa.array(texts, kind)
    assert got(tokenise(column)) == expected(texts)
    assert got(tokenise(column.slice(3, 11))) == expected(texts[3:14])
    assert got(tokenise(column.slice(5, 0))) == []


def test_a_null_over_bytes_has_no_words():
    plain = pa.array(["one two", "three"])
    valid = pa.py_buffer(bytes([0b10]))
    column = pa.StringArray.from_buffers(2, plain.buffers()[1], plain.buffers()[2], valid)
    assert got(tokenise(column)) == expected([None, "three"])


def test_chunked_and_empty_columns():
    column = pa.chunked_array([NASTY[:3], [], NASTY[3:]], pa.string())
    assert got(tokenise(column)) == expected(NASTY)
    for empty in (pa.array([], pa.string()), pa.chunked_array([], pa.string()), pa.array(["", None])):
        tokens = tokenise(empty)
        assert len(tokens.hashes) == 0
        assert tokens.offsets.tolist() == [0] * (len(empty) + 1)


def test_ascii_words_hash_the_same_beside_other_characters():
    alone = tokenise(pa.array(["plain words here"])).hashes
    beside = tokenise(pa.array(["plain words here é"])).hashes
    assert alone.tolist() == beside[:-1].tolist()


def test_every_code_point_matches_the_reference():
    codes = [*range(0xD800), *range(0xE000, 0x3400), *range(0x33000, 0x34000), *range(0xE0000, 0xE0200)]
    texts = [f"a{chr(code)}b" for code in codes]
    assert got(tokenise(pa.array(texts))) == expected(texts)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.text(
            st.one_of(
                st.sampled_from("aB1_ .\n,é漢กΣİKẞ\u0301\u200b\ufe0f👍𝒳한\u0085"),
                st.characters(exclude_categories=["Cs"]),
            ),
            max_size=90,
        ),
        max_size=12,
    ),
    st.sampled_from([1, 3, 7, 64, 1 << 17]),
)
def test_any_text_at_any_window_size(texts, window):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(words, "WINDOW_BYTES", window)
        assert got(tokenise(pa.array(texts, pa.string()))) == expected(texts)


def test_a_huge_text_goes_through_in_windows():
    text = "Some words, é and 漢字 too.\n" * 20_000 + "x" * 300_000
    tokens = tokenise(pa.array(["before", text, "after"]))
    once = expected(["Some words, é and 漢字 too."])[0]
    body = tokens.hashes[tokens.offsets[1] : tokens.offsets[2]]
    assert body[: 20_000 * len(once)].reshape(20_000, -1).tolist() == [once] * 20_000
    tail = [word_hash(b"x" * 64)] * (300_000 // 64) + [word_hash(b"x" * (300_000 % 64))]
    assert body[20_000 * len(once) :].tolist() == tail
    assert tokens.hashes[[0, -1]].tolist() == [word_hash(b"before"), word_hash(b"after")]


def test_hashes_of_version_1_never_change():
    """Cached signatures and published manifests depend on these; a change needs a new WORDS_VERSION."""
    assert words.WORDS_VERSION == 1
    assert word_hash(b"gristmill") == 0x259CA14BE0C8438F
    assert tokenise(pa.array(["Gristmill"])).hashes.tolist() == [0x259CA14BE0C8438F]
