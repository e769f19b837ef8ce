"""Benchmark files as items: what is asked, what is right, what is to be read.

Files are recognised by content: JSON Lines, JSON (a list, or a mapping that holds one, such as BBH's ``examples``),
CSV and TSV with or without a head, Parquet; each of them also compressed. Fields are recognised by their names, with
the longest text as a last resort; ``columns`` of the settings overrules both.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from schemas.decontaminate import Columns, Decontaminate
from schemas.errors import GristmillError
from transforms.decontaminate.files import locate, read_rows
from transforms.decontaminate.scaffold import chosen, take_apart

PASSAGE_CHARACTERS = 300
"""A shorter passage is a part of the question: "Context: Tracy didn't go home. Question: What does Tracy need?" asks
nothing without its context, while a BoolQ question stands alone and its passage is an encyclopedia's."""

_PASSAGES = ("passage", "article", "story", "support", "background")
_QUESTIONS = ("question", "query", "prompt", "problem", "input", "instruction", "goal", "ctx", "context", "sentence")
_ANSWERS = (
    *("answer", "answers", "target", "output", "response", "completion", "continuation", "canonical_solution"),
    *("solution", "reference", "correct_answer", "best_answer", "ending"),
)
_REASONS = ("chain_of_thought", "rationale", "explanation", "reasoning")
_CHOICES = ("choices", "options", "endings")
_GOLD = ("gold", "answerKey", "label", "answer_idx", "correct", "answer", "target")


@dataclass(frozen=True)
class Item:
    """One item of a benchmark. ``number`` counts a file's items from 0; an absent field is an empty string."""

    benchmark: str
    number: int
    question: str
    answer: str = ""
    passage: str = ""
    options: str = ""


_ASKS = re.compile(r"[^\W\d_]|\d.*\d", re.DOTALL)
"""A question has a letter or two digits at least; with less there is nothing to look for."""


def read_all(settings: Decontaminate, base: Path) -> list[Item]:
    """Items of all benchmarks, by name, then number; paths in ``settings`` start at ``base``.

    Raises:
        GristmillError: a path without files, a file that cannot be read or holds no item, a name used twice, a
            mapping for an unknown benchmark or column.
    """
    files = locate(settings, base)
    for name in settings.columns:
        if name not in files and not any(other.startswith(f"{name}/") for other in files):
            known = ", ".join(sorted(files))
            raise GristmillError(f"decontaminate.columns.{name}: no such benchmark; known here: {known}")
    return [
        item for name in sorted(files) for item in read_items(files[name], name, mapping_for(settings.columns, name))
    ]


def mapping_for(columns: Mapping[str, Columns], name: str) -> Columns | None:
    """The mapping for a benchmark: its own, or that of a folder that it lies in."""
    while name:
        if name in columns:
            return columns[name]
        name = name.rpartition("/")[0]
    return None


def read_items(path: Path, name: str, columns: Columns | None = None) -> list[Item]:
    """Items of one file.

    Raises:
        GristmillError: it cannot be read, or nothing in it looks like an item.
    """
    rows = list(read_rows(path))
    if columns is not None:
        _check_columns(rows, columns, path)
    items = [
        item
        for number, row in enumerate(rows)
        if _ASKS.search((item := read_item(row, name, number, columns)).question)
    ]
    if not items:
        keys = ", ".join(sorted({key for row in rows[:10] for key in row})) or "none"
        raise GristmillError(
            f"decontaminate.benchmarks: {path} holds no item with a question (its columns: {keys}); "
            "map them under decontaminate.columns"
        )
    return with_options(items)


def with_options(items: Iterable[Item]) -> list[Item]:
    """Options join the question where several items of the file ask the same: "Which statement is sarcastic?"
    is no item, its statements are."""
    listed = list(items)
    plain = [" ".join(item.question.lower().split()) for item in listed]
    asked = Counter(plain)
    return [
        replace(item, question=f"{item.question}\n{item.options}") if asked[text] > 1 and item.options else item
        for item, text in zip(listed, plain, strict=True)
    ]


