"""Targets of balancing: what each bin of lengths and each cluster gives, settled from a census."""

from fractions import Fraction
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.balancing import cluster_targets, settle_lengths
from schemas.errors import GristmillError
from schemas.manifest import LengthRow
from schemas.selection import Balance, Diversity
from schemas.strict import validate
from transforms.census import Grouping

EDGES = [10, 100]
BINS = len(EDGES) + 1
COUNTS = st.lists(st.lists(st.integers(0, 60), min_size=BINS, max_size=BINS), min_size=1, max_size=3)


def outcome_of(counts: list[list[int]]) -> Any:
    """Groups are owner × bin; rows of each over two bins of the order."""
    census = []
    for owner, held in enumerate(counts):
        for number, rows in enumerate(held):
            parts = {0: rows // 2, 255: rows - rows // 2}
            census += [{"group": owner * BINS + number, "bin": at, "rows": n} for at, n in parts.items() if n]
    return SimpleNamespace(census=census)


def settled(counts: list[list[int]], **settings: Any) -> tuple[list[list[int]], list[LengthRow]]:
    """Targets by owner and bin, and the rows of the manifest."""
    balance = validate(Balance, {"edges": EDGES} | settings, "balance")
    grouping = Grouping("length", balance.per, measure=balance.by, edges=tuple(balance.edges))
    owners = {number: f"s{number}" for number in range(len(counts))}
    rows = settle_lengths(outcome_of(counts), grouping, balance, owners)
    targets = [[0] * BINS for _ in counts]
    for group, row in rows.items():
        owner, number = divmod(group, BINS)
        assert (row.owner, row.least) == (owners[owner], [0, *EDGES][number])
        assert row.held == counts[owner][number] > 0  # an empty bin has no row
        targets[owner][number] = row.target
    return targets, list(rows.values())


def check(held: list[int], found: list[int], shape: list[Fraction], total: int, epochs: int) -> None:
    assert all(0 <= got <= epochs * there for got, there in zip(found, held, strict=True))
    giving = [number for number in range(BINS) if shape[number]]
    assert all(found[number] == 0 for number in range(BINS) if not shape[number])
    assert sum(found) == min(total, sum(epochs * held[number] for number in giving))
    # Bins that are not exhausted stand in the shape's proportion, each rounded by less than one.
    for one in giving:
        for other in giving if found[one] < epochs * held[one] else []:
            assert found[other] <= Fraction(found[one] + 1) * shape[other] / shape[one] + 1


@given(COUNTS, st.integers(0, 100), st.integers(1, 3))
def test_flat(counts: list[list[int]], remain: int, epochs: int):
    targets, _ = settled(counts, remain=f"{remain} %", max_epochs=epochs)
    for held, found in zip(counts, targets, strict=True):
        check(held, found, [Fraction(1)] * BINS, round(Fraction(remain, 100) * sum(held)), epochs)


@given(COUNTS, st.integers(0, 100), st.integers(1, 3), st.lists(st.integers(0, 100), min_size=2, max_size=2))
def test_given_shares(counts: list[list[int]], remain: int, epochs: int, cuts: list[int]):
    edges = [0, *sorted(cuts), 100]
    shares = [b - a for a, b in pairwise(edges)]
    targets, _ = settled(
        counts, remain=f"{remain} %", max_epochs=epochs, target=[f"{share} %" for share in shares]
    )  # fmt: skip
    for held, found in zip(counts, targets, strict=True):
        check(held, found, [Fraction(share) for share in shares], round(Fraction(remain, 100) * sum(held)), epochs)


@given(COUNTS, st.integers(0, 100), st.integers(1, 3))
def test_like_another_source(counts: list[list[int]], remain: int, epochs: int):
    settings: dict[str, Any] = {"remain": f"{remain} %", "max_epochs": epochs, "target": {"like": "s0"}}
    if not any(counts[0]) and any(any(held) for held in counts):
        with pytest.raises(GristmillError, match=r"balance\.target: .*'s0'.* has no rows left"):
            settled(counts, **settings)
        return
    targets, _ = settled(counts, **settings)
    assert targets[0] == counts[0]  # the model itself stays as it is
    for held, found in zip(counts[1:], targets[1:], strict=True):
        total = round(Fraction(remain, 100) * sum(held))
        check(held, found, [Fraction(one) for one in counts[0]], total, epochs)


def test_by_hand():
    assert settled([[10, 100, 2]], remain="27 %")[0] == [[10, 18, 2]]  # 30 of 112
    assert settled([[10, 100, 2]], remain="100 %")[0] == [[10, 100, 2]]
    assert settled([[10, 100, 2]], remain="100 %", max_epochs=2)[0] == [[20, 88, 4]]
    assert settled([[10, 100, 2]], remain="50 %", target=["0 %", "50 %", "50 %"])[0] == [[0, 54, 2]]
    assert settled([[8, 0, 8], [40, 40, 20]], target={"like": "s0"})[0] == [[8, 0, 8], [30, 0, 20]]
    assert settled([[0, 0, 0]])[1] == []


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"edges": [8, 8]}, "edges [8, 8] must ascend"),
        ({"edges": [9, 8]}, "edges [9, 8] must ascend"),
        ({"edges": []}, "edges"),
        ({"edges": [0, 8]}, "edges.0"),
        ({"edges": [8], "target": ["50 %", "30 %", "20 %"]}, "target has 3 shares for 2 bins (1 edges)"),
        ({"edges": [8], "target": ["50 %", "30 %"]}, "target adds up to 80 %, not 100 %"),
        ({"target": "level"}, "target"),
        ({"target": {"likes": "a"}}, "target"),
        ({"max_epochs": 0}, "max_epochs"),
        ({"remain": "0.5"}, "is not a share"),
    ],
)
def test_mistakes_are_told(settings: dict[str, Any], said: str):
    with pytest.raises(GristmillError) as refused:
        validate(Balance, settings, "balance")
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def clusters_of(sizes: list[int]) -> Any:
    return SimpleNamespace(census=[{"group": k, "bin": 7, "rows": n} for k, n in enumerate(sizes) if n])


