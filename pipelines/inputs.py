"""The recipe's sources as files, and the files as pieces of work."""

import hashlib
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from schemas.errors import GristmillError
from schemas.recipe import Recipe
from schemas.source import Source
from transforms.corpus import sound
from transforms.ingest import Measuring, SplitWork
from transforms.readers import FileInfo, FileKind, SourceOptions, list_files, plan_splits, sniff
from transforms.readers.hub import PREFIX, pinned
from transforms.readers.opening import open_raw
from transforms.storage import is_remote, read_bytes, remove_tree, write_bytes

SPLITS_PER_FILE = 8
LEAST_SPLIT = 1 << 20
"""A file is cut into up to eight pieces of at least 1 MiB, so that a few middling files still feed all workers. It
depends on the file alone: another machine or another source must not change the corpus key."""


STORE_CALLS = 16
"""Small requests that are made to a store at once: each takes tens of milliseconds, nearly all of it waiting."""


@dataclass(frozen=True)
class Input:
    """One file of a source."""

    source: str
    file: FileInfo
    kind: FileKind
    digest: str
    options: SourceOptions
    works: tuple[SplitWork, ...]
    stamp: list[Any] | None  # from before it was digested; None: it is pinned to a revision


def reading(source: Source) -> SourceOptions:
    """How a source's files are read, from its settings."""
    return SourceOptions(
        container=source.container,
        shape=source.shape,
        columns=tuple(sorted(source.columns.items())) if source.columns else None,
        trees=source.trees,
        ftfy=source.ftfy,
        placeholders=tuple(sorted(source.placeholders.items())),
        encoding=source.encoding,
        redact=tuple(sorted(set(source.redact))),
    )


def list_source(name: str, source: Source, base: Path) -> list[FileInfo]:
    """The files of a source, sorted by their names, each once, each name once.

    Raises:
        GristmillError: a path matches nothing.
    """
    found: dict[str, FileInfo] = {}
    for path in source.paths:
        try:
            for file in list_files(path, str(base)):
                found.setdefault(file.path, file)
        except GristmillError as error:
            raise GristmillError(f"source {name!r}: {error}") from None
    names = Counter(file.name for file in found.values())
    # Two folders may hold files of the same name; then the folder's own name comes before it.
    files = [
        file if names[file.name] == 1 else FileInfo(file.path, f"{Path(file.path).parent.name}/{file.name}", file.size)
        for file in found.values()
    ]
    twice = [one for one, count in Counter(file.name for file in files).items() if count > 1]
    if twice:
        raise GristmillError(
            f"source {name!r}: two files are both called {twice[0]!r} and could not be told apart in the ledger; "
            "make them two sources"
        )
    return sorted(files, key=lambda file: file.name)