def read_item(row: Mapping[str, Any], benchmark: str, number: int, columns: Columns | None) -> Item:
    """One row as an item; its question is empty when none is recognised."""
    if columns is not None:
        passage = _text(row.get(columns.passage)) if columns.passage else ""
        answer = _text(row.get(columns.answer)) if columns.answer else ""
        parts = take_apart(_text(row.get(columns.question)))
        return _item(benchmark, number, passage or parts.passage, parts.question, chosen(parts.options, answer), "")
    if isinstance(row.get("context_options"), list) and isinstance(row.get("continuation"), str):
        return _partial(row, benchmark, number)
    passage = next((_text(row[key]) for key in _PASSAGES if _text(row.get(key))), "")
    turns = row.get("turns")
    if isinstance(turns, list) and turns:
        prompt = _text(turns[0])
    else:
        key = next((key for key in _QUESTIONS if _text(row.get(key))), None)
        prompt = _text(row[key]) if key else max(map(_text, row.values()), key=len, default="")
        if key != "context" and not passage:
            passage = _text(row.get("context"))
    parts = take_apart(_without_category(prompt, row.get("category")))
    options, block = parts.options, parts.block
    listed = _choices(row)
    if listed and not all(len(one) == 1 for one in listed):
        options = listed
        block = "\n".join(f"{chr(ord('A') + index)}. {one}" for index, one in enumerate(listed))
    return _item(benchmark, number, passage or parts.passage, parts.question, _answer(row, options), block)


def _item(benchmark: str, number: int, passage: str, question: str, answer: str, options: str) -> Item:
    if passage and len(passage) < PASSAGE_CHARACTERS:
        passage, question = "", f"{passage}\n{question}" if question else ""
    return Item(benchmark, number, question, answer.strip(), passage, options)


def _without_category(prompt: str, category: Any) -> str:
    """Jeopardy: "WORLD HISTORY: This dominion was …", category "world_history"."""
    label, colon, rest = prompt.partition(":")
    same = colon and isinstance(category, str) and label.strip().lower() == category.replace("_", " ").lower()
    return rest.strip() if same and rest.strip() else prompt


def _partial(row: Mapping[str, Any], benchmark: str, number: int) -> Item:
    """Winogrande by partial evaluation: contexts that differ in the blank, one continuation."""
    gold = row.get("gold")
    contexts = [_text(one) for one in row["context_options"]]
    right = contexts[gold] if isinstance(gold, int) and 0 <= gold < len(contexts) else "".join(contexts[:1])
    return _item(benchmark, number, "", f"{right} {row['continuation']}", "", "")


def _choices(row: Mapping[str, Any]) -> tuple[str, ...]:
    for key in _CHOICES:
        value = row.get(key)
        value = value.get("text") if isinstance(value, dict) else value
        if isinstance(value, list) and value:
            return tuple(_text(one) for one in value)
    return ()


def _answer(row: Mapping[str, Any], options: tuple[str, ...]) -> str:
    if options:
        for key in _GOLD:
            gold = row.get(key)
            if isinstance(gold, int) and not isinstance(gold, bool) and 0 <= gold < len(options):
                return options[gold]
            if isinstance(gold, str) and gold and (text := chosen(options, gold)) != gold:
                return text
    reasons = [_text(row[key]) for key in _REASONS if _text(row.get(key))]
    answer = next((_text(row[key]) for key in _ANSWERS if _text(row.get(key))), "")
    return "\n".join([*reasons, answer])


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list) and value and isinstance(value[0], str):
        return value[0].strip()  # the first of several references
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


def _check_columns(rows: list[dict[str, Any]], columns: Columns, path: Path) -> None:
    known = sorted({key for row in rows for key in row})
    for wanted in (columns.question, columns.answer, columns.passage):
        if wanted is not None and wanted not in known:
            raise GristmillError(
                f"decontaminate.columns: {path} has no column {wanted!r}; it has {', '.join(known) or 'none'}"
            )
