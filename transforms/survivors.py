"""Who stays among equal or similar records: a declared order, as one number per record (smaller stays)."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.record import ORIGINS
from transforms.keys import U64

# human, mixed, unknown, synthetic: what is not known is trusted less than a stated mixture.
_RANK = np.array([0, 1, 3], np.uint64)
_UNKNOWN = np.uint64(2)


def survivor_order(features: pa.RecordBatch, keep: Sequence[str], default_origin: str | None, priority: int) -> U64:
    """The declared criteria of each row [n], packed with the first named one in the highest bits.

    Origin takes 2 bits, priority 16, answer length (characters) 32. Ties go to the smaller id; the id is compared
    by whoever uses this.
    """
    order = np.zeros(features.num_rows, np.uint64)
    for criterion in keep:
        if criterion == "origin":
            bits, rank = 2, _origin_rank(features["origin"], default_origin)
        elif criterion == "priority":
            bits, rank = 16, np.full(len(order), np.clip(priority, -(2**15), 2**15 - 1) + 2**15).astype(np.uint64)
        else:
            length = np.asarray(features["answer_characters"]).astype(np.uint64)
            bits, rank = 32, np.uint64(2**32 - 1) - length if criterion == "longest" else length
        order = (order << np.uint64(bits)) | rank
    return order


def _origin_rank(column: pa.Array, default: str | None) -> npt.NDArray[np.uint64]:
    fallback = _RANK[ORIGINS.index(default)] if default else _UNKNOWN
    known = np.asarray(column.fill_null(-1)).astype(np.int64)
    return np.where(known < 0, fallback, _RANK[np.maximum(known, 0)])
