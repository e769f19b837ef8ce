"""Token counts under a Hugging Face tokenizer's definition (``tokenizer.json``)."""

import os
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa


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
