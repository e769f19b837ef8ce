"""The mix: targets add up and fit, the cut is exact, copies are even and spread."""

from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from schemas.errors import GristmillError
from schemas.recipe import Mix
from schemas.strict import validate
from tests import oracle
from tests.recipes import Row, chat, published, run, write_recipe
from transforms.cut import CUT_ROW, copies, find_cut, quota
from transforms.mix import settle

NAMES = ("a", "b", "c", "d")


def mix(**settings: Any) -> Mix:
    return validate(Mix, settings, "mix")


@st.composite
def shares(draw: st.DrawFn) -> dict[str, str]:
    count = draw(st.integers(1, len(NAMES)))
    cuts = sorted(draw(st.lists(st.integers(0, 1000), min_size=count - 1, max_size=count - 1)))
    return {name: f"{(b - a) / 10} %" for name, a, b in zip(NAMES, [0, *cuts], [*cuts, 1000])}


available = st.fixed_dictionaries({name: st.integers(0, 400) for name in NAMES})


@given(
    available,
    shares(),
    st.one_of(st.none(), st.integers(0, 3000)),
    st.integers(1, 4),
    st.sampled_from(["renormalise", "shrink", "stop"]),
)
def test_targets_fit_and_add_up(
    have: dict[str, int], asked: dict[str, str], size: int | None, epochs: int, shortfall: str
):
    wish = mix(shares=asked, size=None if size is None else f"{size} rows", max_epochs=epochs, shortfall=shortfall)
    wanted = {name for name in NAMES if wish.shares and name in wish.shares and wish.shares[name].value > 0}
    try:
        targets = settle(have, wish)
    except GristmillError:
        refused = any(have[name] == 0 for name in wanted) or (shortfall == "stop" and size is not None)
        assert refused
        with pytest.raises(oracle.RefusedError):
            oracle.settle(have, wish)
        return
    capacity = {name: have[name] * epochs for name in NAMES}
    for name, one in targets.items():
        assert 0 <= one.target <= capacity[name]
        assert one.available == have[name]
        if name not in wanted:
            assert one.asked == one.target == 0
    total = sum(one.target for one in targets.values())
    asked_for = sum(one.asked for one in targets.values())
    if size is not None:
        assert asked_for == size
    if size is None or shortfall == "stop":
        assert total == asked_for
    elif shortfall == "renormalise":
        assert total == min(size, sum(capacity[name] for name in wanted))
    if shortfall in ("shrink", "stop") or size is None:  # every share holds, to a record
        assert wish.shares is not None
        for name in wanted:
            assert abs(targets[name].target - wish.shares[name].value * total) <= 1
    assert {name: (one.asked, one.target) for name, one in targets.items()} == oracle.settle(have, wish)


@given(available, shares(), st.integers(1, 3000))
def test_renormalise_keeps_the_proportions_of_those_that_can_give(
    have: dict[str, int], asked: dict[str, str], size: int
):
    wish = mix(shares=asked, size=f"{size} rows")
    assume(all(have[name] for name in asked))
    targets = settle(have, wish)
    open_names = [name for name in asked if targets[name].target < have[name] and targets[name].share > 0]
    assert wish.shares is not None
    for one, other in pairwise(open_names):
        ratio = wish.shares[one].value / wish.shares[other].value
        # Both were rounded by less than one.
        assert abs(targets[one].target - ratio * targets[other].target) < 1 + ratio
    for name in open_names:
        assert targets[name].target >= targets[name].asked - 1


def test_what_is_done_on_a_shortfall():
    have = {"a": 10, "b": 100}
    half = {"a": "50 %", "b": "50 %"}
    got = {
        how: {n: t.target for n, t in settle(have, mix(shares=half, size="60 rows", shortfall=how)).items()}
        for how in ("renormalise", "shrink")
    }
    assert got == {"renormalise": {"a": 10, "b": 50}, "shrink": {"a": 10, "b": 10}}
    with pytest.raises(GristmillError, match=r"'a' is asked for 30 rows and can give 10 \(10 × max_epochs 1\)"):
        settle(have, mix(shares=half, size="60 rows", shortfall="stop"))
    assert settle(have, mix(shares=half, size="60 rows", shortfall="stop", max_epochs=3))["a"].target == 30
    with pytest.raises(GristmillError, match="'a' shall give 50 % but has no rows left"):
        settle({"a": 0, "b": 5}, mix(shares=half))
    with pytest.raises(GristmillError, match="no source has anything left"):
        settle({"a": 0, "b": 0}, mix())


@given(available)
def test_temperature(have: dict[str, int]):
    assume(sum(have.values()))
    targets = settle(have, mix(temperature=1))
    assert {name: one.target for name, one in targets.items()} == have  # proportional, all there is
    assert settle(have, mix()) == targets
    spread = []
    for temperature in (1.0, 2.0, 5.0, 1000.0):
        by_share = settle(have, mix(temperature=temperature))
        assert abs(sum(one.share for one in by_share.values()) - 1) < 1e-9
        held = [one.share for name, one in by_share.items() if have[name]]
        spread.append(max(held) - min(held))
        for name, one in by_share.items():
            weights = sum(count ** (1 / temperature) for count in have.values() if count)
            assert one.share == pytest.approx(have[name] ** (1 / temperature) / weights if have[name] else 0)
    assert spread[-1] < 0.01
    assert spread == sorted(spread, reverse=True) or spread[0] - spread[-1] < 0.01 or spread[0] <= max(spread)


WEIGHTS = st.integers(1, 30)


