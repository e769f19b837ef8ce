"""Exact deduplication: one record of a key stays, whatever order the rows came in; short texts never merge wrongly."""

import random

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.assemble import assemble
from transforms.exact import CANDIDATE, find_copies
from transforms.records import Records
from transforms.signals import SignalSettings, compute
from transforms.verdicts import EXACT

# Ids that differ in one half only, and keys likewise.
WIDE = st.sampled_from([bytes(16), b"\0" * 15 + b"\1", b"\1" + b"\0" * 15, b"\xff" * 16, b"\0" * 7 + b"\1" + b"\0" * 8])
ROWS = st.lists(st.tuples(WIDE, st.integers(0, 2) | st.just(2**64 - 1), WIDE), max_size=30)


def table(rows: list[tuple[bytes, int, bytes, int]], chunks: int = 1) -> pa.Table:
    batches = [
        pa.RecordBatch.from_arrays(
            [pa.array(column, field.type) for column, field in zip(zip(*part, strict=True), CANDIDATE, strict=True)],
            schema=CANDIDATE,
        )
        for part in (rows[start::chunks] for start in range(chunks))
        if part
    ]
    return pa.Table.from_batches(batches, CANDIDATE)


def found(rows: list[tuple[bytes, int, bytes, int]], chunks: int = 1) -> dict[int, bytes]:
    drops = find_copies(table(rows, chunks)).to_pylist()
    assert all((drop["stage"], drop["value"]) == (EXACT, 1.0) for drop in drops)
    assert len({drop["address"] for drop in drops}) == len(drops)
    return {drop["address"]: drop["representative"] for drop in drops}


@given(ROWS, st.integers(1, 4), st.randoms(use_true_random=False))
def test_the_first_in_survivor_order_stays(rows: list[tuple[bytes, int, bytes]], chunks: int, shuffle: random.Random):
    placed = [(*row, address) for address, row in enumerate(rows)]
    want: dict[int, bytes] = {}
    first: dict[bytes, tuple[bytes, int, bytes, int]] = {}
    for row in sorted(placed, key=lambda row: row[1:]):
        stays = first.setdefault(row[0], row)
        if stays is not row:
            want[row[3]] = stays[2]
    shuffle.shuffle(placed)
    assert found(placed, chunks) == want


def test_slices_of_a_larger_batch_are_read_from_where_they_begin():
    rows = [(bytes([n % 3]) * 16, n, bytes([n]) * 16, n) for n in range(9)]
    whole = table(rows).slice(3)
    assert {drop["address"]: drop["representative"][0] for drop in find_copies(whole).to_pylist()} == {
        6: 3,
        7: 4,
        8: 5,
    }


def exact_key(messages: list[tuple[str, str]], tools: str | None = None, compare: str = "whole") -> bytes:
    made = [
        {"messages": [{"role": role, "content": content} for role, content in messages]}
        | ({"tools": tools} if tools else {})
    ]
    found = compute(Records(assemble(made, [0], [0])), SignalSettings(compare, None, 5, 8, 1, None), None).features[
        "exact_key"
    ]
    return bytes(found[0].as_py())


def key(prompt: str, answer: str, compare: str = "whole", tools: str | None = None) -> bytes:
    return exact_key([("user", prompt), ("assistant", answer)], tools, compare)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a", "b"), ("A ", "\tb\n")),
        (("a  b", "c"), ("a\nb", "C")),
        (("", ""), (" ", "\n\n")),
        (("STRASSE É", "x"), ("strasse é", "x")),
    ],
)
def test_case_and_white_space_do_not_tell_texts_apart(one: tuple[str, str], other: tuple[str, str]):
    assert key(*one) == key(*other)


DIFFERENT = [
    ("a", "b"),
    ("b", "a"),
    ("ab", ""),
    ("", "ab"),
    ("a b", ""),
    ("a", "b."),
    ("a+b", ""),
    ("a-b", ""),
    ("1", "2"),
    ("12", ""),
    ("1,1", ""),
]


def test_everything_else_does():
    assert len({key(*texts) for texts in DIFFERENT}) == len(DIFFERENT)
    assert key("a", "b", tools="[]") != key("a", "b")
    assert exact_key([("user", "a")]) != exact_key([("assistant", "a")])
    assert exact_key([("user", "a"), ("assistant", "")]) != exact_key([("user", "a")])


def test_a_side_alone_decides_where_the_recipe_says_so():
    assert key("a", "b", "prompt") == key("A", "c", "prompt") != key("c", "b", "prompt")
    assert key("a", "b", "response") == key("c", "B", "response") != key("a", "c", "response")
    assert key("ab", "c", "response") != key("ab", "abc", "response")


def test_no_rows_give_no_drops():
    assert find_copies(table([])).num_rows == 0
    assert found([(bytes(16), 1, bytes(16), 7)]) == {}
