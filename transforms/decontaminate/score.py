"""Scores of pairs of a record and an entry: how much of the entry's words the record holds in runs of n.

An entry's *score* is the weighted share of its words that stand in the record inside common grams. A word weighs as
much as the heaviest gram that covers it (``weigh``), so boilerplate neither convicts nor acquits. Weights are whole
numbers: sums are exact, and a record's score is the same in any block.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms.decontaminate.index import Index

NEAR = 0.3
"""Pairs are kept from this share of the entry's words on."""

_PLACES = 1 << 21
"""Places scored at a time: bounds the memory, about 200 bytes a place."""

Int64 = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class Weights(NamedTuple):
    """What grams and entries are worth, in units of 2 ** -20, at least 1."""

    gram: Int64  # [G]
    entry: Int64  # [E] sum over the entry's words
    words: Int64  # [E] words that any gram covers
    covered: npt.NDArray[np.bool_]  # [W] whether any gram covers the word; none covers scaffolding


class Pairs(NamedTuple):
    """p pairs of record and entry, by record, then entry."""

    row: Int64
    entry: Int64
    score: Floats  # weighted share of the entry's words
    share: Floats  # the same without weights
    numbers: Floats  # share of the entry's numbers among the words found; 1 without numbers
    changed: Floats  # share of its numbers that differ, see ``_beside``; 0 without numbers


def held(columns: pa.RecordBatch, sides: str, kind: str = "") -> tuple[Int64, Int64]:
    """(row, value) of the grams, or of the short questions (``kind`` "whole_"), on the chosen sides: distinct, by row.

    ``sides`` is prompt, response or both.
    """
    names = ("prompt", "response") if sides == "both" else (sides,)
    lists = [columns[f"contamination_{kind}{name}"] for name in names]
    rows = [np.repeat(np.arange(len(one)), np.diff(np.asarray(one.offsets))) for one in lists]
    keys = [(row << 32) | np.asarray(one.flatten()) for row, one in zip(rows, lists, strict=True)]
    joined = np.unique(np.concatenate(keys))
    return joined >> 32, joined & 0xFFFFFFFF


def score_pairs(row: Int64, gram: Int64, index: Index, weights: Weights) -> Pairs:
    """Pairs that share at least NEAR of the entry's words; ``row`` ascends, a record's grams are distinct."""
    none, zero = np.zeros(0, np.int64), np.zeros(0)
    parts = [Pairs(none, none, zero, zero, zero, zero)]
    parts += [_score(row[low:high], gram[low:high], index, weights) for low, high in _portions(row, gram, index)]
    return Pairs(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _portions(row: Int64, gram: Int64, index: Index) -> Iterator[tuple[int, int]]:
    """Bounds of runs of whole records that have about _PLACES places."""
    if not len(row):
        return
    places = np.diff(index.place_bounds)[gram]
    first = np.flatnonzero(np.r_[True, row[1:] != row[:-1]])
    portion = (np.cumsum(places) - places)[first] // _PLACES
    cuts = [*first[np.flatnonzero(np.r_[True, portion[1:] != portion[:-1]])].tolist(), len(row)]
    yield from pairwise(cuts)


def _score(row: Int64, gram: Int64, index: Index, weights: Weights) -> Pairs:
    total_words = len(index.gram_at)
    counts = np.diff(index.place_bounds)[gram]
    before = np.cumsum(counts) - counts
    place = index.places[np.arange(int(counts.sum())) + np.repeat(index.place_bounds[gram] - before, counts)]
    keys = np.sort(np.repeat(row, counts) * total_words + place)  # an entry's words are neighbours
    row, place = keys // total_words, keys % total_words
    entry = np.searchsorted(index.bounds, place, "right") - 1

    first = np.flatnonzero(np.r_[True, (row[1:] != row[:-1]) | (entry[1:] != entry[:-1])][: len(row)])
    grams = np.diff(first, append=len(row))
    # Each gram covers n words at most: most pairs are out of the question before any word is looked at.
    possible = grams * index.n >= NEAR * weights.words[entry[first]]
    kept = np.repeat(possible, grams)
    first, place = first[possible], place[kept]
    pair_row, pair_entry, grams = row[first], entry[first], grams[possible]

    start = index.bounds[pair_entry]
    size = index.bounds[pair_entry + 1] - start
    base = np.cumsum(size) - size
    slots = np.zeros(int(size.sum()), np.int64)
    at = place + np.repeat(base - start, grams)
    weight = weights.gram[index.gram_at[place]]
    for step in range(index.n):  # within a step all slots differ
        slots[at + step] = np.maximum(slots[at + step], weight)
    words = np.arange(len(slots)) + np.repeat(start - base, size)
    number = (index.number[words] > 0) & weights.covered[words]
    found = slots > 0

    def sums(values: npt.NDArray[np.generic]) -> Int64:
        running = np.r_[0, np.cumsum(values, dtype=np.int64)]
        return running[base + size] - running[base]

    share = sums(found) / np.maximum(weights.words[pair_entry], 1)
    score = sums(slots) / np.maximum(weights.entry[pair_entry], 1)
    asked = sums(number)
    numbers = np.where(asked > 0, sums(number & found) / np.maximum(asked, 1), 1.0)
    changed = sums(number & _beside(found, base)) / np.maximum(asked, 1)
    near = share >= NEAR
    return Pairs(pair_row[near], pair_entry[near], score[near], share[near], numbers[near], changed[near])


def _beside(found: npt.NDArray[np.bool_], base: Int64) -> npt.NDArray[np.bool_]:
    """Words not found, next to a found one of the same pair. A gap between runs begins and ends with words that differ:
    had the first been the same, the run before it would reach it."""
    first = np.zeros(len(found), bool)
    first[base] = True
    beside = np.zeros(len(found), bool)
    beside[1:] = found[:-1] & ~first[1:]
    beside[:-1] |= found[1:] & ~first[1:]
    return beside & ~found
