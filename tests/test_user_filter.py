"""A filter of the user's own: one Python function beside the recipe, and what can be wrong with it."""

from pathlib import Path
from typing import Any

import pytest

from pipelines.verify import verify
from schemas.errors import GristmillError
from tests.recipes import Published, Row, chat, published, run, write_recipe
from tests.test_rerun import no_reading
from transforms import ingest
from transforms.annotate.function import UserFunction

ROWS: list[Row] = [chat("How many?", "x" * size) for size in (1, 3, 5, 7)]
RULES = """
import numpy as np

def size(record):
    return len(record["messages"][-1]["content"])

def odd(record):
    return size(record) not in (3, 7)

def silent(record):
    return None if size(record) == 1 else float("nan") if size(record) == 3 else size(record)

def told(record):
    return {1: np.int64(1), 3: np.float32(1), 5: np.bool_(False), 7: True}[size(record)]

def endless(record):
    return {1: float("inf"), 3: float("-inf"), 5: 5, 7: 7}[size(record)]

def fields(record):
    return set(record) == FIELDS

FIELDS = {"messages", "tools", "chosen", "rejected", "label", "origin", "generator", "license", "language", "task",
          "extra"}

def raises(record):
    return 1 / (size(record) - 5)

def text(record):
    return "long" if size(record) > 3 else "short"

def huge(record):
    return 10 ** 400
"""


def recipe(folder: Path, rules: str | bytes = RULES, version: str = "1.0.0", **filters: Any) -> Path:
    """A recipe of four answers with 1, 3, 5 and 7 characters, and its rules."""
    (folder / "rules.py").write_bytes(rules if isinstance(rules, bytes) else rules.encode())
    return write_recipe(folder, {"a": {"x.jsonl": ROWS}}, filters=filters, dedup={"near": None}, version=version)


def decided(release: Published) -> list[Any]:
    """By size: None where it is kept, else rule, value and threshold."""
    assert verify(release.path) == []
    return [
        None if row["verdict"] == "kept" else (row["stage"], row["rule"], row["value"], row["threshold"])
        for row in release.ledger
    ]


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"function": "size", "max": 3}, [None, None, ("mine.max", 5, 3), ("mine.max", 7, 3)]),
        ({"function": "size", "min": 2, "max": 6.5}, [("mine.min", 1, 2), None, None, ("mine.max", 7, 6.5)]),
        ({"function": "odd"}, [None, ("mine.keep", 0, 1), None, ("mine.keep", 0, 1)]),
        ({"function": "silent", "min": 6}, [None, None, ("mine.min", 5, 6), None]),  # None and NaN have nothing to say
        ({"function": "told"}, [None, None, ("mine.keep", 0, 1), None]),
        ({"function": "endless", "max": 5}, [("mine.max", float("inf"), 5), None, None, ("mine.max", 7, 5)]),
        ({"function": "fields"}, [None] * 4),
    ],
)
def test_what_a_function_says(tmp_path: Path, settings: dict[str, Any], found: list[Any]):
    mine = settings | {"function": f"rules.py:{settings['function']}"}
    release = run(recipe(tmp_path, mine=mine), tmp_path / "out")
    assert decided(release) == [one and ("filter", *one) for one in found]


def test_two_functions_of_one_file_and_a_filter_of_ours(tmp_path: Path):
    mine, other = {"function": "rules.py:size", "max": 5}, {"function": "rules.py:odd"}
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "more.py").write_text("def size(record):\n    return -1\n")
    third = {"function": "deep/more.py:size", "max": 0}
    path = recipe(tmp_path, mine=mine, other=other, third=third, empty={}, length={"answer_characters": {"max": 4}})
    release = run(path, tmp_path / "out")
    # In the order of the names: length, mine, other, third.
    assert [one and one[1] for one in decided(release)] == [
        None, "other.keep", "length.answer_characters.max", "length.answer_characters.max"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"function": "absent.py:size"}, "filters.mine: absent.py: No such file"),
        ({"function": "rules.py:length"}, "rules.py: has no function 'length'; it has "),
        ({"function": "rules.py:FIELDS"}, "rules.py: has no function 'FIELDS'"),
        ({"function": "rules.py"}, "filters.mine: function: "),
        ({"function": "."}, "filters.mine: function: "),
        ({"function": "rules.py:size", "max": 1, "min": 2}, "min 2 is above max 1"),
        ({"function": "rules.py:size", "most": 1}, "filters.mine: most: unknown key; known here: function, max, min"),
        ({"function": "rules.py:size", "source": "def size(record): return 1"}, "filters.mine: source: unknown key"),
        ({"function": "rules.py:size", "max": float("nan")}, "filters.mine: max: "),
        ({"function": "rules\0.py:size"}, "filters.mine: "),
        ({"max": 3}, "filters.mine: unknown filter"),
    ],
)
def test_a_mistake_is_told_before_work_starts(tmp_path: Path, settings: dict[str, Any], said: str):
    refuse(tmp_path, recipe(tmp_path, mine=settings), said)
    assert not (tmp_path / "out" / ".gristmill" / "corpus").exists()


