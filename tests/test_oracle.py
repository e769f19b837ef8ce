"""The Beam pipeline equals a small reference in memory (``oracle``), for any block size, unit size and input order."""

import copy
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from schemas.errors import GristmillError
from schemas.recipe import load_recipe
from tests import oracle
from tests.oracle import RefusedError, Result, expected
from tests.recipes import Published, Row, chat, fresh, lines, run, write_recipe

SENTENCES = [
    "the mill turns when the river is high enough",
    "grain goes in at the top of the stones",
    "flour comes out below and is put into bags",
    "a miller checks the gap between the two stones",
    "wind may take the place of water in flat country",
    "bread needs flour and water and salt and time",
    "every sack is weighed before the cart goes out",
    "mice are the reason why a mill keeps a cat",
]
SHORT = [
    "yes",
    "no",
    "Yes",
    " yes\n",
    "42",
    "4 2",
    "a+b",
    "a-b",
    "",
    "   ",
    "\n",
    "水车",
    "磨坊",
    "Straße",
    "naïve é",
]
PROMPTS = [
    "How?",
    "Why does it turn?",
    "how?",
    "Tell me about the mill and the river near it, please",
    "是吗",
]


@st.composite
def texts(draw: st.DrawFn) -> str:
    """Short ones, or sentences of a small stock with a word changed, left out or shouted: many copies, many near."""
    if draw(st.integers(0, 4)) == 0:
        return draw(st.sampled_from(SHORT))
    start, length = draw(st.integers(0, 2)), draw(st.integers(1, 6))
    words = " ".join(SENTENCES[start : start + length]).split()
    for _ in range(draw(st.sampled_from([0, 0, 1, 1, 2, 4]))):
        place = draw(st.integers(0, len(words) - 1))
        words[place] = draw(st.sampled_from(["", "mill", "River,", "MICE", "one two"]))
    return draw(st.sampled_from([" ", "  ", "\n"])).join(words)


ROW = st.one_of(
    st.builds(chat, st.sampled_from(PROMPTS), texts()),
    st.builds(chat, texts(), texts()),
    st.builds(lambda *x: chat(*x[:2], origin=x[2]), st.sampled_from(PROMPTS), texts(), st.sampled_from(["human", "synthetic"])),
    st.builds(
        lambda p, a, b: {"messages": [*chat("", "")["messages"], *chat(p, a)["messages"], *chat(p, b)["messages"]][2:]},
        st.sampled_from(PROMPTS), texts(), texts(),
    ),
    st.builds(lambda a: {"messages": chat("", a)["messages"][1:]}, texts()),
    st.sampled_from([b"{broken", b"[1, 2]", b'{"messages": []}']),
)  # fmt: skip


@st.composite
def inputs(draw: st.DrawFn) -> dict[str, dict[str, list[Row]]]:
    made: dict[str, dict[str, list[Row]]] = {}
    for source in ("b", "a", "c")[: draw(st.integers(1, 3))]:
        names = draw(st.sampled_from([["x.jsonl"], ["y.jsonl", "x.jsonl"]]))
        # A readable row first: a file in which nothing is readable is refused before work starts.
        head = draw(st.builds(chat, st.sampled_from(PROMPTS), texts()))
        made[source] = {name: [head, *draw(st.lists(ROW, min_size=2, max_size=14))] for name in names}
    return made


