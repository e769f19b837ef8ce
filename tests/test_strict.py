"""Strict settings: an unknown key names the nearest known one at its own place, however deep that is."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from schemas.errors import GristmillError
from schemas.strict import Strict, read_yaml, validate


class Leaf(Strict):
    colour: str = "red"
    size: int = Field(3, ge=1)


class Branch(Strict):
    leaf: Leaf = Leaf()
    maybe: Leaf | None = None
    named: dict[str, Leaf] = Field(default_factory=dict)
    listed: list[Leaf] = Field(default_factory=list)
    paired: tuple[Leaf, ...] = ()
    deep: dict[str, list[Leaf | None]] | None = None


class Tree(Strict):
    name: str
    branch: Branch = Branch()
    either: Leaf | list[Leaf] = Leaf()


def refused(data: object) -> str:
    with pytest.raises(GristmillError) as error:
        validate(Tree, data, "tree.yaml")
    message = str(error.value)
    assert "\n" not in message
    assert message.startswith("tree.yaml: ")
    return message.removeprefix("tree.yaml: ")


@pytest.mark.parametrize(
    ("data", "place", "hint"),
    [
        ({"nme": "x"}, "nme", "did you mean 'name'?"),
        ({"brnch": {}}, "brnch", "did you mean 'branch'?"),
        ({"zzz": 1}, "zzz", "known here: branch, either, name"),
        ({"branch": {"laef": {}}}, "branch.laef", "did you mean 'leaf'?"),
        ({"branch": {"leaf": {"color": "red"}}}, "branch.leaf.color", "did you mean 'colour'?"),
        ({"branch": {"leaf": {"name": "red"}}}, "branch.leaf.name", "known here: colour, size"),
        ({"branch": {"maybe": {"siz": 1}}}, "branch.maybe.siz", "did you mean 'size'?"),
        ({"branch": {"named": {"oak": {"siz": 1}}}}, "branch.named.oak.siz", "did you mean 'size'?"),
        ({"branch": {"named": {"leaf": {"nmed": 1}}}}, "branch.named.leaf.nmed", "known here: colour, size"),
        ({"branch": {"listed": [{}, {"colr": 1}]}}, "branch.listed.1.colr", "did you mean 'colour'?"),
        ({"branch": {"paired": ({"colr": 1},)}}, "branch.paired.0.colr", "did you mean 'colour'?"),
        ({"branch": {"deep": {"a": [{"colr": 1}]}}}, "branch.deep.a.0.colr", "did you mean 'colour'?"),
    ],
)
def test_an_unknown_key(data: dict[str, Any], place: str, hint: str):
    assert refused({"name": "x"} | data).startswith(f"{place}: unknown key; {hint}")


def test_a_key_of_one_of_two_kinds():
    assert "did you mean 'colour'?" in refused({"name": "x", "either": {"colr": "x"}})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "name: this setting is required"),
        ({"name": 3}, "name: Input should be a valid string, got 3"),
        ({"name": None}, "name: Input should be a valid string, got None"),
        (
            {"name": "x", "branch": {"leaf": {"size": 0}}},
            "branch.leaf.size: Input should be greater than or equal to 1, got 0",
        ),
        (
            {"name": "x", "branch": {"leaf": {"size": "3"}}},
            "branch.leaf.size: Input should be a valid integer, got '3'",
        ),
        (
            {"name": "x", "branch": {"leaf": {"size": 3.0}}},
            "branch.leaf.size: Input should be a valid integer, got 3.0",
        ),
        (
            {"name": "x", "branch": {"leaf": {"size": True}}},
            "branch.leaf.size: Input should be a valid integer, got True",
        ),
        ({"name": "x", "branch": {"leaf": []}}, "branch.leaf: Input should be"),
        ({"name": "x", "branch": {"listed": {}}}, "branch.listed: Input should be a valid list"),
        ({"name": 3, "branch": 3}, "(1 more)"),
        ([], "expected a mapping of settings, got list"),
        (None, "expected a mapping of settings, got NoneType"),
        ("name: x", "expected a mapping of settings, got str"),
        ({3: 4}, ""),
        ({None: 4, "name": "x"}, ""),
    ],
)
def test_a_wrong_value(data: object, message: str):
    assert message in refused(data)


def test_good_settings_are_frozen():
    tree = validate(Tree, {"name": "x", "branch": {"deep": {"a": [None, {"colour": "blue"}]}}}, "tree.yaml")
    assert tree.branch.deep == {"a": [None, Leaf(colour="blue")]}
    with pytest.raises(ValueError, match="frozen"):
        tree.name = "y"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: 1\na: 2\n", "line 2, column 1: key 'a' is written twice"),
        (b"a:\n  b: 1\n  c: 2\n  b: 3\n", "line 4, column 3: key 'b' is written twice"),
        (b"a: [1, 2\n", "line 2"),
        (b"a: !!python/object:os.system x\n", "line 1"),
        (b"? [a]\n: 1\n", "a key must be a plain value"),
        (b"a: b: c\n", "line 1"),
        (b"\xff\xfea: 1", "byte 0 is not UTF-8"),
        (b"a: \x00\n", ""),
        (b"[" * 3_000, "nested too deeply"),
    ],
)
def test_yaml_that_is_none(tmp_path: Path, content: bytes, message: str):
    (tmp_path / "x.yaml").write_bytes(content)
    with pytest.raises(GristmillError) as error:
        read_yaml(tmp_path / "x.yaml")
    assert str(error.value).startswith(f"{tmp_path / 'x.yaml'}:")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_yaml_that_is_some(tmp_path: Path):
    (tmp_path / "x.yaml").write_bytes(b"\xef\xbb\xbfbase: &b {x: 1}\nderived: {<<: *b, y: 2}\n")
    assert read_yaml(tmp_path / "x.yaml") == {"base": {"x": 1}, "derived": {"x": 1, "y": 2}}
