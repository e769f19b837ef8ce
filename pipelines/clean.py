"""``gristmill clean``: what dead runs have left in a folder of releases or below a URL; never a published release.

A run that was killed leaves its staging folder, its run folder and, in a store, perhaps a claim with half the files of
a version. No reader looks at any of these, but they take room, and a claim keeps the version from being published.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson

from pipelines.publish_store import CLAIM
from schemas.errors import GristmillError
from schemas.manifest import FILE_NAME
from schemas.units import show_bytes
from transforms.storage import (
    Found,
    alive_here,
    all_files,
    folders_in,
    is_remote,
    process_lives,
    read_bytes,
    remove_files,
    remove_tree,
    this_host,
)


@dataclass(frozen=True)
class Leftover:
    """A folder that may go, and why; ``files`` are all that is in it, or those of it that go."""

    folder: Path
    what: str
    files: dict[str, Found]
    lives: bool  # its process runs on this machine

    @property
    def size(self) -> int:
        return sum(one.size for one in self.files.values())

    @property
    def changed(self) -> float:
        """Time of the last change, in seconds since 1970."""
        own = [] if is_remote(self.folder) else [self.folder.stat().st_mtime]
        return max([*own, *(one.changed for one in self.files.values())], default=0.0)


def clean(out: Path, work_dir: Path, older_than_hours: float, corpus: bool, dry_run: bool) -> int:
    """Remove leftovers in which nothing was changed for so many hours, and say so; returns bytes.

    Raises:
        GristmillError: ``older_than_hours`` is no time, or there is no such folder.
    """
    if not older_than_hours >= 0:
        raise GristmillError(f"--older-than {older_than_hours} is no time in hours; give 0 or more")
    if not is_remote(out) and not out.is_dir():
        raise GristmillError(f"{out} is no folder; name the folder or URL of releases that curate was given by --out")
    now, total, young = time.time(), 0, 0
    for one in leftovers(out, work_dir, corpus):
        if is_remote(one.folder) and not one.files:
            continue  # a name that some stores still list
        if one.lives or now - one.changed < 3600 * older_than_hours:
            young += 1
            continue
        total += one.size
        print(f"{'would remove' if dry_run else 'removed'} {one.what} {one.folder} ({show_bytes(one.size)})")
        if not dry_run:
            _remove(one)
    print(f"{'would remove' if dry_run else 'removed'} {show_bytes(total)} ({total:,} bytes)")
    if young:
        print(f"left {young}, changed within {older_than_hours:g} hours or of a run that goes on")
    return total


def leftovers(out: Path, work_dir: Path, corpus: bool) -> Iterator[Leftover]:
    """All that runs leave when they end before their time, young and old."""
    for name in folders_in(out):
        if name.name.startswith("."):
            continue
        for folder in folders_in(name):
            if folder.name.startswith(".staging-"):
                yield _whole(folder, "staged files")
            elif is_remote(folder) and not folder.name.startswith("."):
                claimed = _claimed(folder)
                if claimed is not None:
                    yield claimed
    for folder in folders_in(work_dir / "runs"):
        if folder.name.startswith(".run."):
            yield _whole(folder, "run folder")
    if corpus:
        for kind in ("corpus", "benchmarks"):
            found = all_files(work_dir / kind)
            if found:
                # Shared by all runs: what another run reads now must not go.
                yield Leftover(work_dir / kind, kind, found, _at_work(work_dir))
        return
    for kind in ("text", "signals/*", "annotations/*"):
        for folder in _below(work_dir / "corpus", kind):
            for split in folders_in(folder):
                if split.name.startswith("."):
                    yield _whole(split, "unfinished piece of the corpus")


def _whole(folder: Path, what: str) -> Leftover:
    return Leftover(folder, what, all_files(folder), alive_here(folder) is True)


def _below(folder: Path, kind: str) -> list[Path]:
    head, _, deep = kind.partition("/")
    return folders_in(folder / head) if deep else [folder / head]


def _at_work(work_dir: Path) -> bool:
    """Whether a run goes on there, or may: on another machine, which cannot be asked, as long as its folder is left."""
    return any(alive_here(one) is not False and all_files(one) for one in folders_in(work_dir / "runs"))


def _claimed(folder: Path) -> Leftover | None:
    """Files of a version that was claimed and never published; None where there is a manifest, or no claim."""
    files = all_files(folder)
    if FILE_NAME in files or CLAIM not in files:
        return None
    try:
        claim = orjson.loads(read_bytes(folder / CLAIM))
        lives = claim["host"] == this_host() and process_lives(int(claim["pid"]))
    except (FileNotFoundError, orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        lives = False
    return Leftover(folder, "claim without a release", files, lives)


def _remove(one: Leftover) -> None:
    """A claim goes last, so that nobody begins to write while its files are taken away."""
    if CLAIM not in one.files:
        remove_tree(one.folder)
        return
    if (one.folder / FILE_NAME) in [found.path for found in all_files(one.folder).values()]:
        return  # published while we looked
    remove_files([found.path for name, found in one.files.items() if name != CLAIM])
    remove_files([one.folder / CLAIM])
