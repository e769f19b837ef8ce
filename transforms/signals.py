"""Signals: from a block of records to everything that decisions need, computed once and cached with the corpus."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from schemas.features import FEATURES, FEATURES_VERSION
from schemas.record import ORIGINS
from transforms.minhash import signatures
from transforms.records import USER, Records
from transforms.shingles import Ragged, shingle_sets
from transforms.texts import NORMALISER_VERSION, exact_keys
from transforms.tokens import Tokenizer
from transforms.words import UNICODE_VERSION, WORDS_VERSION, Tokens

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class SignalSettings:
    """What signals depend on besides the text; ``key`` names their folder in the corpus."""

    exact_compare: str | None
    near_compare: str | None
    shingle: int
    permutations: int
    hash_seed: int
    tokenizer: str | None  # digest of the tokenizer

    def key(self) -> str:
        scheme = asdict(self) | {
            "features": FEATURES_VERSION,
            "normaliser": NORMALISER_VERSION,
            "words": WORDS_VERSION,
            "unicode": UNICODE_VERSION,
        }
        return xxhash.xxh3_128_hexdigest(orjson.dumps(scheme, option=orjson.OPT_SORT_KEYS))


@dataclass(frozen=True)
class Signals:
    """``features`` [n rows, FEATURES], ``signatures`` [n, permutations] uint32, ragged sets [n] of uint32: the
    ``shingles`` of the compared side, and the words of the ``answers`` where the whole is compared (else empty)."""

    features: pa.RecordBatch
    signatures: npt.NDArray[np.uint32]
    shingles: Ragged
    answers: Ragged


def compute(records: Records, settings: SignalSettings, tokenizer: Tokenizer | None) -> Signals:
    """Signals of a corpus block."""
    corpus, flat, bounds, assistant = records.batch, records.texts, records.bounds, records.assistant
    watched = assistant | (records.roles == USER)

    characters = np.asarray(pc.utf8_length(flat), np.int64)
    size = np.asarray(pc.binary_length(flat))
    blank = np.asarray(pc.utf8_length(pc.utf8_trim_whitespace(flat))) == 0
    words = records.words
    counts = np.diff(words.offsets)
    token_counts = tokenizer.count(flat) if tokenizer else None

    keys = exact_keys(records.messages.field("role"), flat, bounds, corpus["tools"], settings.exact_compare)
    columns = {
        "id": corpus["id"],
        "index": corpus["index"],
        "part": corpus["part"],
        "characters": records.sums(characters),
        "words": records.sums(counts),
        "turns": records.sums(assistant),
        "answer_characters": records.sums(characters * assistant),
        "answer_words": records.sums(counts * assistant),
        "empty_turns": records.sums(blank & watched),
        "bytes": records.sums(size),
        "tokens": None if token_counts is None else records.sums(token_counts),
        "answer_tokens": None if token_counts is None else records.sums(token_counts * assistant),
        "turn_characters": records.most(characters),
        "turn_words": records.most(counts),
        "turn_tokens": None if token_counts is None else records.most(token_counts),
        "label": corpus["label"],
        "origin": pc.index_in(corpus["origin"], pa.array(ORIGINS)).cast(pa.int8()),
        "exact_key": keys,
    }
    features = pa.RecordBatch.from_arrays(
        [_column(columns[field.name], field.type, corpus.num_rows) for field in FEATURES], schema=FEATURES
    )
    shingles, answers = _compared(words, bounds, assistant, settings)
    return Signals(features, signatures(*shingles, settings.permutations, settings.hash_seed), shingles, answers)


def sets_of(messages: pa.ListArray, settings: SignalSettings) -> tuple[Ragged, Ragged]:
    """Shingles of the compared side and words of the answers, of conversations [records]."""
    records = Records(pa.record_batch({"messages": messages}))
    return _compared(records.words, records.bounds, records.assistant, settings)


def _compared(
    words: Tokens, bounds: Ints, assistant: npt.NDArray[np.bool_], settings: SignalSettings
) -> tuple[Ragged, Ragged]:
    """Shingle sets of the compared side, and word sets of the answers where the whole is compared (else empty).

    Messages of a record stand one after the other, as they are read.
    """
    nothing = Ragged(np.empty(0, np.uint32), np.zeros(len(bounds), np.int64))
    if settings.near_compare is None:
        return nothing, nothing
    if settings.near_compare == "whole":
        shingles = shingle_sets(words.hashes, words.offsets[bounds], settings.shingle)
        return shingles, _sets(*words, bounds, assistant, 1)
    chosen = assistant if settings.near_compare == "response" else ~assistant
    return _sets(*words, bounds, chosen, settings.shingle), nothing


def _sets(
    hashes: npt.NDArray[np.uint64], offsets: Ints, bounds: Ints, chosen: npt.NDArray[np.bool_], words: int
) -> Ragged:
    """Shingle sets over the chosen messages alone."""
    counts = np.diff(offsets)
    kept = np.r_[0, np.cumsum(counts * chosen)]
    return shingle_sets(hashes[np.repeat(chosen, counts)], kept[bounds], words)


def _column(values: Any, kind: pa.DataType, rows: int) -> pa.Array:
    if values is None:
        return pa.nulls(rows, kind)
    return values if isinstance(values, pa.Array) else pa.array(values.astype(np.int32), kind)
