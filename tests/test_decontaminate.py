"""Decontamination: what is found, what convicts, what boilerplate weighs; the same in any block and order."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.decontaminate import Decontaminate
from transforms.annotate.annotation import key
from transforms.assemble import assemble
from transforms.decontaminate.account import add, dropped, overlaps, tally
from transforms.decontaminate.benchmarks import Item
from transforms.decontaminate.decide import FIELD_NAMES, matches, verdicts
from transforms.decontaminate.index import Index, build, digest, load, runs, save
from transforms.decontaminate.match import SCHEMA, Contamination, find, searcher
from transforms.decontaminate.score import Weights, held, score_pairs
from transforms.decontaminate.weigh import add_frequencies, document_frequency, weights
from transforms.records import Records
from transforms.words import tokenise, words_of

DUCKS = (
    "Janet’s ducks lay 16 eggs per day. She eats three for breakfast every morning and bakes muffins for her friends "
    "every day with four. She sells the remainder at the farmers' market daily for $2 per fresh duck egg. How much in "
    "dollars does she make every day at the farmers' market?"
)
DUCKS_ANSWER = (
    "Janet sells 16 - 3 - 4 = <<16-3-4=9>>9 duck eggs a day.\nShe makes 9 * 2 = $<<9*2=18>>18 every day at the "
    "farmer’s market.\n#### 18"
)
STAMPS = (
    "Max bought stamps at the post office. Some of the stamps had a snowflake design, some had a truck design, and some "
    "had a rose design. Max bought 16 snowflake stamps. He bought 3 more truck stamps than snowflake stamps, and 9 "
    "fewer rose stamps than truck stamps. How many stamps did Max buy in all?"
)
SALT = "Students shake salt into a jar of water until nothing can be seen of it. What has most likely happened to it?"
SMARTPHONE = "Did Donatello use a smartphone?"
MAMMALS = "Mammals give birth to live"
DRESSER = "dresser"
MOON = "Could the moon fit inside the Black Sea if that were drained?"
PASSAGE = (
    "Barq's is an American soft drink. Its brand of root beer is notable for having caffeine, and it has been bottled "
    "since the start of the twentieth century by the Coca-Cola Company, which also makes a diet version of it."
)
ZH = "珍妮特的鸭子每天下 16 颗蛋。她每天早上早餐时吃 3 颗，每天用 4 颗为自己的朋友做松饼。她每天在农贸市场赚多少钱？"
ITEMS = [
    Item("boolq", 0, "is barq's root beer a pepsi product?", "no", PASSAGE),
    Item("gsm8k", 0, DUCKS, DUCKS_ANSWER),
    Item("gsm8k", 1, STAMPS, "75"),
    Item("obqa", 0, SALT, "It dissolved"),
    Item("obqa", 1, MAMMALS, "young"),
    Item("piqa", 0, DRESSER, "finish it"),
    Item("strategy", 0, SMARTPHONE, "No"),
    Item("strategy", 1, MOON, "No"),
    Item("zh", 0, ZH, "18"),
]
SETTINGS = Decontaminate(benchmarks=["-"])
INDEX = build(ITEMS, SETTINGS.ngram)


def batch(*turns: tuple[str, ...]) -> pa.RecordBatch:
    """Records of alternating user and assistant turns."""
    made = [
        {"messages": [{"role": "assistant" if n % 2 else "user", "content": text} for n, text in enumerate(one)]}
        for one in turns
    ]
    return assemble(made, range(len(made)), [0] * len(made))


def columns(*turns: tuple[str, ...], index: Index = INDEX) -> pa.RecordBatch:
    return find(Records(batch(*turns)), searcher(index))


def weighed(found: pa.RecordBatch, index: Index = INDEX) -> Weights:
    counted = document_frequency(found, index, weights(index, None))
    return weights(index, add_frequencies(pa.Table.from_batches([counted]), index))


def judged(*turns: tuple[str, ...], settings: Decontaminate = SETTINGS) -> list[tuple[bool, str, str]]:
    """(contaminated, item, field) of each record."""
    found = columns(*turns)
    rows = verdicts(found, INDEX, weighed(found), settings).to_pylist()
    return [
        (row["contaminated"], INDEX.label(row["item"]) if row["item"] >= 0 else "", FIELD_NAMES[row["field"]])
        if row["item"] >= 0
        else (row["contaminated"], "", "")
        for row in rows
    ]


@pytest.mark.parametrize(
    ("prompt", "answer", "item", "field"),
    [
        (DUCKS, "18", "gsm8k 0", "question"),
        (DUCKS.upper().replace(".", " ;"), "18", "gsm8k 0", "question"),
        (DUCKS.replace("muffins", "some cakes"), "18", "gsm8k 0", "question"),
        (DUCKS.replace("remainder", "remaindre"), "18", "gsm8k 0", "question"),
        (f"Solve these.\n\nQ: What is 2 + 2?\nA: 4\n\nQ: {DUCKS}\nA:", "18", "gsm8k 0", "question"),
        ("Make up a problem.", f"Here it is: {DUCKS}", "gsm8k 0", "question"),
        ("How is it solved?", DUCKS_ANSWER, "gsm8k 0", "answer"),
        (SALT, "It dissolved.", "obqa 0", "question"),
        (SMARTPHONE, "No.", "strategy 0", "whole"),
        ("did donatello use a Smartphone", "No.", "strategy 0", "whole"),
        (f"Answer by yes or no.\nQ: {SMARTPHONE}\nA:", "No", "strategy 0", "whole"),
        (f"Think: {SMARTPHONE} Explain.", "No", "strategy 0", "whole"),
        (f"Tell me, {MOON}", "No", "strategy 1", "question"),
        ("Mammals give birth to live", "young", "obqa 1", "whole"),
        ("Dresser.", "A piece of furniture.", "piqa 0", "whole"),
        (ZH, "18", "zh 0", "question"),
        (f"问题：{ZH}请回答。", "18", "zh 0", "question"),
    ],
)
def test_copies_are_found(prompt: str, answer: str, item: str, field: str):
    assert judged((prompt, answer)) == [(True, item, field)]


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        # GSM8K's training set: the same story with other numbers and another name
        (STAMPS.replace("Max", "Bella").replace("16", "11").replace("3 more", "9 more").replace("9 fewer", "13 fewer"), "38"),
        (DUCKS.replace("16", "20").replace("three", "five").replace("four", "six").replace("$2", "$3"), "27"),
        (STAMPS.replace("16", "18"), "81"),
        ("Max bought stamps at the post office. Some were red. How many did he have?", "None."),
        ("Is a kangaroo a mammal?", "Mammals give birth to live offspring. So do kangaroos."),
        ("Did Donatello use a smartphone or a tablet?", "Neither."),
        ("What is a dresser?", "A piece of furniture."),
        ("Tell me a joke.", "dresser"),
        (f"{PASSAGE}\n\nWho bottles it?", "The Coca-Cola Company."),
        ("How many eggs?", "She makes 18 every day."),
        ("", ""),
    ],
)  # fmt: skip
def test_near_misses_are_not_convicted(prompt: str, answer: str):
    assert judged((prompt, answer))[0][0] is False


def test_sides_and_fields_are_choices():
    turns = ("Make up a problem.", f"Here it is: {DUCKS}")
    assert judged(turns, settings=Decontaminate(benchmarks=["-"], sides="prompt"))[0][0] is False
    assert judged(turns, settings=Decontaminate(benchmarks=["-"], sides="response"))[0][0] is True
    passage = (f"{PASSAGE}\n\nWho bottles it?", "The Coca-Cola Company.")
    assert judged(passage)[0] == (False, "boolq 0", "passage")
    assert judged(passage, settings=Decontaminate(benchmarks=["-"], fields=["passage"]))[0][0] is True
    solved = ("How is it solved?", DUCKS_ANSWER)
    assert judged(solved, settings=Decontaminate(benchmarks=["-"], fields=["question"]))[0][0] is False


def test_numbers_can_be_ignored_where_words_differ_too():
    changed = STAMPS.replace("16", "18")
    found = columns((changed, "81"))
    (row,) = matches(found, INDEX, weighed(found), SETTINGS).to_pylist()
    assert row["score"] > row["threshold"]
    assert (row["convicts"], row["numbers"], row["changed"]) == (False, 2 / 3, 1 / 3)


def test_a_template_in_many_records_does_not_convict():
    frame = (
        "You are given the description of a task by a colleague, who will read your reply with care and then mark it. "
        "Reply to it in the language of the task."
    )
    index = build([*ITEMS, Item("ifeval", 0, f"{frame} Name some wide rivers.")], SETTINGS.ngram)
    others = [(f"{frame} {word} ?", "Well.") for word in words_of(f"{DUCKS} {STAMPS} {SALT}")]
    alone = columns(others[0], index=index)
    assert verdicts(alone, index, weighed(alone, index), SETTINGS)["contaminated"].to_pylist() == [True]
    found = columns(*others, (f"{frame} Name some wide rivers.", "Rhine"), index=index)
    convicted = np.asarray(verdicts(found, index, weighed(found, index), SETTINGS)["contaminated"])
    assert convicted.tolist() == [False] * len(others) + [True]


def test_an_item_that_leaked_often_does_not_become_boilerplate():
    wrappers = [f"{word.capitalize()}! {DUCKS} Thanks." for word in words_of(f"{STAMPS} {SALT} {PASSAGE}")]
    assert len(wrappers) > 100
    assert all(hit for hit, _, _ in judged(*((text, "18") for text in wrappers)))
    # Copies that miss a part count as witnesses; each misses another part, so the rest keeps its worth.
    words = DUCKS.split(" ")
    holed = [" ".join([*words[:at], "never", *words[at + 1 :]]) for at in range(len(words)) if words[at].isalpha()]
    whole = judged(*((text, "18") for text in holed))
    assert sum(hit for hit, _, _ in whole) >= 0.9 * len(whole)


def test_grams_that_most_items_share_are_left_out():
    frame = "The following paragraphs each describe a set of five objects arranged in a fixed order."
    tails = [" ".join(words_of(DUCKS)[start : start + 14]) for start in range(20)]
    items = [Item("bbh", number, f"{frame} {number} {tails[number % 20]}") for number in range(60)]
    index = build(items, 6)
    assert index.texts.max() <= 50
    found = columns((f"{frame} Which of them is largest?", "This."), (items[3].question, "That."), index=index)
    assert verdicts(found, index, weights(index, None), SETTINGS)["contaminated"].to_pylist() == [False, True]


def test_a_word_weighs_as_its_heaviest_gram_and_a_whole_copy_scores_one():
    found = columns((DUCKS, "18"), (ZH, "18"))
    rows = [row for row in matches(found, INDEX, weighed(found), SETTINGS).to_pylist() if row["convicts"]]
    assert [(row["score"], row["share"], row["numbers"]) for row in rows] == [(1.0, 1.0, 1.0)] * 2


def test_short_questions_that_are_equal_are_all_found():
    items = [Item("a", 0, SMARTPHONE), Item("b", 0, SMARTPHONE.upper()), Item("c", 0, "Is it so at all?")]
    index = build(items, 6)
    found = columns((SMARTPHONE, "No"), index=index)
    rows = matches(found, index, weights(index, None), SETTINGS).to_pylist()
    assert [(index.label(row["item"]), row["convicts"]) for row in rows] == [("a 0", True), ("b 0", True)]


def test_questions_without_words_of_their_own_are_left_out():
    items = [Item("dyck", number, f"Complete the rest of the sequence: {'[' * number}") for number in range(20)]
    assert len(build(items, 6).short_key) == 0


def test_the_same_in_any_block_and_beside_any_record():
    turns = [(DUCKS, DUCKS_ANSWER), ("Hello", "Hi"), (f"{STAMPS}\n{SMARTPHONE}", "No"), (ZH, ""), ("", "x"), (SALT, "")]
    whole = columns(*turns)
    for at, turn in enumerate(turns):
        assert columns(turn).to_pylist() == whole.slice(at, 1).to_pylist()
    worth = weighed(whole)
    ruled = verdicts(whole, INDEX, worth, SETTINGS)
    for at in range(len(turns)):
        assert (
            verdicts(whole.slice(at, 1), INDEX, worth, SETTINGS).to_pylist()[0].items()
            >= {name: value for name, value in ruled.slice(at, 1).to_pylist()[0].items() if value == value}.items()
        )
    counted = [document_frequency(whole.slice(at, 1), INDEX, weights(INDEX, None)) for at in range(len(turns))]
    assert np.array_equal(add_frequencies(pa.Table.from_batches(counted[::-1]), INDEX), _frequency(whole))


def _frequency(found: pa.RecordBatch) -> np.ndarray:
    counted = document_frequency(found, INDEX, weights(INDEX, None))
    return add_frequencies(pa.Table.from_batches([counted]), INDEX)


def test_portions_do_not_change_scores(monkeypatch: pytest.MonkeyPatch):
    found = columns(*[(DUCKS, STAMPS), (SALT, ZH)] * 20)
    worth = weighed(found)
    whole = score_pairs(*held(found, "both"), INDEX, worth)
    monkeypatch.setattr("transforms.decontaminate.score._PLACES", 50)
    parts = score_pairs(*held(found, "both"), INDEX, worth)
    assert all(np.array_equal(one, other) for one, other in zip(whole, parts, strict=True))
    assert len(whole.row) == 80


def test_the_index_is_saved_mapped_and_named_by_content(tmp_path: Path):
    path = tmp_path / "index.arrow"
    name = save(INDEX, path)
    again = load(str(path), name)
    assert digest(again) == name == digest(build(ITEMS, SETTINGS.ngram))
    assert name != digest(build(ITEMS, 7))
    assert name != digest(build(ITEMS[:-1], SETTINGS.ngram))
    one, other = Contamination(str(path), name), Contamination("/elsewhere", name)
    assert key(one) == key(other)
    assert key(one) != key(Contamination(str(path), "another"))
    records = Records(batch((DUCKS, "18"), (SMARTPHONE, "No")))
    assert one(records).equals(find(records, searcher(INDEX)))
    assert one(records).schema == one.schema == SCHEMA


def test_runs_are_those_of_consecutive_words_in_order():
    words = tokenise(pa.array(["a b c a b", "b a c"])).hashes
    two = runs(words, 2)
    assert two[0] == two[3]
    assert two[0] != two[5]
    assert len(runs(words, 9)) == 0


@pytest.mark.parametrize("index", [INDEX, build([], 6), build(ITEMS[5:6], 6)], ids=["full", "empty", "short"])
def test_empty_blocks_and_empty_indexes(index: Index):
    for turns in ([], [("", "")], [(DUCKS, SMARTPHONE), ("dresser", "x")]):
        found = columns(*turns, index=index)
        assert found.num_rows == len(turns)
        assert verdicts(found, index, weighed(found, index), SETTINGS).num_rows == len(turns)


def test_hostile_messages_are_read_in_one_go():
    loud = (
        (SMARTPHONE + " ") * 20_000,
        (DUCKS + "\n") * 300,
        "dresser " * 300_000,
        "16 " * 100_000,
        "\x00\ud7ff\U0010ffff",
    )
    found = columns(*((text, text[:50]) for text in loud))
    assert np.asarray(verdicts(found, INDEX, weighed(found), SETTINGS)["contaminated"]).tolist() == [
        True, True, False, False, False,
    ]  # fmt: skip
    assert found.nbytes < 20_000


@given(st.lists(st.text(max_size=60), max_size=4), st.lists(st.text(max_size=60), min_size=1, max_size=4))
def test_any_text_is_an_item_and_a_record(questions: list[str], texts: list[str]):
    index = build([Item("any", number, text, text, text) for number, text in enumerate(questions)], 6)
    found = columns(*((text, text) for text in texts), index=index)
    assert verdicts(found, index, weighed(found, index), SETTINGS).num_rows == len(texts)


def test_the_account_adds_up_over_blocks_and_shows_what_was_found_and_nearly_found():
    turns = [(DUCKS, "18"), (DUCKS, "19"), (STAMPS.replace("16", "18"), "81"), (SMARTPHONE, "No"), ("Hi", "Hello")]
    found = columns(*turns)
    worth = weighed(found)
    blocks = [matches(found.slice(at, 1), INDEX, worth, SETTINGS) for at in range(len(turns))]
    tallies = [tally(one, np.array([10 + at])) for at, one in enumerate(blocks)]
    lost = [dropped(one, INDEX, at % 2) for at, one in enumerate(blocks)]
    whole = tally(matches(found, INDEX, worth, SETTINGS), np.arange(10, 15))
    assert add(pa.Table.from_batches(tallies[::-1])).equals(whole)
    table = overlaps(pa.Table.from_batches(tallies), pa.Table.from_batches(lost), {0: "even", 1: "odd"}, INDEX)
    by_name = {one.benchmark: one for one in table}
    gsm = by_name["gsm8k"]
    assert (gsm.items, gsm.found, gsm.share, gsm.contaminated) == (2, 1, 0.5, True)
    assert (gsm.fields, gsm.dropped) == ({"question": 1}, {"even": 1, "odd": 1})
    assert [(one.item, one.records, one.address) for one in gsm.examples] == [("gsm8k 0", 2, 10)]
    assert [(one.item, one.question, one.address) for one in gsm.misses] == [("gsm8k 1", STAMPS, 12)]
    assert (by_name["strategy"].found, by_name["strategy"].dropped) == (1, {"odd": 1})
    assert (by_name["zh"].found, by_name["zh"].contaminated, by_name["zh"].examples) == (0, False, ())
