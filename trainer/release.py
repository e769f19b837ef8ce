"""A release as the trainer opens it: its manifest, and of each split the shards in order and their row groups.

Only the manifest and the shards' footers are read here; rows and checksums of shards are the stream's (``shards.py``).
"""

import hashlib
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.errors import GristmillError
from schemas.manifest import FILE_NAME, FORMAT, File, Manifest
from schemas.store import client, is_remote, patiently
from schemas.strict import nearest, validate
from trainer.shards import Shard, Shards

_SHARD = re.compile(r"data/([a-z][a-z0-9_]{0,31})-(\d{5})-of-(\d{5})\.parquet")
_AT_ONCE = 16  # footers asked for side by side: an object store answers each in tens of milliseconds
_FOOTER = 1 << 18  # bytes that a store is asked for at a time: a footer with its page index is smaller


Result = TypeVar("Result")


class RowGroups(NamedTuple):
    """The row groups of a split over all its shards, in file order; a row's id is its place among their rows."""

    files: npt.NDArray[np.int32]  # [g] the shard
    groups: npt.NDArray[np.int32]  # [g] the row group's number within it
    rows: npt.NDArray[np.int64]  # [g]

    @property
    def starts(self) -> npt.NDArray[np.int64]:
        """[g + 1] id of each row group's first row, and the number of rows."""
        return np.concatenate([[0], np.cumsum(self.rows)]).astype(np.int64)


@dataclass(frozen=True)
class Release:
    """An opened release; ``location`` is a local folder or a URL, without a slash at its end."""

    location: str
    manifest: Manifest
    manifest_sha256: str  # of the bytes of manifest.json

    @property
    def digest(self) -> str:
        """What the release is, to the byte: the digest that its manifest seals all files with."""
        return self.manifest.release_digest

    @property
    def name(self) -> str:
        return f"{self.manifest.name}/{self.manifest.version}"

    @cached_property
    def splits(self) -> dict[str, list[File]]:
        """Shards of each split in order.

        Raises:
            GristmillError: the manifest names a shard in a way that no release does, or lacks one.
        """
        numbered: dict[str, dict[int, File]] = {}
        totals: dict[str, set[int]] = {}
        for file in self.manifest.files:
            if not file.path.startswith("data/"):
                continue
            match = _SHARD.fullmatch(file.path)
            if match is None or file.rows is None:
                raise GristmillError(
                    f"{self.location}/{FILE_NAME} lists {file.path!r}, which is no shard with a number of rows; "
                    "publish the release anew"
                )
            numbered.setdefault(match[1], {})[int(match[2])] = file
            totals.setdefault(match[1], set()).add(int(match[3]))
        for split, files in numbered.items():
            if sorted(files) != list(range(len(files))) or totals[split] != {len(files)}:
                raise GristmillError(
                    f"{self.location}/{FILE_NAME} lists {len(files)} shards of split {split}, and their names say "
                    f"{' or '.join(map(str, sorted(totals[split])))}; publish the release anew"
                )
        return {split: [files[number] for number in range(len(files))] for split, files in numbered.items()}

    def files(self, split: str) -> list[File]:
        """The split's shards in order.

        Raises:
            GristmillError: there is no such split.
        """
        if split not in self.splits:
            hint = nearest(split, self.splits) if self.splits else "it has none"
            raise GristmillError(f"{self.location} has no split {split!r}; {hint}")
        return self.splits[split]

    def rows(self, split: str) -> int:
        """Rows of a split, by the manifest."""
        return sum(file.rows or 0 for file in self.files(split))

    def shards(self, split: str) -> list[Shard]:
        """The split's shards as the stream opens them."""
        return [
            Shard(Path(file.path).name, f"{self.location}/{file.path}", file.bytes, file.sha256)
            for file in self.files(split)
        ]

    def row_groups(self, split: str) -> RowGroups:
        """From the footers of the split's shards.

        Raises:
            GristmillError: a shard is absent, is no Parquet file, or has other rows than the manifest says.
        """
        shards, files = self.shards(split), self.files(split)
        with ThreadPoolExecutor(min(_AT_ONCE, max(len(shards), 1))) as pool:
            counts = list(pool.map(lambda shard: _footer(shard.url), shards))
        for shard, file, groups in zip(shards, files, counts, strict=True):
            if sum(groups) != file.rows:
                raise GristmillError(
                    f"{shard.url} has {sum(groups)} rows, and the manifest says {file.rows}; it is not the shard that "
                    "was published, fetch or publish it anew"
                )
        return RowGroups(
            np.repeat(np.arange(len(counts)), [len(groups) for groups in counts]).astype(np.int32),
            np.concatenate([np.arange(len(groups)) for groups in counts] or [np.zeros(0, np.int64)]).astype(np.int32),
            np.array([rows for groups in counts for rows in groups], np.int64),
        )

    def open(self, split: str, columns: tuple[str, ...], memory: int = 1 << 30) -> Shards:
        """Random access to the rows of a split."""
        found = self.row_groups(split)
        return Shards(self.shards(split), found.files, found.groups, found.rows, columns, memory)


