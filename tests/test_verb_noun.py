"""The pair of an instruction: rules with examples for and against each."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.record import CORPUS
from transforms.annotate.verb_noun import VerbNoun, key, lemma, singular, verb_noun, verb_nouns
from transforms.records import Records

PAIRS = {
    # imperatives
    "Write a short story about a dragon.": ("write", "story"),
    "Classify the following cricketers as batsman, bowlers, or all rounders.": ("classify", "cricketer"),
    "Give me a list of 10 good names for a cat": ("give", "list"),
    "Translate the following Python code to Java code:\n\ndef greet(name):": ("translate", "code"),
    "Create a C++ function that reads two numbers": ("create", "function"),
    "Identify and fix the syntax error in the given code": ("identify", "error"),
    "Classify each of the following as a liquid or a solid: water, ice": ("classify", "following"),
    "Summarise the dog's behaviour in one line": ("summarise", "behaviour"),
    "Talk about dogs": ("talk", "dog"),
    "Explain why the sky is blue": ("explain", "why"),
    "Tell me whether these are actors or authors: Russell Crowe, Tom Hanks": ("tell", "whether"),
    "Describe the plot of a story set in Rome": ("describe", "plot"),
    "Tell me about you.": ("tell", "you"),
    # politeness, labels and leading clauses
    "Can you please write a poem for my mother?": ("write", "poem"),
    "I want you to act as a travel guide": ("act", "guide"),
    "I would like to order a mocha": ("order", "mocha"),
    "Question: Name three rivers in France": ("name", "river"),
    "### Instruction:\nGenerate a haiku": ("generate", "haiku"),
    "Given the text below, extract the names of all players.": ("extract", "name"),
    "Your task is to translate the sentence into Finnish.": ("translate", "sentence"),
    "In this task, you are given a tweet, and your task is to classify its mood.": ("classify", "mood"),
    "Hello! Write me an email.": ("write", "email"),
    "You are a poet. Write an ode to rain.": ("write", "ode"),
    "I'd like a latte with oat milk": ("want", "latte"),
    # questions
    "What is the capital of France?": ("what", "capital"),
    "What are the differences between acoustic and classic guitars?": ("what", "difference"),
    "Which NBA franchises have the most championships?": ("which", "franchise"),
    "How many sexes are there?": ("how many", "sex"),
    "How do I knit a scarf?": ("how", "knit"),
    "how to make pasta": ("how", "make"),
    "Why do humans play sports?": ("why", "play"),
    "What could be the problem?": ("what", "problem"),
    "What can be done about climate change?": ("what", "do"),
    "Do you have any sources?": ("do", "have"),
    "Hi, I want to learn to play horseshoes.": ("learn", "play"),
    "From the passage identify the sacred animals of Apollo.": ("identify", "animal"),
    "On what day did Normandy fall?": ("what", "day"),
    "Given a text about Stevan L. Davies, tell me where he studied.": ("tell", "where"),
    "Think of a number": ("think", "number"),
    "Name the top 10 companies of 2022": ("name", "company"),
    "Name some Nobel Prize winners": ("name", "winner"),
    "Which US state produces the most pineapples?": ("which", "state"),
    "What is an oligopoly?": ("what", "oligopoly"),
    "Write a short, funny poem": ("write", "poem"),
    "Write a story, include dragons": ("write", "story"),
    "Write a friendly, convincing e-mail to my landlord": ("write", "e-mail"),
    "Why is Arizona the best state to live in?": ("why", "arizona"),
    "Who wrote Hamlet?": ("who", "write"),
    "Who are you?": ("who", "you"),
    "What's the tallest building in Rome?": ("what", "building"),
    "Do bats sleep upside down?": ("do", "sleep"),
    "Is the following statement true?": ("be", "statement"),
    "In which year did the war end?": ("which", "year"),
    # the question at the end
    "Weng earns $12 an hour for babysitting. Yesterday she did 50 minutes. How much money did she earn?": ("how much", "money"),
    "After the eagle was caught, where did it spend its life?": ("where", "spend"),
}  # fmt: skip

NOTHING = [
    "",
    " \n\t",
    "?",
    "...",
    "12 + 5",
    "Hello!",
    "iPhone 14 pro vs Samsung s22 ultra",
    "The weather was nice and the dog slept.",
    "Answer is the same as before",  # a noun here
    "Name of the city",
    "写一个关于大海的故事",
    "Kerro minulle, mikä on Suomen pääkaupunki ja miksi",
    "Luettele viisi eläintä, joita voi nähdä Afrikassa",
    "Set Light Color to () (LEGO Education WeDo 2.0 block)的类型是什么？",
    "Nenne mir drei Flüsse in Frankreich und erkläre",
    "Plan général d'une dissertation économique française",
    '{"name": "get_weather", "parameters": {}}',
    "\u202e\x00\ufeff",
]


@pytest.mark.parametrize(("text", "pair"), PAIRS.items())
def test_pairs(text, pair):
    assert verb_noun(text) == pair


@pytest.mark.parametrize("text", NOTHING)
def test_no_pair(text):
    assert verb_noun(text) is None


def test_lemma_and_singular():
    words = "wrote writes writing written goes running studies made stopped is unknownword"
    assert [lemma(word) for word in words.split()] == [
        "write",
        "write",
        "write",
        "write",
        "go",
        "run",
        "study",
        "make",
        "stop",
        "be",
        "unknownword",
    ]
    words = "stories boxes classes people analyses glass bus houses heroes cats news"
    assert [singular(word) for word in words.split()] == [
        "story",
        "box",
        "class",
        "person",
        "analysis",
        "glass",
        "bus",
        "house",
        "hero",
        "cat",
        "news",
    ]


def block(prompts):
    rows = [
        {"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": "."}]} for text in prompts
    ]
    return Records(pa.RecordBatch.from_pylist(rows, schema=CORPUS))


def test_the_column_agrees_with_the_readable_form():
    prompts = [*PAIRS, *NOTHING, "x " * 5000 + "What is the capital of Peru?", "Write a poem. " + "y " * 5000]
    annotation = VerbNoun()
    found = annotation(block(prompts))
    assert found.schema == annotation.schema
    pairs = [verb_noun(text) for text in prompts]
    assert found["verb_noun"].to_pylist() == [key(pair) if pair else None for pair in pairs]
    assert pairs[-2:] == [("what", "capital"), ("write", "poem")]
    halves = [annotation(block(part))["verb_noun"].to_pylist() for part in (prompts[:9], prompts[9:])]
    assert halves[0] + halves[1] == found["verb_noun"].to_pylist()
    assert annotation(block([])).num_rows == 0


@given(st.lists(st.text(), max_size=5))
def test_any_text_is_survived(texts):
    assert verb_nouns(pa.array(texts, pa.large_string())) == [verb_noun(text) for text in texts]


@pytest.mark.parametrize(
    "piece", ["a ", "\n", ". ", "please ", "can you ", "1) ", "(((", "# ", "a.", "'", "write ", "? "]
)
def test_long_and_monotonous_texts_are_cut_before_they_are_read(piece):
    verb_noun(piece * 1_000_000)  # two ends are read; a quadratic pattern over all of it would never end


def test_a_null_is_no_text():
    assert verb_nouns(pa.array(["Write a poem", None], pa.large_string())) == [("write", "poem"), None]


@pytest.mark.needs_shared
def test_coverage_of_real_instructions(shared):
    import orjson

    path = shared / "data" / "human" / "dolly-15k-en.jsonl"
    with open(path, "rb") as stream:
        prompts = [orjson.loads(line)["instruction"] for line, _ in zip(stream, range(2000))]
    found = np.mean([verb_noun(prompt) is not None for prompt in prompts])
    assert found > 0.9
