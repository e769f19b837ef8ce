"""Clusters of embeddings: spherical k-means on a sample, one centre for every record, quotas over the clusters.

Everything here is decided by whole numbers (see ``transforms.cosines``) and by hashes of the seed and the sampled
ids: the same sample gives the same centres in any order, on any machine, with any number of threads, and a record gets
the same cluster in any block.
"""

import re
from collections import Counter
from collections.abc import Mapping
from fractions import Fraction
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.cosines import COARSE, Floats, Ints, check_unit, coarse, fine
from transforms.keys import U64, mix, seeded

ITERATIONS = 20
"""Lloyd steps; fewer where no record moves any more."""
PER_CENTRE = 16
"""Sampled vectors per centre that k-means++ looks at; the steps after it see the whole sample."""
ROWS = 4096
"""Rows multiplied at a time: bounds the temporary to ROWS x k numbers."""

Cluster = npt.NDArray[np.int32]
Rule = Literal["equal", "sqrt"] | Mapping[int, float]


def fit(sample: Floats, ids: tuple[U64, U64], k: int, seed: int) -> Floats:
    """Unit centres [k', d] of a sample [s, d] of unit vectors with distinct ``ids`` (``transforms.keys.halves``).

    Start: k-means++ (Arthur & Vassilvitskii 2007); then ``ITERATIONS`` steps; a cluster that loses all
    its members restarts at the sampled vector that is farthest from its own centre. k' is less than k only where the
    sample has fewer than k distinct directions. Zero vectors are left out.

    Raises:
        ValueError: ``sample`` has a row that is neither a unit vector nor zeros.
    """
    check_unit(sample)
    order = np.lexsort((ids[1], ids[0], seeded(ids, seed, "cluster")))
    points = coarse(sample[order])
    points = points[points.any(axis=1)]
    centres = _start(points[: max(10_000, PER_CENTRE * k)], k, seed)
    if not len(centres):
        return np.zeros((0, sample.shape[1]), np.float32)
    before: Cluster | None = None
    for _ in range(ITERATIONS):
        cluster, product = _nearest(points, centres)
        if before is not None and np.array_equal(cluster, before):
            break
        before = cluster
        centres = _means(points, cluster, product, len(centres))
    return (centres / COARSE).astype(np.float32)


def assign(vectors: Floats, centres: Floats) -> tuple[Cluster, Floats]:
    """(cluster [n], cosine [n] to its centre) of unit vectors [n, d]; ties go to the lower number.

    A zero vector (a text without words) is in cluster 0 with cosine 0.

    Raises:
        ValueError: ``vectors`` has a row that is neither a unit vector nor zeros.
    """
    check_unit(vectors)
    if not len(centres):
        return np.zeros(len(vectors), np.int32), np.zeros(len(vectors), np.float32)
    cluster, _ = _nearest(coarse(vectors), coarse(centres))
    similarity = np.zeros(len(vectors), np.float32)
    for low in range(0, len(vectors), ROWS):
        high = low + ROWS
        similarity[low:high] = fine(vectors[low:high], centres[cluster[low:high]])
    return cluster, similarity


def _nearest(points: Floats, centres: Floats) -> tuple[Cluster, Floats]:
    """(number of the nearest centre [n], product [n] with it, times COARSE squared); the lowest of equals."""
    cluster = np.zeros(len(points), np.int32)
    product = np.zeros(len(points), np.float32)
    across = np.ascontiguousarray(centres.T)
    for low in range(0, len(points), ROWS):
        products = points[low : low + ROWS] @ across
        found = products.argmax(axis=1)
        cluster[low : low + ROWS] = found
        product[low : low + ROWS] = products[np.arange(len(found)), found]
    return cluster, product


def _start(points: Floats, k: int, seed: int) -> Floats:
    """k-means++: each next centre is drawn with a chance proportional to its squared distance from those chosen."""
    squares = np.einsum("ij,ij->i", points, points, dtype=np.float64)  # whole numbers: exact in any order
    far = np.full(len(points), COARSE**2, np.int64)  # squared distance to the nearest chosen; equal for the first draw
    chosen: list[int] = []
    for step in range(min(k, len(points))):
        total = int(far.sum())
        if total == 0:
            break  # every direction of the sample is a centre already
        draw = int(mix(mix(np.array([seed], np.uint64)) ^ np.uint64(step + 1))[0]) % total
        found = int(np.searchsorted(np.cumsum(far), draw, "right"))
        chosen.append(found)
        distance = squares + squares[found] - 2 * (points @ points[found]).astype(np.float64)
        np.minimum(far, distance.astype(np.int64), out=far)
    return points[chosen]


