"""Language: what is certainly in another language goes; names, lists, short answers and mixtures stay."""

import pyarrow as pa
import pytest

from schemas.errors import GristmillError
from schemas.strict import validate
from tests.annotated import alone, answers, failed, features, hostile, pair, records
from transforms.annotate.language import Language, identify
from transforms.filters.language import FILTER, Settings

ENGLISH = "The mill stands by the river and has ground flour for the whole valley since it was built."
FINNISH = "Mylly seisoo joen rannalla, ja se on jauhanut jauhoja koko laaksolle siitä asti kun se rakennettiin."
GERMAN = "Die Mühle steht am Fluss und hat seit ihrem Bau Mehl für das ganze Tal gemahlen."
FRENCH = "La révolution française a eu plusieurs impacts, sociaux et politiques, sur toute l'Europe."


def languages(*texts: str) -> list[str | None]:
    return features(FILTER, answers(*texts), Settings())["language"].to_pylist()


def test_languages_are_told_apart():
    assert languages(ENGLISH, FINNISH, GERMAN, FRENCH, ENGLISH.upper()) == ["en", "fi", "de", "fr", "en"]


def test_scripts_of_one_language_need_no_model():
    texts = pa.array(
        [
            "磨坊在河边",
            "水車小屋は川のそばにあります",
            "방앗간은 강가에 있습니다",
            "โรงสีอยู่ริมแม่น้ำ",
            "Ο μύλος είναι δίπλα",
            "ძველი წისქვილი",
        ]
    )
    codes, scores = identify(texts.cast(pa.large_string()))
    assert codes.to_pylist() == ["zh", "ja", "ko", "th", "el", "ka"]
    assert min(scores.to_pylist()) > 0.9


def test_code_links_and_signs_say_nothing():
    code = "```python\nfor value in range(len(values)):\n    print(value)\n```"
    assert (
        languages(code, "https://example.com/die-muehle-steht-am-fluss", "12 + 30 = 42", "", "😀", "Paris")
        == [None] * 6
    )
    assert languages(f"{FINNISH}\n{code}", f"`return value if value else other` {GERMAN}") == ["fi", "de"]


def test_what_is_not_allowed_goes_and_the_uncertain_stays():
    block = answers(
        ENGLISH, FRENCH, FINNISH, "Bayerische Motoren Werke", "Coal: Flammable\nWood: Flammable\nGlass: Non-flammable",
        "- Ragu\n- Risotto\n- Polenta\n- Ossobuco", "Rijksmuseum, Van Gogh Museum, Stedelijk Museum", "7", "",
        "可以使用“When Button () Pressed”、“When Distance is less than ()”等条件块", "Qui?", "1. Cristiano Ronaldo, 567 millions",
    )  # fmt: skip
    dropped = [bool(rules) for rules in failed(FILTER, block, allow=["en"])]
    assert dropped == [False, True, True, *[False] * 6, dropped[9], False, False]
    assert failed(FILTER, answers(FRENCH), allow=["en", "fr"]) == failed(FILTER, answers(FRENCH)) == [set()]


def test_the_answer_is_in_the_prompts_language_unless_the_prompt_names_one():
    block = records(
        pair("Where does the old mill stand and what has it done?", FINNISH),
        pair("Missä vanha mylly seisoo ja mitä se on tehnyt siellä?", FINNISH),
        pair(f"Translate into Finnish: {ENGLISH}", FINNISH),
        pair(f"Käännä suomeksi: {ENGLISH}", FINNISH),
        pair("Hi!", FINNISH),
        pair("List Italian dishes that everybody should have tried once", "Risotto, Polenta, Ossobuco, Arancini"),
    )
    assert failed(FILTER, block, same=True) == [{"not_the_prompts"}, *[set()] * 5]
    assert failed(FILTER, block) == [set()] * 6


def test_all_turns_count_and_system_prompts_do_not():
    block = records(
        [("system", FRENCH), ("user", "Hei"), ("assistant", "Hei."), ("user", GERMAN), ("assistant", FINNISH)]
    )
    row = features(FILTER, block, Settings()).to_pylist()[0]
    assert (row["language"], row["prompt_language"]) == ("fi", "de")


def test_any_text_is_measured_and_a_record_alone_as_among_others():
    assert alone(FILTER, hostile())
    assert alone(FILTER, answers(ENGLISH, FINNISH, "7", "磨坊在河边", FRENCH))
    assert Language()(answers()).num_rows == 0


@pytest.mark.parametrize("plain", [{"allow": []}, {"allow": ["english"]}, {"min_score": 0.0}, {"min_score": 1.5}])
def test_mistakes_are_named(plain: dict[str, object]):
    with pytest.raises(GristmillError):
        validate(Settings, plain, "filters.language")
