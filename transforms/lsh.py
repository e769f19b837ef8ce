"""Locality-sensitive hashing: from "99 % of pairs at 0.8" to bands and rows, from signatures to band keys.

A signature is cut into b bands of r rows. Two records are a candidate pair when some band is equal in all its
rows, which at Jaccard similarity s has the probability 1 - (1 - s^r)^b (Leskovec, Rajaraman, Ullman, *Mining
of Massive Datasets*, 3.4). Candidates are verified on the shingle sets later, so what a choice of (b, r)
costs is work.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from schemas.errors import GristmillError
from transforms.words import fmix64

_CURVE_AT = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
_AREA_STEPS = 1000
_ROW_BLOCK = 1 << 10


class Bands(NamedTuple):
    """``bands`` bands of ``rows`` rows each: the first ``bands * rows`` elements of a signature are used."""

    bands: int
    rows: int


def candidate_probability(similarity: float, bands: int, rows: int) -> float:
    """The chance that a pair of this Jaccard similarity becomes a candidate."""
    return float(1.0 - (1.0 - similarity**rows) ** bands)


def curve(bands: int, rows: int, at: tuple[float, ...] = _CURVE_AT) -> dict[float, float]:
    """The S-curve: candidate probability by similarity, for the plan and the release's report."""
    return {similarity: candidate_probability(similarity, bands, rows) for similarity in at}


def solve_bands(similarity: float, recall: float, num_perm: int = 128) -> Bands:
    """The bands and rows that find ``recall`` of the pairs at ``similarity``, with the fewest candidates
    below.

    Of all (b, r) with b * r <= num_perm that reach the recall, the one with the smallest area under the
    S-curve from 0 to ``similarity``: the expected number of needless candidates if similarities were spread
    evenly. Ties go to fewer permutations. Raises ``GristmillError`` if a number is out of range or no (b, r)
    reaches the recall.
    """
    if not 0.0 < similarity <= 1.0:
        raise GristmillError(f"similarity is {similarity:g}: it must be above 0 and at most 1.")
    if not 0.0 < recall < 1.0:
        raise GristmillError(f"recall is {recall:g}: it must be above 0 and below 1, for example 0.99.")
    if num_perm < 1:
        raise GristmillError(f"num_perm is {num_perm}: it must be at least 1.")
    below = (np.arange(_AREA_STEPS) + 0.5) * (similarity / _AREA_STEPS)
    best: tuple[float, int, Bands] | None = None
    for rows in range(1, num_perm + 1):
        bands = np.arange(1, num_perm // rows + 1)
        enough = bands[1.0 - (1.0 - similarity**rows) ** bands >= recall]
        if len(enough):  # more bands than the fewest that suffice only add candidates
            fewest = int(enough[0])
            area = float(np.mean(1.0 - (1.0 - below**rows) ** fewest))
            choice = (area, fewest * rows, Bands(fewest, rows))
            best = choice if best is None else min(best, choice)
    if best is None:
        reachable = candidate_probability(similarity, num_perm, 1)
        raise GristmillError(
            f"A recall of {recall:g} at similarity {similarity:g} cannot be reached with {num_perm}"
            f" permutations, which reach {np.floor(reachable * 1e4) / 1e4:g} at most: lower the recall"
            " or raise num_perm."
        )
    return best[2]


def band_keys(signatures: npt.NDArray[np.uint32], bands: int, rows: int) -> npt.NDArray[np.uint64]:
    """[n, bands] uint64: a key of each band of each signature; equal bands of equal number have equal keys.

    Keys of two bands with different numbers never meet: 48 bits of hash and 16 bits of band number go through
    a bijection. The keys are spread evenly, so that any of their bits may serve to partition. Records without
    shingles all have the same signature and must be left out before.
    """
    if bands * rows > signatures.shape[1] or bands > 1 << 16:
        raise ValueError(f"{bands} bands of {rows} rows do not fit signatures of {signatures.shape[1]}")
    out = np.empty((len(signatures), bands), np.uint64)
    number = np.arange(bands, dtype=np.uint64) << np.uint64(48)
    for first in range(0, len(signatures), _ROW_BLOCK):
        part = signatures[first : first + _ROW_BLOCK, : bands * rows].reshape(-1, bands, rows)
        key = np.zeros(part.shape[:2], np.uint64)
        for row in range(rows):
            key ^= part[:, :, row]
            key = fmix64(key)
        out[first : first + _ROW_BLOCK] = fmix64((key >> np.uint64(16)) | number)
    return out
