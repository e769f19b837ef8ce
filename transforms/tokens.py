"""Token counts under a Hugging Face tokenizer, named by folder, ``tokenizer.json`` or hub id."""

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.errors import GristmillError


class Tokenizer:
    """Counts tokens of plain text: no special tokens added, and none recognised inside the text."""

    def __init__(self, definition: str):
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # one process per core is the parallelism
        from tokenizers import Tokenizer as Backend

        self._backend: Any = Backend.from_str(definition)
        self._backend.no_truncation()
        self._backend.no_padding()
        # "<|im_end|>" in data is text that somebody wrote, and is counted as such.
        self._backend.encode_special_tokens = True

    def count(self, texts: pa.Array) -> npt.NDArray[np.int64]:
        """Tokens of each text [n]."""
        counts = np.zeros(len(texts), np.int64)
        for start in range(0, len(texts), 1024):  # an Encoding holds offsets and strings: keep few of them alive
            window = texts.slice(start, 1024).to_pylist()
            encodings = self._backend.encode_batch_fast(window, add_special_tokens=False)
            counts[start : start + len(window)] = [len(encoding) for encoding in encodings]
        return counts


def load_definition(name: str, base: Path) -> str:
    """The ``tokenizer.json`` text of a folder, a file (relative to ``base``) or a hub id.

    Raises:
        GristmillError: nothing usable is there.
    """
    path = (base / name).expanduser()
    file = path / "tokenizer.json" if path.is_dir() else path
    if file.is_file():
        text = file.read_text(encoding="utf-8", errors="replace")
    elif path.exists():
        text = _from_transformers(str(path))
    else:
        text = _from_transformers(name)
    try:
        Tokenizer(text)
    except Exception as error:  # the backend raises bare Exception
        raise GristmillError(f"tokenizer {name!r}: {file} is no tokenizer.json ({error}); name another") from None
    return text


def _from_transformers(name: str) -> str:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
        return str(tokenizer.backend_tokenizer.to_str())
    except AttributeError:
        raise GristmillError(f"tokenizer {name!r} has no fast version (tokenizer.json), which counting needs") from None
    except Exception as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise GristmillError(
            f"tokenizer {name!r} is neither a folder, a tokenizer.json nor a hub id that can be loaded: {first}"
        ) from None


def digest(definition: str) -> str:
    """sha256 of the definition: what the manifest names the tokenizer by."""
    return hashlib.sha256(definition.encode()).hexdigest()
