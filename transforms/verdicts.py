"""Verdicts on the way: drops found by a partition, addressed to the block that they are about."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

EXACT, NEAR = 1, 2

# What a deduplication stage says of a record that it drops.
DROP = pa.schema(
    [
        ("address", pa.int64()),
        ("stage", pa.int8()),  # EXACT or NEAR
        ("value", pa.float64()),  # similarity to the representative
        ("representative", pa.binary(16)),  # id of the record that stays
    ]
)


def drops(
    addresses: npt.NDArray[np.int64], stage: int, values: npt.NDArray[np.float64], representatives: pa.Array
) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(
        [
            pa.array(addresses, pa.int64()),
            pa.array(np.full(len(addresses), stage, np.int8)),
            pa.array(values, pa.float64()),
            representatives,
        ],
        schema=DROP,
    )


NO_DROPS = pa.RecordBatch.from_pylist([], schema=DROP)

# One row per record of a unit, in its order: what all stages so far concluded.
VERDICT = pa.schema(
    [
        ("rule", pa.int16()),  # position in the plan's rules, -1 when the record is still in
        ("value", pa.float64()),
        ("threshold", pa.float64()),
        ("representative", pa.binary(16)),
        ("choose", pa.uint64()),  # seeded hash of the id: the order of chance
        ("times", pa.int32()),  # how often balancing repeats the record; the mix multiplies it
        ("cluster", pa.int32()),  # null before clusters are assigned
    ]
)
