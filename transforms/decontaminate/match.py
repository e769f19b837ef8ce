"""The annotation: which grams and which short questions of an index the messages of each record hold."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms.decontaminate.index import INDEX_VERSION, SHORT_WORDS, Index, chain, load, runs
from transforms.records import USER, Records
from transforms.words import UNICODE_VERSION, WORDS_VERSION, tokenise

_WINDOW = 1 << 16
"""Words looked up at a time: the temporaries stay in the L2 cache."""
_SIEVE_BITS, _HEAD_BITS = 24, 20
"""Low bits of a hash that the sieves know: 16 MB and 1 MB say for nearly all runs of a text that no benchmark holds
them."""

SENTENCE_WORDS = 8
"""A question of fewer words is found only where it is a sentence, a line or a labelled part of one: "mammals give birth
to live" (OpenBookQA) is the begin of a thousand sentences. Eight words are a run that Tulu 3 would count."""
_BOUND = re.compile(r"[\n.!?:。？！：।]+")

LISTS = pa.list_(pa.int32())
SCHEMA = pa.schema(
    [
        ("contamination_prompt", LISTS),  # distinct grams in the messages that are not the assistant's, ascending
        ("contamination_response", LISTS),  # distinct grams in the assistant's messages
        ("contamination_whole_prompt", LISTS),  # short questions found whole
        ("contamination_whole_response", LISTS),
    ]
)

Bools = npt.NDArray[np.bool_]
Int64 = npt.NDArray[np.int64]
UInt64 = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Contamination:
    """Columns of an index: its content, not its path, is what they depend on."""

    index_path: str
    index_digest: str

    @property
    def name(self) -> str:
        return "contamination"

    @property
    def schema(self) -> pa.Schema:
        return SCHEMA

    def identity(self) -> dict[str, Any]:
        versions = {"version": INDEX_VERSION, "words": WORDS_VERSION, "unicode": UNICODE_VERSION}
        return {**versions, "index": self.index_digest}

    def __call__(self, records: Records) -> pa.RecordBatch:
        return find(records, _searcher(self.index_path, self.index_digest))


@dataclass(frozen=True)
class Searcher:
    """An index with the sieves that keep most lookups out of it."""

    index: Index
    grams: Bools  # [2 ** _SIEVE_BITS]
    heads: Bools  # [2 ** _HEAD_BITS]


@lru_cache(maxsize=2)
def _searcher(path: str, digest: str) -> Searcher:
    return searcher(load(path, digest))


def searcher(index: Index) -> Searcher:
    return Searcher(index, _sieve(index.grams, _SIEVE_BITS), _sieve(index.short_head, _HEAD_BITS))


def _sieve(values: UInt64, bits: int) -> Bools:
    there = np.zeros(1 << bits, bool)
    there[values & np.uint64((1 << bits) - 1)] = True
    return there


def find(records: Records, searcher: Searcher) -> pa.RecordBatch:
    """SCHEMA [n] of a block."""
    index, words = searcher.index, records.words
    message, gram = _grams(words.hashes, words.offsets, searcher)
    short_message, short = _shorts(records, searcher)
    assistant, record_of, n = records.assistant, records.record_of, len(records)

    def lists(message: Int64, value: Int64, by_assistant: bool, size: int) -> pa.ListArray:
        mine = assistant[message] == by_assistant
        return ragged(record_of[message[mine]], value[mine], n, size)

    return pa.record_batch(
        [
            lists(message, gram, False, len(index.grams)),
            lists(message, gram, True, len(index.grams)),
            lists(short_message, short, False, len(index.short_key)),
            lists(short_message, short, True, len(index.short_key)),
        ],
        schema=SCHEMA,
    )


def ragged(row: Int64, value: Int64, rows: int, size: int) -> pa.ListArray:
    """The distinct values (below ``size``) of each row, ascending, as a list column [rows]."""
    keys = np.unique(row.astype(np.int64) * max(size, 1) + value)
    offsets = np.searchsorted(keys, np.arange(rows + 1) * max(size, 1))
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array((keys % max(size, 1)).astype(np.int32)))


def _grams(hashes: UInt64, offsets: Int64, searcher: Searcher) -> tuple[Int64, Int64]:
    """(message, gram) of each place where a gram of the index stands."""
    n, grams = searcher.index.n, searcher.index.grams
    places, found = [], []
    for start, values in _windows(hashes, n):
        at = np.flatnonzero(searcher.grams[values & np.uint64((1 << _SIEVE_BITS) - 1)])
        if not len(at):
            continue
        number = np.searchsorted(grams, values[at])
        there = grams[np.minimum(number, len(grams) - 1)] == values[at]
        places.append(at[there] + start)
        found.append(number[there])
    place, gram = _joined(places), _joined(found)
    message = np.searchsorted(offsets, place, "right") - 1
    within = place + n <= offsets[message + 1]
    return message[within], gram[within]


def _windows(hashes: UInt64, size: int) -> Iterator[tuple[int, UInt64]]:
    for start in range(0, max(len(hashes) - size + 1, 0), _WINDOW):
        yield start, runs(hashes[start : start + _WINDOW + size - 1], size)


def _joined(parts: list[Int64]) -> Int64:
    return np.concatenate([np.zeros(0, np.int64), *parts])


def _shorts(records: Records, searcher: Searcher) -> tuple[Int64, Int64]:
    """(message, short question) of each place where one stands whole; of equal questions, the first."""
    index, (hashes, offsets) = searcher.index, records.words
    places = [
        np.flatnonzero(searcher.heads[values & np.uint64((1 << _HEAD_BITS) - 1)]) + start
        for start, values in _windows(hashes, SHORT_WORDS)
    ]
    place = _joined(places)
    message = np.searchsorted(offsets, place, "right") - 1
    lengths = np.diff(offsets)
    found = [np.zeros(0, np.int64)]
    for size in np.unique(index.short_words).tolist():
        if size >= SHORT_WORDS:
            within = place + size <= offsets[message + 1]
            at, owner = place[within], message[within]
        else:  # less than a head is looked for in whole messages only
            owner = np.flatnonzero(lengths == size)
            at = offsets[owner]
        values = chain(hashes[at + word] for word in range(size))
        short = np.searchsorted(index.short_key, values)
        right = index.short_key[np.minimum(short, len(index.short_key) - 1)] == values
        at, short, owner = at[right], short[right], owner[right]
        kept = index.short_inside[short] == 1
        if size < SENTENCE_WORDS:
            kept &= _stands_alone(records, owner, at - offsets[owner], size)
        kept |= (lengths[owner] == size) & (records.roles[owner] == USER)
        found.append(np.unique(owner[kept] * len(index.short_key) + short[kept]))
    keys = np.concatenate(found)
    return keys // max(len(index.short_key), 1), keys % max(len(index.short_key), 1)


def _stands_alone(records: Records, message: Int64, word: Int64, size: int) -> Bools:
    """Whether the words ``word`` … ``word + size - 1`` of a message begin and end at a sentence's, line's or label's
    bound: "Is there a cure?" asks that, "is there a cure for it" does not."""
    alone = np.zeros(len(message), bool)
    order = np.argsort(message, kind="stable")
    said, first = np.unique(message[order], return_index=True)
    for one, at in zip(said.tolist(), np.split(order, first[1:]), strict=False):
        pieces = _BOUND.split(records.texts[one].as_py())
        bounds = tokenise(pa.array(pieces, pa.large_string())).offsets
        alone[at] = np.isin(word[at], bounds) & np.isin(word[at] + size, bounds)
    return alone
