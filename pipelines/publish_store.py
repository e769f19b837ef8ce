"""Publication in an object store, where no folder can be renamed.

All is written below a staging prefix. Then one run claims the version by a conditional put of ``.claim``, has the store
copy every file to its place, and puts ``manifest.json`` last, by a conditional put again: its presence is the release,
and no reader looks at anything that it does not list. The claim stays: a run that comes late cannot claim again.
"""

import os
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from schemas import manifest
from schemas.errors import GristmillError
from schemas.store import hastily
from transforms.storage import create, is_file, read_bytes, remove_files, this_host, write_bytes

CLAIM = ".claim"


def check_free(target: Path) -> None:
    """That nobody has published or claimed ``target``, and that there can be written.

    Raises:
        GristmillError: naming what stands there.
    """
    if is_file(target / manifest.FILE_NAME):
        return  # told by the caller, as of a folder
    claim = _claim_of(target)
    if claim is not None:
        raise GristmillError(_claimed(target, claim))
    probe = target.parent / f".probe.{uuid.uuid4().hex}"
    write_bytes(probe, b"")
    remove_files([probe])


def publish_in_store(folder: Path, target: Path, places: Mapping[str, str], run: dict[str, Any]) -> None:
    """Make the staged release appear at ``target``; ``places``: where in ``folder`` each of its files lies.

    Raises:
        GristmillError: another run has published this version, or is about to.
    """
    from transforms.remote import copy_all

    own = {"host": this_host(), "pid": os.getpid(), "time": time.time(), "unique": uuid.uuid4().hex}
    claim, sealed = target / CLAIM, target / manifest.FILE_NAME
    if not create(claim, orjson.dumps(own)):
        raise GristmillError(_overtaken(target) if is_file(sealed) else _claimed(target, _claim_of(target)))
    placed = [target / path for path in places] + [target / "run.json"]
    published = False
    try:
        if is_file(sealed):  # its claim was removed; the release itself never is
            placed = []
            raise GristmillError(_overtaken(target))
        copy_all([(str(folder / staged), str(target / path)) for path, staged in places.items()])
        write_bytes(target / "run.json", orjson.dumps(run, option=orjson.OPT_INDENT_2) + b"\n")
        if (_claim_of(target) or {}).get("unique") != own["unique"]:
            placed = []
            raise GristmillError(f"{target}: this run's claim was removed while it published; nothing was published")
        published = create(sealed, read_bytes(folder / manifest.FILE_NAME))
        if not published:
            placed = []
            raise GristmillError(_overtaken(target))
    finally:
        if not published:
            # The claim goes last: nobody else may begin to write while our files are taken away.
            with hastily():
                _take_back(placed, claim, own["unique"] if placed else None)


def _take_back(placed: list[Path], claim: Path, unique: object) -> None:
    """Remove what this run has placed, if the claim is still its own and no manifest came to stand there."""
    target = claim.parent
    ours = unique is not None and (_claim_of(target) or {}).get("unique") == unique
    if ours and not is_file(target / manifest.FILE_NAME):
        remove_files([*placed, claim])


def _claim_of(target: Path) -> dict[str, Any] | None:
    try:
        claim = orjson.loads(read_bytes(target / CLAIM))
    except FileNotFoundError:
        return None
    except orjson.JSONDecodeError:
        return {}
    return claim if isinstance(claim, dict) else {}


def _overtaken(target: Path) -> str:
    return f"{target} was published by another run meanwhile; this one's result is dropped"


def _claimed(target: Path, claim: dict[str, Any] | None) -> str:
    found = claim or {}
    since = found.get("time")
    when = (
        datetime.fromtimestamp(since, UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if isinstance(since, int | float) else "?"
    )
    out = target.parent.parent
    return (
        f"{target} is claimed by process {found.get('pid', '?')} of host {found.get('host', '?')} since {when}, "
        f"which is publishing it now or died at that: wait, or remove what it left with "
        f"gristmill clean {out} --older-than 0 if it is dead"
    )
