"""The diversity of a set of records in numbers, for the release card: before and after each stage.

Every number is computed on a sample of records in the order of a hash of their content, with counts fixed in advance,
so that two portraits can be compared and the same records give the same portrait in any order. Values are rounded far
above what differs between builds of BLAS or libm, so they may stand in a release that must be byte-identical.
"""

from collections import Counter
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from transforms.annotate.verb_noun import Pair, verb_nouns
from transforms.cosines import COARSE, Floats, check_unit, coarse
from transforms.words import fmix64, tokenise

NGRAMS = 100_000
"""n-grams that distinct-n looks at."""
VERBS, NOUNS = 20, 4
"""The plot of Self-Instruct: top 20 verbs, top 4 nouns of each."""
OPENING_WORDS = 4
NEIGHBOURS = 5_000
"""Rows of the nearest-neighbour curve: each is compared with all others, so the cost grows with the square."""
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
DIGITS = 4
SIGNIFICANT = 3
"""Digits of a Vendi score: eigenvalues may differ in their last digits between BLAS builds."""


@dataclass(frozen=True)
class Portrait:
    """Shares are of 1, entropies are normalised to 0 (all alike) … 1 (all equally frequent) unless said otherwise;
    what cannot be computed (no embeddings, too few words) is None."""

    records: int
    verb_noun_coverage: float  # share of prompts with a pair: English instructions and questions
    verb_noun_pairs: int  # distinct
    verb_noun_entropy: float | None  # in bits, not normalised: 2 ** it is the effective number of pairs
    verb_nouns: tuple[tuple[str, int, tuple[tuple[str, int], ...]], ...]  # (verb, count, ((noun, count), ...))
    prompt_distinct_1: float | None  # distinct n-grams / n-grams, among the first ``NGRAMS`` of the prompts
    prompt_distinct_2: float | None
    prompt_distinct_3: float | None
    prompt_distinct_4: float | None
    answer_distinct_1: float | None  # the same of the answers
    answer_distinct_2: float | None
    answer_distinct_3: float | None
    answer_distinct_4: float | None
    cluster_entropy: float | None
    clusters_used: int | None
    vendi: float | None  # effective number of different prompts, at most the dimensions of the embedding
    neighbour_5: float | None  # quantiles of each row's cosine to its nearest other row
    neighbour_25: float | None
    neighbour_50: float | None
    neighbour_75: float | None
    neighbour_95: float | None
    opening_top_1: float | None  # share of answers that begin with the commonest opening (four words)
    opening_top_10: float | None  # with one of the ten commonest
    opening_entropy: float | None


def portrait(
    prompts: pa.Array,
    answers: pa.Array,
    vectors: Floats | None = None,
    clusters: npt.NDArray[np.int32] | None = None,
    k: int | None = None,
    ngrams: int = NGRAMS,
) -> Portrait:
    """The portrait of n records: prompts [n], answers [n] (null where there is none), unit vectors [n, d], clusters
    [n].

    ``k`` is the number of clusters that there are, used or not (the highest number + 1 without it). Two portraits to be
    compared want samples of one size and the same ``ngrams``; where a side has fewer n-grams, distinct-n is None.
    Cost: about 0.1 ms a record; give a sample of ten thousand or so.
    """
    order = _hash_order(prompts, answers)
    prompts, answers = prompts.take(order), answers.take(order)
    rows = order.to_numpy()
    pairs = Counter(pair for pair in verb_nouns(prompts) if pair)
    found = sum(pairs.values())
    near = vendi_score = entropy = used = None
    if vectors is not None and len(vectors):
        vendi_score = vendi(vectors)
        near = neighbour_quantiles(vectors[rows])
    if clusters is not None and len(clusters):
        counts = np.bincount(clusters)
        entropy, used = _evenness(counts, k or len(counts)), int((counts > 0).sum())
    at = near or (None, None, None, None, None)
    openings = opening_concentration(answers) or (None, None, None)
    return Portrait(
        len(prompts),
        round(found / len(prompts), DIGITS) if len(prompts) else 0.0,
        len(pairs),
        _bits(np.array(sorted(pairs.values()))) if found else None,
        top_pairs(pairs),
        *_four(prompts, ngrams),
        *_four(answers, ngrams),
        entropy,
        used,
        vendi_score,
        *at,
        *openings,
    )


def _four(texts: pa.Array, total: int) -> tuple[float | None, float | None, float | None, float | None]:
    return distinct(texts, 1, total), distinct(texts, 2, total), distinct(texts, 3, total), distinct(texts, 4, total)


def compare(before: Portrait, after: Portrait) -> list[tuple[str, float | None, float | None, float | None]]:
    """(name, before, after, after - before) of every number, for a table; the change is None where a side is."""
    rows = []
    for field in fields(Portrait):
        if field.name == "verb_nouns":
            continue
        old, new = getattr(before, field.name), getattr(after, field.name)
        change = None if old is None or new is None else round(new - old, DIGITS)
        rows.append((field.name.replace("_", " "), old, new, change))
    return rows


def _hash_order(prompts: pa.Array, answers: pa.Array) -> pa.Array:
    """Rows by a hash of their texts: the order that samples are cut from."""
    keys = [
        xxhash.xxh3_64_intdigest(f"{len(prompt or '')},{prompt or ''}{answer or ''}".encode("utf-8", "surrogatepass"))
        for prompt, answer in zip(prompts.to_pylist(), answers.to_pylist())
    ]
    return pa.array(np.argsort(np.array(keys, np.uint64), kind="stable"))


