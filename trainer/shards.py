"""Rows of a split out of its Parquet shards: row groups with few columns, checksums first, a bounded cache of groups.

A shard is read only after its sha256 was found to be the manifest's, once per file and run, and then through the very
handle that was hashed. What does not hold stops the run with the shard's name; nothing is skipped, because a skipped
row would move every row behind it.
"""

import hashlib
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.chat.template import Conversation, Message
from schemas.errors import GristmillError
from schemas.store import client, is_remote, patiently

HANDLES = 256  # shards held open; one that was closed for want of room is verified again when it is needed again
_CHUNK = 4 << 20  # bytes hashed at a time: large enough for the hash to let other threads run
CONVERSATION = ("id", "messages", "tools")

Rows = npt.NDArray[np.int64]


class Shard(NamedTuple):
    """A file of the split as the manifest knows it; ``url`` is a local path or what fsspec opens."""

    name: str
    url: str
    bytes: int
    sha256: str


class Shards:
    """Random access to the rows of one split, numbered in file order from 0.

    ``files`` [g], ``groups`` [g], ``rows`` [g]: of each row group of the split, its shard, its number within it, and
    its rows. ``memory``: bytes of decoded row groups that are kept; the one in use is always kept. Safe to use from
    several threads, which then wait for each other.
    """

    def __init__(
        self,
        shards: Sequence[Shard],
        files: npt.NDArray[Any],
        groups: npt.NDArray[Any],
        rows: npt.NDArray[Any],
        columns: Sequence[str] = CONVERSATION,
        memory: int = 1 << 30,
    ):
        self.shards = list(shards)
        self.files, self.groups = files, groups
        self.starts = np.concatenate([[0], np.cumsum(rows)]).astype(np.int64)
        self.columns = list(columns)
        self.memory = memory
        self.reads = 0  # row groups decoded so far; many more than there are means that memory is too small
        self._open: OrderedDict[int, tuple[IO[bytes], Any]] = OrderedDict()
        self._cache: OrderedDict[int, pa.RecordBatch] = OrderedDict()
        self._held = 0
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return int(self.starts[-1])

    def take(self, rows: Rows) -> pa.RecordBatch:
        """These rows in this order."""
        if not len(rows):
            return self.group(0).slice(0, 0)
        places = np.searchsorted(self.starts, rows, side="right") - 1
        order = np.argsort(places, kind="stable")
        parts = []
        for group in np.unique(places).tolist():
            here = rows[order[places[order] == group]] - self.starts[group]
            parts.append(self.group(group).take(pa.array(here)))
        back = np.empty(len(rows), np.int64)
        back[order] = np.arange(len(rows))
        if len(parts) == 1 and (back == np.arange(len(rows))).all():
            return parts[0]
        joined = pa.Table.from_batches(parts).combine_chunks().to_batches()[0]
        return joined.take(pa.array(back))

    def group(self, number: int) -> pa.RecordBatch:
        """A whole row group of the split.

        Raises:
            GristmillError: its shard is absent, is not the manifest's, or cannot be read.
        """
        with self._lock:
            if number in self._cache:
                self._cache.move_to_end(number)
                return self._cache[number]
            batch = self._read(int(self.files[number]), int(self.groups[number]))
            wanted = int(self.starts[number + 1] - self.starts[number])
            if batch.num_rows != wanted:
                shard = self.shards[int(self.files[number])]
                raise GristmillError(
                    f"{shard.url}: row group {int(self.groups[number])} has {batch.num_rows} rows where {wanted} were "
                    "counted; the shard changed while the run was starting, start it again"
                )
            self.reads += 1
            self._cache[number] = batch
            self._held += batch.nbytes
            while self._held > self.memory and len(self._cache) > 1:
                _, old = self._cache.popitem(last=False)
                self._held -= old.nbytes
            return batch

    def close(self) -> None:
        with self._lock:
            for handle, _ in self._open.values():
                handle.close()
            self._open.clear()
            self._cache.clear()
            self._held = 0

    def _read(self, number: int, group: int) -> pa.RecordBatch:
        shard = self.shards[number]
        if number in self._open:
            self._open.move_to_end(number)
        else:
            if len(self._open) == HANDLES:
                _, (oldest, _) = self._open.popitem(last=False)
                oldest.close()
            handle = _verified(shard)
            try:
                self._open[number] = (handle, pq.ParquetFile(handle, pre_buffer=False))
            except (OSError, pa.ArrowException) as error:
                handle.close()
                raise GristmillError(
                    f"{shard.url} is no Parquet file: {_first(error)}; make the release anew"
                ) from None
        try:
            table = self._open[number][1].read_row_group(group, columns=self.columns, use_threads=False)
            batches = table.combine_chunks().to_batches()
        except (OSError, pa.ArrowException) as error:
            raise GristmillError(
                f"{shard.url}: row group {group} cannot be read: {_first(error)}; make the release anew"
            ) from None
        if not batches:
            return pa.RecordBatch.from_pylist([], schema=table.schema)
        return batches[0]