@st.composite
def records(draw: st.DrawFn, weights: st.SearchStrategy[int] = WEIGHTS) -> list[tuple[int, int]]:
    """(hash, weight) of a source's records; hashes crowd in few bins, and some are equal."""
    bins = draw(st.lists(st.integers(0, 255), min_size=1, max_size=4))
    one = st.tuples(st.builds(lambda b, low: b << 56 | low, st.sampled_from(bins), st.integers(0, 9)), weights)
    return draw(st.lists(one, min_size=1, max_size=40))


def taken(rows: list[tuple[int, int]], target: int, shuffle: Any = None) -> np.ndarray:
    """Copies of each row, by way of the histogram and the cut, as the pipeline goes."""
    choose = np.array([hash_ for hash_, _ in rows], np.uint64)
    weight = np.array([w for _, w in rows])
    weights = np.bincount((choose >> np.uint64(56)).astype(int), weight, 256).astype(int).tolist()
    chosen = quota(weights, target)
    cut = None
    if chosen.rest > 0:
        hit = np.flatnonzero((choose >> np.uint64(56)) == chosen.bin)
        if shuffle is not None:
            shuffle.shuffle(hit)
        cut = find_cut(pa.table([choose[hit], hit, weight[hit]], schema=CUT_ROW), chosen.rest)
    return copies(chosen, cut, choose, np.arange(len(rows)))


@given(records(), st.integers(0, 5000), st.randoms(use_true_random=False))
def test_the_cut_is_exact(rows: list[tuple[int, int]], target: int, shuffle: Any):
    counts = taken(rows, target, np.random.RandomState(shuffle.randrange(100)))
    weight = np.array([w for _, w in rows])
    assert abs(int((counts * weight).sum()) - target) <= max(weight) / 2
    repeats = target // int(weight.sum())
    assert set(counts.tolist()) <= {repeats, repeats + 1}
    # Those with one more copy are the first by hash, then by address; after a gap, only who fits into the rest.
    ranked = sorted(range(len(rows)), key=lambda row: (rows[row][0], row))
    if len(set(weight.tolist())) == 1:
        assert [int(counts[row]) for row in ranked] == sorted(counts.tolist(), reverse=True)
    assert (counts == taken(rows, target)).all()


@given(records(), st.integers(1, 5))
def test_whole_epochs_take_every_record_alike(rows: list[tuple[int, int]], epochs: int):
    total = sum(weight for _, weight in rows)
    assert taken(rows, epochs * total).tolist() == [epochs] * len(rows)
    assert taken(rows, 0).tolist() == [0] * len(rows)


@given(records(st.sampled_from([0, 0, 0, 1, 7])), st.integers(1, 3))
def test_records_that_weigh_nothing_are_never_above_max_epochs(rows: list[tuple[int, int]], epochs: int):
    counts = taken(rows, epochs * sum(weight for _, weight in rows))
    assert max(counts.tolist()) <= epochs


def test_rows_weigh_one_and_come_out_to_the_record():
    rows = [(int(h), 1) for h in np.random.RandomState(1).randint(0, 2**63, 500, np.int64)]
    assert [int(taken(rows, target).sum()) for target in (1, 250, 499, 500, 501, 1234)] == [
        1,
        250,
        499,
        500,
        501,
        1234,
    ]


def test_a_larger_target_takes_the_same_records_and_more():
    rows = [(int(h), 1) for h in np.random.RandomState(2).randint(0, 2**63, 200, np.int64)]
    for small, large in ((10, 20), (20, 199)):
        assert (taken(rows, small) <= taken(rows, large)).all()


def test_copies_of_a_record_are_spread(tmp_path: Path):
    rows: list[Row] = [chat("How?", f"answer number {number}") for number in range(50)]
    path = write_recipe(
        tmp_path, {"few": {"x.jsonl": rows[:10]}, "many": {"x.jsonl": rows[10:]}},
        mix={"shares": {"few": "50 %", "many": "50 %"}, "size": "80 rows", "max_epochs": 4}, dedup={"near": None},
    )  # fmt: skip
    released = run(path, tmp_path / "out").rows()
    place: dict[str, list[int]] = {}
    for number, row in enumerate(released):
        place.setdefault(row["id"], []).append(number)
    repeated = [places for places in place.values() if len(places) > 1]
    assert [len(places) for places in repeated] == [4] * 10
    for places in repeated:
        assert sorted(row["copy"] for row in (released[number] for number in places)) == [0, 1, 2, 3]
        gaps = [b - a for a, b in pairwise(places)]
        assert min(gaps) >= 6  # evenly would be 20; hashes are not even, but no copy is near another


@pytest.mark.parametrize("settings", [{"size": "0 rows"}, {"size": "3 characters", "unit": "characters"}])
def test_a_mix_that_takes_nothing_is_refused(tmp_path: Path, settings: dict[str, Any]):
    path = write_recipe(tmp_path, {"a": {"x.jsonl": [chat("How?", "a longer answer than that")]}}, mix=settings)
    with pytest.raises(GristmillError, match=r"no record .*raise mix\.size"):
        run(path, tmp_path / "out")
    assert published(tmp_path / "out") == []


def test_got_is_within_half_the_largest_record_of_asked(tmp_path: Path):
    files: dict[str, dict[str, list[Row]]] = {
        name: {"x.jsonl": [chat("How?", f"{name} " + "x" * (7 * n % 50)) for n in range(60)]} for name in ("a", "b")
    }
    path = write_recipe(
        tmp_path, files, dedup={"near": None},
        mix={"unit": "characters", "shares": {"a": "70 %", "b": "30 %"}, "size": "1500 characters"},
    )  # fmt: skip
    for row in run(path, tmp_path / "out").manifest.mix:
        assert row.asked == row.target == {"a": 1050, "b": 450}[row.source]
        assert abs(row.got - row.target) <= 56 / 2
        assert Fraction(str(row.share)) in (Fraction("0.7"), Fraction("0.3"))
