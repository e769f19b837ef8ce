"""The recipe: strict, with the nearest name for every slip, and a digest of what it means, not of how it is written."""

import copy
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.curate import prepare
from pipelines.schema import schema
from schemas.errors import GristmillError
from schemas.recipe import load_recipe

BASE: dict[str, Any] = {
    "name": "small",
    "version": "1.0.0",
    "sources": {"a": {"path": "a.jsonl"}, "b": {"path": ["b.jsonl"]}},
}


def written(folder: Path, *changes: tuple[str, Any], text: str | None = None) -> Path:
    """A recipe file: BASE with dotted places set."""
    data = copy.deepcopy(BASE)
    for place, value in copy.deepcopy(changes):
        *path, last = place.split(".")
        at = data
        for step in path:
            at = at.setdefault(step, {})
        at[last] = value
    file = folder / "recipe.yaml"
    file.write_text(yaml.safe_dump(data, sort_keys=False) if text is None else text, encoding="utf-8")
    return file


def refusal(file: Path) -> str:
    with pytest.raises(GristmillError) as refused:
        prepare(file)
    message = str(refused.value)
    assert "\n" not in message
    return message


SLIPS = [
    ("sorces", {}, "sorces: unknown key; did you mean 'sources'?"),
    ("dedupe", {}, "dedupe: unknown key; did you mean 'dedup'?"),
    ("sources.a.licence", "MIT", "sources.a.licence: unknown key; did you mean 'license'?"),
    ("sources.a.pth", "x", "sources.a.pth: unknown key; did you mean 'path'?"),
    ("sources.b.max_los", "5 %", "sources.b.max_los: unknown key; did you mean 'max_loss'?"),
    ("dedup.near.simlarity", 0.8, "dedup.near.simlarity: unknown key; did you mean 'similarity'?"),
    ("dedup.exact.compar", "whole", "dedup.exact.compar: unknown key; did you mean 'compare'?"),
    ("mix.temprature", 1, "mix.temprature: unknown key; did you mean 'temperature'?"),
    ("release.split", {}, "release.split: unknown key; did you mean 'splits'?"),
    ("ingest.qqq", 1, "ingest.qqq: unknown key; known here: block, max_bad, split, unreadable_file"),
    ("filters.lenght", {}, "filters.lenght: unknown filter; did you mean 'length'?"),
    (
        "filters.length.answer_words.mx",
        3,
        "filters.length: answer_words.mx: unknown key; did you mean 'max'?",
    ),
]


@pytest.mark.parametrize(("place", "value", "message"), SLIPS, ids=[slip[0] for slip in SLIPS])
def test_an_unknown_key_is_named_with_the_nearest_known_one(tmp_path: Path, place: str, value: Any, message: str):
    assert message in refusal(written(tmp_path, (place, value)))


