"""Whether the folder of a checkpoint is whole: what it was sealed with is there, to the byte, and its cursor fits its
name. Saving, resuming and removing all ask here, so none of them believes a folder that another does not.
"""

import hashlib
import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from schemas.errors import GristmillError
from trainer.pin import FILE_NAME

NAME = re.compile(r"step-(\d{8,})")
RESUME = "resume"
WEIGHTS, MOMENTS, CURSOR, SEAL = "weights.safetensors", "optimizer.safetensors", "cursor.json", "files.json"
SEALED = (CURSOR, MOMENTS, WEIGHTS)


@dataclass(frozen=True)
class Cursor:
    """``step`` steps of the present plan are done, and ``before`` updates were made under earlier plans."""

    step: int = 0
    before: int = 0

    @property
    def update(self) -> int:
        """What the checkpoint is named by."""
        return self.before + self.step


def write_cursor(checkpoint: Path, cursor: Cursor) -> None:
    (checkpoint / RESUME / CURSOR).write_text(json.dumps(asdict(cursor)) + "\n", encoding="utf-8")


def read_cursor(checkpoint: Path) -> Cursor:
    """Raises GristmillError when the file is damaged or is another folder's."""
    path = checkpoint / RESUME / CURSOR
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        numbers = [plain["step"], plain["before"]]
        sound = set(plain) == {"step", "before"} and all(type(one) is int and one >= 0 for one in numbers)
    except (OSError, ValueError, TypeError, KeyError):
        raise GristmillError(
            f"{checkpoint} is damaged: {RESUME}/{CURSOR} cannot be read; {_advice(checkpoint)}"
        ) from None
    named = NAME.fullmatch(checkpoint.name)
    if not sound or (named is not None and sum(numbers) != int(named[1])):
        raise GristmillError(
            f"{checkpoint} is damaged: {RESUME}/{CURSOR} holds {json.dumps(plain)[:80]}, which does not fit the "
            f"folder's name; {_advice(checkpoint)}"
        )
    return Cursor(*numbers)


def seal(checkpoint: Path) -> None:
    """Write down size and sha256 of what training goes on with."""
    folder = checkpoint / RESUME
    with ThreadPoolExecutor(len(SEALED)) as pool:
        digests = list(pool.map(sha256_of, [folder / name for name in SEALED]))
    sealed = {name: {"size": (folder / name).stat().st_size, "sha256": digest} for name, digest in zip(SEALED, digests)}
    (folder / SEAL).write_text(json.dumps(sealed, indent=2) + "\n", encoding="utf-8")


def flaw(checkpoint: Path, deep: bool = False) -> str | None:
    """What is wrong with a checkpoint, in a few words; None: it is whole. ``deep``: files are read and hashed too."""
    if not (checkpoint / FILE_NAME).is_file():
        return f"{FILE_NAME} is missing"
    try:
        sealed: Any = json.loads((checkpoint / RESUME / SEAL).read_text(encoding="utf-8"))
        known = {name: (int(sealed[name]["size"]), str(sealed[name]["sha256"])) for name in SEALED}
    except FileNotFoundError:
        return f"{RESUME}/{SEAL} is missing"
    except (OSError, ValueError, TypeError, KeyError):
        return f"{RESUME}/{SEAL} cannot be read"
    for name, (size, digest) in known.items():
        path = checkpoint / RESUME / name
        try:
            found = path.stat().st_size
            if found != size:
                return f"{RESUME}/{name} has {found:,} bytes, and {size:,} were written"
            if deep and sha256_of(path) != digest:
                return f"{RESUME}/{name} is not what was written (its sha256 differs)"
        except OSError as error:
            missing = isinstance(error, FileNotFoundError)
            return f"{RESUME}/{name} is missing" if missing else f"{RESUME}/{name}: {error.strerror}"
    try:
        read_cursor(checkpoint)
    except GristmillError:
        return f"{RESUME}/{CURSOR} does not fit the folder's name"
    return None


def require_whole(checkpoint: Path, deep: bool = False) -> None:
    """Raises GristmillError naming the file that is damaged and the folder to delete."""
    wrong = flaw(checkpoint, deep)
    if wrong is not None:
        raise damaged(checkpoint, wrong)


def damaged(checkpoint: Path, wrong: str) -> GristmillError:
    return GristmillError(f"{checkpoint} is damaged: {wrong}; {_advice(checkpoint)}")


def _advice(checkpoint: Path) -> str:
    return f"restore it, or delete the folder {checkpoint.name} to go on from the checkpoint before it"


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
