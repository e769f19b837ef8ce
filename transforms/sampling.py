"""Two seeded samples for the portrait of a release: of what entered selection, and of what is released."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.corpus import read_batch
from transforms.keys import halves, seeded
from transforms.records import Records
from transforms.standing import Standing
from transforms.units import Ints

BEFORE, AFTER = 0, 1
CHARACTERS = 4000
"""Of a prompt and of an answer; a portrait needs no more, and a sample must not hold a book."""


def sampled(standing: Standing, taken: npt.NDArray[np.int32], bounds: tuple[int, int]) -> Iterator[pa.RecordBatch]:
    """Rows of a unit that are in the samples: ``bounds`` are the highest hashes of the one before and the one after.

    Columns: which (BEFORE or AFTER), id, prompt, answer, cluster, and the vector where records are embedded.
    """
    view = standing.view
    hashes = seeded(halves(view.features["id"]), standing.plan.seed, "portrait")
    entered = standing.alive | (standing.rule > standing.plan.near_rule)
    for which, there, bound in ((BEFORE, entered, bounds[0]), (AFTER, taken > 0, bounds[1])):
        rows = np.flatnonzero(there & (hashes <= np.uint64(bound)))
        if len(rows):
            yield _rows(standing, rows, which)


def _rows(standing: Standing, rows: Ints, which: int) -> pa.RecordBatch:
    view = standing.view
    prompts, answers = [], []
    for block, mine in view.by_block(rows):
        records = Records(read_batch(block.text).select(["messages"]).take(pa.array(mine)))
        prompts.append(_message(records, records.first_user))
        answers.append(_message(records, records.last_answer))
    taken = pa.array(rows)
    columns = {
        "which": pa.array(np.full(len(rows), which, np.int8)),
        "id": view.features["id"].take(taken),
        "prompt": pa.concat_arrays(prompts),
        "answer": pa.concat_arrays(answers),
        "cluster": pa.array(standing.cluster[rows]),
    }
    if "embedding" in view.columns:
        vectors = view.vectors(rows)
        columns["vector"] = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
    return pa.record_batch(columns)


def _message(records: Records, which: Ints) -> pa.Array:
    texts = records.texts.take(pa.array(which, mask=which < 0))
    return pc.utf8_slice_codeunits(texts, 0, CHARACTERS)