def top_pairs(pairs: Counter[Pair]) -> tuple[tuple[str, int, tuple[tuple[str, int], ...]], ...]:
    """The commonest verbs with their commonest nouns; equals by the alphabet."""
    verbs: Counter[str] = Counter()
    for (verb, _), count in pairs.items():
        verbs[verb] += count
    table = []
    for verb, total in sorted(verbs.items(), key=lambda item: (-item[1], item[0]))[:VERBS]:
        nouns = sorted(((noun, n) for (v, noun), n in pairs.items() if v == verb), key=lambda item: (-item[1], item[0]))
        table.append((verb, total, tuple(nouns[:NOUNS])))
    return tuple(table)


def distinct(texts: pa.Array, n: int, total: int = NGRAMS) -> float | None:
    """distinct-n (Li et al. 2016): different n-grams of words among the first ``total``, in the order of the texts.

    The share falls with the number looked at, so fewer than ``total`` give None rather than a number that compares with
    nothing.
    """
    tokens = tokenise(texts)
    hashes = tokens.hashes
    if len(hashes) < n:
        return None
    row = np.repeat(np.arange(len(texts)), np.diff(tokens.offsets))
    grams = hashes[: len(hashes) - n + 1].copy()
    for step in range(1, n):
        grams = fmix64(grams * np.uint64(0x9E3779B97F4A7C15) ^ hashes[step : len(hashes) - n + 1 + step])
    grams = grams[row[: len(grams)] == row[n - 1 :]][:total]
    return round(len(np.unique(grams)) / total, DIGITS) if len(grams) == total else None


def vendi(vectors: Floats) -> float | None:
    """Vendi score (Friedman & Dieng 2023, arXiv 2210.02410) of unit vectors with a linear kernel: exp of the entropy of
    the eigenvalues of K / n. K = X Xᵀ has the eigenvalues of the d x d matrix Xᵀ X, so the cost is n d², not n³.

    Zero vectors are left out. The score runs from 1 (all alike) to at most d; 3 significant digits.
    """
    check_unit(vectors)
    points = coarse(vectors)
    points = points[points.any(axis=1)]
    if not len(points):
        return None
    total = np.zeros((points.shape[1],) * 2)
    for low in range(0, len(points), 4096):
        part = points[low : low + 4096].astype(np.float64)
        total += part.T @ part  # whole numbers below 2^53: exact, so the order of rows does not matter
    values = np.linalg.eigvalsh(total / float(np.trace(total)))
    values = values[values > 1e-12]
    entropy = -float((values * np.log(values)).sum())
    return float(f"{np.exp(entropy):.{SIGNIFICANT}g}")


def neighbour_quantiles(vectors: Floats, most: int = NEIGHBOURS) -> tuple[float, float, float, float, float] | None:
    """``QUANTILES`` of the cosine of each of the first ``most`` rows to its nearest other one among them."""
    check_unit(vectors)
    points = coarse(vectors)
    points = points[points.any(axis=1)][:most]
    if len(points) < 2:
        return None
    nearest = np.zeros(len(points), np.float32)
    for low in range(0, len(points), 1024):
        products = points[low : low + 1024] @ points.T
        products[np.arange(len(products)), low + np.arange(len(products))] = -np.inf
        nearest[low : low + 1024] = products.max(axis=1)
    cosines = np.sort(nearest.astype(np.float64)) / COARSE**2
    found = np.quantile(cosines, QUANTILES, method="inverted_cdf")
    five, quarter, half, three, most_of_all = (round(min(float(value), 1.0), SIGNIFICANT) for value in found)
    return five, quarter, half, three, most_of_all


def opening_concentration(answers: pa.Array) -> tuple[float, float, float] | None:
    """(share of the commonest opening, share of the ten commonest, evenness) of the first words of the answers.

    An opening is the first ``OPENING_WORDS`` words, or all of a shorter answer; an answer without words is left out.
    """
    tokens = tokenise(answers)
    lengths = np.minimum(np.diff(tokens.offsets), OPENING_WORDS)
    key = np.zeros(len(lengths), np.uint64)
    for step in range(OPENING_WORDS):
        has = lengths > step
        word = tokens.hashes[tokens.offsets[:-1][has] + step]
        key[has] = fmix64(key[has] * np.uint64(0x9E3779B97F4A7C15) ^ word)
    key = key[lengths > 0]
    if not len(key):
        return None
    counts = np.sort(np.unique(key, return_counts=True)[1])[::-1]
    top, ten = counts[0] / len(key), counts[:10].sum() / len(key)
    return round(float(top), DIGITS), round(float(ten), DIGITS), _evenness(counts, len(key))


def _bits(counts: npt.NDArray[np.int64]) -> float:
    """Entropy of counts, in bits."""
    shares = counts[counts > 0] / counts.sum()
    return round(abs(float(-(shares * np.log2(shares)).sum())), DIGITS)


def _evenness(counts: npt.NDArray[np.int64], most: int) -> float:
    """Entropy over the largest that ``most`` kinds allow: 0 for one kind, 1 for all equally frequent."""
    return round(_bits(np.sort(counts)) / float(np.log2(most)), DIGITS) if most > 1 else 0.0
