"""The n-gram index of benchmark items: built once, saved as one Arrow file, memory-mapped by every worker.

Each field of an item that is long enough is an *entry*: a run of words. All entries' words stand one after another,
W in all; a *gram* is n consecutive words of one entry. Questions too short for that are *shorts*, matched whole.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import xxhash

from transforms.corpus import read_batch, write_batch
from transforms.decontaminate.benchmarks import Item
from transforms.words import WORDS_VERSION, fmix64, tokenise, word_hash

INDEX_VERSION = 1
"""Part of the annotation's identity: raise it when a gram, a short or an entry comes to mean something else."""

FIELDS = ("question", "answer", "passage")
QUESTION, ANSWER, PASSAGE = range(len(FIELDS))

LONG_WORDS = 5
"""An entry has at least ``ngram`` + this many words: six grams, so that a changed word leaves something. Shorter
questions are matched whole; shorter answers and passages say too little to be matched at all."""

SHORT_WORDS, SHORT_BYTES = 5, 20
"""A short question with so many words and bytes is looked for inside messages; a shorter one ("dresser", two Han
words) must be a whole message of the user's."""

MAX_ITEMS = 50
"""A gram in more distinct texts of the benchmarks is their own scaffolding ("The following paragraphs each describe a
set of") and is left out."""

MAX_SAME = 10
"""A short question that more items ask in the same words is scaffolding too: in dyck_languages the brackets are the
question, and they are no words."""

_BASE = 0xD6E8FEB86659FD93  # odd: no word's bits are shifted out, however far back it stands

UInt64 = npt.NDArray[np.uint64]
Int64 = npt.NDArray[np.int64]
Int32 = npt.NDArray[np.int32]

_SPELLED = (
    *("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen"),
    *("fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty", "thirty", "forty", "fifty"),
    *("sixty", "seventy", "eighty", "ninety", "hundred", "thousand", "million", "dozen", "half", "third", "quarter"),
    *("twice", "double", "triple"),
)


class Index(NamedTuple):
    """G grams, E entries of W words, S shorts, I items of B benchmarks."""

    grams: UInt64  # [G] hashes, ascending
    texts: Int32  # [G] distinct texts (of any field) that hold the gram
    gram_at: Int32  # [W] gram that starts here; -1: none, it would leave the entry, or is scaffolding
    number: npt.NDArray[np.uint8]  # [W] 1: the word is a number
    bounds: Int64  # [E + 1] words of entry e: bounds[e]:bounds[e + 1]
    entry_item: Int32  # [E]
    entry_field: npt.NDArray[np.int8]  # [E] QUESTION, ANSWER or PASSAGE
    places: Int64  # [P] words at which grams start, by gram
    place_bounds: Int64  # [G + 1]
    short_key: UInt64  # [S] ascending: hash of all words
    short_head: UInt64  # [S] hash of the first SHORT_WORDS words, or of all of a shorter one
    short_words: Int32  # [S]
    short_inside: npt.NDArray[np.uint8]  # [S] 1: counts inside a message; 0: must be all of it
    short_item: Int32  # [S]
    item_benchmark: Int32  # [I]
    item_number: Int32  # [I] within its benchmark
    names: pa.Array  # [B]
    questions: pa.Array  # [I] texts, for people
    ngram: Int64  # [1]

    @property
    def n(self) -> int:
        return int(self.ngram[0])

    def label(self, item: int) -> str:
        """ "gsm8k_test 17", as the ledger and the report name an item."""
        return f"{self.names[int(self.item_benchmark[item])].as_py()} {int(self.item_number[item])}"


def runs(hashes: UInt64, size: int) -> UInt64:
    """Hash of each run of ``size`` consecutive words [len - size + 1]: a polynomial, mixed, all 64 bits; order counts.
    Runs reach across whatever bounds the words have."""
    count = len(hashes) - size + 1
    return chain(hashes[word : word + count] for word in range(size)) if count > 0 else np.zeros(0, np.uint64)


def chain(words: Iterable[UInt64]) -> UInt64:
    """Hash of each sequence [n] of words, given as first words [n], second words [n] …"""
    value = np.zeros(0, np.uint64)
    for number, word in enumerate(words):
        value = value * np.uint64(_BASE) + word if number else word
    return fmix64(value)