@given(
    st.lists(st.integers(0, 80), min_size=2, max_size=5),
    st.integers(0, 100),
    st.sampled_from(["equal", "sqrt", "given"]),
)
def test_quotas_of_clusters_fit_and_add_up(sizes: list[int], remain: int, rule: str):
    weights = [Fraction(1, len(sizes))] * len(sizes)
    found = cluster_targets(clusters_of(sizes), weights if rule == "given" else rule, Fraction(remain, 100), len(sizes))
    assert list(found) == list(range(len(sizes)))
    assert all(0 <= found[number] <= size for number, size in enumerate(sizes))
    assert sum(found.values()) == round(Fraction(remain, 100) * sum(sizes))
    if rule != "sqrt":
        unfilled = {found[k] for k, size in enumerate(sizes) if found[k] < size}
        assert not unfilled or max(unfilled) - min(unfilled) <= 1


def test_quotas_of_clusters_by_hand():
    sizes = [100, 4, 0, 25]
    assert cluster_targets(clusters_of(sizes), "equal", Fraction(1, 3), 4) == {0: 20, 1: 4, 2: 0, 3: 19}
    assert cluster_targets(clusters_of(sizes), "sqrt", Fraction(17, 129), 4) == {0: 10, 1: 2, 2: 0, 3: 5}
    shares = [Fraction(1, 10), Fraction(0), Fraction(0), Fraction(9, 10)]
    assert cluster_targets(clusters_of(sizes), shares, Fraction(20, 129), 4) == {0: 2, 1: 0, 2: 0, 3: 18}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"clusters": 2, "quota": ["50 %"]}, "quota has 1 shares for 2 clusters"),
        ({"clusters": 2, "quota": ["50 %", "40 %"]}, "quota adds up to 90 %, not 100 %"),
        ({"clusters": 1}, "clusters"),
        ({"max_opening": "5 tokens"}, "5 tokens must be rows"),
        ({"max_verb_noun": "0 rows"}, "0 rows must be rows, at least one"),
        ({"max_opening": 5}, "max_opening"),
        ({"similarity": 1.0}, "similarity"),
        ({"embedding": {"hashed": {}}}, "embedding"),
        ({"text": "prompts"}, "text"),
    ],
)
def test_mistakes_in_diversity_are_told(settings: dict[str, Any], said: str):
    with pytest.raises(GristmillError) as refused:
        validate(Diversity, settings, "diversity")
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
