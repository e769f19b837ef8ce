"""What all embeddings share: which text of a record is embedded, and the column that the vectors stand in.

The column is float32, not float16. Rounding to float16 moves the cosine of two unit vectors by up to 5e-4, which is
more than separates many pairs at a threshold like 0.9, and peers that we compare with work in float32; 512 bytes a
record at 128 dimensions are less than the text that they stand for.
"""

import hashlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from schemas.errors import GristmillError
from transforms.records import Records

COLUMN = "embedding"
Text = Literal["prompt", "response", "whole"]
Floats = npt.NDArray[np.float32]


def schema(dimensions: int) -> pa.Schema:
    """One column: ``embedding``, a list of ``dimensions`` float32."""
    return pa.schema([pa.field(COLUMN, pa.list_(pa.float32(), dimensions))])


def chosen_texts(records: Records, text: Text) -> pa.LargeStringArray:
    """The text [n] that is embedded; none is null.

    ``prompt`` is the first user turn, ``response`` the last assistant turn. A record without a user turn (a plain
    document) has its answer for both. ``whole`` is every message of the record, joined by newlines.
    """
    if text == "whole":
        return _joined(records)
    at = records.last_answer
    if text == "prompt":
        at = np.where(records.first_user >= 0, records.first_user, at)
    found = records.texts.take(pa.array(at, mask=at < 0))
    return pc.fill_null(found, "")


def _joined(records: Records) -> pa.LargeStringArray:
    offsets = pa.array(records.bounds, pa.int64())
    lists = pa.LargeListArray.from_arrays(offsets, pc.fill_null(records.texts, ""))
    return pc.binary_join(lists, pa.scalar("\n", pa.large_string()))


def unit(sums: npt.NDArray[Any]) -> Floats:
    """Rows [n, d] divided by their length, float32; a row of zeros (a text without any feature) stays zeros.

    The squares are added column by column: every row sees the same additions in the same order in any block.
    """
    wide = sums.astype(np.float64)
    squares = np.zeros(len(wide))
    for column in wide.T:
        squares += column * column
    length = np.sqrt(squares)
    length[length == 0] = 1
    return (wide / length[:, None]).astype(np.float32)


def batch(vectors: Floats) -> pa.RecordBatch:
    """``vectors`` [n, d] as the column."""
    rows, dimensions = vectors.shape
    flat = pa.array(np.ascontiguousarray(vectors, np.float32).reshape(-1))
    column = pa.FixedSizeListArray.from_arrays(flat, dimensions)
    assert len(column) == rows
    return pa.RecordBatch.from_arrays([column], schema=schema(dimensions))


def matrix(column: pa.Array | pa.ChunkedArray) -> Floats:
    """The vectors [n, d] of an ``embedding`` column, sliced or chunked; a view where the column is one piece."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    return np.asarray(column.flatten()).reshape(len(column), column.type.list_size)


def digest_of(folder: Path, names: tuple[str, ...], setting: str) -> str:
    """sha256 over the named files of a model folder, those that are there.

    Raises:
        GristmillError: the folder is absent, or has not the first of them.
    """
    if not folder.is_dir():
        raise GristmillError(f"{setting}: {folder} is no folder; give the path of a downloaded model")
    if not (folder / names[0]).is_file():
        raise GristmillError(f"{setting}: {folder} has no {names[0]}; give the folder of a model that has")
    total = hashlib.sha256()
    for name in names:
        path = folder / name
        if path.is_file():
            with open(path, "rb") as stream:
                total.update(f"{name}\0{hashlib.file_digest(stream, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()
