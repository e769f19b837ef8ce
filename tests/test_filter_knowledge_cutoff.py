"""Cut-off phrases: the date of a model's knowledge goes; other cut-offs and updates stay."""

from tests.annotated import alone, answers, failed, hostile, pair, records
from transforms.filters.knowledge_cutoff import FILTER

TOLD = [
    "The tallest building in the world, as of my knowledge cutoff of September 2021, is the Burj Khalifa.",
    "As of my last update in January 2022, there were twelve.",
    "Up to my last knowledge update in 2023, he was president.",
    "My training data only goes up to 2021.",
    "My knowledge was last updated in April 2023.",
    "My last update was in September 2021.",
    "I don't have real-time information on the weather.",
    "I cannot browse the internet.",
    "截至我的知识更新时间，他仍是总统。",
    "我的知识截止到2021年9月。",
    "Hasta mi última actualización en 2021, era así.",
]
NOT_TOLD = [
    "In the spring season, the lightweight cutoff for men is 160 pounds with a boat average of 155 pounds.",
    "Here the difference in the cutoff heads and newly grown heads is 3.",
    "The historical Saint Nicholas of Myra who was born around 270 A.D.",
    "Algorithms construct a model from sample data, referred to as training data.",
    "Satellite and radar provide real-time information about weather systems.",
    "As of my birthday I had two jobs.",
    "The last update of the operating system was in 2021.",
    "截止到2021年，中国人口为14亿。",
    "2021", "",
]  # fmt: skip


def test_phrases():
    assert failed(FILTER, answers(*TOLD)) == [{"phrases"}] * len(TOLD)
    assert failed(FILTER, answers(*NOT_TOLD)) == [set()] * len(NOT_TOLD)


def test_settings_and_turns():
    assert failed(FILTER, answers(TOLD[0]), phrases=1) == [set()]
    assert failed(FILTER, records(pair("What changed as of my last update?", "The font."))) == [set()]


def test_alone_and_hostile():
    assert alone(FILTER, answers(*TOLD, *NOT_TOLD))
    assert failed(FILTER, hostile()) == [set()] * len(hostile())
