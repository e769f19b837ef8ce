"""Quality: each component on real-looking turns for and against, and a mean that only weights decide."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.annotate.quality import FLOOR, WEIGHTS, Quality, quality
from transforms.annotate.scores.turns import answered, turns
from transforms.annotate.scores.vocabulary import vocabulary
from transforms.assemble import assemble
from transforms.records import Records
from transforms.words import tokenise

Turn = tuple[str, str]

PROSE = (
    "Photosynthesis is how plants turn light into food. Chlorophyll in the leaves takes in sunlight, which splits water "
    "drawn up by the roots; carbon dioxide from the air is then built into sugar, and oxygen leaves through the pores."
)
PASSAGE = (
    "Geling Yan (born 16 November 1958) is a Chinese-American author, novelist and screenwriter. She was born in Shanghai "
    "and joined the army at the age of twelve as a dancer in a ballet troupe, later serving as a war correspondent and "
    "journalist. Her first novel was published in 1985 and many of her stories have been made into films."
)


def records(*conversations: list[Turn]) -> Records:
    made = [{"messages": [{"role": role, "content": text} for role, text in one]} for one in conversations]
    return Records(assemble(made, range(len(made)), [0] * len(made)))


def pair(prompt: str, answer: str) -> list[Turn]:
    return [("user", prompt), ("assistant", answer)]


def components(one: Records) -> dict[str, np.ndarray]:
    found = Quality()(one)
    return {name: found[f"quality_{name}"].to_numpy(zero_copy_only=False) for name in WEIGHTS}


def component(name: str, prompt: str, answer: str) -> float:
    return float(components(records(pair(prompt, answer)))[name][0])


def score(prompt: str, answer: str) -> float:
    return float(quality(components(records(pair(prompt, answer))))[0])


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        ("Is the earth flat?", "No"),
        ("Which is larger, the sun or the moon?", "The sun."),
        ("Answer the question below:\n\n\nThe stronger the acid, the concentration of ions became Larger or Smaller?", "Larger"),
        ("54-42=", "54-42=12"),
        ("Translate to French: good morning", "Bonjour"),
        ("How many legs does a spider have?", "8"),
        ("Classify as odd or even: 13, 200", "13: odd\n200: even"),
        (f"What career did Geling Yan have?\n\n{PASSAGE}", "Author and screenwriter"),
        (f"Why did she leave home, as the text has it?\n\n{PASSAGE}", "She joined the army."),
        ("中国的首都是哪里？", "北京。"),
        ("Onko Helsinki Suomen pääkaupunki?", "Kyllä."),
    ],
)  # fmt: skip
def test_a_short_right_answer_is_good(prompt: str, answer: str):
    assert component("substance", prompt, answer) == 1
    assert score(prompt, answer) > 0.9


@pytest.mark.parametrize(
    ("prompt", "worse", "better"),
    [
        ("Explain how photosynthesis works.", "It uses light.", PROSE),
        ("Write a short story about a hidden room.", "A room was hidden in a house.", PROSE + PASSAGE),
        ("为什么天空是蓝色的？", "因为光。", "太阳光进入大气层后，波长较短的蓝光被空气分子散射到各个方向，所以白天抬头看到蓝色。"),
    ],
)  # fmt: skip
def test_an_open_question_asks_for_more(prompt: str, worse: str, better: str):
    assert component("substance", prompt, worse) < 0.6
    assert component("substance", prompt, better) == 1


def test_padding_earns_nothing():
    prompt = "Explain how photosynthesis works."
    assert component("substance", prompt, "It uses light. " * 30) == component("substance", prompt, "It uses light.")


@pytest.mark.parametrize(
    ("answer", "least", "most"),
    [
        (PROSE, 1, 1),
        ("for i in range(10):\n    print(i)\n    total += i\nprint(total)", 0.8, 1),
        ("ha " * 60, 0, 0.1),
        ("I am sure that it is so. " * 12, 0, 0.3),
        ("Yes", 1, 1),
        ("???", 1, 1),
    ],
)
def test_variety(answer: str, least: float, most: float):
    assert least <= component("variety", "Tell me more.", answer) <= most


def test_a_prompt_said_again_is_not_original():
    prompt = "Name four pork products I could expect to find in a delicatessen"
    assert component("original", prompt, prompt) == 0
    assert score(prompt, prompt) < 0.35
    assert component("original", f"What did she do?\n\n{PASSAGE}", PASSAGE) < 0.5


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        (f"When was she born?\n\n{PASSAGE}", "She was born on 16 November 1958 in Shanghai."),
        ("Sort into cars and planes: Camaro, Piper Cub, Volvo, Cessna, Porsche", "Cars: Camaro, Volvo, Porsche\nPlanes: Piper Cub, Cessna"),
        ("What is the capital of France?", "The capital of France is Paris."),
        ("Fix the code:\n\ndef f(n):\n    if n == 0\n        return 1\n    return n * f(n - 1)", "def f(n):\n    if n == 0:\n        return 1\n    return n * f(n - 1)"),
    ],
)  # fmt: skip
def test_taking_from_a_prompt_is_original_enough(prompt: str, answer: str):
    assert component("original", prompt, answer) > 0.6


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (PROSE, 1),
        (PROSE[:-1], 0.75),
        (PROSE + " This matters because of the", 0.2),
        (PROSE + " There are three kinds:", 0.2),
        ("Strawberries, cherries, apples", 1),
        ("The reasons are these.\n- It is cheap\n- It is near the house of the family", 1),
        ("def add(a, b):\n    total = a + b\n    return total", 1),
        ("她出生在上海，后来成为一名作家，写了许多小说，", 0.2),
    ],
)
def test_ending(answer: str, expected: float):
    assert component("ending", "Tell me about it.", answer) == pytest.approx(expected)


def test_form():
    assert component("form", "Tell me about it.", PROSE) == 1
    assert component("form", "Tell me about it.", " ".join([PROSE] * 8)) < 0.5
    assert component("form", "Tell me about it.", "\n\n".join([PROSE] * 8)) == 1


@pytest.mark.parametrize(
    ("prompt", "answer", "most"),
    [
        ("Who is the best player?", "As an AI language model, I do not have favourites.", 0.1),
        ("Book me a flight.", "I'm sorry, but I don't have the ability to book flights.", 0.1),
        ("What is it?", "I don't know", 0.1),
        ("爸爸的爸爸叫什么", "作为一个AI助手，我无法知道您祖父的名字。", 0.1),
        ("Who are you?", "I am {{name}}, made by {{author}}.", 0.6),
        ("Who was he?", "He was a king of Norway.[3] He died in 1103.[4]", 0.85),
        ("How do I boil eggs?", "Boil them for six minutes. I hope this helps!", 0.9),
    ],
)
def test_candour(prompt: str, answer: str, most: float):
    assert component("candour", prompt, answer) == pytest.approx(most)


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        ("Can AI fall in love?", "AI, unlike humans, has no emotions. It can imitate them well."),
        ("What is ChatGPT?", "ChatGPT is a chatbot by OpenAI, built on a large language model."),
        ("Count the vowels in 'I am an AI language model'", "count('I am an AI language model') gives 12"),
        ("What did she say?", "She said that she was sorry for being late to the party."),
        ("Why did the ship sink?", "It could not turn in time, and the captain did not know of the ice."),
        ("What is 3 % of 200?", "6"),
        ("Write a function for the largest.", "let max = arr[0]; names.filter(name => users[name] > 18)"),
    ],
)
def test_candour_of_honest_answers(prompt: str, answer: str):
    assert component("candour", prompt, answer) == 1


@pytest.mark.parametrize(
    ("prompt", "most"),
    [
        ("Hi", 0.55),
        ("TELL ME WHY THE SKY IS BLUE", 0.5),
        ("Summarise the following article", 0.35),
        ("What is the passage about?", 0.35),
    ],
)
def test_unclear_prompts(prompt: str, most: float):
    assert component("clarity", prompt, "It is about the sea and the people on it.") <= most


@pytest.mark.parametrize(
    "prompt",
    ["What is SQL?", f"What is the passage about?\n\n{PASSAGE}", "54-42=", "珊瑚礁长什么样？", "Write a function that sorts a list"],
)  # fmt: skip
def test_clear_prompts(prompt: str):
    assert component("clarity", prompt, "It is about the sea and the people on it.") == 1


def test_what_follows_may_be_short():
    chat = [*pair("Explain how photosynthesis works.", PROSE), *pair("OK", "Glad to be of use.")]
    assert components(records(chat))["clarity"][0] == 1


def test_relation():
    prompt = "Explain how plants make food from light and water in their leaves."
    assert component("relation", prompt, PROSE) == 1
    off = "The stock market fell sharply on Monday after banks announced heavy losses and investors sold bonds."
    assert component("relation", prompt, off) < 0.7


def test_turns_are_user_messages_with_the_answer_that_closes_them():
    one = records(
        [("system", "Be brief."), ("user", "a"), ("assistant", "draft"), ("tool", "x"), ("assistant", "final"), ("user", "b")],
        [("assistant", "Hello, nobody asked."), ("user", "c"), ("assistant", " "), ("user", "d"), ("assistant", "yes")],
        [("user", "never answered")],
        [],
    )  # fmt: skip
    found = turns(one)
    contents = one.contents.to_pylist()
    assert [(contents[p], contents[a]) for p, a in zip(found.prompt, found.answer)] == [("a", "final"), ("d", "yes")]
    assert found.record.tolist() == [0, 1]
    assert found.first.tolist() == [True, True]
    assert Quality()(one)["quality_substance"].is_valid().to_pylist() == [True, True, False, False]
    assert answered(one).tolist() == [True, True, False, False]


def test_a_record_is_the_mean_of_its_turns():
    good, bad = pair("Explain how photosynthesis works.", PROSE), pair("Who is best?", "As an AI, I cannot say.")
    apart = components(records(good, bad))
    both = components(records(good + bad))
    assert both["candour"][0] == pytest.approx(apart["candour"].mean())


def test_quality_is_a_weighted_harmonic_mean():
    parts = {name: np.ones(3) for name in WEIGHTS}
    parts["candour"] = np.array([1, 0.5, 0])
    total = sum(WEIGHTS.values())
    rest = total - WEIGHTS["candour"]
    expected = [1, total / (rest + WEIGHTS["candour"] / 0.5), total / (rest + WEIGHTS["candour"] / FLOOR)]
    assert quality(parts).tolist() == pytest.approx(expected)
    assert quality(parts, {"candour": 2, "form": 0}).tolist() == [1, 0.5, FLOOR]
    assert np.isnan(quality(parts | {"form": np.full(3, np.nan)})).all()
    assert not np.isnan(quality(parts | {"form": np.full(3, np.nan)}, WEIGHTS | {"form": 0})).any()
    with pytest.raises(ValueError, match="above 0"):
        quality(parts, {"form": 0})


@given(st.dictionaries(st.sampled_from(sorted(WEIGHTS)), st.floats(0, 1), min_size=8), st.sampled_from(sorted(WEIGHTS)))
def test_quality_stays_between_its_components_and_rises_with_each(values: dict[str, float], name: str):
    parts = {one: np.array([value]) for one, value in values.items()}
    found = quality(parts)[0]
    assert min(max(value, FLOOR) for value in values.values()) - 1e-9 <= found <= max(FLOOR, *values.values()) + 1e-9
    assert quality(parts | {name: np.ones(1)})[0] >= found - 1e-12


TEXT = st.one_of(
    st.text(max_size=60), st.sampled_from([PROSE, PASSAGE, "", "\n", "No", "为什么？", "```\nx\n```", "Is it so?"])
)


@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from(["user", "assistant", "tool", "system"]), TEXT), max_size=5),
        min_size=1,
        max_size=6,
    )
)
def test_any_text_gives_components_between_0_and_1_in_any_block(conversations: list[list[Turn]]):  # fmt: skip
    whole = Quality()(records(*conversations))
    assert whole.schema == Quality().schema
    for column in whole.columns:
        values = column.drop_null().to_numpy()
        assert ((values >= 0) & (values <= 1)).all()
    alone = [Quality()(records(one)) for one in conversations]
    assert pa.Table.from_batches(alone).combine_chunks().equals(pa.Table.from_batches([whole]).combine_chunks())


def test_a_sliced_block_is_the_same():
    one = records(*[pair(f"Explain how {word} works.", PROSE.replace("light", word)) for word in "abcdefgh"])
    whole = Quality()(one)
    parts = [Quality()(Records(one.batch.slice(at, 3))) for at in (0, 3, 6)]
    assert pa.Table.from_batches(parts).combine_chunks().equals(pa.Table.from_batches([whole]).combine_chunks())


@pytest.mark.parametrize(
    "text", ["a" * 3_000_000, "a b " * 700_000, "(" * 2_000_000, "\n" * 2_000_000, "as an " * 400_000]
)
def test_huge_messages(text: str):
    found = Quality()(records(pair(text, text), pair("Is it?", text)))
    assert found.num_rows == 2


def test_many_turns_cost_what_they_hold():
    chat = [("user", "start " * 1000), *[("assistant", "ok")] * 20_000, *pair("more", "yes") * 5_000]
    assert Quality()(records(chat))["quality_substance"].null_count == 0


def test_vocabulary_counts():
    found = vocabulary(tokenise(pa.array(["the red mill", "x"])), tokenise(pa.array(["red red mill wheel the", ""])))
    assert found.words.tolist() == [5, 0]
    assert found.distinct.tolist() == [4, 0]
    assert found.content.tolist() == [3, 0]
    assert found.shared.tolist() == [2, 0]
    assert found.phrases.tolist() == [2, 0]


def test_no_records():
    assert Quality()(records()).num_rows == 0
    Quality().check()


@pytest.mark.needs_shared
def test_people_write_better_than_echoes_and_refusals(shared: Any, tmp_path: Any):
    """Dolly's first rows against the same prompts with bad answers, as an order: no threshold."""
    import orjson

    with (shared / "data/human/dolly-15k-en.jsonl").open("rb") as lines:
        rows = [orjson.loads(line) for line, _ in zip(lines, range(400))]
    prompts = [f"{row['instruction']}\n\n{row['context']}".strip() for row in rows]

    def scores(answers: list[str]) -> np.ndarray:
        return quality(components(records(*map(pair, prompts, answers))))

    human = scores([row["response"] for row in rows])
    assert human.mean() > 0.95
    assert (human > scores(["I'm sorry, but I cannot help with that."] * len(rows))).mean() > 0.97
    assert (human > scores(prompts)).mean() > 0.9
    assert (human > scores(["very " * 80] * len(rows))).mean() > 0.97
    cut = scores([" ".join(row["response"].split()[:20]) + " and" for row in rows])
    assert (human >= cut).mean() > 0.9
