"""Benchmark files: every shape gives items with question, answer, passage; mistakes are named before work starts."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.decontaminate import Columns, Decontaminate
from schemas.errors import GristmillError
from schemas.strict import validate
from transforms.decontaminate.benchmarks import Item, read_all, read_items
from transforms.decontaminate.files import SUFFIXES, locate

PASSAGE = "Barq's is an American soft drink. Its brand of root beer is notable for having caffeine. " * 5


def write(path: Path, *rows: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows) + "\n", encoding="utf-8"
    )
    return path


def item(tmp_path: Path, row: Any) -> Item:
    return read_items(write(tmp_path / "one.jsonl", row), "one")[0]


@pytest.mark.parametrize(
    ("row", "question", "answer"),
    [
        (
            {"question": "How many eggs are left?", "answer": "She has 16 - 3 = 13.\n#### 13"},
            "How many eggs are left?",
            "She has 16 - 3 = 13.\n#### 13",
        ),
        (
            {"query": "Question: Which is safest?", "choices": ["a stove", "a blanket"], "gold": 1},
            "Which is safest?",
            "a blanket",
        ),
        (
            {"query": "Question: Where is it?\nChoices:\nA. bank\nB. mall\nAnswer:", "choices": ["A", "B"], "gold": 1},
            "Where is it?",
            "mall",
        ),
        (
            {"query": "Question: what is 14 % of 50 ?\nA. 7\nB. 8\nAnswer: ", "choices": ["A", "B"], "gold": 0},
            "what is 14 % of 50 ?",
            "7",
        ),
        ({"query": "Q: Could the moon fit inside the Black Sea?\nA:", "choices": ["Yes", "No"], "gold": 1},
         "Could the moon fit inside the Black Sea?", "No"),
        ({"context": "How long is the journey?", "chain_of_thought": "100 X 10 = 1000", "answer": "12.5"},
         "How long is the journey?", "100 X 10 = 1000\n12.5"),
        ({"context": "WORLD HISTORY: This dominion was created in 1867", "continuation": "Canada",
          "category": "world_history"}, "This dominion was created in 1867", "Canada"),
        ({"context_options": ["The cat ran so Ann", "The cat ran so Eve"], "continuation": "wept.", "gold": 1},
         "The cat ran so Eve wept.", ""),
        ({"turns": ["Write a poem on rain.", "Now make it shorter."], "reference": ["Rain falls.", "Rain."]},
         "Write a poem on rain.", "Rain falls."),
        ({"prompt": "def add(a, b):\n    \"\"\"Sum.\"\"\"\n", "canonical_solution": "    return a + b\n", "test": "x"},
         "def add(a, b):\n    \"\"\"Sum.\"\"\"", "return a + b"),
        ({"query": "Context: Tracy stayed out.\nQuestion: Why?\nChoices:\nA. fun\nB. fear\nAnswer:", "gold": 1},
         "Tracy stayed out.\nWhy?", "fear"),
        ({"question": "What is it?", "choices": {"text": ["ice", "fire"], "label": ["A", "B"]}, "answerKey": "B"},
         "What is it?", "fire"),
        ({"prompt": "Do these:\n1. Sing.\n2. Dance."}, "Do these:\n1. Sing.\n2. Dance.", ""),
        ({"query": "Question: how many ?\nA. \nB. 12\nAnswer: ", "choices": ["A", "B"], "gold": 1}, "how many ?", "12"),
        ({"id": 7, "a strange name": "Which of the many rivers of the north is longest?"},
         "Which of the many rivers of the north is longest?", ""),
    ],
)  # fmt: skip
def test_rows_are_recognised_and_scaffolding_is_taken_off(
    tmp_path: Path, row: dict[str, Any], question: str, answer: str
):
    found = item(tmp_path, row)
    assert (found.question, found.answer, found.passage) == (question, answer, "")


def test_a_long_passage_stands_apart_and_a_short_one_belongs_to_its_question(tmp_path: Path):
    query = f"Passage: {PASSAGE}\nQuestion: is barq's root beer a pepsi product?"
    found = item(tmp_path, {"query": query, "choices": ["no", "yes"], "gold": 0})
    assert found.question == "is barq's root beer a pepsi product?"
    assert (found.answer, found.passage) == ("no", PASSAGE.strip())
    assert item(tmp_path, {"question": "Who?", "passage": "Ann left."}).question == "Ann left.\nWho?"


def test_options_join_a_question_that_several_items_ask(tmp_path: Path):
    same = "Which statement is sarcastic?\nOptions:\n(A) {0} is great\n(B) {0} is poor"
    examples = [{"input": same.format(name), "target": "(B)"} for name in ("Snow", "Rain")]
    examples.append({"input": "What is 2 + 2?\nOptions:\n(A) 4\n(B) 5", "target": "(A)"})
    path = write(tmp_path / "snarks.json", {"canary": "never train on this", "examples": examples})
    found = read_items(path, "bbh/snarks")
    assert [one.question for one in found] == [
        "Which statement is sarcastic?\n(A) Snow is great\n(B) Snow is poor",
        "Which statement is sarcastic?\n(A) Rain is great\n(B) Rain is poor",
        "What is 2 + 2?",
    ]
    assert [one.answer for one in found] == ["Snow is poor", "Rain is poor", "4"]


def test_tables_compressed_files_and_parquet(tmp_path: Path):
    write(tmp_path / "mgsm_de.tsv", 'Wie viele "Enten" hat Janet?\t18', "Wie alt ist er?\t7")
    write(tmp_path / "own.csv", "id,question,answer", '1,"Who, then?",Ann')
    (tmp_path / "packed.jsonl.gz").write_bytes(gzip.compress(b'{"question": "Why?", "answer": "So."}\n'))
    pq.write_table(pa.table({"question": ["When?"], "answers": [["now", "soon"]]}), tmp_path / "p.parquet")
    found = read_all(Decontaminate(benchmarks=[str(tmp_path)]), Path())
    assert [(one.benchmark, one.number, one.question, one.answer) for one in found] == [
        ("mgsm_de", 0, 'Wie viele "Enten" hat Janet?', "18"),
        ("mgsm_de", 1, "Wie alt ist er?", "7"),
        ("own", 0, "Who, then?", "Ann"),
        ("p", 0, "When?", "now"),
        ("packed", 0, "Why?", "So."),
    ]


def test_names_come_from_stems_folders_and_the_recipe(tmp_path: Path):
    row = {"question": "Why?"}
    for name in ("gsm8k.jsonl", "bbh/snarks.json", "bbh/deep/x.json"):
        write(tmp_path / "b" / name, row)
    write(tmp_path / "b" / "README.md", "no benchmark")

    def names(benchmarks: Any) -> list[str]:
        return sorted(locate(Decontaminate(benchmarks=benchmarks), tmp_path))

    assert names(["b"]) == ["bbh/deep/x", "bbh/snarks", "gsm8k"]
    assert names(["b/gsm8k.jsonl", "b/bbh/*.json"]) == ["gsm8k", "snarks"]
    assert names(["b/**/*.json"]) == ["bbh/deep/x", "bbh/snarks"]
    assert names({"math": "b/gsm8k.jsonl", "big": "b/bbh"}) == ["big/deep/x", "big/snarks", "math"]


def test_columns_can_be_mapped_for_a_file_or_its_folder(tmp_path: Path):
    write(tmp_path / "own" / "a.jsonl", {"stem": "Q: Where?", "key": "here", "prompt": "not this"})
    settings = {"benchmarks": ["own"], "columns": {"a": {"question": "stem", "answer": "key"}}}
    found = read_all(validate(Decontaminate, settings, "recipe"), tmp_path)
    assert [(one.question, one.answer) for one in found] == [("Where?", "here")]
    mapped = Decontaminate(benchmarks={"mine": "own"}, columns={"mine": Columns(question="key")})
    assert [one.question for one in read_all(mapped, tmp_path)] == ["here"]


@pytest.mark.parametrize(
    ("name", "text", "settings", "part"),
    [
        ("a.jsonl", '{"question": "x"\n{', {}, "a.jsonl cannot be read (line 1:"),
        ("a.parquet", "no parquet", {}, "a.parquet cannot be read"),
        ("a.jsonl", '{"id": 1}\n{"id": 2}', {"columns": {"a": {"question": "q"}}}, "has no column 'q'; it has id"),
        ("a.json", '{"numbers": [1, 2]}', {}, "holds no item with a question (its columns: numbers)"),
        ("a.jsonl", "", {}, "holds no item with a question (its columns: none)"),
        ("a.jsonl", '{"question": "x"}', {"columns": {"b": {"question": "q"}}}, "columns.b: no such benchmark"),
        ("sub/a.txt", "x", {"benchmarks": ["sub"]}, "nothing to read in"),
        ("a.jsonl", '{"question": "x"}', {"benchmarks": ["b.jsonl"]}, "b.jsonl does not exist"),
        ("a.jsonl", '{"question": "x"}', {"benchmarks": ["*.json"]}, "nothing to read in"),
        ("x/a.jsonl", '{"question": "x"}', {"benchmarks": ["x", "x/../y"]}, "are both called 'a'"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path: Path, name: str, text: str, settings: dict[str, Any], part: str):
    write(tmp_path / name, text)
    write(tmp_path / "y" / "a.jsonl", {"question": "y"})
    asked = {"benchmarks": [name], **settings}
    with pytest.raises(GristmillError, match="decontaminate") as error:
        read_all(validate(Decontaminate, asked, "recipe"), tmp_path)
    assert part in str(error.value)
    assert "\n" not in str(error.value)


def test_settings_refuse_what_makes_no_sense():
    refused: list[dict[str, object]] = [
        {"benchmarks": []}, {"benchmarks": ["x"], "threshold": 0.0}, {"benchmarks": ["x"], "ngrams": 8},
        {"benchmarks": ["x"], "fields": []},
    ]  # fmt: skip
    for wrong in refused:
        with pytest.raises(GristmillError):
            validate(Decontaminate, wrong, "recipe")


@pytest.mark.needs_shared
def test_all_shared_benchmarks_are_read(shared: Path):
    items = read_all(Decontaminate(benchmarks=[str(shared / "benchmarks")]), Path())
    counts = {name: [one for one in items if one.benchmark == name] for name in {one.benchmark for one in items}}
    assert len(counts) == sum(path.suffix in SUFFIXES for path in (shared / "benchmarks").rglob("*"))
    assert (len(counts["gsm8k_test"]), len(counts["bbh/snarks"]), len(counts["mgsm/mgsm_zh"])) == (1319, 178, 250)
    answered = {name: sum(bool(one.answer) for one in own) / len(own) for name, own in counts.items()}
    without = {"ifeval", "vicuna_bench", "winogrande", "mt_bench"}  # instructions; a whole sentence
    assert {name for name, share in answered.items() if share < 0.9} == without
    assert not any(one.question.startswith(("Question:", "Q:", "Passage:")) for one in items)
    assert sum(bool(one.passage) for one in counts["boolq"]) > 2500


@pytest.mark.parametrize("rows", [[{"foo": 1}], [{"question": "  "}, {"question": "?"}]])
def test_a_benchmark_that_asks_nothing_is_refused(tmp_path: Path, rows: list[dict[str, object]]):
    """It could not be found in anything, and would be reported as clean."""
    write(tmp_path / "a.jsonl", *rows)
    with pytest.raises(GristmillError, match="holds no item with a question"):
        read_all(Decontaminate(benchmarks=["a.jsonl"]), tmp_path)