def _verified(shard: Shard) -> IO[bytes]:
    """The shard opened, after its bytes were found to be those of the manifest."""
    digest, size = hashlib.sha256(), 0
    try:
        handle: IO[bytes] = _opened(shard.url)
        while chunk := handle.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
        handle.seek(0)
    except FileNotFoundError:
        raise GristmillError(
            f"shard {shard.name} is missing: there is no {shard.url}, which the manifest lists; copy the whole release"
        ) from None
    except GristmillError:
        raise
    except Exception as error:  # a file system of fsspec raises what its library raises
        raise GristmillError(f"shard {shard.name} cannot be read: {shard.url}: {_first(error)}") from None
    if size != shard.bytes:
        handle.close()
        raise GristmillError(
            f"shard {shard.name} is not the released one: {shard.url} has {size} bytes, the manifest says "
            f"{shard.bytes}; copy the release again"
        )
    if digest.hexdigest() != shard.sha256:
        handle.close()
        raise GristmillError(
            f"shard {shard.name} is not the released one: {shard.url} has the sha256 {digest.hexdigest()}, the "
            f"manifest says {shard.sha256}; copy the release again"
        )
    return handle


def _opened(url: str) -> IO[bytes]:
    """A local file as it is; a remote one as a nameless local copy, which is gone when it is closed: its checksum
    needs all of it anyway, and row groups are read from it many times."""
    if not is_remote(url):
        return Path(url).open("rb")
    store, key = client(url)
    copy = tempfile.TemporaryFile()  # noqa: SIM115 - it is closed with the shards
    try:
        size = int(patiently(url, "read", lambda: store.info(key))["size"])
        for start in range(0, size, _CHUNK):
            part = partial(store.cat_file, key, start=start, end=min(start + _CHUNK, size))
            copy.write(patiently(url, "read", part))
    except BaseException:
        copy.close()
        raise
    copy.seek(0)
    return copy


def _first(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def conversations(batch: pa.RecordBatch) -> list[Conversation]:
    """The rows as plain Python [n]; a message has only the fields that it fills, as curation counted them."""
    column = batch.column("messages")
    flat = column.flatten()
    columns = [flat.field(name).to_pylist() for name in ("role", "content")]
    messages: list[Message] = [{"role": role, "content": content} for role, content in zip(*columns)]
    for field in flat.type:
        values = flat.field(field.name)
        if field.name in ("role", "content") or values.null_count == len(values):
            continue
        for at in np.flatnonzero(np.asarray(values.is_valid())).tolist():
            messages[at][field.name] = values[at].as_py()
    lengths = column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    bounds = np.concatenate([[0], np.cumsum(lengths)]).tolist()
    tools = batch.column("tools").to_pylist()
    return [Conversation(messages[start:end], offer) for start, end, offer in zip(bounds, bounds[1:], tools)]
