"""Measures on characters: special ones, and stretches of text that repeat.

A character is a Unicode code point. Special is what is no letter, mark, number or white space in any script:
punctuation and symbols (data-juicer's ``special_characters_filter`` counts digits and spaces as special too, which
makes every sum and every table look like noise).

``answer_character_repetition`` is the share of an answer's windows of 10 characters that stand earlier in the same
answer: 1 - distinct / all. data-juicer's ``character_repetition_filter`` divides the count of the sqrt(k) most
frequent of k distinct windows by all. That is 0.2 for any text of 34 characters with no repetition at all, because
it cannot fall below 1 / sqrt(k), and it is 0 for text that does nothing but repeat. Ours is 0 without repetition,
near 1 for a loop, and needs one sort.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.annotate.recurring import BLOCK, groups
from transforms.records import Records
from transforms.shingles import blocks

VERSION = 1

WINDOW = 10
"""Characters; data-juicer's default (``rep_len``)."""

LIMIT = 1 << 20
"""Characters of an answer looked at for repetition: enough to know, and a bound on memory (80 bytes a character)."""

SCHEMA = pa.schema(
    [
        ("answer_special", pa.float32()),  # share of the characters of all answers, 0 to 1; 0 without any
        ("prompt_special", pa.float32()),  # the same for everything but the answers
        ("answer_character_repetition", pa.float32()),  # of the answer with most of it, 0 to 1
    ]
)

_ASCII = bytes(byte < 0x80 and not (chr(byte).isalnum() or chr(byte).isspace()) for byte in range(256))
_BEYOND_ASCII = r"[^\pL\pM\pN\pZ\x00-\x7f]"
_BASE = 0xD6E8FEB86659FD93  # odd: no character's bits are shifted out


@dataclass(frozen=True)
class Characters:
    """Shares of special characters and of repeated stretches."""

    name: str = "characters"
    schema: pa.Schema = SCHEMA

    def identity(self) -> dict[str, Any]:
        return {"version": VERSION, "window": WINDOW, "limit": LIMIT}

    def __call__(self, records: Records) -> pa.RecordBatch:
        """SCHEMA [n]"""
        length = np.asarray(pc.utf8_length(records.texts), np.int64)
        special = _special(records.texts, length)
        answers = records.assistant
        chosen = np.flatnonzero(answers)
        repeated = np.zeros(len(answers))
        repeated[chosen] = repeated_share(records.texts.take(pa.array(chosen)))
        columns = [
            _share(records.sums(special * answers), records.sums(length * answers)),
            _share(records.sums(special * ~answers), records.sums(length * ~answers)),
            records.most(repeated),
        ]
        return pa.record_batch([pa.array(column.astype(np.float32)) for column in columns], schema=SCHEMA)


def _special(texts: pa.LargeStringArray, length: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Special characters of each text [n], whose lengths in code points are ``length``."""
    starts, joined = _joined_bytes(texts)
    found = np.diff(np.searchsorted(np.flatnonzero(np.frombuffer(joined.translate(_ASCII), bool)), starts))
    wide = np.flatnonzero(np.diff(starts) > length)
    found[wide] += np.asarray(pc.count_substring_regex(texts.take(pa.array(wide)), _BEYOND_ASCII), np.int64)
    return found


def _joined_bytes(texts: pa.LargeStringArray) -> tuple[npt.NDArray[np.int64], bytes]:
    """Where each text begins in the bytes of all of them [n + 1], and these bytes."""
    if not len(texts):
        return np.zeros(1, np.int64), b""
    _, offsets, data = texts.buffers()
    starts = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    size = int(starts[-1] - starts[0])
    return starts - starts[0], data.slice(int(starts[0]), size).to_pybytes() if size else b""


def repeated_share(texts: pa.LargeStringArray) -> npt.NDArray[np.float64]:
    """[n]: share of each text's windows of ``WINDOW`` code points that stand earlier in it; 0 for shorter texts."""
    found = np.zeros(len(texts))
    size = np.asarray(pc.utf8_length(texts), np.int64)
    if size.max(initial=0) > LIMIT:
        texts, size = pc.utf8_slice_codeunits(texts, 0, LIMIT), np.minimum(size, LIMIT)
    length = np.r_[0, np.cumsum(size)]
    for first, last in blocks(length, BLOCK):
        bounds = length[first : last + 1] - length[first]
        found[first:last] = _repeated(_code_points(texts.slice(first, last - first)), bounds)
    return found


def _code_points(texts: pa.LargeStringArray) -> npt.NDArray[np.uint64]:
    """Of all texts, joined."""
    _, joined = _joined_bytes(texts)
    if joined.isascii():
        return np.frombuffer(joined, np.uint8).astype(np.uint64)
    return np.frombuffer(joined.decode().encode("utf-32-le"), "<u4").astype(np.uint64)


def _repeated(points: npt.NDArray[np.uint64], bounds: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Of texts whose code points are ``points[bounds[i]:bounds[i + 1]]``."""
    length = np.diff(bounds)
    windows = np.maximum(length - (WINDOW - 1), 0)
    within = np.repeat(
        np.tile([True, False], len(length)), np.stack([windows, length - windows], 1).ravel()
    )  # the last windows of a text would reach into the next
    within = within[: max(len(points) - (WINDOW - 1), 0)]
    owner = np.repeat(np.arange(len(length)), windows)
    order, again = groups(_hashes(points)[within], owner)
    return np.bincount(owner[order[again]], minlength=len(length)) / np.maximum(windows, 1)


def _hashes(points: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Polynomial hash of the ``WINDOW`` = 8 + 2 code points from each position on, by doubling."""
    two = _joined(points, points, 1, 1)
    four = _joined(two, two, 2, 2)
    eight = _joined(four, four, 4, 4)
    return _joined(eight, two, 8, 2)


def _joined(
    left: npt.NDArray[np.uint64], right: npt.NDArray[np.uint64], gap: int, length: int
) -> npt.NDArray[np.uint64]:
    """Hash of left[i] followed by right[i + gap], which is of ``length`` code points; as many as both have."""
    out = left[: max(len(right) - gap, 0)] * np.uint64(pow(_BASE, length, 1 << 64))
    out += right[gap:]
    return out


def _share(part: npt.NDArray[np.int64], whole: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    return part / np.maximum(whole, 1)
