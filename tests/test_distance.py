"""The distance filter against plain Python: group by group, in order, whatever the rows arrived as."""

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.selections import POINTS, Point, cosine, directions, id_of, nearest, rounds_below, sent
from transforms.distance import NEAR_DROP, near_drops


def reference(points: list[Point], similarity: float) -> dict[int, float]:
    """By address of each row that goes: the highest cosine to one of its group that stays."""
    vectors = directions([one[2] for one in points])
    gone: dict[int, float] = {}
    kept: dict[int, list[int]] = {}
    for row in sorted(range(len(points)), key=lambda row: (points[row][1], row)):
        mine = kept.setdefault(points[row][0], [])
        near = nearest(vectors, row, mine, similarity)
        if near is None:
            mine.append(row)
        else:
            gone[row] = near
    return gone


@given(POINTS, st.sampled_from([0.5, 0.9, 0.95]), st.randoms(use_true_random=False), st.integers(1, 3))
def test_near_drops_are_those_of_the_walk(points: list[Point], similarity: float, random: Any, pieces: int):
    mixed = list(range(len(points)))
    random.shuffle(mixed)
    whole = sent(points)
    found = near_drops(pa.Table.from_batches([whole]), similarity)
    size = len(mixed) // pieces + 1
    parts = [whole.take(pa.array(mixed[at : at + size], pa.int64())) for at in range(0, len(mixed), size)]
    assert near_drops(pa.Table.from_batches(parts, whole.schema), similarity).equals(found)
    assert found.schema == NEAR_DROP
    expected = reference(points, similarity)
    assert sorted(found["address"].to_pylist()) == sorted(expected)
    vectors = directions([one[2] for one in points])
    for row in found.to_pylist():
        stays = int.from_bytes(row["representative"], "big")
        assert stays not in expected
        assert points[stays][0] == points[row["address"]][0]
        assert row["value"] == pytest.approx(expected[row["address"]], abs=1e-6)
        assert cosine(vectors[row["address"]], vectors[stays]) == pytest.approx(row["value"], abs=1e-6)


def test_groups_do_not_see_each_other():
    points: list[Point] = [(0, 0, 0), (1, 1, 0), (0, 2, 0)]
    assert near_drops(pa.Table.from_batches([sent(points)]), 0.9).to_pydict() == {
        "address": [2], "value": [1.0], "representative": [id_of(0)]
    }  # fmt: skip


def test_texts_without_words_are_near_to_nothing():
    assert near_drops(pa.Table.from_batches([sent([(0, n, None) for n in range(5)])]), 0.01).num_rows == 0


def test_a_value_is_never_below_its_threshold():
    """Float32 rounds some cosines above 0.7 to below it, and ``gristmill verify`` compares."""
    vectors = rounds_below(0.7)
    found = near_drops(pa.Table.from_batches([sent([(0, 0, None), (0, 1, None)], vectors)]), 0.7)
    assert found["address"].to_pylist() == [1]
    assert found["value"][0].as_py() >= 0.7
