"""Cosines that are the same on every machine, in every block and with any number of threads.

A matrix product in floating point depends on the order of its additions, and BLAS chooses that by shape, thread count
and processor. Whole numbers have no such trouble while every partial sum is exact. So unit vectors are rounded to
multiples of 1 / ``COARSE`` and multiplied as whole numbers held in float32: by Cauchy and Schwarz no partial sum of a
dot product passes the product of the two lengths, which is below 2^24, up to which float32 counts exactly. This runs
at the full speed of BLAS and errs by at most ``coarse_error``. Where that is too much, ``fine`` does the same in
float64 with multiples of 2^-26, finer than the vectors' own float32.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

COARSE = 4000
FINE = 1 << 26
MAX_DIMENSIONS = 4096
_LONGEST = 1.0001


def check_unit(vectors: npt.NDArray[np.floating]) -> None:
    """Raises:
    ValueError: ``vectors`` [n, d] has a row longer than 1 (zeros are fine), a NaN, or too many dimensions.
    """
    if vectors.shape[1] > MAX_DIMENSIONS:
        raise ValueError(f"{vectors.shape[1]} dimensions; at most {MAX_DIMENSIONS} can be multiplied exactly")
    squares = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
    if not (squares <= _LONGEST**2).all():
        raise ValueError(f"vectors must have length 1 or 0, the longest has {np.sqrt(squares.max(initial=0)):.4f}")


def coarse(vectors: npt.NDArray[np.floating]) -> Floats:
    """Whole numbers [n, d] in float32, ``COARSE`` times the vectors; any product of two is exact."""
    return np.rint(vectors * np.float32(COARSE)).astype(np.float32)


def coarse_error(dimensions: int) -> float:
    """Most by which a product of two ``coarse`` vectors, over ``COARSE`` squared, misses their cosine."""
    return float(np.sqrt(dimensions)) / COARSE + dimensions / (2 * COARSE) ** 2


def fine(left: npt.NDArray[np.floating], right: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Cosines [n] of the rows of ``left`` [n, d] and ``right`` [n, d], to 1e-7 and exactly repeatable."""
    a = np.rint(left.astype(np.float64) * FINE)
    a *= np.rint(right.astype(np.float64) * FINE)
    found: npt.NDArray[np.float64] = a.sum(axis=1) / float(FINE) ** 2
    return found
