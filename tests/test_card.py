"""The data set card: well-formed Markdown whatever the names are, metadata that opens the folder, rows by their schema."""

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet as pq
import pytest
import yaml
from markdown_it import MarkdownIt

from pipelines.card import config_name, escape_cell, front_matter
from schemas.record import RELEASE, json_schema
from tests.recipes import Published, Row, chat, run, write_recipe

HOSTILE = (
    "a|b `c` <script>alert(1)</script> [x](javascript:alert(1)) ![i](x) **b** _e_ ~~s~~ # h \x1b[31m\u202e &amp; \\| \\"
)
NAME = HOSTILE.replace("/", "") + ".jsonl"
DESCRIPTION = f"{HOSTILE}\n\n# Heading\n\n---\n| a | b |\n|---|---|\n| {HOSTILE} |\n\n<div>\n```\n{HOSTILE}"
GOOD: list[Row] = [chat("How?", f"this is number {n}, and no other") for n in range(40)]


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory, repo: Path) -> Published:
    return run(repo / "examples" / "quickstart" / "recipe.yaml", tmp_path_factory.mktemp("card"))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Published:
    folder = tmp_path_factory.mktemp("hostile")
    facts = {"license": HOSTILE, "language": HOSTILE, "generator": HOSTILE, "task": HOSTILE}
    files: dict[str, dict[str, list[Row]]] = {
        "a_b_c": {NAME: [*GOOD, GOOD[0], chat("", "")]},
        "d.e-f": {"x.jsonl": GOOD[:9]},
    }
    recipe = write_recipe(
        folder,
        files,
        {"a_b_c": facts | {"path": "a_b_c"}, "d.e-f": {}},
        name="under_score_d",
        description=DESCRIPTION,
        mix={"shares": {"a_b_c": "100 %", "d.e-f": "0 %"}},
        release={"splits": {"test_a": "20 %", "none": "0.0001 %"}},
    )
    return run(recipe, folder / "out")


@pytest.fixture(params=["quickstart", "hostile"])
def release(request: pytest.FixtureRequest) -> Published:
    chosen: Published = request.getfixturevalue(request.param)
    return chosen


def parts(release: Published) -> tuple[dict[str, Any], str]:
    """Front matter and Markdown."""
    text = (release.path / "README.md").read_text(encoding="utf-8")
    empty, front, body = re.split(r"^---\n", text, maxsplit=2, flags=re.MULTILINE)
    assert empty == ""
    facts: dict[str, Any] = yaml.safe_load(front)
    return facts, body


def tables(body: str) -> list[list[list[str]]]:
    """Cells of each run of lines that begin with a bar."""
    found: list[list[list[str]]] = []
    inside = False
    for line in body.splitlines():
        if line.startswith("|"):
            if not inside:
                found.append([])
            assert line.endswith("|")
            found[-1].append([cell.strip() for cell in re.split(r"(?<!\\)(?:\\\\)*\|", line)[1:-1]])
        inside = line.startswith("|")
    return found


def test_tables_are_well_formed(release: Published):
    _, body = parts(release)
    for table in tables(body):
        header, rule, *rows = table
        assert all(re.fullmatch(r"-{3,}|-{2,}:", cell) for cell in rule), rule
        assert rows
        assert {len(row) for row in table} == {len(header)}, table
        assert all(cell for row in rows for cell in row), table
    parsed = MarkdownIt("commonmark").enable("table").parse(body)
    assert sum(token.type == "table_open" for token in parsed) == len(tables(body)) >= 6
    counted = [sum(token.type == kind for token in parsed) for kind in ("th_open", "td_open", "tr_open")]
    assert counted[0] == sum(len(table[0]) for table in tables(body))
    assert counted[1] == sum(len(row) for table in tables(body) for row in table[2:])
    assert counted[2] == sum(len(table) - 1 for table in tables(body))


def test_blocks_stand_apart(release: Published):
    lines = parts(release)[1].splitlines()
    for number, line in enumerate(lines[1:-1], 1):
        if line.startswith("#"):
            assert lines[number - 1] == lines[number + 1] == "", line
        if line.startswith("|") and not lines[number - 1].startswith("|"):
            assert lines[number - 1] == "", line
        if line.startswith("|") and not lines[number + 1].startswith("|"):
            assert lines[number + 1] == "", line