def build(items: Sequence[Item], ngram: int) -> Index:
    """The index of items; the same for the same items in any order of files."""
    texts = [text for item in items for text in (item.question, item.answer, item.passage)]
    words = tokenise(pa.array(texts, pa.large_string()))
    is_number = _numbers(texts, words.hashes)
    sizes = np.diff(words.offsets)
    field = np.tile(np.arange(3, dtype=np.int8), len(items))
    item = np.repeat(np.arange(len(items), dtype=np.int32), 3)

    long = sizes >= ngram + LONG_WORDS
    chosen = np.flatnonzero(long)
    bounds = np.r_[0, np.cumsum(sizes[chosen])].astype(np.int64)
    flat = np.repeat(words.offsets[chosen] - bounds[:-1], sizes[chosen]) + np.arange(bounds[-1])
    grams, held, gram_at = _grams(words.hashes[flat], bounds, ngram)
    starts = np.flatnonzero(gram_at >= 0)
    order = np.argsort(gram_at[starts], kind="stable")

    heads, keys, inside, short_words, short_items = [], [], [], [], []
    spelled = [len(text.encode("utf-8", "surrogatepass")) for text in texts]
    for at in np.flatnonzero((field == QUESTION) & ~long & (sizes > 0)).tolist():
        own = words.hashes[words.offsets[at] : words.offsets[at + 1]]
        heads.append(runs(own, min(SHORT_WORDS, len(own)))[0])
        keys.append(runs(own, len(own))[0])
        inside.append(len(own) >= SHORT_WORDS and spelled[at] >= SHORT_BYTES)
        short_words.append(len(own))
        short_items.append(item[at])
    shared = Counter(keys)
    kept = np.array([shared[key] <= MAX_SAME for key in keys], bool)
    short_order = np.argsort(np.array(keys, np.uint64), kind="stable")

    def shorts(values: list[Any], kind: Any) -> Any:
        return np.array(values, kind)[short_order][kept[short_order]]

    names = sorted({one.benchmark for one in items})
    numbers = {name: index for index, name in enumerate(names)}
    return Index(
        grams,
        held,
        gram_at,
        is_number[flat],
        bounds,
        item[chosen],
        field[chosen],
        starts[order].astype(np.int64),
        np.searchsorted(gram_at[starts][order], np.arange(len(grams) + 1)).astype(np.int64),
        shorts(keys, np.uint64),
        shorts(heads, np.uint64),
        shorts(short_words, np.int32),
        shorts(inside, np.uint8),
        shorts(short_items, np.int32),
        np.array([numbers[one.benchmark] for one in items], np.int32),
        np.array([one.number for one in items], np.int32),
        pa.array(names, pa.large_string()),
        pa.array([one.question for one in items], pa.large_string()),
        np.array([ngram], np.int64),
    )


def _grams(hashes: UInt64, bounds: Int64, ngram: int) -> tuple[UInt64, Int32, Int32]:
    """(distinct grams, distinct texts that hold each, gram at each word)."""
    gram_at = np.full(len(hashes), -1, np.int32)
    entry = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))
    values = runs(hashes, ngram)
    within = entry[: len(values)] == entry[len(hashes) - len(values) :]
    found, number = np.unique(values[within], return_inverse=True)
    # The same text in two benchmarks, or under two questions, is one text: that is no sign of boilerplate.
    keys = np.array([xxhash.xxh3_64_intdigest(hashes[a:b].tobytes()) for a, b in pairwise(bounds)], np.uint64)
    _, text = np.unique(keys, return_inverse=True)
    pairs = np.unique(number.astype(np.int64) * len(bounds) + text[entry[: len(values)][within]])
    held = np.bincount(pairs // len(bounds), minlength=len(found)).astype(np.int32)
    kept = held <= MAX_ITEMS
    renumbered = np.where(kept, np.cumsum(kept) - 1, -1).astype(np.int32)
    gram_at[: len(values)][within] = renumbered[number]
    return found[kept], held[kept], gram_at


def _numbers(texts: list[str], hashes: UInt64) -> npt.NDArray[np.uint8]:
    """[words] 1 where the word has a digit or spells a number: digits are those words that change with the digits."""
    digits = _other_digits()
    other = tokenise(pa.array([text.translate(digits) for text in texts], pa.large_string()))
    spelled = np.array([word_hash(word.encode()) for word in _SPELLED], np.uint64)
    return ((other.hashes != hashes) | np.isin(hashes, spelled)).astype(np.uint8)


@cache
def _other_digits() -> dict[int, int]:
    """Each decimal digit of any script -> another digit of that script; the length of the text stays."""
    values = {code: unicodedata.decimal(chr(code), None) for code in range(0x20000)}
    return {code: code + (1 if value < 9 else -9) for code, value in values.items() if value is not None}


def save(index: Index, path: Path) -> str:
    """Write the index; its digest, the same for the same content."""
    columns = {}
    for name, values in index._asdict().items():
        flat = values if isinstance(values, pa.Array) else pa.array(values)
        columns[name] = pa.LargeListArray.from_arrays(pa.array([0, len(flat)], pa.int64()), flat)
    write_batch(path, pa.record_batch(columns), compress=False)
    return digest(index)


def digest(index: Index) -> str:
    """xxh3-128 of all that annotations and decisions read, and of how it was made."""
    state = xxhash.xxh3_128(f"{INDEX_VERSION} {WORDS_VERSION} ".encode())
    for name, values in index._asdict().items():
        text = isinstance(values, pa.Array)
        raw = orjson.dumps(values.to_pylist()) if text else np.ascontiguousarray(values).tobytes()
        state.update(f"{name} {len(raw)} ".encode())
        state.update(raw)
    return state.hexdigest()


@lru_cache(maxsize=2)
def load(path: str, digest: str) -> Index:
    """The index at ``path``, mapped: a worker's own memory holds none of it. ``digest`` makes the cache notice that
    another index has come to lie there."""
    batch = read_batch(path)
    values = {}
    for name in Index._fields:
        flat = batch[name].flatten()
        values[name] = flat if pa.types.is_large_string(flat.type) else flat.to_numpy(zero_copy_only=True)
    return Index(**values)
