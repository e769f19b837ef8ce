"""Turns of a conversation: a user's message and the answer that closes it."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.records import USER, Records
from transforms.words import Tokens

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class Turns(NamedTuple):
    """t turns of n records, in order. Each user message has at most one answer and each answer one prompt, so that
    whatever looks at the turns reads every text once, however a conversation is shaped."""

    answer: Ints  # [t] message number
    prompt: Ints  # [t] message number of the user's message before it
    record: Ints  # [t]
    first: npt.NDArray[np.bool_]  # [t] the first turn of its record

    def mean(self, values: Floats, records: int) -> Floats:
        """[records]: mean over a record's turns, NaN without one. Summed turn by turn in order, so that the rows
        beside a record cannot change its last bit."""
        count = np.bincount(self.record, minlength=records)
        total = np.bincount(self.record, values, minlength=records)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def turns(records: Records) -> Turns:
    """The turns of a block. The answer is the last assistant message with content before the next user message: what
    comes before it are tool calls and drafts. Answers that nobody asked for are no turns."""
    user = records.roles == USER
    said = records.assistant & np.asarray(pc.fill_null(pc.match_substring_regex(records.contents, r"\S"), False))
    numbers = np.arange(len(user))
    latest = np.maximum.accumulate(np.where(user, numbers, -1)) if len(user) else numbers
    answer = np.flatnonzero(said)
    prompt = latest[answer]
    asked = prompt >= records.bounds[records.record_of[answer]]  # in the same record; -1 never is
    answer, prompt = answer[asked], prompt[asked]
    closing = np.append(prompt[1:] != prompt[:-1], True)[: len(prompt)]
    answer, prompt = answer[closing], prompt[closing]
    record = records.record_of[answer]
    return Turns(answer, prompt, record, np.append(True, record[1:] != record[:-1])[: len(record)])


def answered(records: Records) -> npt.NDArray[np.bool_]:
    """[n]: the last assistant message says something, if only in a tool call."""
    last = records.last_answer
    found = np.zeros(len(records), bool)
    at = np.flatnonzero(last >= 0)
    said = pc.match_substring_regex(records.texts.take(pa.array(last[at])), r"\S")
    found[at] = np.asarray(pc.fill_null(said, False))
    return found


def take_texts(contents: pa.Array, messages: Ints) -> pa.LargeStringArray:
    """Contents [t] of some messages; null is empty."""
    return pc.fill_null(contents.take(pa.array(messages)).cast(pa.large_string()), "")


def take_words(words: Tokens, messages: Ints) -> Tokens:
    """Word hashes [t] of some messages, in their order."""
    starts, sizes = words.offsets[messages], np.diff(words.offsets)[messages]
    offsets = np.r_[0, np.cumsum(sizes)]
    within = np.arange(offsets[-1]) - np.repeat(offsets[:-1] - starts, sizes)
    return Tokens(words.hashes[within], offsets)
