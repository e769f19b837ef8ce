"""Echo: answers that give the user's words back go; quoting, correcting, continuing and short answers stay."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.annotated import alone, failed, features, hostile, pair, records
from transforms.filters import characters, echo, repetition, roles, truncated
from transforms.filters.echo import FILTER, Settings

QUESTION = "Name four pork products that I could expect to find in a delicatessen"
CONTEXT = (
    "Gingham, also called Vichy check, is a medium-weight balanced plain-woven fabric typically with striped, check or "
    "plaid patterns in white and a bright colour. It is made from dyed cotton or cotton-blend yarns. "
)
MORE = "It was brought to Manchester in the eighteenth century, where mills wove it into checked patterns for export. "


def test_a_repeated_turn_is_no_answer():
    block = records(
        pair(QUESTION, QUESTION),
        pair(QUESTION, f"  {QUESTION}?\n"),
        [*pair(QUESTION, "Ham."), *pair("Go on", QUESTION)],
        pair(QUESTION, "Ham, salami, bacon and chorizo."),
        pair("请写一首关于秋天的诗", "请写一首关于秋天的诗"),
    )
    assert failed(FILTER, block) == [{"echoed_words"}, {"echoed_words"}, {"echoed_words"}, set(), {"echoed_words"}]
    assert failed(FILTER, block, echoed_words=None) == [set()] * 5
    assert failed(FILTER, block, echoed_words=13) == [{"echoed_words"}] * 3 + [set()] * 2


def test_courtesies_and_corrections_are_answers():
    block = records(
        pair("Hello!", "Hello!"),
        pair("Good bye", "Good bye"),
        pair("2 + 2 = 4", "2 + 2 = 4"),
        [
            *pair("i went to paris last year with my aunt", "Nice."),
            *pair("fix it", "I went to Paris last year with my aunt."),
        ],
        pair("Is a+b the same as a-b for all a b in the reals", "Is a-b the same as a+b for all a b in the reals"),
    )
    assert failed(FILTER, block) == [set()] * 5


def test_the_whole_context_copied_out_is_no_answer_but_an_extract_is():
    block = records(
        pair(f"What is Gingham fabric?\n\n{CONTEXT}", CONTEXT),
        pair(f"What is Gingham fabric?\n\n{CONTEXT}", CONTEXT.replace("  ", " ").rstrip(". ")),
        pair(f"What is Gingham fabric?\n\n{CONTEXT}{MORE}{MORE.upper()}", CONTEXT),  # a part of a long text
        pair(f"What is it made of?\n\n{CONTEXT}", "dyed cotton or cotton-blend yarns"),
        pair(f"Put the commas right.\n\n{CONTEXT.replace(',', '')}", CONTEXT),
        pair(f"Write it in capitals.\n\n{CONTEXT}", CONTEXT.upper()),
        pair("Which are sweet: pear, leek, plum?\n\npear, leek, plum", "pear, plum"),
    )
    assert failed(FILTER, block) == [{"quoted_words"}, {"quoted_words"}] + [set()] * 5
    assert failed(FILTER, block, quoted_words=60) == [set()] * 7
    assert failed(FILTER, block, prompt_copied_share=0.3)[2] == set()  # less than half the prompt is an extract


def test_an_answer_that_begins_with_the_whole_prompt_is_a_rule_on_demand():
    start = "The first Battle of Panipat was fought in the year"
    block = records(
        pair(start, f"{start} 1526."),
        pair(f"{start}?", f"{start.upper()}: 1526."),
        pair(start, start),  # goes nowhere: an echo
        pair(start, "It was fought in the year 1526."),
        [*pair(start, "1526"), *pair("And the second?", f"{start} 1556.")],  # the turn before is another
    )
    assert failed(FILTER, block, echoed_words=None) == [set()] * 5
    found = failed(FILTER, block, restated_words=8, echoed_words=None)
    assert found == [{"restated_words"}, {"restated_words"}, set(), set(), set()]
    assert failed(FILTER, block, restated_words=11, echoed_words=None) == [set()] * 5


def test_copied_share_counts_stretches_of_five_words():
    block = records(pair("a b c d e f g h", "a b c d e f x y z q"), pair("a b c d", "a b c d e f"))
    columns = features(FILTER, block, Settings())
    assert columns["copied_share"].to_pylist() == [float.fromhex("0x1.555556p-2"), 0]  # 2 of 6, as float32
    assert columns["prompt_copied_share"].to_pylist() == [0.5, 0]  # 2 of 4
    assert columns["last_answer_words"].to_pylist() == [10, 6]


def test_copied_share_is_a_rule_on_demand_and_spares_the_short():
    long = " ".join(f"word{n}" for n in range(60))
    block = records(pair(long, f"{long} and more"), pair("one two three four five six", "one two three four five, six"))
    assert failed(FILTER, block) == [set(), set()]
    assert failed(FILTER, block, copied_share=0.9) == [{"copied_share"}, set()]
    assert failed(FILTER, block, copied_share=0.9, copied_words=6, echoed_words=None)[1] == {"copied_share"}


def test_only_user_turns_before_the_last_answer_count():
    text = " ".join(f"word{n}" for n in range(30))
    block = records(
        [("system", text), *pair("Go on", text)],
        [*pair("Go on", text), *pair("Again, please", text)],
        [("user", "Go on"), ("assistant", text), ("user", text)],
    )
    assert failed(FILTER, block) == [set()] * 3


def test_a_record_is_measured_alone():
    block = hostile()
    assert alone(FILTER, block)
    assert all(0 <= share <= 1 for share in features(FILTER, block, Settings())["copied_share"].to_pylist())
    assert failed(FILTER, records()) == []


@pytest.mark.needs_shared
@pytest.mark.parametrize("one", [characters, echo, repetition, roles, truncated])
def test_short_right_answers_of_dolly_survive(shared: Path, one: Any):
    """A closed question answered with a phrase of its context is good data, in each of these filters at its defaults."""
    rows = [orjson.loads(line) for line in (shared / "data" / "human" / "dolly-15k-en.jsonl").read_bytes().splitlines()]
    short = [row for row in rows if row["context"].strip() and 1 <= len(row["response"].split()) <= 5]
    assert len(short) > 100
    block = records(*(pair(f"{row['instruction']}\n\n{row['context']}", row["response"]) for row in short))
    dropped = [(row["response"], rules) for row, rules in zip(short, failed(one.FILTER, block)) if rules]
    assert len(dropped) <= 0.01 * len(short), dropped
