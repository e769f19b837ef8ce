"""A census and what is cut from it: the order of scores, and an exact number out of each of several groups."""

import math
from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.balancing import held_and_asked, quotas_of, whole_bins
from transforms.census import Grouping, by_group, order_score, score_order, take_census
from transforms.cut import CUT, CUT_ROW, Quotas, find_cut

SCORES = st.one_of(st.floats(-1e6, 1e6), st.sampled_from([0.0, 1.0, -1.0, math.inf, -math.inf, math.nan]))


@given(st.lists(SCORES, min_size=1, max_size=30), st.randoms(use_true_random=False))
def test_higher_scores_come_first_and_missing_ones_last(scores: list[float], random: Any):
    hashes = np.array([random.getrandbits(64) for _ in scores], np.uint64)
    order = score_order(np.array(scores), hashes)
    rank = order >> np.uint64(32)
    for one, a in enumerate(scores):
        for other, b in enumerate(scores):
            if math.isnan(a) and not math.isnan(b):
                assert order[one] > order[other]
            elif a > b:
                assert rank[one] <= rank[other]
            elif a == b or (math.isnan(a) and math.isnan(b)):
                assert rank[one] == rank[other]
                assert (order[one] < order[other]) == (hashes[one] >> np.uint64(32) < hashes[other] >> np.uint64(32))


@given(st.floats(-1000, 1000))
def test_an_order_says_its_score(score: float):
    order = int(score_order(np.array([score]), np.array([2**64 - 1], np.uint64))[0])
    assert order_score(order) == pytest.approx(score, abs=1e-9 * (1 + abs(score)) ** 2)
    assert order_score(order) <= score + 1e-9 * (1 + abs(score))  # rounded down: no kept record is below it


def test_scores_that_differ_in_the_sixth_decimal_differ_in_order():
    scores = np.round(np.arange(0, 1, 1e-6), 6)
    order = score_order(scores, np.zeros(len(scores), np.uint64))
    assert (order[1:] < order[:-1]).all()


def test_a_missing_score_has_none():
    order = score_order(np.array([np.nan, -np.inf, np.inf]), np.zeros(3, np.uint64))
    assert math.isnan(order_score(int(order[0])))
    assert order[2] < order[1] < order[0]


# (group, order, weight, still in); orders crowd in few bins and some are equal
RECORDS = st.lists(
    st.tuples(
        st.integers(-1, 3),
        st.builds(lambda high, low: high << 56 | low, st.sampled_from([0, 1, 255]), st.integers(0, 5)),
        st.integers(0, 9),
        st.booleans(),
    ),
    max_size=40,
)
Record = tuple[int, int, int, bool]


def columns(records: list[Record]) -> tuple[Any, Any, Any, Any]:
    kinds = (np.int64, np.uint64, np.int64, bool)
    groups, order, weight, alive = (np.array([one[at] for one in records], kind) for at, kind in enumerate(kinds))
    return groups, order, weight, alive


def census(records: list[Record]) -> list[dict[str, int]]:
    groups, order, weight, alive = columns(records)
    return take_census(groups, order, alive, weight, weight * 10).to_pylist()


@given(RECORDS, st.integers(0, 40))
def test_a_census_counts_what_is_still_in(records: list[Record], cut: int):
    expected: dict[tuple[int, int], list[int]] = defaultdict(lambda: [0, 0, 0])
    for group, order, weight, alive in records:
        if alive:
            counts = expected[group, order >> 56]
            counts[:] = counts[0] + 1, counts[1] + weight, counts[2] + 10 * weight
    found = census(records)
    assert {(row["group"], row["bin"]): [row["rows"], row["weight"], row["bytes"]] for row in found} == expected
    bins = by_group(found, "weight")
    assert {(group, number): one for group, counts in bins.items() for number, one in enumerate(counts) if one} == {
        at: counts[1] for at, counts in expected.items() if counts[1]
    }
    # The sum over any two units is the census of both.
    assert by_group(census(records[:cut]) + census(records[cut:]), "rows") == by_group(found, "rows")


class Unit:
    """As much of a ``Standing`` as quotas look at."""

    def __init__(self, records: list[Record], first: int):
        self._groups, self._order, _, self.alive = columns(records)
        self.view = SimpleNamespace(addresses=first + np.arange(len(records)))

    def groups(self, grouping: Grouping) -> Any:
        return self._groups

    def order(self, by: str) -> Any:
        return self._order

    def weight(self, grouping: Grouping) -> Any:
        return np.ones(len(self._order), np.int64)


def outcome_of(records: list[Record]) -> Any:
    return SimpleNamespace(census=census(records))


def taken(records: list[Record], targets: dict[int, int], cut: int) -> list[int]:
    """Copies of each record by way of two units, a census, quotas and cuts."""
    quotas = quotas_of(outcome_of(records), Grouping("cluster"), targets)
    groups, order, _, alive = columns(records)
    cuts = []
    for group, one in quotas.by_group.items():
        if one.rest > 0:
            hit = np.flatnonzero(alive & (groups == group) & (order >> np.uint64(56) == one.bin))
            found = find_cut(pa.table([order[hit], hit, np.ones(len(hit), int)], schema=CUT_ROW), one.rest)
            cuts.append((b"", pa.RecordBatch.from_pylist([{"group": group, **found._asdict()}], schema=CUT)))
    parts = [quotas.copies(Unit(records[:cut], 0), cuts), quotas.copies(Unit(records[cut:], cut), cuts)]  # type: ignore[arg-type]
    return [int(one) for part in parts for one in part]


@given(RECORDS, st.dictionaries(st.integers(-1, 4), st.integers(0, 30)), st.integers(0, 40))
def test_each_group_gives_its_target_the_first_in_order_once_more(
    records: list[Record], targets: dict[int, int], cut: int
):
    found = taken(records, targets, cut)
    for group in range(-1, 4):
        mine = [at for at, one in enumerate(records) if one[0] == group and one[3]]
        target = targets.get(group, 0)
        ranked = sorted(mine, key=lambda at: (records[at][1], at))
        assert [found[at] for at in ranked] == [
            (target + len(mine) - 1 - place) // len(mine) for place in range(len(mine))
        ]
    assert all(count == 0 for count, one in zip(found, records, strict=True) if not one[3])


@given(RECORDS, st.dictionaries(st.integers(-1, 4), st.integers(0, 30)))
def test_whole_bins_hold_what_is_wanted_and_need_no_cut(records: list[Record], wanted: dict[int, int]):
    outcome = outcome_of(records)
    quotas = whole_bins(outcome, Grouping("cluster"), wanted)
    unit = Unit(records, 0)
    found = quotas.copies(unit, [])  # type: ignore[arg-type]
    for group, (held, asked) in held_and_asked(outcome, wanted).items():
        assert asked == wanted.get(group, 0)
        mine = [at for at, one in enumerate(records) if one[0] == group and one[3]]
        assert len(mine) == held
        chosen = [at for at in mine if found[at]]
        assert len(chosen) >= min(asked, held)
        assert set(found[mine].tolist()) <= {0, 1}
        bins = {records[at][1] >> 56 for at in chosen}
        assert chosen == [at for at in mine if records[at][1] >> 56 in bins]
        # Without the last of its bins it would not be enough.
        assert asked == 0 or sum(records[at][1] >> 56 != max(bins) for at in chosen) < min(asked, held)
        assert (asked > 0) == bool(chosen)


def test_a_group_without_a_quota_gives_nothing():
    assert Quotas(Grouping("cluster"), {}).copies(Unit([(0, 1, 1, True)], 0), []).tolist() == [0]  # type: ignore[arg-type]
