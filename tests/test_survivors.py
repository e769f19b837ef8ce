"""Who stays: the declared order as one number, first criterion first."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.features import FEATURES
from schemas.record import ORIGINS
from transforms.survivors import survivor_order

TRUST = {"human": 0, "mixed": 1, None: 2, "synthetic": 3}
KEEPS: list[list[str]] = [
    [], ["origin"], ["priority"], ["longest"], ["shortest"], ["origin", "priority", "longest"],
    ["shortest", "priority", "origin"], ["priority", "longest", "origin"],
]  # fmt: skip


def features(rows: list[tuple[str | None, int]]) -> pa.RecordBatch:
    """Rows of (origin, characters of the answer)."""
    columns: dict[str, Any] = {name: pa.nulls(len(rows), FEATURES.field(name).type) for name in FEATURES.names}
    columns["origin"] = pa.array([None if origin is None else ORIGINS.index(origin) for origin, _ in rows], pa.int8())
    columns["answer_characters"] = pa.array([length for _, length in rows], pa.int32())
    return pa.RecordBatch.from_arrays(list(columns.values()), schema=FEATURES)


ROW = st.tuples(st.sampled_from(list(TRUST)), st.integers(0, 3) | st.sampled_from([2**31 - 1, 10**6]))
SOURCE = st.tuples(
    st.sampled_from(list(TRUST)), st.sampled_from([-(2**15), -1, 0, 1, 2**15 - 1]), st.lists(ROW, max_size=8)
)


@given(st.lists(SOURCE, max_size=4), st.sampled_from(KEEPS))
def test_the_number_orders_like_the_criteria(sources: list[tuple[str | None, int, list[Any]]], keep: list[str]):
    numbers, tuples = [], []
    for default, priority, rows in sources:
        numbers += survivor_order(features(rows), keep, default, priority).tolist()
        for origin, length in rows:
            parts = {
                "origin": TRUST[origin or default],
                "priority": priority,
                "longest": -length,
                "shortest": length,
            }
            tuples.append(tuple(parts[name] for name in keep))
    for i, one in enumerate(tuples):
        for j, other in enumerate(tuples):
            assert (numbers[i] < numbers[j], numbers[i] == numbers[j]) == (one < other, one == other)


@pytest.mark.parametrize(("better", "worse"), [("human", "mixed"), ("mixed", None), (None, "synthetic")])
def test_human_before_mixed_before_unknown_before_synthetic(better: str | None, worse: str | None):
    order = survivor_order(features([(better, 1), (worse, 10**6)]), ["origin", "longest"], None, 0)
    assert order[0] < order[1]


def test_a_row_that_names_its_origin_overrules_the_source():
    order = survivor_order(features([("human", 1), (None, 1), ("synthetic", 1)]), ["origin"], "mixed", 0)
    assert np.argsort(order).tolist() == [0, 1, 2]
    assert len(set(order.tolist())) == 3
