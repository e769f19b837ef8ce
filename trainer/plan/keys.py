"""Counter-based randomness: a number for every (purpose, index), without any state to save."""

import hashlib

import numpy as np
import numpy.typing as npt

U64 = npt.NDArray[np.uint64]
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def salt(*parts: str | int) -> np.uint64:
    """64 bits that differ whenever any part differs."""
    text = "".join(f"{len(str(part))}:{part}" for part in parts)  # lengths keep ("ab", "c") and ("a", "bc") apart
    return np.uint64(int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little"))


def draw(key: np.uint64, indices: npt.NDArray[np.integer]) -> U64:
    """A uniform 64-bit number per index [n]: SplitMix64 (Steele, Lea, Flood 2014) entered at any place."""
    values = indices.astype(np.uint64)
    values *= _GOLDEN
    values += key
    values ^= values >> np.uint64(30)
    values *= np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(27)
    values *= np.uint64(0x94D049BB133111EB)
    values ^= values >> np.uint64(31)
    return values


def bits(values: int) -> int:
    """Bits that hold the numbers below ``values``."""
    return max(values - 1, 0).bit_length()
