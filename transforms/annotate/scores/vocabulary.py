"""What the words of prompt and answer say about a turn: how many are new or shared, how often they repeat."""

from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from transforms.annotate.scores.turns import Floats, Ints
from transforms.words import Tokens, fmix64, word_hash

U64 = npt.NDArray[np.uint64]

TURN_BITS = 20
"""A turn's number and 44 bits of a word's hash share one integer: sorting that is the fastest way to distinct words of
each turn. Two words of one turn are taken for one with a chance of 10^-5 at 10,000 distinct words."""

GRAM = 4
"""Words of a phrase. Natural answers hardly repeat four words in a row; loops do nothing else."""

_STOP = """
a about after all also an and any are as at be because been before being but by can could did do does for from had
has have he her here him his how i if in into is it its just like make many may me more most much my no not of on
one only or other our out over she should so some such than that the their them then there these they this those
to too up us use used very was we were what when where which while who why will with would you your s t re
please write give tell explain describe list name following below above question answer sentence text
的 了 是 在 有 和 不 我 你 他 这 那 个 一 们 人 上 中 大 来 为 以 到 说 要 会 可 也 就 出 于 之 与 及 或 等 什 么 请 吗
呢 如 何 怎 ja on ei se että oli ovat joka mitä mikä kuin tai myös hän sen
"""


class Vocabulary(NamedTuple):
    """Counts of each turn [t]."""

    words: Ints  # words of the answer
    distinct: Ints  # distinct words of it
    content: Ints  # distinct words of it that are no function words
    prompt_content: Ints  # the same of the prompt
    shared: Ints  # content words in both
    phrases: Ints  # runs of GRAM words in the answer
    distinct_phrases: Ints
    prompt_phrases: Ints  # distinct
    shared_phrases: Ints  # distinct, in both


def vocabulary(prompts: Tokens, answers: Tokens) -> Vocabulary:
    """Words of the turns' prompts and answers, counted."""
    size = len(answers.offsets) - 1
    parts = []
    for start in range(0, max(size, 1), 1 << TURN_BITS):
        end = min(start + (1 << TURN_BITS), size)
        parts.append(_count(_slice(prompts, start, end), _slice(answers, start, end)))
    return Vocabulary(*(np.concatenate(columns) for columns in zip(*parts)))


def _count(prompts: Tokens, answers: Tokens) -> Vocabulary:
    size = len(answers.offsets) - 1
    words = np.diff(answers.offsets)
    asked, said = _distinct(prompts), _distinct(answers)
    asked_content, said_content = asked[~_is_stop(asked)], said[~_is_stop(said)]
    shared = np.intersect1d(asked_content, said_content, assume_unique=True)
    grams = _phrases(answers)
    said_phrases, asked_phrases = _distinct(grams), _distinct(_phrases(prompts))
    return Vocabulary(
        words=words,
        distinct=_per_turn(said, size),
        content=_per_turn(said_content, size),
        prompt_content=_per_turn(asked_content, size),
        shared=_per_turn(shared, size),
        phrases=np.diff(grams.offsets),
        distinct_phrases=_per_turn(said_phrases, size),
        prompt_phrases=_per_turn(asked_phrases, size),
        shared_phrases=_per_turn(np.intersect1d(asked_phrases, said_phrases, assume_unique=True), size),
    )


def _slice(tokens: Tokens, start: int, end: int) -> Tokens:
    offsets = tokens.offsets[start : end + 1]
    return Tokens(tokens.hashes[offsets[0] : offsets[-1]], offsets - offsets[0])


def _distinct(tokens: Tokens) -> U64:
    """Distinct words of each turn: turn number above, 44 bits of the hash below; ascending."""
    turn = np.repeat(np.arange(len(tokens.offsets) - 1, dtype=np.uint64), np.diff(tokens.offsets))
    keys = turn << np.uint64(64 - TURN_BITS) | tokens.hashes >> np.uint64(TURN_BITS)
    keys.sort()
    fresh = np.append(True, keys[1:] != keys[:-1])[: len(keys)]
    return keys[fresh]


def _per_turn(keys: U64, size: int) -> Ints:
    return np.bincount((keys >> np.uint64(64 - TURN_BITS)).astype(np.int64), minlength=size)


@cache
def _stop_hashes() -> U64:
    return np.unique(np.array([word_hash(word.encode()) for word in _STOP.split()], np.uint64) >> np.uint64(TURN_BITS))


def _is_stop(keys: U64) -> npt.NDArray[np.bool_]:
    stop = _stop_hashes()
    word = keys & np.uint64((1 << (64 - TURN_BITS)) - 1)
    return stop[np.minimum(np.searchsorted(stop, word), len(stop) - 1)] == word


def _phrases(tokens: Tokens) -> Tokens:
    """Hashes of all runs of GRAM words."""
    counts = np.maximum(np.diff(tokens.offsets) - GRAM + 1, 0)
    offsets = np.r_[0, np.cumsum(counts)]
    at = np.arange(offsets[-1]) - np.repeat(offsets[:-1] - tokens.offsets[:-1], counts)
    found = tokens.hashes[at]
    for step in range(1, GRAM):
        found = fmix64(found) ^ tokens.hashes[at + step]
    return Tokens(fmix64(found), offsets)


def word_size(words: Ints, letters: Ints) -> Floats:
    """Length [t] in words of English: a Chinese character is a word to the tokeniser, and says as much as 0.6 words.

    ``letters`` are bytes of UTF-8. English takes six bytes a word with its space, so the first bound holds; Chinese
    takes three bytes a character, so the second does.
    """
    return np.minimum(words, letters / 5)
