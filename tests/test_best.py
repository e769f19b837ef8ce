"""The best down to a budget: the walk against plain Python, what the ledger says of it, and how a budget is divided."""

from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.steps import _budget
from schemas.errors import GristmillError
from schemas.selection import Best
from schemas.strict import validate
from tests.selections import POINTS, Point, directions, id_of, nearest, rounds_below, sent
from transforms.best import WALKED, lowest_kept, walk_best
from transforms.census import score_order

BUDGETS = st.fixed_dictionaries({group: st.integers(0, 6) for group in range(3)})  # group 3 has none


def reference(points: list[Point], budget: dict[int, int], similarity: float | None) -> dict[int, float | None]:
    """By address: None where it is kept, the cosine where it is passed over; others were not reached."""
    vectors = directions([one[2] for one in points])
    found: dict[int, float | None] = {}
    kept: list[int] = []
    for group in sorted({one[0] for one in points}):
        room = budget.get(group, 0)
        for row in sorted(
            (row for row, one in enumerate(points) if one[0] == group), key=lambda row: (points[row][1], row)
        ):
            if room == 0:
                break
            near = None if similarity is None else nearest(vectors, row, kept, similarity)
            found[row] = near
            if near is None:
                kept.append(row)
                room -= 1
    return found


@given(POINTS, BUDGETS, st.sampled_from([None, 0.5, 0.9, 0.95]), st.randoms(use_true_random=False))
def test_the_walk_is_the_greedy_one(points: list[Point], budget: dict[int, int], similarity: float | None, random: Any):
    batch = sent(points)
    mixed = list(range(len(points)))
    random.shuffle(mixed)
    walked = walk_best(pa.Table.from_batches([batch.take(pa.array(mixed, pa.int64()))]), budget, similarity)
    assert walked.schema == WALKED
    assert walked.equals(walk_best(pa.Table.from_batches([batch]), budget, similarity))
    expected = reference(points, budget, similarity)
    kept = {address for address, near in expected.items() if near is None}
    vectors = directions([one[2] for one in points])
    for row in walked.to_pylist():
        address = row["address"]
        assert (row["group"], row["order"]) == points[address][:2]
        assert row["kept"] == (address in kept)
        near = expected.get(address)
        assert (row["value"] is None) == (row["representative"] is None) == (near is None)
        if near is not None:
            assert row["value"] == pytest.approx(near, abs=1e-6)
            stays = int.from_bytes(row["representative"], "big")
            assert stays in kept
            assert float(vectors[address] @ vectors[stays]) == pytest.approx(near, abs=1e-6)
    assert sorted(walked["address"].to_pylist()) == list(range(len(points)))


def test_a_full_budget_says_nothing_of_those_after_it():
    """They go for the budget, whether or not something is near to them; with a budget of 0 too."""
    points: list[Point] = [(0, 0, 0), (0, 1, 0), (1, 0, 0), (1, 1, 9)]
    walked = walk_best(pa.Table.from_batches([sent(points)]), {0: 1, 1: 0}, 0.9)
    assert walked["kept"].to_pylist() == [True, False, False, False]
    assert walked["representative"].null_count == 4


def test_a_value_is_never_below_its_threshold():
    vectors = rounds_below(0.7)
    walked = walk_best(pa.Table.from_batches([sent([(0, 0, None), (0, 1, None)], vectors)]), {0: 2}, 0.7)
    assert walked["representative"].to_pylist() == [None, id_of(0)]
    assert walked["value"][1].as_py() >= 0.7


def test_the_lowest_score_that_was_kept_of_each_owner():
    scores = [0.9, 0.51234549, 0.2, 0.7, float("nan"), 0.3]
    order = score_order(np.array(scores), np.zeros(6, np.uint64)).tolist()
    owners = [0, 0, 0, 1, 2, 3]
    walked = walk_best(
        pa.Table.from_batches([sent([(owner, one, 0) for owner, one in zip(owners, order, strict=True)])]),
        {0: 2, 1: 5, 2: 1}, None,
    )  # fmt: skip
    found = lowest_kept(walked)
    assert found[0] == pytest.approx(0.512345, abs=2e-6)
    assert found[1] == 0.7
    assert np.isnan(found[2])
    assert 3 not in found  # nothing of it was kept


def best(**settings: Any) -> Best:
    return validate(Best, settings, "best")


@given(
    st.dictionaries(st.integers(0, 6), st.integers(1, 50), min_size=1),
    st.integers(1, 200),
    st.lists(st.integers(0, 100), min_size=6, max_size=6),
    st.booleans(),
)
def test_a_budget_is_divided_and_what_one_lacks_the_others_give(
    room: dict[int, int], size: int, cuts: list[int], shared: bool
):
    owners = {group: f"source{group}" for group in range(7)}
    edges = [0, *sorted(cuts), 100]
    percent = {f"source{group}": edges[group + 1] - edges[group] for group in range(7)}
    settings: dict[str, Any] = {"shares": {name: f"{one} %" for name, one in percent.items()}} if shared else {}
    found = _budget(best(size=f"{size} rows", per="source", **settings), room, owners)
    assert found.keys() == room.keys()
    assert all(0 <= rows <= room[group] for group, rows in found.items())
    weights = {group: Fraction(percent[owners[group]]) if shared else Fraction(1) for group in room}
    giving = [group for group in room if weights[group]]
    assert all(found[group] == 0 for group in room if not weights[group])
    assert sum(found.values()) == min(size, sum(room[group] for group in giving))
    # Those that are not exhausted stand in proportion, each rounded by less than one.
    open_ones = [group for group in giving if found[group] < room[group]]
    for one in open_ones:
        for other in giving:
            assert found[other] <= Fraction(found[one] + 1) * weights[other] / weights[one] + 1


def test_shares_of_sources_that_have_nothing_left():
    wish = best(size="10 rows", per="source", shares={"a": "50 %", "b": "50 %"})
    assert _budget(wish, {1: 30}, {0: "a", 1: "b"}) == {1: 10}
    assert _budget(wish, {2: 30}, {0: "a", 1: "b", 2: "c"}) == {2: 0}
    with pytest.raises(GristmillError, match="best: "):
        validate(Best, {"size": "10 rows", "shares": {"a": "100 %"}}, "best")
