"""Openings: equal first words have equal keys; stock phrases are told and dropped only on request."""

from hypothesis import given
from hypothesis import strategies as st

from tests.annotated import answers, failed, features, hostile, pair, records
from transforms.annotate.openings import Openings, opening_phrase
from transforms.filters.openings import FILTER, Settings

STOCK = [
    "Certainly! I'd be happy to help.", "Sure, here is a summary of Maria Astashkina: Born on April 5, 1999", "Of course! Here are a few.",
    "Great question! That’s a really useful skill to cultivate.", "Sure! Red, orange, and yellow are warm colors.",
    "That's a great question! There are a lot of people.", "I'd be happy to tell you about hot water kettles.",
    "当然可以。在本次党课中，支部成员们积极参与讨论。", "好的，以下是几个关于气候环境的问题：", "¡Claro! Aquí está.", "Bien sûr ! Voici.", "Конечно! Вот.",
]  # fmt: skip
PLAIN = [
    "Sure signs of spring are buds.", "Of course the mill grinds slowly.", "Great questions of philosophy are three.",
    "Certainly not", "Yes", "Surely", "Here are the three wheels.", "当然后来他走了", "Absolutely nothing.", "", "  ",
]  # fmt: skip


def keys(*texts: str) -> list[int]:
    found: list[int] = Openings()(answers(*texts))["opening"].to_pylist()
    return found


def test_stock_phrases():
    assert failed(FILTER, answers(*STOCK, *PLAIN)) == [set()] * (len(STOCK) + len(PLAIN))
    assert failed(FILTER, answers(*STOCK), drop_boilerplate=True) == [{"boilerplate"}] * len(STOCK)
    assert failed(FILTER, answers(*PLAIN), drop_boilerplate=True) == [set()] * len(PLAIN)


def test_keys_are_of_the_first_three_words():
    sure = keys(
        "Sure, here is a mill.", "  sure: HERE is one", "Sure, here are two.", "here sure is", "Sure", "Sure.", "", "…"
    )
    assert sure[0] == sure[1]
    assert sure[4] == sure[5]
    assert len(set(sure[:5])) == 4
    assert sure[6:] == [0, 0]


def test_the_first_answer_with_content_counts():
    call = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "1", "type": "function", "function": {"name": "mill", "arguments": "{}"}}],
    }
    block = records(
        pair("How?", "So it is said."),
        [*pair("How?", "So it is said."), *pair("Why?", "For this.")],
        [("user", "How?"), call, ("tool", "3"), ("assistant", "So it is said.")],
        [("user", "So it is said.")],
    )
    found = Openings()(block)["opening"].to_pylist()
    assert found == [found[0]] * 3 + [0]


@given(
    st.lists(st.text(st.sampled_from("aB'é中ß İ\n-"), max_size=9).map(lambda text: text * 40), min_size=2, max_size=6)
)
def test_phrase_and_key_agree(texts: list[str]):
    phrases = [opening_phrase(text) for text in texts]
    found = keys(*texts)
    assert [phrase == "" for phrase in phrases] == [key == 0 for key in found]
    for phrase, key in zip(phrases, found, strict=True):
        assert [other == phrase for other in phrases] == [other == key for other in found]


def test_phrase():
    assert keys(opening_phrase(STOCK[1]), opening_phrase(STOCK[8])) == keys(STOCK[1], STOCK[8])
    assert opening_phrase("\n" * 500 + "Certainly! I'd be happy") == "certainly i d"
    assert opening_phrase("当然可以。") == "当 然 可"
    assert opening_phrase("x" * 70_000 + " y").split() == ["x" * 64] * 3


def test_alone_and_hostile() -> None:
    on = Settings(drop_boilerplate=True)
    block = hostile()
    whole = features(FILTER, block, on)
    assert whole["boilerplate_opening"].to_pylist() == [0] * len(block)
    for row in range(len(block)):
        assert Openings()(type(block)(block.batch.slice(row, 1))).equals(whole.slice(row, 1))
