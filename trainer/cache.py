"""A cache of columns: one plain Arrow file per key, written atomically, believed only if its digest is right."""

import hashlib
import json
import os
import uuid
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.errors import GristmillError

Columns = dict[str, npt.NDArray[Any]]


class Cached(NamedTuple):
    """``columns`` [n] each; ``notes`` is JSON that belongs to them."""

    columns: Columns
    notes: dict[str, Any]


def key_of(identity: dict[str, Any]) -> str:
    """sha256 of what the columns depend on."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def path_of(folder: Path, key: str) -> Path:
    return folder / f"{key[:32]}.arrow"


def save(folder: Path, key: str, cached: Cached) -> Path:
    """Write the columns; another process that writes the same at the same time does no harm.

    Raises:
        GristmillError: the folder cannot be written to.
    """
    notes = json.dumps(cached.notes, sort_keys=True, ensure_ascii=True)
    batch = pa.record_batch([pa.array(values) for values in cached.columns.values()], names=list(cached.columns))
    metadata = {"key": key, "notes": notes, "digest": _digest(key, notes, cached.columns)}
    batch = batch.replace_schema_metadata(metadata)
    path = path_of(folder, key)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("wb") as sink:
                with pa.ipc.new_file(sink, batch.schema) as writer:
                    writer.write_batch(batch)
                sink.flush()
                os.fsync(sink.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise GristmillError(f"{path}: {error.strerror or error}; name a cache folder that can be written to") from None
    return path


def load(folder: Path, key: str) -> Cached | None:
    """What ``save`` wrote, or None: nothing is there, or it is damaged, and the caller makes it again."""
    try:
        with pa.ipc.open_file(pa.py_buffer(path_of(folder, key).read_bytes())) as reader:
            table = reader.read_all()
        metadata = {name.decode(): value.decode() for name, value in (table.schema.metadata or {}).items()}
        columns = {name: table[name].combine_chunks().to_numpy(zero_copy_only=False) for name in table.column_names}
        if metadata["key"] != key or metadata["digest"] != _digest(key, metadata["notes"], columns):
            return None
        return Cached(columns, json.loads(metadata["notes"]))
    except (OSError, KeyError, ValueError, pa.ArrowException):  # a damaged file may fail in any of these ways
        return None


def _digest(key: str, notes: str, columns: Columns) -> str:
    digest = hashlib.sha256(f"{key}\n{notes}\n".encode())
    for name, values in columns.items():
        digest.update(f"{name} {values.dtype.str} {values.shape}\n".encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()
