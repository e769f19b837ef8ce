"""How much of the last answer is a copy of what the user said.

Copying is often right: an extraction quotes, a correction changes one word, a story's continuation starts with its
beginning. So what is measured is told apart: the answer equals a turn; it begins with the whole of one; its 5-word
stretches come from the prompt; the prompt's come back in it. Which of these to hold against it is the filter's choice.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms.annotate.recurring import BLOCK, groups
from transforms.records import USER, Records
from transforms.shingles import blocks
from transforms.words import UNICODE_VERSION, WORDS_VERSION, fmix64

VERSION = 1

STRETCH = 5
"""Words; what near deduplication compares too."""

SCHEMA = pa.schema(
    [
        # words of the last answer if it equals a user turn before it, else 0; white space and closing punctuation do
        # not count, case does: putting capitals right is an answer
        ("echoed_words", pa.int32()),
        # words of the user turn before the last answer if the answer begins with all of them and goes on, else 0;
        # case, white space and punctuation do not count
        ("restated_words", pa.int32()),
        # words of the last answer if it stands, to the letter, within a user turn before it and is half of the prompt
        # or more, else 0; white space and closing punctuation do not count
        ("quoted_words", pa.int32()),
        ("copied_share", pa.float32()),  # share of the last answer's stretches that the user turns before it have
        ("prompt_copied_share", pa.float32()),  # share of those turns' stretches that the answer has
        ("last_answer_words", pa.int32()),
    ]
)

_PLACE = np.uint64(0x9E3779B97F4A7C15)
_BASE = np.uint64(0xD6E8FEB86659FD93)

_HALF = 0.5
"""Share of the prompt from which on a quoting answer is looked up word for word; less is an extraction."""

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Echo:
    """Overlap of the last answer with the user turns before it."""

    name: str = "echo"
    schema: pa.Schema = SCHEMA

    def identity(self) -> dict[str, Any]:
        return {"version": VERSION, "stretch": STRETCH, "words": WORDS_VERSION, "unicode": UNICODE_VERSION}

    def __call__(self, records: Records) -> pa.RecordBatch:
        """SCHEMA [n]"""
        answer = records.last_answer
        size = np.diff(records.words.offsets)
        asked = (records.roles == USER) & (np.arange(len(size)) < answer[records.record_of])
        words = np.where(answer >= 0, size[answer], 0) if len(size) else np.zeros(len(records), np.int64)
        echoed, restated = _repeats(records, asked, words)
        copied, prompt_copied = _overlap(records, asked)
        quoted = _quoted(records, asked, (copied == 1) & (prompt_copied >= _HALF)) * words
        columns = [echoed, restated, quoted, copied, prompt_copied, words]
        return pa.record_batch(
            [pa.array(column.astype(field.type.to_pandas_dtype())) for column, field in zip(columns, SCHEMA)],
            schema=SCHEMA,
        )


def _repeats(records: Records, asked: Bools, words: Ints) -> tuple[Ints, Ints]:
    """``echoed_words`` and ``restated_words`` [n]."""
    hashes, offsets = records.words
    size = np.diff(offsets)
    # A prefix of a message has the hash sums[end] - sums[start]: each word is mixed with its place in the message.
    place = np.arange(len(hashes)) - np.repeat(offsets[:-1], size)
    sums = np.r_[np.uint64(0), np.cumsum(fmix64(hashes + place.astype(np.uint64) * _PLACE))]

    turn = np.flatnonzero(asked)
    answer = records.last_answer[records.record_of[turn]]
    begins = size[turn] <= size[answer]
    turn, answer = turn[begins & (size[turn] > 0)], answer[begins & (size[turn] > 0)]
    same = sums[offsets[turn] + size[turn]] - sums[offsets[turn]]
    same = same == sums[offsets[answer] + size[turn]] - sums[offsets[answer]]
    turn, answer = turn[same], answer[same]

    echoed, restated = np.zeros(len(words), np.int64), np.zeros(len(words), np.int64)
    nearest = np.full(len(words), -1, np.int64)
    nearest[records.record_of[asked]] = np.flatnonzero(asked)  # NumPy keeps the last of several assignments
    record = records.record_of[turn]
    whole = size[turn] == size[answer]
    part = ~whole & (nearest[record] == turn)
    restated[record[part]] = size[turn[part]]
    for left, right in zip(turn[whole].tolist(), answer[whole].tolist(), strict=True):
        if _plain(records.texts[left].as_py()) == _plain(records.texts[right].as_py()):
            echoed[records.record_of[left]] = size[left]
    return echoed, restated


def _quoted(records: Records, asked: Bools, screened: Bools) -> Bools:
    """Whether the last answer is a piece of a user turn [n], looked up for the ``screened`` records alone."""
    found = np.zeros(len(records), bool)
    for record in np.flatnonzero(screened).tolist():
        answer = int(records.last_answer[record])
        text = _plain(records.texts[answer].as_py())
        turns = np.flatnonzero(asked[records.bounds[record] : answer]) + records.bounds[record]
        found[record] = any(text in " ".join(records.texts[turn].as_py().split()) for turn in turns.tolist())
    return found


def _plain(text: str) -> str:
    return " ".join(text.split()).rstrip(".!?。！？… ")


def _overlap(records: Records, asked: Bools) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """``copied_share`` and ``prompt_copied_share`` [n]; 0 where a side has no stretch."""
    hashes, offsets = records.words
    record_of, size = records.record_of, np.diff(offsets)
    given = np.zeros(len(size), bool)
    given[records.last_answer[records.last_answer >= 0]] = True
    windows = np.maximum(size - (STRETCH - 1), 0) * (asked | given)
    both = (records.sums(windows * asked) > 0) & (records.sums(windows * given) > 0)
    windows = windows * both[record_of]

    copied = np.zeros((2, len(records)))
    bounds = np.r_[0, np.cumsum(windows)][records.bounds]
    for first, last in blocks(bounds, BLOCK):
        low, high = int(records.bounds[first]), int(records.bounds[last])
        stretch, message = _stretches(hashes, offsets[low : high + 1], windows[low:high])
        owner, mine = record_of[low:high][message] - first, given[low:high][message]
        order, again = groups(stretch, owner)
        group = np.cumsum(~again) - 1
        count = group[-1] + 1 if len(group) else 0
        for side, chosen in enumerate((mine, ~mine)):
            theirs = np.zeros(count, bool)
            theirs[group[~chosen[order]]] = True  # groups that the other side has
            shared = order[theirs[group] & chosen[order]]
            total = np.bincount(owner[chosen], minlength=last - first)
            copied[side, first:last] = np.bincount(owner[shared], minlength=last - first) / np.maximum(total, 1)
    return copied[0], copied[1]


def _stretches(
    hashes: npt.NDArray[np.uint64], offsets: Ints, windows: Ints
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    """Hash of each window, and the number of the message that it stands in; ``windows[i]`` of message i."""
    message = np.repeat(np.arange(len(windows)), windows)
    start = np.arange(len(message)) + np.repeat(offsets[:-1] - (np.cumsum(windows) - windows), windows)
    value = hashes[start]
    for word in range(1, STRETCH):
        value *= _BASE
        value += hashes[start + word]
    return value, message