def test_headings_are_ours(release: Published):
    parsed = MarkdownIt("commonmark").enable("table").parse(parts(release)[1])
    heads = [after.content for token, after in pairwise(parsed) if token.type == "heading_open"]
    assert heads == [
        escape_cell(release.manifest.name) + " 1.0.0", "Splits", "Sources", "What each stage left",
        "What was dropped, by rule", "Mix: asked and got", "Near duplicates", "How this was made",
    ]  # fmt: skip


def test_names_and_description_are_text_and_nothing_else(hostile: Published):
    _, body = parts(hostile)
    parsed = MarkdownIt("gfm-like", {"linkify": False, "html": True}).parse(body)
    inline = [child for token in parsed for child in token.children or ()]
    kinds = {token.type for token in [*parsed, *inline]}
    assert not kinds & {"html_block", "html_inline", "link_open", "image", "em_open", "strong_open", "s_open", "hr"}
    assert sum(token.type == "fence" for token in parsed) == 1  # our own example
    ours = {hostile.manifest.recipe_digest, "path", "1.0.0"}
    for token in inline:
        if token.type == "code_inline":
            assert re.fullmatch(r"[a-z.]+|[0-9a-f]{16}…|[0-9a-f]{64}", token.content) or token.content in ours
    assert all(char.isprintable() or char == "\n" for char in body)
    # What is shown is what was given, apart from what cannot be shown.
    shown = ["".join(child.content for child in token.children or ()) for token in parsed if token.type == "inline"]
    given = HOSTILE.replace("\x1b", "\\x1b").replace("\u202e", "\\u202e")
    assert shown.count(given) == 2  # licence and language
    assert given.replace("/", "") + ".jsonl" in shown
    assert any(text.startswith(given + " # Heading --- | a | b |") for text in shown)


@pytest.mark.parametrize("text", [HOSTILE, "", "x", "a\nb", "\\", "\\|", "|", "||", "`|`", "&lt;", "a_b", "end\\"])
def test_a_cell_is_one_cell(text: str):
    table = f"| h | i |\n|---|---|\n| {escape_cell(text)} | z |\n"
    parsed = MarkdownIt("commonmark").enable("table").parse(table)
    cells = ["".join(c.content for c in token.children or ()) for token in parsed if token.type == "inline"]
    plain = re.sub(r"\s+", " ", text.replace("\x1b", "\\x1b").replace("\u202e", "\\u202e"))
    assert cells == ["h", "i", plain, "z"]


def test_front_matter(quickstart: Published):
    facts, _ = parts(quickstart)
    assert facts == {
        "pretty_name": "quickstart 1.0.0",
        "license": ["apache-2.0"],
        "task_categories": ["text-generation"],
        "size_categories": ["n<1K"],
        "configs": [
            {
                "config_name": config_name(quickstart.manifest),
                "data_files": [
                    {"split": "train", "path": "data/train-*.parquet"},
                    {"split": "validation", "path": "data/validation-*.parquet"},
                ],
            }
        ],
    }


def test_front_matter_of_hostile_names(hostile: Published):
    facts, _ = parts(hostile)
    assert facts["license"] == [HOSTILE.lower()]
    assert facts["language"] == [HOSTILE]
    # A split that got no row has no file, and a pattern that matches nothing would stop load_dataset.
    assert [one["split"] for one in facts["configs"][0]["data_files"]] == ["train", "test_a"]


def test_a_line_of_dashes_does_not_end_the_front_matter(quickstart: Published):
    account = quickstart.manifest.sources["dolly"].model_copy(update={"license": "a\n---\nb", "language": "no"})
    made = quickstart.manifest.model_copy(update={"sources": {"dolly": account}})
    text = front_matter(made)
    assert not re.search(r"^(---|\.\.\.)", text, flags=re.MULTILINE)
    assert yaml.safe_load(text)["license"] == ["a\n---\nb"]
    assert yaml.safe_load(text)["language"] == ["no"]  # and not False