WRONG = [
    ("mix.size", 1, "mix.size: 1 is not an amount"),
    ("mix.size", 1.0, "mix.size: 1.0 is not an amount"),
    ("mix.size", "5000", "mix.size: '5000' is not an amount"),
    ("mix.size", "20 %", "mix.size: '20 %' is not an amount"),
    ("mix.size", "3M tokens", "mix: size is in tokens but unit is rows"),
    ("mix.shares", {"a": 0.5, "b": 0.5}, "mix.shares.a: 0.5 is not a share"),
    ("mix.shares", {"a": 50, "b": 50}, "mix.shares.a: 50 is not a share"),
    ("mix.shares", {"a": "50 %", "b": "40 %"}, "mix: shares add up to 90 %, not 100 %"),
    ("mix.shares", {"a": "50 %", "z": "50 %"}, "mix.shares names 'z', which is no source; sources: a, b"),
    ("mix.max_epochs", 0, "mix.max_epochs: Input should be greater than or equal to 1, got 0"),
    ("mix.temperature", 0, "mix.temperature: "),
    ("mix.temperature", float("nan"), "mix.temperature: "),
    ("mix.unit", "tokens", "mix.unit is tokens but the recipe names no tokenizer"),
    ("release.shard", 1000, "release.shard: 1000 is not a size in bytes"),
    ("release.splits", {"validation": 0.1}, "release.splits.validation: 0.1 is not a share"),
    ("release.splits", {"train": "10 %"}, "release: split name 'train' is not usable"),
    ("release.splits", {"../up": "10 %"}, "release: split name '../up' is not usable"),
    ("release.splits", {"x": "50 %", "y": "50 %"}, "release: splits take 100 %, nothing is left for train"),
    ("ingest.max_bad", 0.05, "ingest.max_bad: 0.05 is not a share"),
    ("sources.a.max_loss", 1, "sources.a.max_loss: 1 is not a share"),
    ("sources.a.origin", "robot", "sources.a.origin: "),
    ("sources.a.priority", "high", "sources.a.priority: "),
    ("sources.a.priority", 2**15, "sources.a.priority: "),
    ("sources", {}, "sources: "),
    ("sources", None, "sources: "),
    ("sources", {"a b": {"path": "x"}}, "source name 'a b' is not usable"),
    ("sources", {"a": {}}, "sources.a.path: this setting is required"),
    ("name", "../up", "name: "),
    ("name", ".hidden", "name: "),
    ("version", 1.0, "version: "),
    ("version", "1.0", "version: "),
    ("seed", "7", "seed: "),
    ("seed", -1, "seed: "),
    ("dedup.near.similarity", 1.5, "dedup.near.similarity: "),
    ("dedup.near.similarity", "80 %", "dedup.near.similarity: "),
    ("dedup.near.recall", 0.99, "dedup.near.recall: 0.99 is not a share"),
    ("dedup.keep", ["origin", "origin"], "dedup.keep: a criterion is named twice"),
    ("dedup.keep", ["longest", "shortest"], "dedup.keep: longest and shortest contradict each other"),
    ("filters.length", None, "filters.length"),
    ("tokenizer", "no/such-tokenizer-folder", "tokenizer 'no/such-tokenizer-folder'"),
]


@pytest.mark.parametrize(("place", "value", "message"), WRONG, ids=[f"{slip[0]}={slip[1]!r}" for slip in WRONG])
def test_a_wrong_value_is_one_sentence_with_its_place(tmp_path: Path, place: str, value: Any, message: str):
    assert message in refusal(written(tmp_path, (place, value)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("- a\n- b\n", "expected a mapping of settings, got list"),
        ("just a sentence\n", "expected a mapping of settings, got str"),
        ("name: a\nname: b\n", "line 2, column 1: key 'name' is written twice"),
        (
            "sources:\n  a: {path: x}\n  b: {path: x}\n  a: {path: y}\n",
            "line 4, column 3: key 'a' is written twice",
        ),
        ("mix: {shares: {a: 50 %, a: 50 %}}\n", "key 'a' is written twice"),
        ("name: [\n", "line 2, column 1"),
        ("? [a, b]\n: c\n", "a key must be a plain value"),
        ("name: !!python/object/apply:os.system ['touch pwned']\n", "could not determine a constructor"),
        ("name: &a [*a]\n", ""),
        ("name: &a {b: *a}\n", ""),
        ("1: a\nname: b\n", ""),
        ("[" * 5000, ""),
    ],
)
def test_what_is_no_recipe_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str):
    monkeypatch.chdir(tmp_path)
    assert message in refusal(written(tmp_path, text=text))
    assert [file.name for file in tmp_path.iterdir()] == ["recipe.yaml"]


def test_files_that_cannot_be_a_recipe(tmp_path: Path):
    assert "No such file" in refusal(tmp_path / "absent.yaml")
    assert "directory" in refusal(tmp_path)
    (tmp_path / "latin.yaml").write_bytes("name: caf\xe9\n".encode("latin-1"))
    assert "byte 9 is not UTF-8" in refusal(tmp_path / "latin.yaml")


BOMB = "x0: &x0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n" + "".join(
    f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]\n" for n in range(1, 30)
)


