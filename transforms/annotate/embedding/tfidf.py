"""Embeddings that need no model: hashed words and word pairs, weighted, projected to a few hundred dimensions.

A feature is a word or a pair of neighbouring words (as ``transforms.words`` cuts them, so Chinese characters count
one by one). Its weight is (1 + ln tf) x rarity. Real idf wants a pass over the corpus, and would change every vector
with every record added. Rarity stands in for it, and needs none: by Zipf's law the word of rank r makes up about
1 / (10 r) of running English (Zipf 1949), so its idf, -ln p, is close to ln 10 r. The words of a short fixed list have
their rank; every other word counts as one of rank ``CONTENT``, and rarity is the quotient of the two logarithms: 0.21
for "the", 0.4 for "is", 1 for "volcano". A pair's rarity is the product of its two words'.

The projection is a sparse Johnson-Lindenstrauss transform (Kane & Nelson 2014): each feature adds its weight with a
sign to ``SPREAD`` of the dimensions, both from its hash. Cosines keep an error of about 1 / sqrt(dimensions).
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.annotate.embedding.vectors import Floats, Text, batch, chosen_texts, schema, unit
from transforms.keys import mix
from transforms.records import Records
from transforms.words import UNICODE_VERSION, WORDS_VERSION, Tokens, tokenise, word_hash

SPREAD = 4
CONTENT = 5000
"""Rank of an ordinary content word."""
MAX_CHARACTERS = 16_384
"""Of a text; what follows is not embedded."""
WINDOW = 1024
"""Texts at a time, bounding the temporaries."""


def _ranked(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text.split()))


# The commonest words of English, by rank, as word lists agree on them (Brown corpus, COCA, within a few places), then
# the commonest of other languages that instruction data holds; these have their rank too.
COMMON = _ranked("""
    the of and to a in is that for it as was with be by on not he i this are or his from at which but have an
    had they you were their one all we can her has there been if more when will would who so no she other its
    may these what them than some him time into only do such about then two any my out now up could our like
    also should how me your over just between because many did those use where most each much does been before
    must through s t de la que el en y los un una le les et des du est der die das und ist ein eine zu den von
    mit on ja ei se että oli ovat the 的 了 是 在 我 有 和 就 不 人 都 一 个 上 也 你 这 中 为 以 を の に は た て
    が と で し
""")

Ints = npt.NDArray[np.int64]
_LOW_BITS = np.uint64(40)  # of the 64, a feature's own; the others hold the text's number
_PAIR = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class HashedTfidf:
    """The annotation."""

    dimensions: int = 256
    text: Text = "prompt"

    name = "embedding"

    @property
    def schema(self) -> pa.Schema:
        return schema(self.dimensions)

    def identity(self) -> dict[str, Any]:
        words = [WORDS_VERSION, UNICODE_VERSION]
        return {"version": 1, "kind": "tfidf", "dimensions": self.dimensions, "text": self.text, "words": words}

    def check(self) -> None:
        """Nothing can be absent."""

    def __call__(self, records: Records) -> pa.RecordBatch:
        return batch(encode(chosen_texts(records, self.text), self.dimensions))


def encode(texts: pa.Array, dimensions: int) -> Floats:
    """Unit vectors [n, dimensions] of ``texts`` [n]; zeros for a text without a word."""
    cut = pc.utf8_slice_codeunits(texts.cast(pa.large_string()), 0, MAX_CHARACTERS)
    parts = [_encode(tokenise(cut.slice(at, WINDOW)), dimensions) for at in range(0, len(cut), WINDOW)]
    return np.concatenate([np.zeros((0, dimensions), np.float32), *parts])


def _encode(tokens: Tokens, dimensions: int) -> Floats:
    rows = len(tokens.offsets) - 1
    row = np.repeat(np.arange(rows), np.diff(tokens.offsets))
    rarity = _rarity(tokens.hashes)
    near = np.flatnonzero(row[1:] == row[:-1])
    pairs = mix((tokens.hashes[near] * _PAIR) ^ tokens.hashes[near + 1])
    features = np.concatenate([tokens.hashes, pairs])
    # One sort brings equal features of a text together; the text's number rides in the upper bits.
    keys = (np.concatenate([row, row[near]]).astype(np.uint64) << _LOW_BITS) | (features >> (np.uint64(64) - _LOW_BITS))
    order = np.argsort(keys)
    keys = keys[order]
    first = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]][: len(keys)])
    count = np.diff(np.r_[first, len(keys)])
    weight = np.concatenate([rarity, rarity[near] * rarity[near + 1]])[order][first]
    weight *= _LOGS[np.minimum(count, len(_LOGS) - 1)]
    return unit(_project(keys[first], weight, rows, dimensions))


def _project(
    keys: npt.NDArray[np.uint64], weight: npt.NDArray[np.float64], rows: int, dimensions: int
) -> npt.NDArray[np.float64]:
    """[rows, dimensions]. A text's features are added in the order of their hashes, so blocks do not matter."""
    row = (keys >> _LOW_BITS).astype(np.int64)
    state = mix(keys & np.uint64((1 << 40) - 1))
    out = np.zeros(rows * dimensions)
    for _ in range(SPREAD):
        state = mix(state + _PAIR)
        place = ((state >> np.uint64(32)) % np.uint64(dimensions)).astype(np.int64)
        sign = 1.0 - 2.0 * (state & np.uint64(1)).astype(np.float64)
        out += np.bincount(row * dimensions + place, weight * sign, minlength=rows * dimensions)
    return out.reshape(rows, dimensions)


# 1 + ln tf, from a table, rounded: libraries differ in the last bit of a logarithm.
_LOGS = np.round(1 + np.log(np.maximum(np.arange(4096), 1)), 9)


@cache
def _common() -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.float64]]:
    """(hashes ascending, rarity of each) of the common words."""
    rarity = np.round(np.log(10 * np.arange(1, len(COMMON) + 1)) / np.log(10 * CONTENT), 9)
    hashes = np.array([word_hash(word.encode()) for word in COMMON], np.uint64)
    order = np.argsort(hashes)
    return hashes[order], rarity[order]


def _rarity(hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
    """[T]: between 0 and 1; 1 for every word that is not listed."""
    listed, rarity = _common()
    at = np.minimum(np.searchsorted(listed, hashes), len(listed) - 1)
    return np.where(listed[at] == hashes, rarity[at], 1.0)
