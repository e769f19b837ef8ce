"""Which files a source means: a file, a folder, a glob, a saved ``datasets`` folder, a URL, a hub data set.

Names are relative to the fixed part of what was written, POSIX style: they go into records' provenance and
hashes, so they must not change when a project moves to another place or machine.
"""

import glob
import json
import os
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.errors import GristmillError
from schemas.store import check_address, is_remote
from transforms.readers.hub import PREFIX, hub_file
from transforms.readers.source import FileInfo

if TYPE_CHECKING:
    from transforms.remote import Entry

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
    if is_remote(path):
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
        return _object(Path(path).read_bytes())
    except OSError:
        return {}


def _object(content: bytes) -> dict[str, object]:
    """A JSON object, or an empty one where it is none."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
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
    """As for local paths, by the listings of a store."""
    from transforms import remote

    check_address(url)
    magic = bool(_MAGIC & set(url))
    if not magic and not url.endswith("/") and remote.is_file(url):
        return [FileInfo(url, url.rpartition("/")[2], remote.size_of(url))]
    if magic:
        scheme, _, rest = url.partition("://")
        fixed = f"{scheme}://{_fixed_url_part(rest)}"
        found = [one for one in remote.globbed(url) if is_data(one.url.rpartition("/")[2])]
    else:
        fixed = url.rstrip("/")
        found = _remote_folder(fixed)
    if not found:
        raise GristmillError(f'"{url}" {"matches no file" if magic else "holds no data files"}; check the address')
    files = [FileInfo(one.url, one.url.removeprefix(fixed).lstrip("/"), one.size) for one in found]
    return sorted(files, key=lambda file: file.name)


def _remote_folder(url: str) -> "list[Entry]":
    """Data files below a prefix, hidden folders left out; of a saved ``datasets`` folder its Arrow files."""
    from transforms import remote

    found = remote.listed(url, deep=True)
    there = {one.url for one in found}
    saved = {}
    for one in found:
        folder, _, name = one.url.rpartition("/")
        if name == "state.json" and f"{folder}/dataset_info.json" in there:
            entries = _object(remote.read_bytes(one.url)).get("_data_files")
            names = entries if isinstance(entries, list) else []
            saved[folder] = {f"{folder}/{file.get('filename')}" for file in names if isinstance(file, dict)}
            for file in sorted(saved[folder] - there):
                raise GristmillError(f"the data set saved in {folder} lacks {file.rpartition('/')[2]}; save it again")
    chosen = []
    for one in found:
        *folders, name = one.url.removeprefix(url).lstrip("/").split("/")
        inside = saved.get(one.url.rpartition("/")[0])
        hidden = any(folder.startswith(".") for folder in folders)
        if one.url in inside if inside is not None else is_data(name) and not hidden:
            chosen.append(one)
    return chosen


def _fixed_url_part(rest: str) -> str:
    parts = rest.split("/")
    for number, part in enumerate(parts):
        if _MAGIC & set(part):
            return "/".join(parts[:number])
    return "/".join(parts[:-1])
