"""Clusters: the same in any order, block and thread count; quotas add up."""

import os
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.clusters import assign, describe, fit, quotas
from transforms.cosines import COARSE, coarse, coarse_error, fine


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def sample(n=600, d=24, groups=6, spread=0.25, seed=1):
    """Unit vectors around ``groups`` directions, their groups, and ids."""
    rng = np.random.default_rng(seed)
    directions = unit(rng.normal(size=(groups, d)))
    group = np.arange(n) % groups
    vectors = unit(directions[group] + spread * rng.normal(size=(n, d)) / np.sqrt(d))
    ids = (rng.integers(0, 1 << 63, n).astype(np.uint64), np.arange(n).astype(np.uint64))
    return vectors, group, ids


def test_coarse_products_are_exact_and_near():
    left, right = sample()[0], sample(seed=2)[0]
    products = coarse(left) @ coarse(right).T
    exact = coarse(left).astype(np.int64) @ coarse(right).astype(np.int64).T
    np.testing.assert_array_equal(products.astype(np.int64), exact)
    true = left.astype(np.float64) @ right.astype(np.float64).T
    assert np.abs(products / COARSE**2 - true).max() < coarse_error(24)
    np.testing.assert_allclose(fine(left, right), np.diagonal(true), atol=1e-7)


def test_worst_case_stays_exact():
    # all the weight on few equal numbers, and the rounding always upwards
    for d in (1, 2, 7, 384, 4096):
        row = np.full((1, d), np.float32(d**-0.5))
        assert float((coarse(row) @ coarse(row).T)[0, 0]) == float(np.sum(coarse(row).astype(np.int64) ** 2)) <= 1 << 24


def test_separate_groups_are_found():
    vectors, group, ids = sample()
    centres = fit(vectors, ids, k=6, seed=3)
    cluster, similarity = assign(vectors, centres)
    assert centres.shape == (6, 24)
    assert centres.dtype == np.float32
    assert len(set(zip(group.tolist(), cluster.tolist()))) == 6
    assert similarity.min() > 0.85


def test_the_order_of_the_sample_does_not_matter_but_the_seed_does():
    vectors, _, ids = sample(spread=1.5)
    centres = fit(vectors, ids, k=9, seed=3)
    order = np.random.default_rng(0).permutation(len(vectors))
    np.testing.assert_array_equal(fit(vectors[order], (ids[0][order], ids[1][order]), k=9, seed=3), centres)
    assert not np.array_equal(fit(vectors, ids, k=9, seed=4), centres)


def test_a_record_has_the_same_cluster_in_any_block():
    vectors, _, ids = sample(n=5000, spread=3)
    centres = fit(vectors[:1000], (ids[0][:1000], ids[1][:1000]), k=40, seed=1)
    cluster, similarity = assign(vectors, centres)
    for size in (1, 13, 1000, 4097):
        parts = [assign(vectors[at : at + size], centres) for at in range(0, len(vectors), size)]
        np.testing.assert_array_equal(np.concatenate([part[0] for part in parts]), cluster)
        np.testing.assert_array_equal(np.concatenate([part[1] for part in parts]), similarity)


SCRIPT = """
import sys; sys.path[:0] = ["tests", "."]
from test_clusters import sample
from transforms.clusters import assign, fit
import hashlib
vectors, _, ids = sample(n=3000, spread=2)
centres = fit(vectors, ids, k=30, seed=1)
cluster, similarity = assign(vectors, centres)
print(hashlib.sha256(centres.tobytes() + cluster.tobytes() + similarity.tobytes()).hexdigest())
"""


def test_threads_and_kernels_do_not_matter(repo):
    digests = set()
    for settings in ({"OPENBLAS_NUM_THREADS": "1"}, {"OPENBLAS_NUM_THREADS": "4"}, {"OPENBLAS_CORETYPE": "Nehalem"}):
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT], cwd=repo, env={**os.environ, **settings}, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        digests.add(done.stdout)
    assert len(digests) == 1


def test_ties_go_to_the_lower_number_and_zeros_to_cluster_zero():
    centres = np.eye(3, dtype=np.float32)
    vectors = unit(np.array([[1, 1, 0], [0, 1, 1], [1, 1, 1]]))
    cluster, similarity = assign(np.concatenate([vectors, np.zeros((1, 3), np.float32)]), centres)
    assert cluster.tolist() == [0, 1, 0, 0]
    np.testing.assert_allclose(similarity, [2**-0.5, 2**-0.5, 3**-0.5, 0], atol=1e-6)


