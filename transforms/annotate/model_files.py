"""The files of a local or hub model: where they lie, what they are called in an identity, what its labels are.

Nothing here imports torch or transformers.
"""

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson

from schemas.errors import GristmillError

_PATTERNS = ("*.json", "*.safetensors", "*.txt", "*.model")
"""What counts: settings, weights, tokenizer. Pickled weights (.bin) are never read, for loading them runs code."""


_TOKENIZERS = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
)


@lru_cache(maxsize=16)
def model_folder(model: str, revision: str | None) -> str:
    """The folder of a model: itself, or the hub's local copy, fetched when it is absent and the hub may be asked.

    Raises:
        GristmillError: neither a folder with a config.json nor a hub id that can be had.
    """
    path = Path(model).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise GristmillError(
                f"classifier {model!r}: the folder has no config.json; name a saved transformers model"
            )
        return str(path)
    if path.is_absolute() or model.startswith(("./", "../", "~")):
        raise GristmillError(f"classifier {model!r}: there is no such folder; name a saved model or a hub id")
    try:
        from huggingface_hub import snapshot_download

        return str(snapshot_download(model, revision=revision, allow_patterns=list(_PATTERNS)))
    except Exception as error:  # the hub's client raises its own, requests' and ValueError
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise GristmillError(
            f"classifier {model!r} is neither a folder nor a hub id that can be had: {first}"
        ) from None


@lru_cache(maxsize=16)
def settings_of(folder: str) -> dict[str, Any]:
    """config.json

    Raises:
        GristmillError: it is absent or no JSON object.
    """
    file = Path(folder) / "config.json"
    try:
        settings = orjson.loads(file.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise GristmillError(f"classifier {folder}: config.json cannot be read ({error})") from None
    if not isinstance(settings, dict):
        raise GristmillError(f"classifier {folder}: config.json holds a {type(settings).__name__}, no object")
    return settings


def labels(folder: str) -> tuple[str, ...]:
    """Names of the outputs in order; LABEL_0 and LABEL_1 where the settings name none, as transformers has it."""
    named = settings_of(folder).get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}
    try:
        ordered = [str(named[key]) for key in sorted(named, key=int)]
    except (TypeError, ValueError):
        raise GristmillError(f"classifier {folder}: id2label in config.json does not number its labels") from None
    return tuple(ordered)


@lru_cache(maxsize=16)
def digest(folder: str) -> str:
    """sha256 over the names and contents of settings, weights and tokenizer, whatever the folder is called.

    Raises:
        GristmillError: there are no safetensors weights, or no tokenizer: transformers would make up an empty one.
    """
    files = sorted({file for pattern in _PATTERNS for file in Path(folder).glob(pattern) if file.is_file()})
    if not any(file.suffix == ".safetensors" for file in files):
        raise GristmillError(f"classifier {folder}: there are no .safetensors weights; save the model in that format")
    if not any(file.name in _TOKENIZERS for file in files):
        raise GristmillError(
            f"classifier {folder}: there is no tokenizer ({', '.join(_TOKENIZERS)}); save it there too"
        )
    total = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").digest()
        total.update(file.name.encode() + b"\0" + content)
    return total.hexdigest()