def refuse(folder: Path, path: Path, *said: str) -> None:
    with pytest.raises(GristmillError) as refused:
        run(path, folder / "out")
    for part in said:
        assert part in str(refused.value)
    assert "\n" not in str(refused.value)
    assert published(folder / "out") == []


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ("def size(record:\n    return 1", "rules.py: SyntaxError"),
        ("import nothing_of_this_name", "rules.py: ModuleNotFoundError"),
        ("raise SystemExit(0)", "rules.py: SystemExit"),
        ("def main(): ...\nclass _Hidden: ...", "has no function 'size'; it has main"),
        ("", "has no function 'size'; it has none"),
        (b"\xff\xfe\x00", "rules.py: is not UTF-8"),
        (b"a\0b", "rules.py: "),
    ],
)
def test_a_file_that_does_not_load(tmp_path: Path, rules: str | bytes, said: str):
    refuse(tmp_path, recipe(tmp_path, rules, mine={"function": "rules.py:size"}), said)
    assert not (tmp_path / "out" / ".gristmill" / "corpus").exists()


@pytest.mark.parametrize(
    "name", ["length", "scores", "exact", "best", "mix", "Mine", "my rule", "1st", "x" * 33, "mine.x"]
)
def test_a_name_that_is_taken_or_not_usable(tmp_path: Path, name: str):
    settings: dict[str, Any] = {name: {"function": "rules.py:size"}}
    refuse(tmp_path, recipe(tmp_path, RULES, "1.0.0", **settings), f"filters.{name}: ")


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("raises", ("raises in rules.py failed on record ", "ZeroDivisionError: ", "make it return None")),
        ("text", ("text in rules.py returned str; return a number, True (keep), False (drop) or None",)),
        ("huge", ("huge in rules.py failed on record ", "OverflowError")),
    ],
)
def test_a_function_that_fails_on_a_record_stops_the_run(tmp_path: Path, function: str, said: tuple[str, ...]):
    path = recipe(tmp_path, mine={"function": f"rules.py:{function}"})
    refuse(tmp_path, path, "filters.mine: ", *said)
    recipe(tmp_path, mine={"function": "rules.py:size", "max": 3})  # nothing of the failure is in the corpus
    assert len(run(path, tmp_path / "out").rows()) == 2


def test_a_file_saved_by_an_editor_that_marks_utf8(tmp_path: Path):
    path = recipe(tmp_path, b"\xef\xbb\xbf" + RULES.encode(), mine={"function": "rules.py:odd"})
    assert len(run(path, tmp_path / "out").rows()) == 2


def test_only_a_changed_file_is_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    calls: list[str] = []
    real = UserFunction.__call__

    def counted(self: UserFunction, records: Any) -> Any:
        calls.append(self.function)
        return real(self, records)

    monkeypatch.setattr(UserFunction, "__call__", counted)
    mine = {"function": "rules.py:size", "max": 3}
    assert len(run(recipe(tmp_path, mine=mine), tmp_path / "out").rows()) == 2
    assert calls == ["size"]
    no_reading(monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr(ingest, "ingest_split", None)
        assert len(run(recipe(tmp_path, version="1.0.1", mine=mine | {"max": 5}), tmp_path / "out").rows()) == 3
        (tmp_path / "rules.py").rename(tmp_path / "renamed.py")  # what it is called means nothing
        path = recipe(tmp_path, version="1.0.2", mine={"function": "renamed.py:size", "min": 7})
        assert len(run(path, tmp_path / "out").rows()) == 1
    assert calls == ["size"]
    changed = RULES.replace('return len(record["messages"][-1]["content"])', "return 4")
    assert run(recipe(tmp_path, changed, version="1.0.3", mine=mine | {"max": 4}), tmp_path / "out").rows()
    assert calls == ["size", "size"]


def test_the_file_travels_as_text_to_other_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("pipelines.curate.ALONE_RECORDS", 0)
    path = recipe(tmp_path, mine={"function": "rules.py:size", "max": 3})
    one, two = run(path, tmp_path / "one"), run(path, tmp_path / "two", workers=2)
    assert one.contents() == two.contents()


def test_numbers_without_a_bound_are_refused(tmp_path: Path):
    """Somebody forgot max: a filter that never drops anything would look like one that found nothing."""
    with pytest.raises(GristmillError, match="returns numbers such as 3, and the recipe gives no bound for them"):
        run(recipe(tmp_path, mine={"function": "rules.py:size"}), tmp_path / "out")
