"""Caps: the first ``most`` records of every key stay, however the rows were dealt out to units."""

from collections import defaultdict
from itertools import pairwise

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from transforms.cap import NO_LIMITS, claims, find_limits, over

Row = tuple[int, int, bool]  # key, order, still in

# Few keys and orders, so that they meet; the largest ones, so that nothing overflows.
ROWS = st.lists(
    st.tuples(st.sampled_from([0, 1, 2, 2**63, 2**64 - 1]), st.sampled_from([0, 1, 7, 2**64 - 1]), st.booleans()),
    max_size=40,
)


def reference(rows: list[Row], most: int) -> dict[int, int]:
    """By address of each row that goes: how many records share its key."""
    by_key: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for address, (key, order, alive) in enumerate(rows):
        if alive and key:
            by_key[key].append((order, address))
    return {address: len(one) for one in by_key.values() for _, address in sorted(one)[most:]}


def capped(rows: list[Row], most: int, bounds: list[int], parts: int, turned: bool) -> dict[int, int]:
    """The same by way of claims, limits and units that begin at ``bounds``; keys are dealt to ``parts``."""
    edges = [0, *sorted(bound % (len(rows) + 1) for bound in bounds), len(rows)]
    units = []
    for start, end in pairwise(edges):
        kinds = (np.uint64, np.uint64, bool)
        keys, order, alive = (np.array([row[at] for row in rows[start:end]], kind) for at, kind in enumerate(kinds))
        units.append((keys, order, np.arange(start, end), alive))
    sent = [claims(*columns, most, number) for number, columns in enumerate(units)]
    table = pa.Table.from_batches(sent[::-1] if turned else sent)
    to_unit: dict[int, list[pa.RecordBatch]] = defaultdict(list)
    for part in range(parts):
        mine = np.asarray(table["key"]) % np.uint64(parts) == part
        limits, targets = find_limits(table.filter(pa.array(mine)), most)
        for place, unit in enumerate(targets.tolist()):
            to_unit[unit].append(limits.slice(place, 1))
    gone: dict[int, int] = {}
    for number, (keys, order, addresses, alive) in enumerate(units):
        limits = pa.Table.from_batches([*to_unit[number], NO_LIMITS])
        found, held = over(keys, order, addresses, alive, limits)
        gone |= dict(zip(addresses[found].tolist(), held.tolist(), strict=True))
    return gone


@given(ROWS, st.integers(1, 5), st.lists(st.integers(0, 40), max_size=5), st.integers(1, 3), st.booleans())
def test_any_division_drops_what_lies_beyond_the_first(
    rows: list[Row], most: int, bounds: list[int], parts: int, turned: bool
):
    assert capped(rows, most, bounds, parts, turned) == reference(rows, most)


def test_a_unit_sends_one_more_than_the_cap_and_says_how_many_it_has():
    rows = 1000
    sent = claims(np.full(rows, 5, np.uint64), np.arange(rows)[::-1].astype(np.uint64), np.arange(rows), True, 3, 9)
    assert sent.to_pydict() == {
        "key": [5] * 4, "order": [0, 1, 2, 3], "address": [999, 998, 997, 996], "held": [1000, 0, 0, 0],
        "unit": [9] * 4,
    }  # fmt: skip


def test_a_key_with_just_enough_is_told_to_nobody():
    sent = [
        claims(np.full(2, 5, np.uint64), np.arange(2, dtype=np.uint64), np.arange(2) + 2 * n, True, 4, n)
        for n in (0, 1)
    ]
    assert find_limits(pa.Table.from_batches(sent), 4)[0].num_rows == 0
    limits, units = find_limits(pa.Table.from_batches(sent), 3)
    assert (limits["held"].to_pylist(), units.tolist()) == ([4, 4], [0, 1])  # both units have rows of it
