"""Data sets of a hub: ``hub:owner/name[:config][@revision][#split]``, streamed through ``datasets``.

A data set's own code is never run: ``datasets`` 5 has no way to.
"""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from schemas.errors import GristmillError
from transforms.readers.source import FileInfo, Row

PREFIX = "hub:"
_FORM = re.compile(r"hub:(?P<path>[^:@#]+)(?::(?P<config>[^@#]+))?(?:@(?P<revision>[^#]+))?(?:#(?P<split>.+))?")


def hub_file(path: str) -> FileInfo:
    """The pseudo file of a hub data set; raises GristmillError when the address is not of the form."""
    if _FORM.fullmatch(path) is None:
        raise GristmillError(f'"{path}" is no hub data set; write hub:owner/name[:config][@revision][#split]')
    return FileInfo(path, path.removeprefix(PREFIX).lstrip("/"), 0)


def pinned(file: FileInfo) -> tuple[FileInfo, str]:
    """The same data set at the commit that its revision means today, and a digest of that state.

    The digest stands for the content in the corpus key and the manifest: sha256 over the commit of a hub data set, or
    over names and bytes of the files where the path is a local folder.

    Raises:
        GristmillError: the hub does not answer, or does not know the data set.
    """
    match = _FORM.fullmatch(file.path)
    assert match is not None
    local = Path(match["path"])
    digest = hashlib.sha256()
    if local.is_dir():
        for path in sorted(one for one in local.rglob("*") if one.is_file()):
            digest.update(f"{path.relative_to(local).as_posix()}\0{path.stat().st_size}\0".encode())
            with path.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
        return file, digest.hexdigest()
    from huggingface_hub import HfApi

    try:
        commit = HfApi().dataset_info(match["path"], revision=match["revision"]).sha
    except Exception as error:  # the hub client raises dozens of kinds
        raise GristmillError(
            f"{file.path}: the hub cannot say which commit this is ({_short(error)}); check name and network"
        ) from None
    config, split = (f"{mark}{match[part]}" if match[part] else "" for mark, part in ((":", "config"), ("#", "split")))
    exact = f"{PREFIX}{match['path']}{config}@{commit}{split}"
    return FileInfo(exact, file.name, file.size), hashlib.sha256(exact.encode()).hexdigest()


def hub_rows(file: FileInfo) -> Iterator[Row]:
    """Rows of the data set; an error on the way stops the run, since it may be the network's."""
    index = 0
    try:
        for row in _open(file):
            yield index, None, row
            index += 1
    except GristmillError:
        raise
    except Exception as error:  # whatever a builder, a file format or the network raises
        raise GristmillError(f"{file.path} broke off after {index} rows ({_short(error)}); try again") from None


def _open(file: FileInfo) -> Any:
    import datasets  # slow to import, and most sources are files

    match = _FORM.fullmatch(file.path)
    assert match is not None
    try:
        return datasets.load_dataset(
            match["path"],
            match["config"],
            revision=match["revision"],
            split=match["split"] or "train",
            streaming=True,
        )
    except Exception as error:  # the hub client raises dozens of kinds
        raise GristmillError(
            f"{file.path} cannot be opened ({_short(error)}); check its name, config, revision and split"
        ) from None


def _short(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
