"""Batches that go round the runner's shuffle: they lie in a file, and the shuffle carries their place.

Beam's local runner keeps all that it shuffles in memory, twice, passes it through one process and sends a worker its
part in one go. Flink sorts rows of a key as one record, which must fit its sort buffer (a few megabytes where task
managers are small), and Beam sends a hundred of them to a worker before it asks whether that one still listens. So
whatever is larger than a message is spilled: into the run's folder where that is on a disk, which all workers see. Into
a store only large batches go, because each is an object of its own.
"""

import os
import uuid
from dataclasses import dataclass
from typing import BinaryIO

import pyarrow as pa

from transforms.storage import is_remote, place, read_bytes, write_bytes

ON_DISK = 1 << 12
"""Bytes from which on a batch is spilled to a disk: its place takes half a kilobyte."""
IN_STORE = 1 << 20
"""The same for a store, where a put and a get take a tenth of a second."""

_LZ4, _PLAIN = pa.ipc.IpcWriteOptions(compression="lz4"), pa.ipc.IpcWriteOptions()
_TEXT = (pa.string(), pa.large_string(), pa.binary())
_ALIGNED = 8  # as Arrow's buffers are within a stream
# What travels instead of a spilled batch.
_PLACE = pa.schema([("__file", pa.string()), ("__offset", pa.int64())])


@dataclass(frozen=True)
class Spill:
    """Where batches are spilled that have at least so many bytes."""

    folder: str
    least: int


def spill_into(folder: str) -> Spill:
    """How a run spills into a folder that all its workers see."""
    return Spill(folder, IN_STORE if is_remote(folder) else ON_DISK)


def encoded(batch: pa.RecordBatch) -> pa.Buffer:
    """A batch as an Arrow IPC stream. Hashes and addresses do not compress; text does, by half and more."""
    text = any(kind in _TEXT for kind in batch.schema.types)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=_LZ4 if text else _PLAIN) as writer:
        writer.write_batch(batch)
    return sink.getvalue()


class Spilled:
    """What one call of a function spills: on a disk one file, batches one after the other, readable at once."""

    def __init__(self, spill: Spill | None):
        self._spill = spill
        self._file: BinaryIO | None = None

    def __enter__(self) -> "Spilled":
        return self

    def __exit__(self, *error: object) -> None:
        if self._file is not None:
            self._file.close()

    def leave(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch itself, or where it lies now. A retried bundle leaves its own."""
        if self._spill is None or batch.nbytes < self._spill.least:
            return batch
        name = f"{uuid.uuid4().hex}.arrow"
        if is_remote(self._spill.folder):
            file = place(self._spill.folder) / name
            write_bytes(file, encoded(batch).to_pybytes())
            return _at(str(file), 0)
        if self._file is None:
            self._file = open(os.path.join(self._spill.folder, name), "wb")  # noqa: SIM115
        self._file.write(bytes(-self._file.tell() % _ALIGNED))
        offset = self._file.tell()
        self._file.write(encoded(batch))
        self._file.flush()  # the next function may be fused to this one
        return _at(self._file.name, offset)


def _at(file: str, offset: int) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array([file]), pa.array([offset])], schema=_PLACE)


def fetch(batch: pa.RecordBatch) -> pa.RecordBatch:
    """A batch that came through the shuffle, from where it lies."""
    if not batch.schema.equals(_PLACE):
        return batch
    file, offset = batch[0][0].as_py(), batch[1][0].as_py()
    if is_remote(file):
        return pa.ipc.open_stream(read_bytes(place(file))).read_next_batch()
    # Memory-mapped: numbers are used where they lie. A retried bundle reads the same file again.
    mapped = pa.memory_map(file)
    mapped.seek(offset)
    return pa.ipc.open_stream(mapped).read_next_batch()
