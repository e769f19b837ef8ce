"""128-bit ids and keys as pairs of uint64, and seeded hashes of ids: what orders and chooses."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

U64 = npt.NDArray[np.uint64]


def halves(column: pa.Array) -> tuple[U64, U64]:
    """High and low 64 bits [n] of a ``binary(16)`` column, so that comparing pairs compares the bytes."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    flat = np.frombuffer(column.buffers()[1], ">u8") if len(column) else np.empty(0, ">u8")
    pairs = flat[2 * column.offset : 2 * (column.offset + len(column))].reshape(-1, 2).astype(np.uint64)
    return pairs[:, 0], pairs[:, 1]


def mix(values: U64) -> U64:
    """MurmurHash3's 64-bit finaliser: a bijection in which every input bit reaches every output bit."""
    values = values ^ (values >> np.uint64(33))
    values = values * np.uint64(0xFF51AFD7ED558CCD)
    values = values ^ (values >> np.uint64(33))
    values = values * np.uint64(0xC4CEB9FE1A85EC53)
    return values ^ (values >> np.uint64(33))


def seeded(ids: tuple[U64, U64], seed: int, purpose: str) -> U64:
    """A uniform 64-bit number per id [n], independent between seeds and purposes ("choose", "order", "split")."""
    salt = mix(np.frombuffer(f"{purpose:<8.8}".encode(), "<u8") ^ mix(np.array([seed], np.uint64)))
    return mix(mix(ids[0] ^ salt) ^ ids[1])


_HEX = np.frombuffer("".join(f"{byte:02x}" for byte in range(256)).encode(), np.uint16)


def hex_ids(column: pa.Array) -> pa.Array:
    """A ``binary(16)`` column as strings of 32 hex digits, nulls kept."""
    rows = len(column)
    flat = np.frombuffer(column.buffers()[1], np.uint8)[16 * column.offset : 16 * (column.offset + rows)]
    offsets = np.arange(0, 32 * rows + 1, 32, dtype=np.int32)
    text = pa.StringArray.from_buffers(rows, pa.py_buffer(offsets), pa.py_buffer(_HEX[flat]))
    return text if column.null_count == 0 else pc.if_else(column.is_valid(), text, None)
