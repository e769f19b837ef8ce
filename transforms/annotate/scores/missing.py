"""Why a record has no score. An error is a null and a code, never a number that looks like data."""

from enum import IntEnum

import numpy as np
import numpy.typing as npt
import pyarrow as pa


class Missing(IntEnum):
    """The code beside each score; 0 stands beside a score that is there."""

    SCORED = 0
    NO_ANSWER = 1
    TOO_LONG = 2
    NOT_RENDERED = 3
    NO_SCORE = 4
    OUT_OF_RANGE = 5
    BUDGET = 6
    NOT_SAMPLED = 7


REASONS = {
    Missing.NO_ANSWER: "no answer to score",
    Missing.TOO_LONG: "longer than the limit",
    Missing.NOT_RENDERED: "refused by the chat template",
    Missing.NO_SCORE: "the model gave no score",
    Missing.OUT_OF_RANGE: "the score was outside its scale",
    Missing.BUDGET: "the budget was spent",
    Missing.NOT_SAMPLED: "not in the sample",
}


def columns(schema: pa.Schema, codes: list[int], *scores: list[float]) -> pa.RecordBatch:
    """Score columns, then the column of codes. Scores are rounded to four decimals, which hides what a matrix product's
    order of summation changes, and are null wherever the code is not 0."""
    known = np.array(codes, np.int8)
    arrays = []
    for values in scores:
        rounded = np.round(np.array(values, np.float64), 4).astype(np.float32)
        arrays.append(pa.array(rounded, pa.float32(), mask=known != Missing.SCORED))
    return pa.record_batch([*arrays, pa.array(known)], schema=schema)


def account(name: str, codes: npt.NDArray[np.int8]) -> str | None:
    """One sentence on the records without a score, or None where all have one."""
    counts = {reason: int((codes == code).sum()) for code, reason in REASONS.items()}
    found = [f"{reason} {count}" for reason, count in counts.items() if count]
    if not found:
        return None
    return f"{name}: {sum(counts.values())} of {len(codes)} records have no score: {', '.join(found)}"
