"""Tags by rules: what is asked, how the answer is laid out and speaks, how much it takes; for each, what it is not."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import GristmillError
from schemas.strict import validate
from transforms.annotate.annotation import key
from transforms.annotate.tags import FORMATS, TASKS, TONES, Tags
from transforms.annotate.tags.rules import RULES
from transforms.assemble import assemble
from transforms.filters.tags import FILTER, Settings, decide
from transforms.records import Records

PASSAGE = (
    "Lighthouses were first built of wood. The Eddystone light, finished in 1698 by Henry Winstanley, stood for five "
    "years; John Smeaton's tower of 1759 was of stone, and its light of twenty-four candles burned until 1882."
)


def records(*conversations: list[dict[str, Any]], **columns: list[Any]) -> Records:
    made: list[dict[str, Any]] = [{"messages": one} for one in conversations]
    for name, values in columns.items():
        made = [one | {name: value} for one, value in zip(made, values, strict=True)]
    return Records(assemble(made, range(len(made)), [0] * len(made)))


def pair(prompt: str, answer: str = "Yes.") -> list[dict[str, Any]]:
    return [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]


def tagged(*conversations: list[dict[str, Any]], **columns: list[Any]) -> list[dict[str, Any]]:
    rows = Tags()(records(*conversations, **columns)).to_pylist()
    return [
        row | {"task": TASKS[row["task"]], "format": FORMATS[row["format"]], "tone": TONES[row["tone"]]} for row in rows
    ]


ASKED = [
    ("question_answering", "Which bird lays the largest egg?"),
    ("question_answering", "What is SQL?"),  # about programs, but no program is asked for
    ("question_answering", "How do I change a light bulb?"),
    ("question_answering", "Can you tell me what a mitochondrial matrix is?"),
    ("question_answering", "Name three rivers in Spain."),
    ("question_answering", "什么是网络拓扑？"),
    ("question_answering", "为什么通常不建议使用这个功能？"),  # 建议, but not to give any
    ("question_answering", "Mikä on maailman pisin joki?"),
    ("question_answering", "What is the main language spoken in Latin America?"),
    ("question_answering", "What do you get by mixing red and blue?"),  # "do you", but not about the assistant
    ("closed_question_answering", f"Who built the stone tower?\n\n{PASSAGE}"),
    ("closed_question_answering", f"Given this paragraph about lighthouses, when did the light go out?\n\n{PASSAGE}"),
    ("closed_question_answering", f"{PASSAGE}\n\nWhich of the two towers stood longer?"),
    ("closed_question_answering", f"Missä torni oli?\n\n{PASSAGE}"),
    ("summarisation", f"Without quoting from the text give me a summary of the towers.\n\n{PASSAGE}"),
    ("summarisation", f"Summarize the passage\n\n{PASSAGE}"),
    ("summarisation", f"Tell me about the Eddystone light\n\n{PASSAGE}"),
    ("closed_question_answering", f"In the summary below, who was first?\n\n{PASSAGE}"),
    ("translation", "Translate the following sentence into French: the mill is closed."),
    ("translation", "请把下面的句子翻译成英文：磨坊关门了。"),
    ("question_answering", "Translate () to ()块是什么？"),  # the name of a block, not a request
    ("coding", "Write a Python function that merges two sorted lists."),
    ("coding", "What would be the output of the following Java code snippet?\n\nint x = 5;\nSystem.out.println(x++);"),
    ("coding", "Translate this C++ code that adds two numbers into JavaScript\n\nint main() { int a = 1; }"),
    ("classification", "Classify each of the following as a bird or a mammal: eagle, bear, finch"),
    ("classification", "Identify which instrument is string or percussion: Bell, Tro"),
    ("classification", "Which is a species of fish? Tope or Rope"),
    ("classification", 'Is the following statement true? "Plumbers work with pipes."'),
    ("classification", "Mitkä näistä maista sijaitsevat Aasiassa: Peru, Intia, Kiina."),
    ("extraction", f"From the passage provided, extract the years. Separate them with a comma.\n\n{PASSAGE}"),
    ("extraction", f"List the builders mentioned.\n\n{PASSAGE}"),
    ("extraction", f"Poimi tekstistä kaikki nimet\n\n{PASSAGE}"),
    ("creative", "Write a short story about a person who finds a hidden room."),
    ("creative", "帮我写一份入团申请书"),
    ("creative", "Kirjoita runo myllystä."),
    ("question_answering", "制作故事动画最重要的是什么？"),  # 故事, but none is asked for
    ("dialogue", "Who are you?"),
    ("dialogue", "hi"),
    ("dialogue", "What is your favorite piece of classical music?"),
    ("reasoning", "68+11="),
    ("reasoning", "Mabel has 5 daisies, each with 8 petals. She gives 2 away. How many petals has she now?"),
    ("tool_use", "search A search engine. Useful for when you need to answer questions. search(query) Find the news."),
    ("brainstorming", "Give me some ideas for a backpacking trip."),
    ("brainstorming", "What are some ways to help someone fall asleep?"),
    ("question_answering", "What are the boroughs of New York City?"),  # a list, but not of ideas
    ("rewriting", "Correct the typos in this passage\n\nTeh mill was fnded in 1999 on teh river by a miler."),
    ("rewriting", "Rephrase this sentence so that it sounds friendlier: Close the door."),
    ("other", " "),
]


@pytest.mark.parametrize(("task", "prompt"), ASKED, ids=[prompt[:40].strip() or "blank" for _, prompt in ASKED])
def test_task(task: str, prompt: str):
    assert tagged(pair(prompt))[0]["task"] == task


def test_every_task_but_other_has_rules_and_an_example():
    assert {rule.task for rule in RULES} == set(TASKS) - {"other"}
    assert {task for task, _ in ASKED} == set(TASKS)


def test_tools_offered_or_called_decide():
    call = {"id": "1", "type": "function", "function": {"name": "menu", "arguments": "{}"}}
    calling: list[dict[str, Any]] = [
        {"role": "user", "content": "one latte"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
    ]
    plain = pair("one latte")
    tools = '[{"type": "function", "function": {"name": "menu"}}]'
    found = tagged(calling, plain, plain, plain, tools=[None, tools, None, "[]"])
    assert [row["task"] for row in found] == ["tool_use", "tool_use", "question_answering", "question_answering"]


def test_how_an_answer_is_reached_tells_reasoning():
    question = "Are more people related to Genghis Khan than to Julius Caesar?"
    worked = "Caesar had three children. Khan had sixteen children. So the answer is yes."
    found = tagged(pair(question, worked), pair(question, "Yes, many more."))
    assert [row["task"] for row in found] == ["reasoning", "question_answering"]


LAID_OUT = [
    ("prose", "Tope"),
    ("prose", "The mill stands by the river; it was built in 1820 (of stone)."),
    ("prose", "3*50 + 3*30 = 240.\nSo the answer is:\n#### 240"),  # no heading
    ("prose", "private school"),
    ("list", "1. Flour\n2. Water\n3. Salt"),
    ("list", "Here are three:\n- Vedra\n- Zamora\n- Tajo"),
    ("markdown", "# Baking\n\nMix the **flour** with water."),
    ("table", "| a | b |\n|---|---|\n| 1 | 2 |"),
    ("code", "def double(x):\n    return 2 * x"),
    ("code", "Use this:\n```sh\nls\n```"),
    ("code", "SELECT name\nFROM mills\nWHERE year < 1900;"),
    ("code", "#!/bin/bash\ndu -h"),
    ("json", '{"name": "mill", "years": [1820]}'),
    ("prose", "{Colombians} - {18%}, {Moroccans} - {12%}"),
    ("empty", " \n"),
]


@pytest.mark.parametrize(("layout", "answer"), LAID_OUT, ids=[answer[:20].strip() for _, answer in LAID_OUT])
def test_format(layout: str, answer: str):
    assert tagged(pair("Go on.", answer))[0]["format"] == layout


SPOKEN = [
    ("neutral", "Little Rock is the capital."),
    ("neutral", "Thus 5 pictures hang there."),
    ("neutral", "Wow!"),  # one mark is no tone
    ("formal", "Dear Sir, I write regarding your letter. Furthermore, I would ask for a reply. Yours faithfully, A."),
    ("casual", "Yeah, I don't think you're gonna need it, but it won't hurt."),
    ("enthusiastic", "What a wonderful idea! You will love it! Go on!"),
    ("neutral", "if (!a != !b) { run(!c); }"),  # code has no tone
]


@pytest.mark.parametrize(("tone", "answer"), SPOKEN)
def test_tone(tone: str, answer: str):
    assert tagged(pair("Go on.", answer))[0]["tone"] == tone


def test_difficulty_grows_with_work_steps_and_conditions():
    easy = pair("What is the capital of Arkansas?", "Little Rock")
    steps = "1. Because 3 * 4 = 12, there are 12.\n2. Therefore 12 - 5 = 7.\n3. Since 7 > 6, it is enough.\n" * 4
    hard = pair("Without a calculator, show in at most ten steps that each box must hold exactly 7 of them.", steps)
    long = pair("What is the capital of Arkansas?", "Little Rock " * 200)
    values = [row["difficulty"] for row in tagged(easy, long, hard)]
    assert values == sorted(values)
    assert 0 <= values[0] < 0.1
    assert 0.4 < values[2] < 1


def test_a_record_has_the_same_tags_in_any_block():
    all_of_them = [pair(prompt) for _, prompt in ASKED] + [pair("Go on.", answer) for _, answer in LAID_OUT]
    together = Tags()(records(*all_of_them))
    alone = [Tags()(records(one)) for one in all_of_them]
    assert together.equals(pa.Table.from_batches(alone).combine_chunks().to_batches()[0])
    block = records(*all_of_them).batch
    sliced = [Tags()(Records(block.slice(start, 7))) for start in range(0, len(all_of_them), 7)]
    assert together.equals(pa.Table.from_batches(sliced).combine_chunks().to_batches()[0])


@given(st.lists(st.tuples(st.text(max_size=60), st.text(max_size=60)), max_size=4))
def test_any_text_has_tags_in_range(pairs: list[tuple[str, str]]):
    clean = [pair(*(text.encode("utf-8", "replace").decode() for text in one)) for one in pairs]
    found = Tags()(records(*clean))
    found.validate(full=True)
    assert found.schema == Tags().schema
    assert found.num_rows == len(pairs)
    for name, count in (("task", len(TASKS)), ("format", len(FORMATS)), ("tone", len(TONES))):
        assert all(0 <= code < count for code in found[name].to_pylist())
    for name in ("task_confidence", "difficulty"):
        assert all(0 <= value <= 1 for value in found[name].to_pylist())


def test_odd_records_and_long_ones():
    odd = [
        [{"role": "assistant", "content": "Only an answer."}],
        [{"role": "system", "content": "Only a rule."}],
        pair("\n" * 10_000, "[" * 10_000),
        pair("a, " * 400_000 + "?", "{" * 400_000 + "}" * 400_000),
        pair("x" * 2_000_000, "- " * 1_000_000),
    ]
    assert [row["format"] for row in tagged(*odd)][:2] == ["prose", "empty"]


def test_identity_names_a_version_and_no_text():
    assert Tags().identity() == {"version": 1}
    assert key(Tags()) == key(Tags())


def filtered(settings: dict[str, Any], *conversations: list[dict[str, Any]]) -> list[list[str]]:
    features = Tags()(records(*conversations))
    typed = validate(Settings, settings, "filters.tags")
    assert [one.name for one in FILTER.needs(typed)] == ["tags"]
    dropped: list[list[str]] = [[] for _ in conversations]
    for finding in decide(features, typed):
        assert len(finding.failed) == len(finding.value) == len(conversations)
        for row in np.flatnonzero(finding.failed).tolist():
            dropped[row].append(finding.rule)
    return dropped


def test_filter_drops_by_name():
    three = (pair("Who are you?"), pair("68+11=", "79"), pair("Which bird lays the largest egg?", "1. Ostrich\n2. Emu"))
    assert filtered({}, *three) == [[], [], []]
    assert filtered({"tasks": {"drop": ["dialogue"]}}, *three) == [["tags.task.dialogue"], [], []]
    assert filtered({"tasks": {"allow": ["dialogue", "reasoning"]}}, *three) == [
        [], [], ["tags.task.question_answering"],
    ]  # fmt: skip
    assert filtered({"formats": {"drop": ["list"]}, "tones": {"allow": ["formal"]}}, *three) == [
        ["tags.tone.neutral"], ["tags.tone.neutral"], ["tags.format.list", "tags.tone.neutral"],
    ]  # fmt: skip
    assert filtered({"tasks": {"drop": ["reasoning", "question_answering"]}, "confidence": 0.6}, *three) == [
        [], ["tags.task.reasoning"], [],
    ]  # fmt: skip


def test_filter_bounds_difficulty():
    easy, hard = (
        pair("Who?", "Ann"),
        pair("Why must each of the 12 boxes hold exactly 7?", "Because 84 = 12 * 7. " * 40),
    )
    assert filtered({"difficulty": {"min": 0.1}}, easy, hard) == [["tags.difficulty.min"], []]
    assert filtered({"difficulty": {"max": 0.1}}, easy, hard) == [[], ["tags.difficulty.max"]]


def test_filter_works_on_no_rows():
    empty = Tags()(records())
    settings = Settings.model_validate(
        {"tasks": {"allow": []}, "formats": {"drop": ["json"]}, "difficulty": {"max": 1.0}}
    )
    names = [finding.rule for finding in decide(empty, settings)]
    assert names == [*(f"tags.task.{name}" for name in TASKS), "tags.format.json", "tags.difficulty.max"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tasks": {"drop": ["summarization"]}}, "tasks has no tag 'summarization'; did you mean 'summarisation'?"),
        ({"tones": {"allow": ["xyz"]}}, "tones has no tag 'xyz'; known here: neutral, formal, casual, enthusiastic"),
        ({"tasks": {"allow": ["coding"], "drop": ["other"]}}, "allow and drop are both set; keep one of them"),
        ({"difficulty": {"min": 0.9, "max": 0.1}}, "min 0.9 is above max 0.1"),
        ({"task": {"drop": ["coding"]}}, "task: unknown key; did you mean 'tasks'?"),
    ],
)
def test_a_wrong_setting_is_named(settings: dict[str, Any], message: str):
    with pytest.raises(GristmillError) as caught:
        validate(Settings, settings, "filters.tags")
    assert message in str(caught.value)
