"""Diversity in numbers: known values, and no dependence on order."""

from collections import Counter
from dataclasses import fields

import numpy as np
import pyarrow as pa
import pytest

from transforms.portrait import (
    compare,
    distinct,
    neighbour_quantiles,
    opening_concentration,
    portrait,
    top_pairs,
    vendi,
)


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def strings(*texts):
    return pa.array(texts, pa.large_string())


def test_distinct_n_counts_within_texts_only():
    texts = strings("a b a b", "a b", None, "")
    assert distinct(texts, 1, total=6) == pytest.approx(2 / 6, abs=1e-4)
    assert distinct(texts, 2, total=4) == 0.5  # ab ba ab | ab, and no pair across two texts
    assert distinct(texts, 3, total=2) == 1
    assert distinct(texts, 4, total=1) == 1
    assert distinct(texts, 1, total=7) is None
    assert distinct(strings(), 1, total=1) is None
    assert distinct(strings("a", "b"), 2, total=1) is None


def test_vendi_of_known_sets():
    assert vendi(np.repeat(np.eye(4, dtype=np.float32)[:1], 9, axis=0)) == 1.0
    assert vendi(np.eye(4, dtype=np.float32)) == 4.0
    assert vendi(np.repeat(np.eye(8, dtype=np.float32)[:3], 5, axis=0)) == 3.0
    assert vendi(np.zeros((3, 4), np.float32)) is None


def test_vendi_equals_the_definition():
    vectors = unit(np.random.default_rng(0).normal(size=(60, 10)) + 0.7)
    values = np.linalg.eigvalsh(vectors.astype(np.float64) @ vectors.T / 60)  # n x n, as published
    values = values[values > 1e-9]
    assert vendi(vectors) == pytest.approx(np.exp(-(values * np.log(values)).sum()), rel=5e-3)


def test_neighbours():
    vectors = unit(np.array([[1, 0], [1, 0], [0, 1], [1, 1]]))
    found = neighbour_quantiles(vectors)
    assert found == (0.707, 0.707, 0.707, 1.0, 1.0)
    assert neighbour_quantiles(vectors[:1]) is None
    repeated = neighbour_quantiles(np.repeat(vectors, 600, axis=0))
    assert repeated is not None
    assert repeated[0] == 1.0


def test_openings():
    answers = strings("Sure! Here is a poem", "sure, here is a list", "Paris", "Paris.", "No", "", None)
    found = opening_concentration(answers)
    assert found is not None
    top, ten, evenness = found
    assert (top, ten) == (0.4, 1.0)  # "sure here is a" twice of five; "Paris" twice
    assert 0 < evenness < 1
    assert opening_concentration(strings("", None)) is None
    assert opening_concentration(strings("a", "b", "c", "d")) == (0.25, 1.0, 1.0)
    assert opening_concentration(strings("a", "a")) == (1.0, 1.0, 0.0)


def test_top_pairs_are_ordered():
    pairs = Counter({("write", "story"): 3, ("write", "poem"): 3, ("ask", "question"): 6, ("be", "cat"): 1})
    assert top_pairs(pairs) == (
        ("ask", 6, (("question", 6),)),
        ("write", 6, (("poem", 3), ("story", 3))),
        ("be", 1, (("cat", 1),)),
    )


def a_set(n=120):
    prompts = [f"Write a {kind} about {thing}" for kind in ("poem", "story", "letter") for thing in range(n // 3)]
    answers = [f"Here is the text number {at} on it" if at % 2 else f"{at} is a number I know" for at in range(n)]
    vectors = unit(np.random.default_rng(1).normal(size=(n, 8)))
    return strings(*prompts), strings(*answers), vectors, (np.arange(n) % 4).astype(np.int32)


def test_a_portrait_does_not_depend_on_the_order():
    prompts, answers, vectors, clusters = a_set()
    whole = portrait(prompts, answers, vectors, clusters, k=5, ngrams=200)
    order = np.random.default_rng(0).permutation(len(prompts))
    at = pa.array(order)
    assert portrait(prompts.take(at), answers.take(at), vectors[order], clusters[order], k=5, ngrams=200) == whole
    assert (whole.records, whole.verb_noun_coverage, whole.verb_noun_pairs) == (120, 1.0, 3)
    assert whole.verb_noun_entropy == pytest.approx(np.log2(3), abs=1e-4)
    assert whole.cluster_entropy == pytest.approx(np.log(4) / np.log(5), abs=1e-4)
    assert whole.clusters_used == 4
    assert whole.opening_top_1 == 0.5
    assert None not in [getattr(whole, field.name) for field in fields(whole)]


def test_a_portrait_without_embeddings_and_of_nothing():
    prompts, answers, _, _ = a_set()
    plain = portrait(prompts, answers, ngrams=300)
    assert plain.vendi is None
    assert plain.cluster_entropy is None
    assert plain.neighbour_50 is None
    empty = portrait(strings(), strings())
    assert (empty.records, empty.verb_noun_coverage, empty.verb_nouns) == (0, 0.0, ())
    assert empty.verb_noun_entropy is None


def test_compare_gives_a_row_a_number():
    prompts, answers, vectors, clusters = a_set()
    before = portrait(prompts, answers, vectors, clusters, k=4, ngrams=300)
    after = portrait(prompts[:40], answers[:40], ngrams=300)
    rows = {name: values for name, *values in compare(before, after)}
    assert rows["records"] == [120, 40, -80]
    assert rows["verb noun pairs"] == [3, 1, -2]
    assert rows["vendi"] == [before.vendi, None, None]
    assert "verb nouns" not in rows


def test_fewer_kinds_are_less_diverse():
    prompts, answers, vectors, clusters = a_set()
    before = portrait(prompts, answers, vectors, clusters, ngrams=150)
    close = unit(vectors + 3 * np.eye(8, dtype=np.float32)[0])
    after = portrait(prompts[:40], answers[:40], close[:40], clusters[:40], ngrams=150)
    change = {name: new - old for name, old, new, _ in compare(before, after) if old is not None and new is not None}
    assert change["vendi"] < 0
    assert change["neighbour 50"] > 0
    assert change["verb noun entropy"] < 0