@st.composite
def recipes(draw: st.DrawFn, sources: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(settings by source, settings of the recipe)."""
    of_sources = {
        name: {
            "origin": draw(st.sampled_from([None, "human", "synthetic", "mixed"])),
            "priority": draw(st.integers(-1, 1)),
        }
        for name in sources
    }
    compare = st.sampled_from(["whole", "whole", "prompt", "response"])
    near = {
        "similarity": draw(st.sampled_from([0.4, 0.6, 0.8])),
        "compare": draw(compare),
        "shingle": draw(st.sampled_from([3, 5])),
    }
    dedup: dict[str, Any] = {
        "exact": draw(st.one_of(st.none(), compare.map(lambda side: {"compare": side}))) if draw(st.booleans()) else {},
        "near": near if draw(st.integers(0, 5)) else None,
        "keep": draw(st.sampled_from([["origin", "priority", "longest"], ["shortest", "origin"], ["priority"], []])),
    }
    mix: dict[str, Any] | None = None
    kind = draw(st.sampled_from(["none", "shares", "proportional"]))
    if kind != "none":
        unit = draw(st.sampled_from(["rows", "characters"]))
        mix = {"unit": unit, "max_epochs": draw(st.sampled_from([1, 1, 3]))}
        mix["shortfall"] = draw(st.sampled_from(["renormalise", "shrink", "stop"]))
        if draw(st.booleans()):
            mix["size"] = f"{draw(st.integers(1, 30)) * (1 if unit == 'rows' else 200)} {unit}"
        if kind == "shares":
            cuts = sorted(draw(st.lists(st.integers(1, 99), min_size=len(sources) - 1, max_size=len(sources) - 1)))
            mix["shares"] = {n: f"{b - a} %" for n, a, b in zip(sources, [0, *cuts], [*cuts, 100], strict=True)}
        else:
            mix["temperature"] = draw(st.sampled_from([None, 1]))
    filters: Any = draw(
        st.sampled_from([None, {"empty": {}}, {"empty": {}, "length": {"answer_words": {"min": 1, "max": 40}}}])
    )
    settings_ = {
        "seed": draw(st.integers(0, 2**40)),
        "dedup": dedup,
        "mix": mix,
        "filters": filters,
        "release": {
            "splits": draw(st.sampled_from([{}, {"validation": "30 %"}])),
            "shard": "3 KiB",
            "row_group": "1 KiB",
        },
    }
    return of_sources, settings_


def compared(result: Published, want: Result) -> None:
    """Ledger, shards and manifest against the reference."""
    ledger = [row for row in result.ledger if row["verdict"] != "quarantined"]
    assert [verdict(row) for row in ledger] == [wanted(one) for one in want.records]
    for split, rows in want.released.items():
        found = [
            (r["id"], r["source"], r["provenance"]["file"], r["provenance"]["index"], r["copy"])
            for r in result.rows(split)
        ]
        assert found == [(one.id, one.source, one.file, one.index, copy_) for one, copy_ in rows]
        texts_ = [[(m["role"], m["content"]) for m in r["messages"]] for r in result.rows(split)]
        assert texts_ == [[(m["role"], m["content"]) for m in one.messages] for one, _ in rows]
    manifest = result.manifest
    for name, account in manifest.sources.items():
        mine = [one for one in want.records if one.source == name]
        assert account.records == len(mine)
        assert account.kept == sum(one.rule is None for one in mine)
        reasons = {one.rule for one in mine if one.rule}
        assert account.dropped == {rule: sum(one.rule == rule for one in mine) for rule in reasons}
        stages = {stage: {size: getattr(one, size) for size in oracle.SIZES} for stage, one in account.stages.items()}
        assert stages == {
            stage: {size: sizes[size] for size in oracle.SIZES} for stage, sizes in want.left[name].items()
        }
    assert {row.source: (row.asked, row.available, row.target, row.got) for row in manifest.mix} == want.mix
    assert {name: one.rows for name, one in manifest.splits.items()} == {
        n: len(rows) for n, rows in want.released.items()
    }


def verdict(row: dict[str, Any]) -> tuple[Any, ...]:
    names = (
        "source",
        "file",
        "index",
        "id",
        "verdict",
        "stage",
        "rule",
        "value",
        "threshold",
        "representative",
        "copies",
        "split",
    )
    return tuple(row[name] for name in names)


def wanted(one: oracle.Record) -> tuple[Any, ...]:
    where = (one.source, one.file, one.index, one.id)
    if one.rule is None:
        return (*where, "kept", "release", "release", None, None, None, one.copies, one.split)
    return (*where, "dropped", one.stage, one.rule, one.value, one.threshold, one.representative, 0, None)


def check(
    folder: Path, files: dict[str, dict[str, list[Row]]], of_sources: dict[str, Any], recipe: dict[str, Any]
) -> Published | None:
    path = write_recipe(folder, files, of_sources, **recipe)
    try:
        want = expected(load_recipe(path), files)
    except RefusedError:
        with pytest.raises(GristmillError):
            run(path, folder / "out")
        return None
    result = run(path, folder / "out")
    compared(result, want)
    return result


# Not shrunk: an example takes a second, and the oracle says what differs.
@settings(max_examples=16, phases=[Phase.generate])
@given(st.data())
def test_beam_equals_the_reference(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject):
    files = data.draw(inputs())
    of_sources, recipe = data.draw(recipes(list(files)))
    block, unit = data.draw(st.sampled_from([(1, 1), (3, 4), (5, 7), (8192, 16384)]))
    recipe["ingest"] = {
        "split": f"{data.draw(st.sampled_from([300, 2000, 100000]))} bytes",
        "block": "700 bytes",
    }
    with fresh(tmp_path_factory.getbasetemp() / "oracle") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("transforms.ingest.BLOCK_ROWS", block)
        patch.setattr("transforms.corpus.UNIT_ROWS", unit)
        check(folder, files, of_sources, recipe)


def mill(seed: int, rows: int) -> list[Row]:
    """Rows with many copies and near copies, the same for a seed."""
    draw = random.Random(seed)
    made: list[Row] = []
    for _ in range(rows):
        start = draw.randrange(4)
        words = " ".join(SENTENCES[start : start + draw.randint(2, 5)]).split()
        for _ in range(draw.choice([0, 0, 1, 2, 5])):
            words[draw.randrange(len(words))] = draw.choice(["mill", "cat", "Water"])
        made.append(chat(draw.choice(PROMPTS), " ".join(words)))
    return made


RECIPE = {
    "seed": 7,
    "dedup": {"near": {"similarity": 0.5}},
    "mix": {"size": "40 rows", "shares": {"a": "60 %", "b": "40 %"}},
}
ORIGINS: dict[str, Any] = {"a": {"origin": "synthetic"}, "b": {"origin": "human"}}


@pytest.mark.parametrize(("block", "unit"), [(1, 1), (7, 20), (8192, 16384)])
def test_block_and_unit_sizes_do_not_reach_the_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int, unit: int
):
    monkeypatch.setattr("transforms.ingest.BLOCK_ROWS", block)
    monkeypatch.setattr("transforms.corpus.UNIT_ROWS", unit)
    files = {"a": {"x.jsonl": mill(1, 60)}, "b": {"x.jsonl": mill(2, 60)}}
    assert check(tmp_path, files, ORIGINS, RECIPE) is not None


def chain(rows: int) -> list[Row]:
    """Each text overlaps with the next: one long path of candidates, neighbours in the file and in the graph."""
    draw = random.Random(5)
    stream = [f"word{draw.randrange(10**6)}" for _ in range(3 * rows + 24)]
    return [chat("How?", " ".join(stream[3 * row : 3 * row + 24])) for row in range(rows)]


def test_star_rounds_equal_the_single_merge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Where one worker would hold too much, groups are found by rounds; here they are made to."""
    monkeypatch.setattr("pipelines.graphs.ONE_WORKER", 0)
    monkeypatch.setattr("pipelines.graphs.ROUNDS", 4)
    monkeypatch.setattr("transforms.corpus.UNIT_ROWS", 16)
    monkeypatch.setattr("transforms.ingest.BLOCK_ROWS", 16)
    files = {"a": {"x.jsonl": mill(1, 40)}, "b": {"x.jsonl": [*mill(2, 20), *chain(60)]}}
    result = check(tmp_path, files, ORIGINS, RECIPE)
    assert result is not None
    assert result.manifest.sources["b"].dropped["near.whole"] > 20


def test_rounds_that_do_not_suffice_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("pipelines.graphs.ONE_WORKER", 0)
    monkeypatch.setattr("pipelines.graphs.ROUNDS", 0)
    path = write_recipe(tmp_path, {"a": {"x.jsonl": mill(1, 80)}}, dedup={"near": {"similarity": 0.4}})
    with pytest.raises(GristmillError, match="not yet grouped"):
        run(path, tmp_path / "out")


def test_order_of_rows_in_a_file_decides_nothing(tmp_path: Path):
    """Rows shuffled within and between files of a source: the same texts come out, in the same order."""
    rows = [*mill(1, 40), *mill(2, 40), *mill(3, 10)]
    orders = []
    for number in range(3):
        mixed = copy.copy(rows)
        random.Random(number).shuffle(mixed)
        cut = 20 + 25 * number
        files = {"a": {"x.jsonl": mixed[:cut], "y.jsonl": mixed[cut:]}}
        (tmp_path / str(number)).mkdir()
        recipe = {
            "seed": 3,
            "dedup": {"near": {"similarity": 0.5}},
            "mix": {"max_epochs": 2, "size": "30 rows"},
        }
        result = check(tmp_path / str(number), files, {}, recipe)
        assert result is not None
        orders.append([(row["id"], row["copy"]) for row in result.rows()])
        assert len(result.rows()) == 30
    assert orders[0] == orders[1] == orders[2]


def test_raw_bytes_of_unreadable_rows_are_kept(tmp_path: Path):
    bad = [b"{broken", b'"a text"', b"\xff\xfe\xfa"]
    rows: list[Row] = [chat("a", "b"), bad[0], chat("c", "d"), bad[1], bad[2]]
    result = run(write_recipe(tmp_path, {"a": {"x.jsonl": rows}}, ingest={"split": "20 bytes"}), tmp_path / "out")
    assert [(row["index"], row["raw"]) for row in result.quarantine] == [
        (1, bad[0]),
        (3, bad[1]),
        (4, bad[2]),
    ]
    assert [row["index"] for row in result.ledger] == [0, 2, 1, 3, 4]
    assert lines(rows).count(b"\n") == result.manifest.sources["a"].files[0].rows
