"""How much of an answer repeats itself: lines, paragraphs, word n-grams, sentences in a row.

The measures are Gopher's (Rae et al. 2021, arXiv 2112.11446, table A1) as datatrove has them, with three changes
that instruction data need: they are taken of each answer, never of the prompt; code between ``` fences is cut out
first, because code repeats lawfully; and answers of fewer than ``min_words`` words are not measured, because a short
text repeats by chance. N-grams are weighed in words instead of characters. A record has the largest value of any of
its answers.

One sort finds the 2-grams that recur. A longer n-gram recurs only where its first n - 1 words do, so each further
length looks only at what is left, which is little in normal text.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.annotate.recurring import BLOCK, groups
from transforms.records import Records
from transforms.shingles import blocks
from transforms.words import UNICODE_VERSION, WORDS_VERSION, tokenise

VERSION = 1

TOP = (2, 3, 4)
DUPLICATE = (5, 6, 7, 8, 9, 10)

LIMIT = 1 << 20
"""Words of an answer looked at for n-grams: enough to know, and a bound on memory (100 bytes a word)."""

# All but the last are shares, 0 to 1, and 0 without an answer long enough.
SCHEMA = pa.schema(
    [
        ("duplicate_lines", pa.float32()),  # lines that stand earlier in the answer / all lines
        ("duplicate_line_characters", pa.float32()),  # characters in such lines / in all lines
        ("duplicate_paragraphs", pa.float32()),  # the same for what blank lines separate
        # n times the count of the most frequent n-gram / words, at most 1
        *((f"top_{n}_grams", pa.float32()) for n in TOP),
        # words within an n-gram that stands earlier in the answer / words
        *((f"duplicate_{n}_grams", pa.float32()) for n in DUPLICATE),
        # most times that a sentence with a letter stands in a row; 0 where no 5-gram recurs
        ("sentence_run", pa.float32()),
    ]
)

_BASE = np.uint64(0xD6E8FEB86659FD93)
_CODE = r"(?ms)^[ \t]*```.*?(^[ \t]*```[^\n]*$|\z)"
_SENTENCE_END = r"[.!?。！？…।؟\n]+"

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Repetition:
    """Repetition within answers of at least ``min_words`` words; 50 is Gopher's least length of a document."""

    min_words: int = 50
    name: str = "repetition"
    schema: pa.Schema = SCHEMA

    def identity(self) -> dict[str, Any]:
        return {
            "version": VERSION,
            "words": WORDS_VERSION,
            "unicode": UNICODE_VERSION,
            "min_words": self.min_words,
            "limit": LIMIT,
        }

    def __call__(self, records: Records) -> pa.RecordBatch:
        """SCHEMA [n]"""
        hashes, offsets = records.words
        size = np.diff(offsets)
        long = np.flatnonzero(records.assistant & (size >= max(self.min_words, 1)))
        texts = records.texts.take(pa.array(long))
        fenced = np.asarray(pc.match_substring(texts, "```"))
        measures = np.zeros((len(SCHEMA), len(size)))

        plain = long[~fenced]
        kept = np.zeros(len(size), bool)
        kept[plain] = True
        kept = np.repeat(kept, size)
        measures[:, plain] = _measures(texts.filter(pa.array(~fenced)), hashes[kept], np.r_[0, np.cumsum(size[plain])])
        if fenced.any():
            prose = pc.replace_substring_regex(texts.filter(pa.array(fenced)), _CODE, "")
            words = tokenise(prose)
            enough = np.diff(words.offsets) >= self.min_words
            measures[:, long[fenced]] = _measures(prose, *words) * enough
        columns = [records.most(row) for row in measures]
        return pa.record_batch([pa.array(column.astype(np.float32)) for column in columns], schema=SCHEMA)


def _measures(texts: pa.LargeStringArray, hashes: Hashes, offsets: Ints) -> Floats:
    """[len(SCHEMA), n] of texts with the words ``hashes[offsets[i]:offsets[i + 1]]``."""
    out = np.zeros((len(SCHEMA), len(texts)))
    out[0], out[1] = _duplicates(texts, "\n")
    out[2], _ = _duplicates(texts, "\n\n")
    grams = out[3:-1]
    for first, last in blocks(offsets, BLOCK):
        bounds = np.minimum(offsets[first : last + 1] - offsets[first], LIMIT)  # a longer text is a block of its own
        for row, share in enumerate(_grams(hashes[offsets[first] :][: bounds[-1]], bounds)):
            grams[row, first:last] = share
    recurring = np.flatnonzero(grams[len(TOP)])
    out[-1, recurring] = _sentence_run(texts.take(pa.array(recurring)))
    return out


