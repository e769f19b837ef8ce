"""What ``storage`` does with URLs: whole objects, ranges, listings, conditional puts, copies; all through fsspec.

A put is atomic in object stores: an object is there whole or not at all.
"""

import io
import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple

import pyarrow as pa

from schemas.errors import GristmillError
from schemas.store import client, patiently

BUFFER = 4 << 20
"""Bytes asked for at a time when a file is read in order."""
TAIL = 1 << 16
"""Bytes asked for at a time beyond the end of a split, for the rest of its last line."""
AT_ONCE = 8
"""Objects that one process moves side by side."""
KEPT = 256 << 20
"""Bytes of whole objects that a process keeps: stages that run one after the other read the same blocks."""

_FACTS = ("ETag", "etag", "generation", "md5Hash", "content_md5", "LastModified", "last_modified", "mtime", "created")
# What stores say when there is something already.
_CONDITION = {"PreconditionFailed", "412", "ResourceExistsError", "BlobAlreadyExists"}
_CHANGED = ("LastModified", "last_modified", "updated", "mtime", "created", "modified")


class Entry(NamedTuple):
    """One object: its URL, bytes, and time of its last change in seconds since 1970 (0 where the store has none)."""

    url: str
    size: int
    changed: float


class _Kept:
    """Whole objects by URL, those used longest ago dropped first. Only for names whose content never changes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: OrderedDict[str, pa.Buffer] = OrderedDict()
        self._size = 0

    def get(self, url: str) -> pa.Buffer | None:
        with self._lock:
            if url in self._held:
                self._held.move_to_end(url)
            return self._held.get(url)

    def put(self, url: str, content: pa.Buffer) -> None:
        if content.size > KEPT:
            return
        with self._lock:
            self._size += content.size - (self._held[url].size if url in self._held else 0)
            self._held[url] = content
            self._held.move_to_end(url)
            while self._size > KEPT:
                self._size -= self._held.popitem(last=False)[1].size

    def forget(self, prefix: str) -> None:
        with self._lock:
            for url in [one for one in self._held if one == prefix or one.startswith(f"{prefix}/")]:
                self._size -= self._held.pop(url).size


_kept = _Kept()


def read_bytes(url: str) -> bytes:
    store, key = client(url)
    return bytes(patiently(url, "read", lambda: store.cat_file(key)))


def whole(url: str) -> pa.Buffer:
    """An object whose content never changes under its name; kept in memory for the next who asks."""
    found = _kept.get(url)
    if found is None:
        found = pa.py_buffer(read_bytes(url))
        _kept.put(url, found)
    return found


def write_bytes(url: str, content: bytes) -> None:
    store, key = client(url)
    _kept.forget(url)
    try:
        patiently(url, "written", lambda: store.pipe_file(key, content))
    except FileNotFoundError:
        raise _no_bucket(url) from None


def upload(source: Path, url: str) -> None:
    """A local file to a URL, whole."""
    store, key = client(url)
    _kept.forget(url)
    try:
        patiently(url, "written", lambda: store.put_file(str(source), key))
    except FileNotFoundError:
        raise _no_bucket(url) from None


def upload_all(pairs: Sequence[tuple[Path, str]]) -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda pair: upload(*pair), pairs))


def create(url: str, content: bytes) -> bool:
    """Conditional put. An answer that got lost makes the client put again and find its own object there: what stands
    there decides."""
    store, key = client(url)

    def put() -> bool:
        try:
            store.pipe_file(key, content, mode="create")
        except Exception as error:
            if isinstance(error, FileExistsError) or _CONDITION & {_code(error), _code(error.__cause__)}:
                return False
            if _code(error.__cause__) == "ConditionalRequestConflict":
                raise TimeoutError(str(error)) from None  # somebody else puts at this very moment: ask again
            raise
        return True

    try:
        return patiently(url, "written", put) or read_bytes(url) == content
    except FileNotFoundError:
        raise _no_bucket(url) from None


def _code(error: BaseException | None) -> str:
    """The store's own word for an error: ``PreconditionFailed`` of S3, the name of the client's exception elsewhere."""
    response = getattr(error, "response", None)
    said = response.get("Error", {}) if isinstance(response, dict) else {}
    return str(said.get("Code") or type(error).__name__)


def _no_bucket(url: str) -> GristmillError:
    return GristmillError(f"{url} cannot be written: there is no such bucket; create it or name another")


def size_of(url: str) -> int:
    """Bytes of an object; raises FileNotFoundError."""
    return int(_info(url)["size"] or 0)


def is_file(url: str) -> bool:
    try:
        return str(_info(url)["type"]) == "file"
    except FileNotFoundError:
        return False


def stamp(url: str) -> list[Any]:
    """What changes when the object does: its size and what the store tells of its content or its last change."""
    facts = _info(url)
    return [int(facts["size"] or 0), *(str(facts[name]) for name in _FACTS if facts.get(name))]


def _info(url: str) -> dict[str, Any]:
    store, key = client(url)
    return dict(patiently(url, "read", lambda: store.info(key)))


def _entry(url: str, facts: dict[str, Any]) -> Entry:
    scheme, name = url.partition("://")[0], str(facts["name"])
    changed = next((facts[field] for field in _CHANGED if facts.get(field)), 0)
    seconds = changed.timestamp() if hasattr(changed, "timestamp") else changed
    where = name if "://" in name else f"{scheme}://{name.lstrip('/')}"
    return Entry(where, int(facts["size"] or 0), float(seconds) if isinstance(seconds, int | float) else 0.0)


def listed(url: str, deep: bool = False) -> list[Entry]:
    """Objects directly below a prefix, or all below it when ``deep``; none where nothing is. By URL."""
    store, key = client(url)

    def ask() -> list[dict[str, Any]]:
        try:
            return list(store.find(key, detail=True).values() if deep else store.ls(key, detail=True, refresh=True))
        except (FileNotFoundError, NotADirectoryError):
            return []

    inside = url.rstrip("/") + "/"
    found = [_entry(url, facts) for facts in patiently(url, "listed", ask) if facts["type"] == "file"]
    return sorted(one for one in found if one.url.startswith(inside))


def folders(url: str) -> list[str]:
    """URLs of the prefixes directly below a prefix."""
    store, key = client(url)

    def ask() -> list[dict[str, Any]]:
        try:
            return list(store.ls(key, detail=True, refresh=True))
        except (FileNotFoundError, NotADirectoryError):
            return []

    found = [facts for facts in patiently(url, "listed", ask) if facts["type"] == "directory"]
    return sorted(_entry(url, facts | {"size": 0}).url.rstrip("/") for facts in found)


def globbed(url: str) -> list[Entry]:
    """Files that a pattern matches, by URL."""
    store, key = client(url)
    found = patiently(url, "listed", lambda: store.glob(key, detail=True)).values()
    return sorted(_entry(url, facts) for facts in found if facts["type"] == "file")


def remove(urls: Sequence[str]) -> None:
    """Remove objects; one that is gone already is no error."""
    for url in urls:
        store, key = client(url)
        _kept.forget(url)
        try:
            patiently(url, "removed", partial(store.rm_file, key))
        except FileNotFoundError:
            pass


def remove_tree(url: str) -> None:
    """Remove all objects below a prefix."""
    _kept.forget(url)
    found = [one.url for one in listed(url, deep=True)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda one: remove([one]), found))


def copy_all(pairs: Sequence[tuple[str, str]]) -> None:
    """Copies from URL to URL, made by the store itself."""

    def copy(pair: tuple[str, str]) -> None:
        (store, source), (_, target) = client(pair[0]), client(pair[1])
        _kept.forget(pair[1])
        patiently(pair[1], "written", lambda: store.cp_file(source, target))

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(copy, pairs))


class _Ranges(io.RawIOBase):
    """An object read range by range: nothing is held, and each range is asked for again if need be."""

    def __init__(self, url: str, until: int | None):
        self._url, self._until = url, until
        self._store, self._key = client(url)
        self._size, self._at = size_of(url), 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        start, end = self._at, min(self._at + len(buffer), self._size)
        if self._until is not None:
            end = min(end, self._until if start < self._until else start + TAIL)
        if start >= end:
            return 0
        found = patiently(self._url, "read", lambda: self._store.cat_file(self._key, start=start, end=end))
        if len(found) != end - start:
            raise GristmillError(f"{self._url} gave {len(found)} bytes of {end - start}; it changed while it was read")
        buffer[: end - start] = found
        self._at = end
        return end - start


def opened(url: str, until: int | None = None) -> IO[bytes]:
    """The object as a file to read, seekable; raises FileNotFoundError. ``until``: of what lies behind this byte only
    little will be asked for."""
    return io.BufferedReader(_Ranges(url, until), BUFFER)
