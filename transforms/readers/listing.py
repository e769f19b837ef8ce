"""Which files a source means: a file, a folder, a glob, a saved ``datasets`` folder, a URL, a hub data set.

Names are relative to the fixed part of what was written, POSIX style: they go into records' provenance and
hashes, so they must not change when a project moves to another place or machine.
"""

import glob
import json
import os
from fnmatch import fnmatch
from pathlib import Path

from schemas.errors import GristmillError
from transforms.readers.hub import PREFIX, hub_file
from transforms.readers.source import FileInfo

_NOT_DATA = (
    *(
        "README*",
        "LICEN[CS]E*",
        "*-LICEN[CS]E*",
        "NOTICE*",
        "COPYING*",
        "CHANGELOG*",
        "CITATION*",
        "Makefile",
    ),
    *("*.md", "*.rst", "*.py", "*.pyc", "*.ipynb", "*.sh", "*.yaml", "*.yml", "*.toml", "*.ini", "*.cfg"),
    *(
        "*.html",
        "*.css",
        "*.js",
        "*.pdf",
        "*.png",
        "*.jpg",
        "*.jpeg",
        "*.gif",
        "*.svg",
        "*.safetensors",
        "*.pt",
    ),
    *(
        "*.lock",
        "*.crc",
        "*.sha256",
        "_SUCCESS",
        "dataset_info.json",
        "dataset_infos.json",
        "dataset_dict.json",
    ),
    "state.json",
)
_MAGIC = frozenset("*?[")


def list_files(path: str, base: str) -> list[FileInfo]:
    """The files of a source, sorted by name. Relative paths start at ``base``.

    Raises:
      GristmillError: nothing is there.
    """
    if path.startswith(PREFIX):
        return [hub_file(path)]
    if path.startswith("file://"):
        path = path.removeprefix("file://")
    if "://" in path:
        return _remote(path)
    full = os.path.normpath(os.path.join(base, os.path.expanduser(path)))
    if os.path.isfile(full):
        found = [(full, os.path.basename(full))]
    elif os.path.isdir(full):
        found = [(each, _relative(each, full)) for each in _folder(full)]
    else:
        fixed = _fixed_part(full)
        matches = glob.glob(full, recursive=True) if _MAGIC & set(full) else []
        files = {each for match in matches for each in _matched(match)}
        found = [(each, _relative(each, fixed)) for each in files]
    if not found:
        there = "holds no data files" if os.path.isdir(full) else "matches no file"
        raise GristmillError(
            f'"{path}" {there} (looked in {_shown(full)}); check the path, it is relative to the recipe'
        )
    return sorted(
        (FileInfo(each, _shown(name), os.path.getsize(each)) for each, name in found),
        key=lambda file: file.name,
    )


def _folder(folder: str) -> list[str]:
    """Data files below a folder; of a saved ``datasets`` folder its Arrow files."""
    saved = _saved(folder)
    if saved is not None:
        return saved
    found = []
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        inner = _saved(where)
        if inner is not None:
            folders.clear()
            found.extend(inner)
            continue
        found.extend(os.path.join(where, name) for name in names if is_data(name) and _is_file(where, name))
    return found


def _saved(folder: str) -> list[str] | None:
    """Arrow files of a folder that ``save_to_disk`` of ``datasets`` wrote, else None."""
    splits = _json(os.path.join(folder, "dataset_dict.json")).get("splits")
    if isinstance(splits, list) and all(isinstance(name, str) for name in splits):
        return [each for name in splits for each in _saved(os.path.join(folder, os.path.basename(name))) or []]
    state = _json(os.path.join(folder, "state.json"))
    entries = state.get("_data_files")
    if not isinstance(entries, list) or not os.path.isfile(os.path.join(folder, "dataset_info.json")):
        return None
    names = [entry.get("filename") for entry in entries if isinstance(entry, dict)]
    files = [os.path.join(folder, os.path.basename(name)) for name in names if isinstance(name, str)]
    for each in files:
        if not os.path.isfile(each):
            name = os.path.basename(each)
            raise GristmillError(f"the data set saved in {_shown(folder)} lacks {name}; save it again")
    return files


def _json(path: str) -> dict[str, object]:
    try:
        value = json.loads(Path(path).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _matched(match: str) -> list[str]:
    """A glob's match: a data file, or a saved data set; other folders are only what ``**`` walks through."""
    if os.path.isdir(match):
        return _saved(match) or []
    return [match] if os.path.isfile(match) and is_data(os.path.basename(match)) else []


def is_data(name: str) -> bool:
    """Whether a file found in a folder or by a glob can be data; a file named by itself is always read."""
    return not name.startswith(".") and not any(fnmatch(name, pattern) for pattern in _NOT_DATA)


def _is_file(where: str, name: str) -> bool:
    return os.path.isfile(os.path.join(where, name))


def _fixed_part(pattern: str) -> str:
    parts = Path(pattern).parts
    fixed = list(parts)
    for number, part in enumerate(parts):
        if _MAGIC & set(part):
            fixed = list(parts[:number])
            break
    return str(Path(*fixed)) if fixed else ""


def _relative(path: str, folder: str) -> str:
    return Path(os.path.relpath(path, folder)).as_posix()


def _shown(path: str) -> str:
    """A path for people: without anything that UTF-8 cannot hold."""
    return path.encode("utf-8", "backslashreplace").decode()


def _remote(url: str) -> list[FileInfo]:
    from apache_beam.io.filesystems import FileSystems

    scheme, _, rest = url.partition("://")
    fixed = f"{scheme}://{_fixed_url_part(rest)}"
    try:
        found = FileSystems.match([url])[0].metadata_list
        if not found and not _MAGIC & set(url):
            fixed = url.rstrip("/")
            found = FileSystems.match([f"{fixed}/**"])[0].metadata_list
    except Exception as error:  # each store's client raises its own
        short = " ".join(str(error).split())[:200]
        raise GristmillError(f'"{url}" cannot be listed ({short}); check the address and the access to it') from None
    files = []
    for entry in found:
        name = entry.path.removeprefix(fixed).lstrip("/") or entry.path.rsplit("/", 1)[-1]
        if entry.path == url or is_data(name.rsplit("/", 1)[-1]):
            files.append(FileInfo(entry.path, name, entry.size_in_bytes))
    if not files:
        raise GristmillError(f'"{url}" matches no file; check the address')
    return sorted(files, key=lambda file: file.name)


def _fixed_url_part(rest: str) -> str:
    parts = rest.split("/")
    for number, part in enumerate(parts):
        if _MAGIC & set(part):
            return "/".join(parts[:number])
    return "/".join(parts[:-1])
