"""Best-fit-decreasing packing: nothing lost, nothing too full, and exactly what one row at a time would give."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.trainplans import lognormal
from trainer.plan.order import cut
from trainer.plan.packing import pack


def one_at_a_time(tokens: list[int], capacity: int, documents: int) -> list[int]:
    """The rule as it is written: the longest first, the least room that is enough, the pack that came to it last."""
    packs: list[int] = [0] * len(tokens)
    room: list[int] = []
    held: list[int] = []
    touched: list[int] = []
    order = sorted(range(len(tokens)), key=lambda row: (-tokens[row], row))
    for moment, row in enumerate(order):
        fits = [number for number in range(len(room)) if room[number] >= tokens[row] and held[number] < documents]
        if not fits:
            room.append(capacity)
            held.append(0)
            touched.append(0)
            fits = [len(room) - 1]
        best = min(fits, key=lambda number: (room[number], -touched[number]))
        packs[row] = best
        room[best] -= tokens[row]
        held[best] += 1
        touched[best] = moment
    return packs


@given(st.lists(st.integers(1, 40), min_size=1, max_size=120), st.integers(1, 9), st.integers(1, 50))
def test_every_window_is_packed_as_one_row_at_a_time(tokens: list[int], documents: int, window: int):
    starts = cut(np.array([len(tokens)]), window).starts
    packs, counts = pack(np.array(tokens, np.int32), starts, 40, documents)
    for number in range(len(starts) - 1):
        first, last = int(starts[number]), int(starts[number + 1])
        wanted = one_at_a_time(tokens[first:last], 40, documents)
        assert packs[first:last].tolist() == wanted
        assert counts[number] == max(wanted) + 1


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=300), st.integers(1, 300), st.integers(1, 20))
def test_no_pack_is_too_full(tokens: list[int], documents: int, window: int):
    lengths = np.array(tokens, np.int32)
    starts = cut(np.array([len(tokens)]), window).starts
    packs, counts = pack(lengths, starts, 1000, documents)
    for number, count in enumerate(counts.tolist()):
        here = slice(int(starts[number]), int(starts[number + 1]))
        used = np.bincount(packs[here], weights=lengths[here])
        assert len(used) == count
        assert used.min() > 0
        assert used.max() <= 1000
        assert np.bincount(packs[here]).max() <= documents


def test_a_row_as_long_as_a_pack_has_it_alone():
    packs, counts = pack(np.array([3, 10, 10, 7], np.int32), np.array([0, 4]), 10, 256)
    assert counts.tolist() == [3]
    assert packs[0] == packs[3]
    assert len({packs[0], packs[1], packs[2]}) == 3


def test_windows_of_4096_are_nearly_full():
    lengths = lognormal(5 * 4096)
    starts = cut(np.array([len(lengths)]), 4096).starts
    _, counts = pack(lengths.tokens, starts, 4096, 256)
    efficiency = lengths.tokens.sum() / (counts.sum() * 4096)
    assert efficiency >= 0.995


def test_parts_are_as_even_as_can_be_and_never_too_long():
    parts = cut(np.array([4097, 1, 4096, 10]), 4096)
    assert parts.sizes.tolist() == [2048, 2049, 1, 4096, 10]
    assert parts.segment.tolist() == [0, 0, 1, 2, 3]
