"""Verdicts: pure functions of the annotation's columns, the weights and the settings.

An entry's *score* in a record is the weighted share of its words that stand in the record inside common grams.
A word weighs as much as the heaviest gram that covers it (``weigh``), so boilerplate neither convicts nor acquits.
All weights are whole numbers: sums are exact, and a record's score is the same in any block.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.decontaminate import Decontaminate
from transforms.decontaminate.index import ANSWER, FIELDS, PASSAGE, QUESTION, Index
from transforms.decontaminate.score import NEAR, Weights, held, score_pairs

LONG_ANSWER = 20
"""Words from which an answer convicts without its question."""

SHORT_WORDS, SHORT_RISE = 20, 0.15
"""Entries under so many words must reach more than the threshold: it rises by SHORT_RISE toward an entry of no words
(10 words: 0.075 more). A shared beginning ("What would you do if you have …") is much of a short question."""

CHANGED = 0.1
"""Share of an entry's numbers that may be others in the record: one of ten or more may be a footnote or a misprint;
one of three makes it another question, with another answer."""

WHOLE = 3
"""Value of ``field`` beyond those of ``index.FIELDS``: a short question, found whole."""
FIELD_NAMES = ("question", "answer", "passage", "whole")

MATCHES = pa.schema(
    [
        ("row", pa.int32()),  # record within the block
        ("item", pa.int32()),
        ("field", pa.int8()),  # FIELD_NAMES
        ("score", pa.float64()),  # weighted share of the entry's words, 0 to 1
        ("threshold", pa.float64()),  # what the score is held against
        ("share", pa.float64()),  # the same without weights
        ("numbers", pa.float64()),  # share of the entry's numbers among the words found; 1 without numbers
        ("changed", pa.float64()),  # share of its numbers that are others in the record; 0 without numbers
        ("convicts", pa.bool_()),
    ]
)
VERDICTS = pa.schema(
    [
        ("contaminated", pa.bool_()),
        ("score", pa.float64()),  # of the worst match; of the nearest miss where nothing convicts; 0 without either
        ("threshold", pa.float64()),  # what that score was held against; NaN without either
        ("item", pa.int32()),  # -1: none
        ("field", pa.int8()),  # -1: none
    ]
)

Int64 = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def matches(columns: pa.RecordBatch, index: Index, weights: Weights, settings: Decontaminate) -> pa.RecordBatch:
    """MATCHES of a block: every near or sure match, by row, then item, then field.

    A question convicts when its score reaches the threshold and enough of its numbers are there; a short question
    when it is there whole; an answer when its score reaches the threshold and it is long, or a part of its question
    is there too; a passage when its score does. Each of them only if ``settings.fields`` names it.
    """
    found = score_pairs(*held(columns, settings.sides), index, weights)
    item, field = index.entry_item[found.entry].astype(np.int64), index.entry_field[found.entry]
    words = np.diff(index.bounds)[found.entry]
    needed = np.minimum(settings.threshold + SHORT_RISE * np.maximum(1 - words / SHORT_WORDS, 0), 1.0)
    enough = found.score >= needed
    enough &= (field == PASSAGE) | ((found.numbers >= settings.numbers) & (found.changed <= CHANGED))
    asked = found.row * len(index.item_number) + item
    beside = np.isin(asked, asked[(field == QUESTION) & (found.share >= NEAR)])
    enough &= (field != ANSWER) | beside | (words >= LONG_ANSWER)
    convicts = enough & np.isin(field, [FIELDS.index(name) for name in settings.fields])

    row, key = held(columns, settings.sides, "whole_")
    row, short = _all_equal(row, key, index)
    ones = np.ones(len(row))
    table = [
        np.r_[found.row, row],
        np.r_[item, index.short_item[short]],
        np.r_[field, np.full(len(row), WHOLE, np.int8)],
        np.r_[found.score, ones],
        np.r_[needed, ones],
        np.r_[found.share, ones],
        np.r_[found.numbers, ones],
        np.r_[found.changed, np.zeros(len(row))],
        np.r_[convicts, np.full(len(row), "question" in settings.fields)],
    ]
    order = np.lexsort((table[2], table[1], table[0]))
    return pa.record_batch(
        [pa.array(column[order]).cast(kind.type) for column, kind in zip(table, MATCHES, strict=True)], schema=MATCHES
    )


def _all_equal(row: Int64, short: Int64, index: Index) -> tuple[Int64, Int64]:
    """Of equal short questions the columns name the first; here they are all."""
    counts = np.searchsorted(index.short_key, index.short_key[short], "right") - short
    which = np.repeat(np.arange(len(row)), counts)
    return row[which], short[which] + np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)


def verdicts(columns: pa.RecordBatch, index: Index, weights: Weights, settings: Decontaminate) -> pa.RecordBatch:
    """VERDICTS [n]: the worst match of each record, or its nearest miss."""
    return worst(matches(columns, index, weights, settings), columns.num_rows)


def worst(found: pa.RecordBatch, rows: int) -> pa.RecordBatch:
    """VERDICTS of MATCHES: what convicts before what does not, then the score, then the lower item and field."""
    row = np.asarray(found["row"])
    convicts, score = np.asarray(found["convicts"]), np.asarray(found["score"])
    order = np.lexsort((np.asarray(found["field"]), np.asarray(found["item"]), -score, ~convicts, row))
    first = order[np.flatnonzero(np.r_[True, row[order][1:] != row[order][:-1]][: len(order)])]
    contaminated, best, needed = np.zeros(rows, bool), np.zeros(rows), np.full(rows, np.nan)
    item, field = np.full(rows, -1, np.int32), np.full(rows, -1, np.int8)
    at = row[first]
    contaminated[at], best[at] = convicts[first], score[first]
    needed[at] = np.asarray(found["threshold"])[first]
    item[at], field[at] = np.asarray(found["item"])[first], np.asarray(found["field"])[first]
    return pa.record_batch([pa.array(column) for column in (contaminated, best, needed, item, field)], schema=VERDICTS)
