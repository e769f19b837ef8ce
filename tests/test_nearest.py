"""The greedy walk against its plain definition, in any block size."""

import numpy as np
import pytest

from transforms.nearest import walk


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def crowd(n=700, d=6, seed=0):
    return unit(np.random.default_rng(seed).normal(size=(n, d)))


def plain(vectors, threshold, keep_first=0, stop_after=None):
    """The definition, a row at a time, in float64."""
    wide = vectors.astype(np.float64)
    kept: list[int] = []
    for row in range(len(wide)):
        if stop_after is not None and len(kept) >= stop_after:
            break
        if row < keep_first or not kept or (wide[kept] @ wide[row]).max() <= threshold:
            kept.append(row)
    return kept


@pytest.mark.parametrize("threshold", [0.5, 0.9, 0.97])
@pytest.mark.parametrize("rows", [1, 7, 64, 1024])
def test_it_keeps_what_the_definition_keeps(threshold, rows):
    vectors = crowd()
    found = walk(vectors, threshold, rows=rows)
    assert np.flatnonzero(found.kept).tolist() == plain(vectors, threshold)
    assert found.seen == len(vectors)


@pytest.mark.parametrize("rows", [1, 7, 64, 1024])
def test_a_dropped_row_names_its_nearest_kept_predecessor(rows):
    vectors = crowd()
    found = walk(vectors, 0.8, rows=rows)
    for row in np.flatnonzero(~found.kept):
        before = np.flatnonzero(found.kept[:row])
        cosines = vectors[before].astype(np.float64) @ vectors[row]
        assert found.kept[found.neighbour[row]]
        assert found.neighbour[row] < row
        assert found.similarity[row] > 0.8
        assert cosines.max() - found.similarity[row] < 2e-3  # the nearest, up to the coarse product
    assert (found.neighbour[found.kept] == -1).all()
    assert np.isnan(found.similarity[found.kept]).all()


def test_block_sizes_agree_to_the_last_bit():
    vectors = crowd(3000, 16)
    whole = walk(vectors, 0.6)
    for rows in (1, 50, 999):
        other = walk(vectors, 0.6, rows=rows)
        np.testing.assert_array_equal(other.kept, whole.kept)
        np.testing.assert_array_equal(other.neighbour, whole.neighbour)
        np.testing.assert_array_equal(other.similarity, whole.similarity)


@pytest.mark.parametrize("rows", [1, 3, 100])
def test_pairs_at_the_threshold_are_decided_finely(rows):
    # cosines within 1e-6 around the threshold, far below what the coarse product tells apart
    angles = np.arccos(0.9 + np.array([-1e-6, 1e-6, -5e-7, 5e-7]))
    for angle in angles:
        pair = np.array([[1, 0], [np.cos(angle), np.sin(angle)]], np.float32)
        cosine = float(pair[0].astype(np.float64) @ pair[1].astype(np.float64))
        assert walk(pair, 0.9, rows=rows).kept.tolist() == [True, cosine <= 0.9]


def test_exactly_the_threshold_is_kept():
    pair = np.array([[1, 0], [0.5, np.sqrt(0.75)]], np.float32)
    assert walk(pair, 0.5).kept.all()
    assert not walk(pair, 0.4999).kept.all()


def test_equal_rows_keep_the_first():
    vectors = np.repeat(crowd(5), 4, axis=0)
    found = walk(vectors, 0.999)
    assert np.flatnonzero(found.kept).tolist() == [0, 4, 8, 12, 16]
    assert found.neighbour[1:4].tolist() == [0, 0, 0]
    np.testing.assert_allclose(found.similarity[1:4], 1, atol=1e-6)


@pytest.mark.parametrize("rows", [1, 10, 1024])
def test_it_stops_at_the_budget(rows):
    vectors = crowd()
    found = walk(vectors, 0.7, stop_after=20, rows=rows)
    expected = plain(vectors, 0.7, stop_after=20)
    assert np.flatnonzero(found.kept).tolist() == expected
    assert found.seen == expected[-1] + 1  # not a row further
    assert (found.neighbour[found.seen :] == -1).all()
    assert walk(vectors, 0.7, stop_after=0).seen == 0


@pytest.mark.parametrize("rows", [1, 10, 1024])
def test_rows_of_an_earlier_release_stay(rows):
    vectors = np.concatenate([np.repeat(crowd(3), 2, axis=0), crowd(300, seed=1)])
    found = walk(vectors, 0.7, keep_first=6, rows=rows)
    assert found.kept[:6].all()
    assert np.flatnonzero(found.kept).tolist() == plain(vectors, 0.7, keep_first=6)


def test_nothing_zeros_and_bad_input():
    assert walk(np.zeros((0, 4), np.float32)).kept.tolist() == []
    assert walk(np.zeros((3, 4), np.float32)).kept.tolist() == [True] * 3
    with pytest.raises(ValueError, match="length 1 or 0"):
        walk(np.ones((3, 4), np.float32))