@pytest.mark.parametrize(
    "place",
    ["name: *x29\n", "description: *x29\n", "sources: {a: {path: *x29}}\n", "sources: {a: {path: x, columns: *x29}}\n",
     "filters: {length: {words: *x29}}\n", "dedup: {keep: *x29}\n", "release: {splits: *x29}\n"],
)  # fmt: skip
def test_a_bomb_of_anchors_is_refused_at_once(tmp_path: Path, place: str):
    start = time.perf_counter()
    refusal(written(tmp_path, text=BOMB + "version: 1.0.0\n" + place))
    assert time.perf_counter() - start < 2


def test_anchors_may_be_used(tmp_path: Path):
    text = (
        "name: x\nversion: 1.0.0\nsources:\n  a: &one {path: a, origin: human}\n  b: *one\n  c: {<<: *one, task: t}\n"
    )
    recipe = load_recipe(written(tmp_path, text=text))
    assert recipe.sources["b"] == recipe.sources["a"]
    assert (recipe.sources["c"].origin, recipe.sources["c"].task) == ("human", "t")


def test_a_merged_key_may_be_overruled(tmp_path: Path):
    """What ``<<`` is for: the mapping's own key wins over the merged one, as YAML says."""
    text = "name: x\nversion: 1.0.0\nsources:\n  a: &one {path: a, origin: human}\n  b: {<<: *one, path: b}\n"
    recipe = load_recipe(written(tmp_path, text=text))
    assert (recipe.sources["b"].path, recipe.sources["b"].origin) == ("b", "human")


FULL: list[tuple[str, Any]] = [
    ("mix", {"shares": {"a": "60 %", "b": "40 %"}, "size": "5k rows"}),
    ("filters", {"empty": {}, "length": {"words": {"min": 1, "max": 9}}}),
    ("dedup", {"exact": {"compare": "whole"}, "near": {"similarity": 0.8}}),
    ("release.splits", {"test": "1 %", "validation": "2 %"}),
]


def reversed_keys(data: Any) -> Any:
    return {key: reversed_keys(data[key]) for key in reversed(data)} if isinstance(data, dict) else data


def test_the_canonical_form_does_not_depend_on_how_it_is_written(tmp_path: Path):
    canonical = load_recipe(written(tmp_path, *FULL)).canonical()
    data = yaml.safe_load((tmp_path / "recipe.yaml").read_text())
    assert load_recipe(written(tmp_path, text=json.dumps(reversed_keys(data)))).canonical() == canonical
    same: list[tuple[str, Any]] = [
        ("ingest", {"split": "1 MiB", "block": "64 KiB"}), ("mix.size", "5000 records"), ("seed", 0),
        ("release.shard", "262144 KiB"), ("sources.a.priority", 0), ("dedup.near.recall", "99.0%"), ("description", ""),
    ]  # fmt: skip
    for change in same:
        assert load_recipe(written(tmp_path, *FULL, change)).canonical() == canonical, change
    other: list[tuple[str, Any]] = [
        ("seed", 1), ("mix.size", "5001 rows"), ("dedup.near.recall", "99.01 %"), ("sources.a.priority", 1),
        ("filters.length.words.min", 2), ("dedup.near", None), ("sources.a.path", "c.jsonl"), ("version", "1.0.1"),
    ]  # fmt: skip
    digests = {load_recipe(written(tmp_path, *FULL, change)).digest() for change in other}
    assert len(digests | {load_recipe(written(tmp_path, *FULL)).digest()}) == len(other) + 1


def test_the_canonical_form_is_a_recipe_again(tmp_path: Path):
    recipe = load_recipe(written(tmp_path, *FULL))
    assert load_recipe(written(tmp_path, text=recipe.canonical().decode())).canonical() == recipe.canonical()


def shipped(repo: Path) -> list[Path]:
    found = [file for folder in ("examples", "benchmarks") for file in (repo / folder).rglob("*.yaml")]
    return sorted(file for file in found if "sources:" in file.read_text(encoding="utf-8"))


def test_shipped_recipes_are_read_and_fit_the_published_schema(repo: Path):
    files = shipped(repo)
    assert any("quickstart" in str(file) for file in files)
    published = json.loads(schema("recipe"))
    for file in files:
        load_recipe(file)
        problems = list(misfits(yaml.safe_load(file.read_text(encoding="utf-8")), published, published, file.name))
        assert problems == []