@pytest.mark.parametrize(
    ("rows", "size"),
    [(0, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (10**6, "1M<n<10M"), (10**9, "n>1B"), (10**12, "n>1B")],
)
def test_size_categories(quickstart: Published, rows: int, size: str):
    train = quickstart.manifest.splits["train"].model_copy(update={"rows": rows})
    made = quickstart.manifest.model_copy(update={"splits": {"train": train}})
    assert yaml.safe_load(front_matter(made))["size_categories"] == [size]


def test_numbers_are_those_of_the_manifest(quickstart: Published):
    splits, sources, stages, *_ = tables(parts(quickstart)[1])
    manifest = quickstart.manifest
    for row, (name, one) in zip(splits[2:], manifest.splits.items(), strict=True):
        assert row == [name, *(f"{value:,}" for value in (one.rows, one.turns, one.words, one.characters))]
    for row, (name, account) in zip(sources[2:], manifest.sources.items(), strict=True):
        assert row[0] == name
        read = account.records + account.quarantined
        said = (read, account.quarantined, account.kept, account.stages["released"].rows)
        assert row[4:8] == [f"{value:,}" for value in said]
    assert sum(float(row[8].removesuffix(" %")) for row in sources[2:]) == pytest.approx(100, abs=0.5)
    assert [row[0] for row in stages[2:]] == list(manifest.sources)


def test_load_dataset_opens_the_folder(release: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    opened = datasets.load_dataset(str(release.path), cache_dir=str(tmp_path))
    counts = {name: one.rows for name, one in release.manifest.splits.items() if one.rows}
    assert {name: rows.num_rows for name, rows in opened.items()} == counts
    for name in counts:
        assert opened[name].column_names == RELEASE.names
        assert opened[name]["id"][:] == [row["id"] for row in release.rows(name)]
        assert opened[name][0]["messages"][0]["content"] == release.rows(name)[0]["messages"][0]["content"]


def test_two_releases_of_one_version_are_not_taken_for_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """``datasets`` keeps what it opened under folder name and configuration name, whatever the path."""
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    made = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        rows: list[Row] = [chat(f"question {number}", f"answer of {name}") for number in range(3)]
        made.append(run(write_recipe(tmp_path / name, {"a": {"x.jsonl": rows}}), tmp_path / name / "out"))
    for release in made:
        opened = datasets.load_dataset(str(release.path), cache_dir=str(tmp_path / "cache"))
        assert opened["train"]["id"][:] == [row["id"] for row in release.rows()]


def test_a_source_that_is_empty_at_some_stage_has_no_tokens(tmp_path: Path):
    words = {"[UNK]": 0, "a": 1}
    model = {"type": "WordLevel", "vocab": words, "unk_token": "[UNK]"}
    tokenizer = {"version": "1.0", "added_tokens": [], "pre_tokenizer": {"type": "Whitespace"}, "model": model}
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer))
    files: dict[str, dict[str, list[Row]]] = {
        "all_filtered": {"x.jsonl": [chat("q", "a b c d e f")]},
        "all_bad": {"x.jsonl": [b"{"]},
        "good": {"x.jsonl": [chat("q", "a")]},
    }
    filters = {"length": {"answer_words": {"max": 5}}}
    release = run(write_recipe(tmp_path, files, tokenizer="tokenizer.json", filters=filters), tmp_path / "out")
    assert release.manifest.sources["all_bad"].stages["ingest"].tokens == 0
    assert release.manifest.sources["all_filtered"].stages["filter"].tokens == 0


def agree(value: Any, schema: dict[str, Any], place: str = "row") -> None:
    """The keywords that our JSON Schema uses, checked structurally."""
    assert set(schema) <= {
        "$schema",
        "title",
        "type",
        "properties",
        "required",
        "additionalProperties",
        "items",
        "description",
    }
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    python: dict[str, Any] = {
        "string": str,
        "integer": int,
        "number": (int, float),
        "boolean": bool,
        "array": list,
        "object": dict,
    }
    fits = [kind for kind in kinds if (value is None if kind == "null" else isinstance(value, python[kind]))]
    if isinstance(value, bool):
        fits = [kind for kind in fits if kind == "boolean"]
    assert fits, f"{place}: {value!r} is none of {kinds}"
    if isinstance(value, dict):
        assert schema["additionalProperties"] is False
        assert set(schema.get("required", ())) <= set(value) <= set(schema["properties"]), place
        for key, one in value.items():
            agree(one, schema["properties"][key], f"{place}.{key}")
    for number, one in enumerate(value if isinstance(value, list) else ()):
        agree(one, schema["items"], f"{place}[{number}]")


def test_rows_agree_with_the_json_schema(release: Published):
    schema = json_schema()
    assert list(schema["properties"]) == RELEASE.names
    for split in release.manifest.splits:
        for row in release.rows(split):
            agree(row, schema)
    with pytest.raises(AssertionError, match="none of"):
        agree(release.rows()[0] | {"turns": "3"}, schema)


def test_footers_hold_the_counts(release: Published):
    for file in release.manifest.files:
        if file.path.startswith("data/"):
            footer = pq.ParquetFile(release.path / file.path).metadata.metadata
            assert int(footer[b"gristmill.rows"]) == file.rows
            assert int(footer[b"gristmill.words"]) == file.words
