"""Files that appear whole or not at all, on this machine's disk or in an object store.

A place is a ``pathlib.Path``, or for ``s3://…`` and its like a ``UPath``, of which only the arithmetic of names is used
(``/``, ``name``, ``parent``, ``str``): what reads or writes goes through the functions here. Local places are used as
ever; what a store needs is imported when a URL is met.
"""

import os
import shutil
import socket
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO, Any, NamedTuple

from schemas.errors import GristmillError
from schemas.store import check_address, hastily, is_remote

__all__ = [
    "place", "is_remote", "within", "replacing", "gone_afterwards", "mapped", "create", "remove_tree", "scratch",
    "read_bytes", "write_bytes", "opened", "is_file", "files_in", "all_files", "folders_in", "make_folder",
    "alive_here", "Found", "remove_files", "this_host", "process_lives",
]  # fmt: skip


class Found(NamedTuple):
    """A file that lies somewhere: its place, bytes, and time of its last change in seconds since 1970."""

    path: Path
    size: int
    changed: float


def place(text: str | Path) -> Path:
    """A local path, or a URL as a path of the same manners.

    Raises:
        GristmillError: the URL holds credentials, or its scheme is unknown.
    """
    plain = str(text)
    if plain.startswith("file://"):
        return Path(plain.removeprefix("file://"))
    if not is_remote(plain):
        return Path(text)
    from upath import UPath

    try:
        found: Any = UPath(check_address(plain).rstrip("/"))
    except GristmillError:
        raise
    except (ValueError, ImportError) as error:
        raise GristmillError(f"{plain} is no address of a store ({error}); write s3://bucket/folder") from None
    return found


def within(path: Path | str, folder: Path) -> bool:
    """Whether a file lies in a folder; a URL never lies in a local folder, nor the other way round."""
    if is_remote(path) or is_remote(folder):
        return str(path).startswith(f"{str(folder).rstrip('/')}/")
    return Path(path).resolve().is_relative_to(folder.resolve())


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A local temporary file to write, which becomes ``path`` on success: renamed, or put into the store whole.

    A retried or speculative bundle writes the same bytes under another temporary name; the last rename wins.
    """
    if is_remote(path):
        import tempfile

        from transforms import remote

        with tempfile.TemporaryDirectory(prefix="gristmill-") as folder:
            staging = Path(folder) / path.name
            yield staging
            remote.upload(staging, str(path))
        return
    staging = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        yield staging
        os.replace(staging, path)
    finally:
        staging.unlink(missing_ok=True)


@contextmanager
def gone_afterwards(folder: Path) -> Iterator[Path]:
    """A folder that is removed at the end. After a failure the store is asked but once, for it may be what failed; what
    stays is for gristmill clean."""
    try:
        yield folder
    except BaseException:
        with hastily():
            remove_tree(folder)
        raise
    with suppress(GristmillError):
        remove_tree(folder)


def mapped(path: Path | str) -> Any:
    """What Arrow opens a file from: a memory map, or the bytes of an object. For names whose content never changes."""
    if is_remote(path):
        from transforms import remote

        return remote.whole(str(path))
    import pyarrow as pa

    return pa.memory_map(str(path))


def create(path: Path, content: bytes) -> bool:
    """Write a file only where there is none, however many try at once; whether this call's content stands there."""
    if is_remote(path):
        from transforms import remote

        return remote.create(str(path), content)
    staging = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        staging.write_bytes(content)
        os.link(staging, path)
    except FileExistsError:
        return False
    finally:
        staging.unlink(missing_ok=True)
    return True


def read_bytes(path: Path) -> bytes:
    """All of a file; raises FileNotFoundError."""
    if is_remote(path):
        from transforms import remote

        return remote.read_bytes(str(path))
    return path.read_bytes()


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file; its folder is made."""
    if is_remote(path):
        from transforms import remote

        return remote.write_bytes(str(path), content)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as staging:
        staging.write_bytes(content)


def opened(path: Path | str, until: int | None = None) -> IO[bytes]:
    """A file to read, seekable; ``until``: of what lies behind this byte only little will be asked for."""
    if is_remote(path):
        from transforms import remote

        return remote.opened(str(path), until)
    return open(path, "rb")


def is_file(path: Path) -> bool:
    if is_remote(path):
        from transforms import remote

        return remote.is_file(str(path))
    return path.is_file()


def files_in(folder: Path, pattern: str = "*") -> list[Path]:
    """Files directly in a folder by name; none where there is no folder."""
    if is_remote(folder):
        from transforms import remote

        found = [folder / one.url.rpartition("/")[2] for one in remote.listed(str(folder))]
        return sorted((one for one in found if fnmatchcase(one.name, pattern)), key=lambda one: one.name)
    return sorted(folder.glob(pattern))


def all_files(folder: Path) -> dict[str, Found]:
    """Every file below a folder, by its name from there (with ``/`` on every system)."""
    if is_remote(folder):
        from transforms import remote

        start = len(str(folder).rstrip("/")) + 1
        return {
            one.url[start:]: Found(folder / one.url[start:], one.size, one.changed)
            for one in remote.listed(str(folder), deep=True)
        }
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or path.is_file():
            facts = path.lstat()
            found[path.relative_to(folder).as_posix()] = Found(path, facts.st_size, facts.st_mtime)
    return found


def folders_in(folder: Path) -> list[Path]:
    """Folders, or prefixes, directly below one; hidden ones too."""
    if is_remote(folder):
        from transforms import remote

        return [folder / url.rpartition("/")[2] for url in remote.folders(str(folder))]
    return sorted(one for one in folder.iterdir() if one.is_dir()) if folder.is_dir() else []


def make_folder(folder: Path) -> None:
    """Make a local folder with all above it; a store has none."""
    if not is_remote(folder):
        folder.mkdir(parents=True, exist_ok=True)


def remove_tree(folder: Path) -> None:
    """Remove a folder and all in it, as far as it can be removed."""
    if is_remote(folder):
        from transforms import remote

        return remote.remove_tree(str(folder))
    shutil.rmtree(folder, ignore_errors=True)


def remove_files(files: Sequence[Path]) -> None:
    """Remove files; one that is gone already is no error."""
    for path in files:
        if is_remote(path):
            from transforms import remote

            remote.remove([str(path)])
        else:
            path.unlink(missing_ok=True)


def this_host() -> str:
    """The host's name as the names of scratch folders have it."""
    return "".join(c if c.isalnum() else "_" for c in socket.gethostname()) or "host"


def scratch(parent: Path, name: str) -> Path:
    """A new hidden folder of this process; local ones of dead processes of this machine are removed."""
    host = this_host()
    folder = parent / f".{name}.{host}.{os.getpid()}.{uuid.uuid4().hex[:8]}"
    if is_remote(parent):
        return folder
    parent.mkdir(parents=True, exist_ok=True)
    for old in parent.glob(f".{name}.{host}.*"):
        if alive_here(old) is False:
            shutil.rmtree(old, ignore_errors=True)
    folder.mkdir()
    return folder


def alive_here(folder: Path) -> bool | None:
    """Whether the process that made a scratch folder still runs; None where it ran on another machine."""
    *_, host, pid, _ = ("", "", "", *folder.name.split("."))
    return process_lives(int(pid)) if host == this_host() and pid.isdigit() else None


def process_lives(pid: int) -> bool:
    """Whether this machine runs a process of that number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