def _grams(hashes: Hashes, offsets: Ints) -> Iterator[Floats]:
    """The shares [n] for each length of ``TOP`` and ``DUPLICATE``."""
    size = np.diff(offsets)
    words = np.maximum(size, 1)
    owner = np.repeat(np.arange(len(size)), size)
    end = offsets[1:]
    at = np.arange(len(hashes))  # where an n-gram begins that may recur
    value = hashes
    for n in range(2, DUPLICATE[-1] + 1):
        fits = at + n <= end[owner[at]]
        at, value = at[fits], value[fits]
        value = value * _BASE + hashes[at + (n - 1)]
        order, again = groups(value, owner[at])
        if n in TOP:
            yield np.minimum(n * _largest(order, again, owner[at], size >= n) / words, 1)
        else:
            yield _covered(at[order[again]], n, owner, len(size)) / words
        recurs = again.copy()
        recurs[:-1] |= again[1:]
        left = np.sort(order[recurs])
        at, value = at[left], value[left]


def _largest(order: Ints, again: npt.NDArray[np.bool_], owner: Ints, any_at_all: npt.NDArray[np.bool_]) -> Ints:
    """[n]: the size of each owner's largest group; 1 for an owner whose n-grams are all different."""
    starts = np.flatnonzero(~again)
    count = np.diff(np.r_[starts, len(again)])
    several = count > 1
    largest = any_at_all.astype(np.int64)
    np.maximum.at(largest, owner[order[starts[several]]], count[several])
    return largest


def _covered(starts: Ints, n: int, owner: Ints, owners: int) -> Ints:
    """[owners]: words within the n-grams that begin at ``starts``."""
    edges = np.zeros(len(owner) + 1, np.int64)
    edges[starts] = 1
    np.subtract.at(edges, starts + n, 1)
    return np.bincount(owner[np.cumsum(edges)[:-1] > 0], minlength=owners)


def _pieces(texts: pa.LargeStringArray, lists: pa.LargeListArray) -> tuple[pa.LargeStringArray, Ints]:
    """Pieces that are not blank, trimmed, and the text that each is of."""
    offsets = np.asarray(lists.offsets)
    owner = np.repeat(np.arange(len(texts)), np.diff(offsets))
    pieces = pc.utf8_trim_whitespace(lists.flatten())
    filled = np.asarray(pc.binary_length(pieces)) > 0
    return pieces.filter(pa.array(filled)), owner[filled]


def _duplicates(texts: pa.LargeStringArray, separator: str) -> tuple[Floats, Floats]:
    """[n]: share of pieces that stand earlier in their text, and of the characters in them."""
    shares = np.zeros((2, len(texts)))
    some = np.flatnonzero(np.asarray(pc.match_substring(texts, separator)))
    texts = texts.take(pa.array(some))
    pieces, owner = _pieces(texts, pc.split_pattern(texts, separator))
    coded = pieces.dictionary_encode()
    key = owner * max(len(coded.dictionary), 1) + np.asarray(coded.indices)
    again = np.ones(len(key), bool)
    again[np.unique(key, return_index=True)[1]] = False
    for row, weight in enumerate((np.ones(len(key)), np.asarray(pc.utf8_length(pieces), np.float64))):
        whole = np.bincount(owner, weight, len(some))
        shares[row, some] = np.bincount(owner[again], weight[again], len(some)) / np.maximum(whole, 1)
    return shares[0], shares[1]


def _sentence_run(texts: pa.LargeStringArray) -> Ints:
    """[n]: the longest run of equal sentences, 1 without one."""
    pieces, owner = _pieces(texts, pc.split_pattern_regex(texts, _SENTENCE_END))
    worded = np.asarray(pc.match_substring_regex(pieces, r"\pL"))  # closing braces and rules of dashes are none
    pieces, owner = pieces.filter(pa.array(worded)), owner[worded]
    longest = np.ones(len(texts), np.int64)
    code = np.asarray(pieces.dictionary_encode().indices)
    fresh = np.r_[True, (code[1:] != code[:-1]) | (owner[1:] != owner[:-1])][: len(code)]
    starts = np.flatnonzero(fresh)
    np.maximum.at(longest, owner[starts], np.diff(np.r_[starts, len(code)]))
    return longest
