"""What tests of selection share: vectors by angle and by chance, the walk in plain Python, rows as stages send them."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from hypothesis import strategies as st

from transforms.cosines import fine
from transforms.distance import vector_rows

Vectors = npt.NDArray[np.float32]

# (group, order, tens of degrees; None: zeros). Cosines of neighbours are 0.985, 0.940, 0.866 …
POINTS = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from([0, 1, 2, 2**64 - 1]), st.sampled_from([None, 0, 1, 2, 3, 8, 12, 35])),
    max_size=30,
)
Point = tuple[int, int, int | None]


def directions(tens: list[int | None]) -> Vectors:
    """Unit vectors [n, 2] at angles in tens of degrees."""
    at = [(0.0, 0.0) if one is None else (math.cos(math.radians(10 * one)), math.sin(math.radians(10 * one))) for one in tens]
    return np.array(at, np.float32).reshape(-1, 2)


def id_of(address: int) -> bytes:
    return address.to_bytes(16, "big")


def sent(points: list[Point], vectors: Vectors | None = None) -> pa.RecordBatch:
    """The points as rows that travel; the address of each is its place."""
    groups, order, tens = ([one[at] for one in points] for at in range(3))
    return vector_rows(
        np.array(groups, np.int64), np.array(order, np.uint64), np.arange(len(points)),
        pa.array([id_of(address) for address in range(len(points))], pa.binary(16)),
        directions(tens) if vectors is None else vectors,  # type: ignore[arg-type]
    )  # fmt: skip


def cosine(one: Any, other: Any) -> float:
    return float(np.dot(np.float64(one), np.float64(other)))


def nearest(vectors: Vectors, row: int, kept: list[int], similarity: float) -> float | None:
    """The highest cosine of a row to those kept, where it is above the threshold."""
    above = [found for other in kept if (found := cosine(vectors[row], vectors[other])) > similarity]
    return max(above, default=None)


def rounds_below(threshold: float) -> Vectors:
    """Two unit vectors whose cosine is above the threshold by so little that as a float32 it is below it."""
    first = np.array([0.6, 0.64, math.sqrt(1 - 0.6**2 - 0.64**2)], np.float32)
    for step in range(100_000):
        angle = math.acos(threshold) - 1e-9 * step
        across = np.cross(first, [0.3, -0.5, 0.8])
        other = np.float32(math.cos(angle) * first + math.sin(angle) * across / np.linalg.norm(across))
        found = float(fine(first[None], other[None])[0])
        if threshold < found and float(np.float32(found)) < threshold:
            return np.stack([first, other])
    raise AssertionError("no such pair")
