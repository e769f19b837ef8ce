"""Garbled characters: misread UTF-8 goes, accents beside quotation marks and phonetic script stay."""

import pytest

from tests.annotated import alone, answers, failed, hostile, pair, records
from transforms.annotate.mojibake import SCHEMA, Mojibake
from transforms.filters.mojibake import FILTER

SOUND = [
    "naïve café", "Il a dit « voilà ».", "“…olé!”", "Pelé’s 77 goals", "Hän sanoi ”joo, pää” ja lähti.", "ÄÄNI”", "SÃO PAULO",
    "[ˈtrauŋkaˌjœːkʏtl̥]", "香港, Cantonese: [hœ́ːŋ.kɔ̌ːŋ]", "Ærø – Ø", "10 × 2 = 20 km²", "25 °C", "½ hour", "Ελλάδα", "Россия",
    "Straße: „Spaß“", "emoji 😀👍", "中文。“引号”", "한국어", "Île-de-France", "ÎLE", "português – ação", "50 €", "naïve…",
    "日本語のテキスト", "ไทย", "à la carte", "âge – âme", "«Été»", "10 ‰", "Ðuro Ñandú",
]  # fmt: skip


def misread(text: str, encoding: str) -> str:
    return text.encode().decode(encoding, errors="replace").replace("\ufffd", "")


@pytest.mark.parametrize("text", ["fiancé", "Françoise", "50–25", "it’s", "10 × 2", "√5", "π r", "25 °C", "½", "Россия",
                                  "Ελλάδα", "中文字", "日本語", "emoji 😀", "“so”", "Łódź", "50 €", "→ there"])  # fmt: skip
@pytest.mark.parametrize("encoding", ["cp1252", "latin-1"])
def test_what_was_misread(text: str, encoding: str):
    assert failed(FILTER, answers(f"So: {misread(text, encoding)} it was.", f"So: {text} it was.")) == [
        {"sequences"},
        set(),
    ]


def test_sound_text():
    assert failed(FILTER, answers(*SOUND)) == [set()] * len(SOUND)


def test_lost_and_stray_characters():
    block = answers(
        "\ufffd\nn, trial division", "\ufffd" * 5, "\ue000" * 5, "\uf0b7 one\n\uf0b7 two", "\x85\x85\x85\x85\x85"
    )
    assert failed(FILTER, block) == [set(), {"replacements"}, {"strays"}, set(), set()]
    assert failed(FILTER, block, replacements=0, strays=0) == [
        {"replacements"},
        {"replacements"},
        {"strays"},
        {"strays"},
        set(),
    ]
    assert failed(FILTER, block, replacements=None, strays=None) == [set()] * 5


def test_any_turn_counts():
    assert failed(FILTER, records(pair("cafÃ©?", "Yes."), pair("cafÃ© cafÃ©?", "Yes.")), sequences=1) == [
        set(),
        {"sequences"},
    ]
    assert Mojibake()(records(pair("cafÃ©", "cafÃ© \ufffd"))).to_pylist() == [dict(zip(SCHEMA.names, [2, 1, 0]))]


def test_alone_and_hostile():
    assert alone(FILTER, answers(*SOUND, "cafÃ©", "\ufffd" * 9, "plain"))
    assert failed(FILTER, hostile(), strays=None) == [set()] * len(hostile())