@pytest.mark.parametrize(("place", "value", "message"), SLIPS, ids=[slip[0] for slip in SLIPS])
def test_the_published_schema_refuses_unknown_keys_too(place: str, value: Any, message: str, tmp_path: Path):
    published = json.loads(schema("recipe"))
    assert list(misfits(yaml.safe_load(written(tmp_path, (place, value)).read_text()), published, published, "recipe"))
    assert not list(misfits(yaml.safe_load(written(tmp_path, *FULL).read_text()), published, published, "recipe"))


@pytest.mark.parametrize("what", ["recipe", "record", "manifest"])
def test_schemas_are_closed_objects(what: str):
    made = json.loads(schema(what))
    assert made["type"] == "object"
    assert made["additionalProperties"] is False
    assert set(made["required"]) <= set(made["properties"])


def test_an_unknown_schema_is_refused():
    with pytest.raises(GristmillError, match="no schema called 'recipes'; known: recipe, record, manifest"):
        schema("recipes")


def misfits(data: Any, rule: dict[str, Any], root: dict[str, Any], where: str) -> list[str]:
    """Where ``data`` breaks a JSON Schema; of its language, what ours use (there is no jsonschema in our environment)."""
    known = {"$ref", "anyOf", "type", "enum", "const", "pattern", "properties", "required", "additionalProperties", "items", "minimum",
             "maximum", "exclusiveMinimum", "exclusiveMaximum", "minProperties", "$schema", "$defs", "title", "description", "default",
             "examples", "allOf", "propertyNames", "minItems", "maxItems", "minLength", "prefixItems", "uniqueItems"}  # fmt: skip
    assert set(rule) <= known, f"{where}: this check does not know {set(rule) - known}"
    if "$ref" in rule:
        return misfits(data, root["$defs"][rule["$ref"].removeprefix("#/$defs/")], root, where)
    if "anyOf" in rule:
        tried = [misfits(data, one, root, where) for one in rule["anyOf"]]
        return [] if any(not one for one in tried) else min(tried, key=len)
    types: dict[str, Any] = {
        "object": dict,
        "array": list,
        "string": str,
        "boolean": bool,
        "null": type(None),
        "integer": int,
        "number": (int, float),
    }
    if "type" in rule and (
        not isinstance(data, types[rule["type"]]) or (isinstance(data, bool) and rule["type"] != "boolean")
    ):
        return [f"{where}: {data!r} is no {rule['type']}"]
    if ("enum" in rule and data not in rule["enum"]) or ("const" in rule and data != rule["const"]):
        return [f"{where}: {data!r} is none of the values"]
    if "pattern" in rule and not re.search(rule["pattern"], data):
        return [f"{where}: {data!r} does not fit {rule['pattern']}"]
    bounds = {"minLength": lambda a, b: len(a) >= b, "minItems": lambda a, b: len(a) >= b, "maxItems": lambda a, b: len(a) <= b,
              "minimum": lambda a, b: a >= b, "maximum": lambda a, b: a <= b,
              "exclusiveMinimum": lambda a, b: a > b, "exclusiveMaximum": lambda a, b: a < b}  # fmt: skip
    found = [
        f"{where}: {data!r} breaks {name} {rule[name]}"
        for name, holds in bounds.items()
        if name in rule and not holds(data, rule[name])
    ]
    if isinstance(data, list):
        found += [line for item in data for line in misfits(item, rule.get("items", {}), root, f"{where}[]")]
    if isinstance(data, dict):
        found += [f"{where}: {name} is missing" for name in rule.get("required", []) if name not in data]
        found += [f"{where}: too few keys"] * (len(data) < rule.get("minProperties", 0))
        for key, value in data.items():
            inside = rule.get("properties", {}).get(key, rule.get("additionalProperties", True))
            if inside is False:
                found.append(f"{where}: {key} is unknown")
            elif isinstance(inside, dict):
                found += misfits(value, inside, root, f"{where}.{key}")
    return found
