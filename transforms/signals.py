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
from transforms.shingles import Ragged, shingle_sets
from transforms.texts import NORMALISER_VERSION, exact_keys, message_texts
from transforms.tokens import Tokenizer
from transforms.words import UNICODE_VERSION, WORDS_VERSION, Tokens, tokenise

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


def _open(messages: pa.ListArray) -> tuple[pa.Array, pa.Array, Ints]:
    """Roles [n], texts [n] of all messages, and bounds [records + 1] of each record's."""
    bounds, values = np.asarray(messages.offsets).astype(np.int64), messages.flatten()
    return values.field("role"), message_texts(values), bounds - bounds[0]


def compute(corpus: pa.RecordBatch, settings: SignalSettings, tokenizer: Tokenizer | None) -> Signals:
    """Signals of a corpus block."""
    roles, flat, bounds = _open(corpus["messages"])
    assistant = np.asarray(pc.equal(roles, "assistant"))
    watched = assistant | np.asarray(pc.equal(roles, "user"))

    characters = np.asarray(pc.utf8_length(flat), np.int64)
    size = np.asarray(pc.binary_length(flat))
    blank = np.asarray(pc.utf8_length(pc.utf8_trim_whitespace(flat))) == 0
    words = tokenise(flat)
    counts = np.diff(words.offsets)
    token_counts = tokenizer.count(flat) if tokenizer else None

    keys = exact_keys(roles, flat, bounds, corpus["tools"], settings.exact_compare)
    columns = {
        "id": corpus["id"],
        "index": corpus["index"],
        "part": corpus["part"],
        "characters": _sum(characters, bounds),
        "words": _sum(counts, bounds),
        "turns": _sum(assistant, bounds),
        "answer_characters": _sum(characters * assistant, bounds),
        "answer_words": _sum(counts * assistant, bounds),
        "empty_turns": _sum(blank & watched, bounds),
        "bytes": _sum(size, bounds),
        "tokens": None if token_counts is None else _sum(token_counts, bounds),
        "answer_tokens": None if token_counts is None else _sum(token_counts * assistant, bounds),
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
    roles, flat, bounds = _open(messages)
    return _compared(tokenise(flat), bounds, np.asarray(pc.equal(roles, "assistant")), settings)


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


def _sum(values: npt.NDArray[Any], bounds: Ints) -> npt.NDArray[np.int32]:
    """Sums over records of a per-message quantity."""
    running = np.r_[0, np.cumsum(values, dtype=np.int64)]
    return np.diff(running[bounds]).astype(np.int32)


def _column(values: Any, kind: pa.DataType, rows: int) -> pa.Array:
    if values is None:
        return pa.nulls(rows, kind)
    return values if isinstance(values, pa.Array) else pa.array(values, kind)