def open_release(location: str, base: Path | None = None) -> Release:
    """Open ``location``: a folder, relative to ``base`` (default: the working directory), or a URL that fsspec knows.

    Raises:
        GristmillError: no release is there, its manifest is not one of ours, or it was changed after publishing.
    """
    if not is_remote(location):
        location = location.removeprefix("file://")
        location = str(((base or Path()) / Path(location).expanduser()).absolute())
    location = location.rstrip("/")
    where = f"{location}/{FILE_NAME}"
    content = _read(where, location)
    try:
        data = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise GristmillError(f"{where} is damaged: {error}; publish the release anew") from None
    if isinstance(data, dict) and data.get("format") != FORMAT:
        raise GristmillError(f"{where} has format {data.get('format')!r}, this Gristmill reads format {FORMAT}")
    manifest = validate(Manifest, data, where)
    found = _digest(data)
    if found != manifest.release_digest:
        raise GristmillError(
            f"{where} says that its release_digest is {manifest.release_digest[:16] or 'nothing'}…, and its content "
            f"gives {found[:16]}…: it was changed after it was published; fetch or publish it anew"
        )
    return Release(location, manifest, hashlib.sha256(content).hexdigest())


def _digest(data: dict[str, Any]) -> str:
    """As ``Manifest.digest``, of what stands there: fields that a later Gristmill adds do not break older releases."""
    plain = {key: value for key, value in data.items() if key != "release_digest"}
    return hashlib.sha256(orjson.dumps(plain, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _read(where: str, location: str) -> bytes:
    def whole(file: Any) -> bytes:
        return bytes(file.read())

    try:
        return _opened(where, whole)
    except GristmillError:
        raise
    except (FileNotFoundError, NotADirectoryError):
        raise GristmillError(
            f"{location} is no release: it has no {FILE_NAME}; give a folder <out>/<name>/<version>"
        ) from None
    except (OSError, ValueError, ImportError) as error:
        raise GristmillError(f"{where} cannot be read: {_first(error)}") from None


def _footer(url: str) -> list[int]:
    """Rows of each row group of a Parquet file."""

    def counts(file: Any) -> list[int]:
        footer = pq.read_metadata(file)
        return [footer.row_group(number).num_rows for number in range(footer.num_row_groups)]

    try:
        return _opened(url, counts)
    except GristmillError:
        raise
    except FileNotFoundError:
        raise GristmillError(f"{url} is absent, and the manifest lists it; fetch or publish the release anew") from None
    except (OSError, ValueError, pa.ArrowException) as error:
        raise GristmillError(f"{url} is no Parquet file: {_first(error)}; fetch or publish the release anew") from None


def _opened(where: str, read: Callable[[Any], Result]) -> Result:
    """What ``read`` makes of a local file, or of a URL by fsspec."""
    if not is_remote(where):
        with open(where, "rb") as file:
            return read(file)
    store, key = client(where)

    def ask() -> Result:
        with store.open(key, "rb", block_size=_FOOTER) as remote:
            return read(remote)

    return patiently(where, "read", ask)


def _first(error: BaseException) -> str:
    """The first line of what an error says."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