def _means(points: Floats, cluster: Cluster, product: Floats, k: int) -> Floats:
    """Centres [k, d] as ``coarse`` vectors: directions of the sums of the members."""
    sums = np.zeros((k, points.shape[1]))
    order = np.argsort(cluster, kind="stable")
    numbers, starts = np.unique(cluster[order], return_index=True)
    for begin in range(0, points.shape[1], 32):  # a few dimensions at a time: the sorted copy stays small
        columns = points[:, begin : begin + 32].astype(np.float64)[order]
        sums[numbers, begin : begin + 32] = np.add.reduceat(columns, starts, axis=0)
    squares = np.zeros(k)
    for column in sums.T:  # in this order everywhere
        squares += column * column
    empty = np.flatnonzero(squares == 0)
    length = np.sqrt(np.where(squares == 0, 1, squares))
    centres = coarse(sums / length[:, None])
    if len(empty):
        centres[empty] = points[np.argsort(product, kind="stable")[: len(empty)]]
    return centres


def quotas(sizes: Ints, total: int, rule: Rule) -> Ints:
    """How many rows [k] each cluster gives when ``total`` are wanted of clusters with ``sizes`` [k].

    Shares are ``equal``, proportional to the square root of the size (``sqrt``), or to given weights by cluster number
    (a cluster that is not named weighs 1; one of weight 0 gives nothing). A cluster smaller than its share gives all it
    has, and the rest is shared among the others in the same proportion. Whole numbers by largest remainder, ties to the
    lower number. The sum is ``min(total, sum of sizes)`` over the clusters with weight; it is exact, in fractions.
    """
    have = [int(size) for size in sizes]
    if rule == "equal":
        weights = [Fraction(1)] * len(have)
    elif rule == "sqrt":
        weights = [Fraction(float(np.sqrt(size))) for size in have]  # IEEE rounds a square root correctly
    else:
        weights = [Fraction(rule.get(number, 1)) for number in range(len(have))]
    out = np.zeros(len(have), np.int64)
    active = sorted(
        (i for i, w in enumerate(weights) if w > 0 and have[i] > 0), key=lambda i: (have[i] / weights[i], i)
    )
    left, weight = max(0, int(total)), sum((weights[i] for i in active), Fraction(0))
    while active and left * weights[active[0]] >= have[active[0]] * weight:
        full = active.pop(0)
        out[full] = have[full]
        left -= have[full]
        weight -= weights[full]
    shares = {i: left * weights[i] / weight for i in active}
    for i, share in shares.items():
        out[i] = int(share)
    rest = left - int(sum(out[i] for i in active)) if active else 0
    for i in sorted(active, key=lambda i: (int(shares[i]) - shares[i], i))[:rest]:
        out[i] += 1
    return out


_SPLIT = re.compile(r"[\W\d_]+")
_HAN = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]{2,}")
DESCRIBED_CHARACTERS = 1000
"""Of each text; a name needs no more."""


def describe(texts: pa.Array, clusters: Cluster, k: int, words: int = 4) -> list[tuple[str, ...]]:
    """Names for clusters: the ``words`` most telling words of each, from a sample of texts [s] and their clusters [s].

    A word tells much where a cluster's texts hold it often and others rarely: p ln(p / q), p its share of the
    cluster's texts and q of all texts (a term of the Kullback-Leibler divergence). It must stand in two texts at
    least, or in the only one. Equal scores go by the alphabet. A cluster without texts has no words.
    """
    cut = pc.utf8_lower(pc.utf8_slice_codeunits(texts.cast(pa.large_string()), 0, DESCRIBED_CHARACTERS))
    holding: list[Counter[str]] = [Counter() for _ in range(k)]
    for text, cluster in zip(cut.to_pylist(), clusters.tolist()):
        holding[cluster].update(_words(text or ""))
    everywhere: Counter[str] = Counter()
    for counts in holding:
        everywhere.update(counts)
    sizes = np.bincount(clusters, minlength=k)
    names = []
    for counts, size in zip(holding, sizes.tolist()):
        least = min(2, size)
        scores = [
            (-round(n / size * float(np.log(n / size / (everywhere[word] / len(texts)))), 6), word)
            for word, n in counts.items()
            if n >= least
        ]
        names.append(tuple(word for _, word in sorted(scores)[:words]))
    return names


def _words(text: str) -> set[str]:
    """Words of three letters or more; of Chinese and Japanese, pairs of characters."""
    found = {word for word in _SPLIT.split(_HAN.sub(" ", text)) if len(word) > 2}
    for run in _HAN.findall(text):
        found.update(run[i : i + 2] for i in range(len(run) - 1))
    return found
