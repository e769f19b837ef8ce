"""Bands solved from similarity and recall, the S-curve by simulation, band keys."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import GristmillError
from transforms.lsh import Bands, band_keys, candidate_probability, curve, solve_bands
from transforms.minhash import signatures
from transforms.shingles import Ragged


@pytest.mark.parametrize(
    ("similarity", "recall", "bands"),
    [(0.8, 0.99, (16, 6)), (0.7, 0.95, (17, 5)), (0.9, 0.9, (9, 14)), (1.0, 0.99, (1, 128))],
)
def test_solved_bands(similarity, recall, bands):
    assert solve_bands(similarity, recall) == bands


@settings(max_examples=60, deadline=None)
@given(st.floats(0.3, 1.0), st.floats(0.5, 0.995), st.sampled_from([32, 64, 128]))
def test_solution_reaches_the_recall_and_no_allowed_one_has_a_smaller_area(similarity, recall, num_perm):
    try:
        best = solve_bands(similarity, recall, num_perm)
    except GristmillError:
        assert candidate_probability(similarity, num_perm, 1) < recall
        return
    below = (np.arange(1000) + 0.5) * similarity / 1000

    def area(bands, rows):
        return np.mean(1 - (1 - below**rows) ** bands)

    assert best.bands * best.rows <= num_perm
    assert candidate_probability(similarity, *best) >= recall
    for rows in range(1, num_perm + 1):
        for bands in range(1, num_perm // rows + 1):
            if candidate_probability(similarity, bands, rows) >= recall:
                assert area(*best) <= area(bands, rows) + 1e-12


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((0.05, 0.9999, 128), ["0.9999", "0.05", "128", "0.9985"]),
        ((0.2, 0.99, 16), ["0.99", "0.2", "16", "0.9718"]),
        ((0.0, 0.9, 128), ["similarity is 0"]),
        ((1.2, 0.9, 128), ["similarity is 1.2"]),
        ((0.8, 1.0, 128), ["recall is 1"]),
        ((0.8, 0.9, 0), ["num_perm is 0"]),
    ],
)
def test_impossible_wishes_are_told_in_one_sentence(arguments, words):
    with pytest.raises(GristmillError) as caught:
        solve_bands(*arguments)
    for word in words:
        assert word in str(caught.value)


def test_curve_matches_published_values():
    """The 16 x 8 row of rensa's README configuration, computed by hand."""
    assert {s: round(p, 3) for s, p in curve(16, 8, (0.5, 0.7, 0.8)).items()} == {
        0.5: 0.061,
        0.7: 0.613,
        0.8: 0.947,
    }
    assert list(curve(20, 5)) == [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]
    assert list(curve(20, 5).values()) == sorted(curve(20, 5).values())


@pytest.mark.parametrize("shared", [500, 700, 800, 850])
def test_candidates_follow_the_curve(shared):
    """2,000 random pairs of 1,000 values each, ``shared`` of them common: the share that meets is as predicted."""
    pairs, size = 2000, 1000
    rng = np.random.default_rng(shared)
    pool = rng.integers(0, 2**32, (pairs, 2 * size - shared), dtype=np.uint32)
    sides = np.stack([pool[:, :size], pool[:, size - shared :]], 1)
    offsets = np.arange(2 * pairs + 1, dtype=np.int64) * size
    bands = Bands(16, 6)
    keys = band_keys(signatures(*Ragged(sides.ravel(), offsets)), *bands).reshape(pairs, 2, 16)
    met = np.mean((keys[:, 0] == keys[:, 1]).any(axis=1))
    expected = candidate_probability(shared / (2 * size - shared), *bands)
    assert abs(met - expected) < 4 * (expected * (1 - expected) / pairs) ** 0.5 + 0.002


def test_band_keys_are_equal_exactly_where_the_rows_are():
    rng = np.random.default_rng(0)
    values = rng.integers(0, 3, (300, 12), dtype=np.uint32)
    keys = band_keys(values, 4, 3)
    assert keys.shape == (300, 4)
    assert keys.dtype == np.uint64
    seen: dict[int, tuple] = {}
    for row, row_keys in zip(values.tolist(), keys.tolist()):
        for band, key in enumerate(row_keys):
            assert seen.setdefault(key, (band, row[3 * band : 3 * band + 3])) == (
                band,
                row[3 * band : 3 * band + 3],
            )
    assert len(seen) == len({(band, *row[3 * band : 3 * band + 3]) for row in values.tolist() for band in range(4)})


def test_band_keys_do_not_depend_on_the_batch_or_on_unused_elements():
    rng = np.random.default_rng(1)
    values = rng.integers(0, 2**32, (3000, 128), dtype=np.uint32)
    whole = band_keys(values, 16, 6)
    assert np.array_equal(whole[1500:], band_keys(values[1500:], 16, 6))
    assert np.array_equal(whole, band_keys(values[:, :96], 16, 6))
    assert band_keys(values[:0], 16, 6).shape == (0, 16)


def test_band_keys_that_do_not_fit():
    with pytest.raises(ValueError, match="20 bands of 7 rows"):
        band_keys(np.zeros((1, 128), np.uint32), 20, 7)