def test_fewer_directions_than_clusters():
    vectors = np.repeat(np.eye(3, dtype=np.float32), 5, axis=0)
    ids = (np.arange(15, dtype=np.uint64), np.arange(15, dtype=np.uint64))
    centres = fit(vectors, ids, k=8, seed=0)
    assert sorted(centres.argmax(axis=1).tolist()) == [0, 1, 2]
    nothing = fit(np.zeros((4, 3), np.float32), (ids[0][:4], ids[1][:4]), k=2, seed=0)
    assert nothing.shape == (0, 3)
    assert assign(vectors, nothing)[0].tolist() == [0] * 15
    assert fit(np.zeros((0, 3), np.float32), (ids[0][:0], ids[1][:0]), k=2, seed=0).shape == (0, 3)


def test_an_empty_cluster_restarts_at_the_farthest_vector():
    from transforms.clusters import _means, _nearest

    points = coarse(unit(np.array([[1, 0, 0], [1, 0.1, 0], [1, 0, 0.9]])))
    far = coarse(np.array([[1, 0, 0], [-1, 0, 0]], np.float32))
    cluster, product = _nearest(points, far)
    assert cluster.tolist() == [0, 0, 0]
    np.testing.assert_array_equal(_means(points, cluster, product, 2)[1], points[2])


def test_vectors_that_are_not_unit_are_refused():
    ids = (np.arange(2, dtype=np.uint64),) * 2
    for bad in (np.full((2, 3), 2, np.float32), np.full((2, 3), np.nan, np.float32)):
        with pytest.raises(ValueError, match="length 1 or 0"):
            fit(bad, ids, 1, 0)
        with pytest.raises(ValueError, match="length 1 or 0"):
            assign(bad, np.eye(3, dtype=np.float32))


def test_quotas_equal_with_a_small_cluster():
    assert quotas(np.array([100, 2, 100]), 32, "equal").tolist() == [15, 2, 15]
    assert quotas(np.array([100, 2, 100]), 33, "equal").tolist() == [16, 2, 15]  # the odd one goes to the lower number


def test_quotas_by_root_and_by_weight():
    assert quotas(np.array([100, 400, 0]), 30, "sqrt").tolist() == [10, 20, 0]
    assert quotas(np.array([50, 50, 50]), 40, {0: 2.0, 1: 1, 2: 1}).tolist() == [20, 10, 10]
    assert quotas(np.array([50, 50, 50]), 90, {0: 0}).tolist() == [0, 45, 45]
    assert quotas(np.array([5, 5]), 100, "equal").tolist() == [5, 5]
    assert quotas(np.array([5, 5]), 0, "equal").tolist() == [0, 0]
    assert quotas(np.array([], np.int64), 7, "equal").tolist() == []


@given(st.lists(st.integers(0, 50), max_size=12), st.integers(0, 300), st.sampled_from(["equal", "sqrt"]))
def test_quotas_add_up_and_are_fair(sizes, total, rule):
    given_ = quotas(np.array(sizes, np.int64), total, rule)
    assert given_.sum() == min(total, sum(sizes))
    assert ((given_ >= 0) & (given_ <= np.array(sizes, np.int64))).all()
    weight = [1.0 if rule == "equal" else float(np.sqrt(size)) for size in sizes]
    short = [i for i in range(len(sizes)) if given_[i] < sizes[i]]
    for i in short:  # nobody who could have had more has less than his share of anybody's, up to rounding
        for j in range(len(sizes)):
            if weight[j]:
                assert Fraction(int(given_[i]) + 1) / Fraction(weight[i]) >= Fraction(int(given_[j]) - 1) / Fraction(
                    weight[j]
                )


def test_names_of_clusters():
    texts = [
        "bake bread with flour",
        "bread and butter",
        "how to bake bread",
        "sort a python list",
        "python list index",
        "写诗",
    ]
    names = describe(pa.array([*texts, None]), np.array([0, 0, 0, 1, 1, 3, 3], np.int32), k=4, words=2)
    assert names == [("bread", "bake"), ("list", "python"), (), ()]
    assert describe(pa.array(["写诗", "写诗歌"]), np.array([0, 0], np.int32), k=1) == [("写诗",)]
