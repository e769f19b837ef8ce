"""Answers that are nothing but a link go, unless a link was asked for; answers that cite one stay."""

from tests.annotated import alone, answers, failed, hostile, pair, records
from transforms.filters.urls import FILTER

BARE = [
    "https://en.wikipedia.org/wiki/The_Salvation_Army",
    "again not sure : https://en.wikipedia.org/wiki/The_Salvation_Army",
    "![diagram](https://example.org/pictures/mill.png)",
    "www.example.org/a/rather/long/path",
    " \nhttps://example.org/?q=mill&lang=en\nhttps://example.org/?q=wheel&lang=en\n",
    "https://例え.jp/水車",
]
CITED = [
    "The Salvation Army was founded in 1865, see https://en.wikipedia.org/wiki/The_Salvation_Army",
    "Use requests.get('https://example.org') and read the body of the answer that comes back.",
    "http is a protocol.", "www", "https://", "Paris", "",
]  # fmt: skip
POINTERS = ["See the link above.", "Please refer to the attached document.", "See above.", "请参考上述链接。"]
NO_POINTERS = ["See the mill above the river.", "Read the article, then count the words in it.", "See above: it is 7."]


def test_bare_links():
    assert failed(FILTER, answers(*BARE)) == [{"share"}] * len(BARE)
    assert failed(FILTER, answers(*CITED)) == [set()] * len(CITED)


def test_a_link_that_was_asked_for():
    prompts = ["What is the website of the Salvation Army?", "Give me a link", "Show a picture", "请给我网址"]
    assert failed(FILTER, records(*(pair(prompt, BARE[0]) for prompt in prompts))) == [set()] * len(prompts)
    assert failed(FILTER, records(pair("When was it founded? https://example.org", BARE[0]))) == [{"share"}]


def test_pointers():
    assert failed(FILTER, answers(*POINTERS)) == [{"pointers"}] * len(POINTERS)
    assert failed(FILTER, answers(*NO_POINTERS)) == [set()] * len(NO_POINTERS)
    assert failed(FILTER, answers(*POINTERS), pointers=None) == [set()] * len(POINTERS)


def test_settings_and_turns():
    assert failed(FILTER, answers(CITED[0]), share=0.3) == [{"share"}]
    assert failed(FILTER, records(pair(BARE[0], "A page."))) == [set()]


def test_alone_and_hostile():
    assert alone(FILTER, answers(*BARE, *CITED, *POINTERS))
    assert failed(FILTER, hostile()) == [set()] * len(hostile())
