"""Parquet and Arrow files to rows."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.ipc

from schemas.errors import GristmillError, Unreadable
from transforms.parquet import on_this_thread
from transforms.readers.opening import open_raw
from transforms.readers.source import FileInfo, Row

_BATCH_ROWS = 1024
_MAX_EMPTY = 100_000
# pyarrow tells of broken files through these; an OSError without a number is about the file's content.
_BROKEN = (pa.ArrowException, OSError, ValueError, KeyError, TypeError, MemoryError, OverflowError)


def row_groups(file: FileInfo) -> list[int]:
    """Uncompressed bytes of each row group; raises GristmillError when the footer cannot be read."""
    try:
        with open_raw(file) as stream:
            metadata = on_this_thread(stream).metadata
            return [metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups)]
    except GristmillError:
        raise
    except _BROKEN as error:
        if _is_device_error(error):
            raise
        raise GristmillError(
            f"{file.name} begins like a Parquet file but cannot be read ({_short(error)}); fetch it again"
        ) from None


def parquet_rows(file: FileInfo, start: int, end: int) -> Iterator[Row]:
    """Rows of the row groups [start, end)."""
    index = 0
    try:
        with open_raw(file) as stream:
            parquet = on_this_thread(stream)
            groups = list(range(start, min(end, parquet.num_row_groups)))
            if not groups:
                return
            for batch in parquet.iter_batches(batch_size=_BATCH_ROWS, row_groups=groups, use_threads=False):
                for row in _values(batch):
                    yield index, None, row
                    index += 1
    except GristmillError:
        raise
    except _BROKEN as error:
        if _is_device_error(error):
            raise
        yield index, b"", Unreadable(f"the rest of this part of the file cannot be read: {_short(error)}")


def arrow_rows(file: FileInfo, stream_format: bool) -> Iterator[Row]:
    """Rows of an Arrow IPC file or stream."""
    index = 0
    try:
        with open_raw(file) as stream:
            for batch in _batches(stream, stream_format):
                _refuse_empty(batch)
                for offset in range(0, batch.num_rows, _BATCH_ROWS):
                    for row in _values(batch.slice(offset, _BATCH_ROWS)):
                        yield index, None, row
                        index += 1
    except GristmillError:
        raise
    except _BROKEN as error:
        if _is_device_error(error):
            raise
        yield index, b"", Unreadable(f"the rest of the file cannot be read: {_short(error)}")


def _batches(stream: Any, stream_format: bool) -> Iterator[pa.RecordBatch]:
    if stream_format:
        yield from pa.ipc.open_stream(stream)
        return
    reader = pa.ipc.open_file(stream)
    for number in range(reader.num_record_batches):
        yield reader.get_batch(number)


def _refuse_empty(batch: pa.RecordBatch) -> None:
    """Raises ArrowInvalid for cut buffers, and where a few bytes claim a quadrillion rows of nothing."""
    batch.validate()
    if batch.num_rows > _MAX_EMPTY and not batch.nbytes:
        raise pa.ArrowInvalid(f"{batch.num_rows} rows without any data")


def _values(batch: pa.RecordBatch) -> Iterator[Any]:
    """Rows of a batch; one that Python cannot hold (invalid UTF-8, a date out of range) is lost alone.

    Validated in full first: offsets of a hostile file point anywhere, and pyarrow would follow them.
    """
    try:
        batch.validate(full=True)
        rows = batch.to_pylist()
    except _BROKEN:
        rows = [_value(batch.slice(number, 1)) for number in range(batch.num_rows)]
    yield from rows


def _value(single: pa.RecordBatch) -> Any:
    try:
        single.validate(full=True)
        return single.to_pylist()[0]
    except _BROKEN as error:
        return Unreadable(f"a row that cannot be read: {_short(error)}")


def _is_device_error(error: BaseException) -> bool:
    """Whether the disk or the network failed, not the data: then the run must stop, not lose rows."""
    return isinstance(error, OSError) and error.errno is not None


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:200].encode("utf-8", "replace").decode() or type(error).__name__
