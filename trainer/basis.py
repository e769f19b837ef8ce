"""What model a run starts from, by content: a digest of its weights and configuration, however its path is written."""

import json
import os
from pathlib import Path
from typing import Any

from trainer.gguf import gguf_file
from trainer.pin import digest_of
from trainer.whole import sha256_of

CACHE = "weights.json"  # sha256 by path, size and time of change: gigabytes are not hashed at every start


def basis_digest(name: str, base: Path, cache: Path, commit: str | None = None) -> str:
    """sha256 in hex of what ``trainer.model.load`` reads for ``name``.

    Args:
        base: what a relative path starts at.
        cache: folder of the digests that were computed before.
        commit: of the hub's repository, for a model that came from there; git's own digest of all its files.
    """
    place = (base / name).expanduser()
    gguf = gguf_file(place, name)
    if gguf is not None:
        return digest_of({"gguf": _digests([gguf], cache)[0]})
    if not place.is_dir():
        return digest_of({"hub": commit or name})
    files = sorted([*place.glob("*.safetensors"), *place.glob("*.safetensors.index.json")])
    if not any(one.suffix == ".safetensors" for one in files):
        files = sorted([*place.glob("*.bin"), *place.glob("*.bin.index.json")])
    files = [one for one in [place / "config.json", *files] if one.is_file()]
    return digest_of({path.name: digest for path, digest in zip(files, _digests(files, cache))})


def _digests(files: list[Path], cache: Path) -> list[str]:
    kept = cache / CACHE
    try:
        known: dict[str, Any] = dict(json.loads(kept.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        known = {}
    found = []
    before = dict(known)
    for path in files:
        state = path.stat()
        key = [state.st_size, state.st_mtime_ns]
        entry = known.get(str(path.resolve()))
        if not (isinstance(entry, list) and entry[:2] == key and len(entry) == 3):
            entry = known[str(path.resolve())] = [*key, sha256_of(path)]
        found.append(str(entry[2]))
    if known != before:
        partial = kept.with_name(f".{kept.name}.{os.getpid()}")
        try:
            cache.mkdir(parents=True, exist_ok=True)
            partial.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", encoding="utf-8")
            partial.replace(kept)
        except OSError:  # it is hashed again the next time
            partial.unlink(missing_ok=True)
    return found