def find_inputs(recipe: Recipe, base: Path, work_dir: Path, warn: Any = None) -> list[Input]:
    """All files of all sources (sources and files by name), looked at and digested.

    Raises:
        GristmillError: a path matches nothing, or a file cannot be read and the recipe does not say to skip it.
    """
    inputs = []
    corpus = str(work_dir / "corpus")
    stamps = _Stamps(work_dir / "digests.json")
    for name in sorted(recipe.sources):
        source = recipe.sources[name]
        options = reading(source)
        looked: list[tuple[FileInfo, FileKind, str | None, list[Any] | None]] = []
        for file in list_source(name, source, base):
            try:
                known = None
                if file.path.startswith(PREFIX):
                    file, known = pinned(file)
                stamp = stamp_of(file) if known is None else None
                looked.append((file, sniff(file, options), known, stamp))
            except GristmillError as error:
                if recipe.ingest.unreadable_file == "stop":
                    raise GristmillError(f"source {name!r}: {error}") from None
                if warn:
                    warn(f"source {name!r}: skipped: {error}")
        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            digests = list(pool.map(lambda one: one[2] or stamps.digest(one[0]), looked))
        for (file, kind, _, stamp), digest in zip(looked, digests, strict=True):
            split_bytes = min(int(recipe.ingest.split), max(LEAST_SPLIT, -(-file.size // SPLITS_PER_FILE)))
            works = tuple(
                SplitWork(split, options, digest, int(recipe.ingest.block), corpus)
                for split in plan_splits(file, kind, split_bytes)
            )
            inputs.append(Input(name, file, kind, digest, options, works, stamp))
    stamps.save()
    return inputs


def stamp_of(file: FileInfo) -> list[Any]:
    """What changes when a file does: of a store what it says of its content, of a local file the time of its last
    change of state, which cannot be set back by hand."""
    if is_remote(file.path):
        from transforms.remote import stamp

        return stamp(file.path)
    facts = os.stat(file.path)
    return [facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino, facts.st_dev]


def check_unchanged(inputs: list[Input], measuring: Measuring) -> None:
    """Stop when a file changed between its digest and now, and forget what was read of it.

    Raises:
        GristmillError: naming the file.
    """
    for one in inputs:
        if one.stamp is not None and stamp_of(one.file) != one.stamp:
            for work in one.works:
                forget(work, measuring)
            raise GristmillError(
                f"source {one.source!r}: {one.file.name} changed while it was read; run again when nobody writes to it"
            )


def forget(work: SplitWork, measuring: Measuring) -> None:
    """Take a split out of the corpus: the next run reads it anew."""
    for folder in (work.text, *measuring.folders(work)):
        remove_tree(folder)


def missing_works(works: Sequence[SplitWork], measuring: Measuring) -> list[int]:
    """Numbers of the works that the corpus lacks, wholly or in part; a store is asked for many at once."""
    if not (works and is_remote(works[0].corpus)):
        return [number for number, work in enumerate(works) if measuring.missing(work)]
    with ThreadPoolExecutor(STORE_CALLS) as pool:
        missing = pool.map(measuring.missing, works)
        return [number for number, one in enumerate(missing) if one]


def drop_damaged(works: Sequence[SplitWork], measuring: Measuring) -> int:
    """Take splits with a damaged file out of the corpus; returns how many.

    Reads every byte that the run would otherwise trust, at memory speed: xxh3 outruns any disk.
    """
    missing = set(missing_works(works, measuring))
    complete = [work for number, work in enumerate(works) if number not in missing]
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        checks = pool.map(lambda work: all(sound(folder) for folder in (work.text, *measuring.folders(work))), complete)
        damaged = [work for work, good in zip(complete, checks, strict=True) if not good]
    for work in damaged:
        forget(work, measuring)
    return len(damaged)


class _Stamps:
    """sha256 of files, remembered by path, size and time of change, so that a re-run does not read them again."""

    def __init__(self, path: Path):
        self._path = path
        try:
            known = orjson.loads(read_bytes(path))
        except (OSError, orjson.JSONDecodeError):
            known = {}
        self._known: dict[str, Any] = known if isinstance(known, dict) else {}

    def digest(self, file: FileInfo) -> str:
        stamp: list[Any] | None = stamp_of(file)
        # A file changed within the last two seconds may change again without its time telling.
        if not is_remote(file.path) and stamp and time.time_ns() - stamp[1] <= 2_000_000_000:
            stamp = None
        known = self._known.get(file.path)
        if stamp and isinstance(known, list) and known[:-1] == stamp and len(str(known[-1])) == 64:
            return str(known[-1])
        with open_raw(file) as stream:
            digest = hashlib.sha256()
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
        if stamp:
            self._known[file.path] = [*stamp, digest.hexdigest()]
        return digest.hexdigest()

    def save(self) -> None:
        write_bytes(self._path, orjson.dumps(self._known))


def works_of(inputs: list[Input]) -> Iterator[SplitWork]:
    for one in inputs:
        yield from one.works
