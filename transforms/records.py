"""A corpus block opened once for everything that looks at its text: messages flat, with the bounds of each record."""

from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from schemas.record import ROLES
from transforms.texts import message_texts
from transforms.words import Tokens, tokenise

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

SYSTEM, USER, ASSISTANT, TOOL = range(len(ROLES))


class Records:
    """n records with m messages. Record i has the messages ``bounds[i]:bounds[i + 1]``, in order."""

    def __init__(self, batch: pa.RecordBatch):
        self.batch = batch  # [n, CORPUS]

    def __len__(self) -> int:
        return int(self.batch.num_rows)

    @cached_property
    def messages(self) -> pa.StructArray:
        """[m]: all messages, flat."""
        return self.batch["messages"].flatten()

    @cached_property
    def bounds(self) -> Ints:
        """[n + 1]"""
        offsets = np.asarray(self.batch["messages"].offsets).astype(np.int64)
        return offsets - offsets[0]

    @cached_property
    def record_of(self) -> Ints:
        """[m]: the record that each message belongs to."""
        return np.repeat(np.arange(len(self)), np.diff(self.bounds))

    @cached_property
    def roles(self) -> npt.NDArray[np.int8]:
        """[m]: SYSTEM, USER, ASSISTANT or TOOL, as in ``schemas.record.ROLES``."""
        return np.asarray(pc.index_in(self.messages.field("role"), pa.array(ROLES)).cast(pa.int8()))

    @cached_property
    def texts(self) -> pa.LargeStringArray:
        """[m]: everything in a message that a model reads or writes: content, reasoning, tool calls."""
        return message_texts(self.messages)

    @cached_property
    def contents(self) -> pa.StringArray:
        """[m]: content alone, without reasoning and tool calls."""
        return self.messages.field("content")

    @cached_property
    def words(self) -> Tokens:
        """Word hashes of ``texts``."""
        return tokenise(self.texts)

    @cached_property
    def assistant(self) -> Bools:
        """[m]: written by the assistant."""
        return self.roles == ASSISTANT

    @cached_property
    def first_user(self) -> Ints:
        """[n]: message number of each record's first user turn, -1 without one."""
        return self._edge(self.roles == USER, last=False)

    @cached_property
    def last_answer(self) -> Ints:
        """[n]: message number of each record's last assistant turn, -1 without one."""
        return self._edge(self.assistant, last=True)

    def _edge(self, chosen: Bools, last: bool) -> Ints:
        found = np.full(len(self), -1, np.int64)
        at = np.flatnonzero(chosen)
        order = at if last else at[::-1]
        found[self.record_of[order]] = order  # NumPy keeps the last of several assignments
        return found

    def sums(self, values: npt.NDArray[Any]) -> Ints:
        """[n]: sums over each record's messages of a whole-numbered quantity [m]."""
        running = np.r_[0, np.cumsum(values, dtype=np.int64)]
        return np.diff(running[self.bounds])

    def most(self, values: npt.NDArray[Any], chosen: Bools | None = None) -> npt.NDArray[Any]:
        """[n]: the largest of a quantity [m] >= 0 over each record's messages (or the chosen ones), 0 without one."""
        found = np.zeros(len(self), values.dtype)
        if chosen is None:
            np.maximum.at(found, self.record_of, values)
        else:
            np.maximum.at(found, self.record_of[chosen], values[chosen])
        return found
