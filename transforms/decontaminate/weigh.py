"""What a gram is worth: little when the benchmarks' own items share it, or when records hold it that are no copies.

A gram that k distinct texts of the benchmarks and d records of the corpus hold has the weight

    1 / k  *  DOUBT / (DOUBT + d)

where d counts only records that do *not* hold (nearly) the whole of an item with this gram. So a prompt template, a
licence or "how many does she have left", which many different records hold, weighs next to nothing; but an item that
leaked a thousand times stays what it is, because its copies are no evidence against it. Copies that miss a part do
count; when they miss different parts, all grams of the item lose alike, and its score, a ratio, stays the same.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms.decontaminate.index import QUESTION, Index
from transforms.decontaminate.score import Weights, held, score_pairs

DOUBT = 10
"""Records, not copies, in which a gram has lost half its weight."""
COPY = 0.95
"""Share of an item's words, unweighted by the corpus, from which a record is a copy and no witness."""

_UNIT = 1 << 20
FREQUENCY = pa.schema([("gram", pa.int32()), ("records", pa.int64())])

Int64 = npt.NDArray[np.int64]


def document_frequency(columns: pa.RecordBatch, index: Index, plain: Weights) -> pa.RecordBatch:
    """FREQUENCY of a block, sparse: grams and the records that hold them, copies of a gram's item left out.

    ``plain`` are ``weights(index, None)``. Both sides of a record count, whatever the settings say.
    """
    row, gram = held(columns, "both")
    found = score_pairs(row, gram, index, plain)
    copy = (found.score >= COPY) & (found.numbers >= COPY) & (index.entry_field[found.entry] == QUESTION)
    keys = row * len(index.grams) + gram
    record, start = found.row[copy], index.bounds[found.entry[copy]]
    size = index.bounds[found.entry[copy] + 1] - start
    own = index.gram_at[np.arange(int(size.sum())) + np.repeat(start - np.cumsum(size) + size, size)]
    explained = np.repeat(record, size) * len(index.grams) + own
    gram = gram[~np.isin(keys, explained[own >= 0])]
    grams, records = np.unique(gram, return_counts=True)
    return pa.record_batch([pa.array(grams.astype(np.int32)), pa.array(records.astype(np.int64))], schema=FREQUENCY)


def add_frequencies(parts: pa.Table, index: Index) -> Int64:
    """[G]: FREQUENCY rows of all blocks added up; their order means nothing."""
    total = np.zeros(len(index.grams), np.int64)
    np.add.at(total, np.asarray(parts["gram"]), np.asarray(parts["records"]))
    return total


def weights(index: Index, frequency: Int64 | None) -> Weights:
    """Weights from ``frequency`` [G] records, or from the benchmarks alone."""
    worth = _UNIT / np.maximum(index.texts, 1).astype(np.float64)
    if frequency is not None:
        worth = worth * (DOUBT / (DOUBT + frequency.astype(np.float64)))
    gram = np.maximum(worth.astype(np.int64), 1)
    # A word weighs as much as the heaviest of the up to n grams that cover it.
    own = np.where(index.gram_at >= 0, gram[index.gram_at], 0) if len(gram) else np.zeros(len(index.gram_at), np.int64)
    word = own.copy()
    for step in range(1, index.n):
        np.maximum(word[step:], own[:-step], out=word[step:])
    running = np.r_[0, np.cumsum(word)]
    covered = np.r_[0, np.cumsum(word > 0)]
    return Weights(
        gram,
        running[index.bounds[1:]] - running[index.bounds[:-1]],
        covered[index.bounds[1:]] - covered[index.bounds[:-1]],
        word > 0,
    )
