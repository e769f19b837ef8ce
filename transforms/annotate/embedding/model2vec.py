"""Static embeddings from a model2vec folder: the mean of its tokens' vectors, without torch and without model2vec.

What model2vec 0.10 (``StaticModel.encode``) computes: cut the text at ``max_length`` x median token length
characters, tokenise, cut at ``max_length`` tokens, drop unknown tokens, look each token up (through ``mapping`` where
the vocabulary was quantised), times its weight where there are ``weights``, mean, L2-normalise. A quantised model
(int8) is used as it is: one scale for all its numbers cancels in the normalisation. ``max_length`` is the config's,
512 without one.
"""

import json
import os
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from schemas.errors import GristmillError
from transforms.annotate.embedding.vectors import Floats, Text, batch, chosen_texts, digest_of, schema, unit
from transforms.records import Records

FILES = ("model.safetensors", "tokenizer.json", "config.json")
DEFAULT_MAX_TOKENS = 512
"""model2vec's ``DEFAULT_MAX_LENGTH``."""
WINDOW = 1024
"""Texts tokenised at a time: an Encoding holds strings and offsets that nobody asks for."""


@dataclass(frozen=True)
class StaticEmbedding:
    """The annotation. ``digest`` and ``dimensions`` are the folder's; ``static_embedding`` fills them in."""

    folder: str
    digest: str
    dimensions: int
    text: Text = "prompt"

    name = "embedding"

    @property
    def schema(self) -> pa.Schema:
        return schema(self.dimensions)

    def identity(self) -> dict[str, Any]:
        return {"version": 1, "kind": "model2vec", "digest": self.digest, "text": self.text}

    def check(self) -> None:
        """Raises:
        GristmillError: the folder is absent or holds another model than the recipe was read with.
        """
        found = digest_of(Path(self.folder), FILES, "diversity.embedding.model2vec")
        if found != self.digest:
            raise GristmillError(
                f"diversity.embedding.model2vec: {self.folder} now has digest {found[:12]}, not {self.digest[:12]} "
                "as when the run began; leave a model folder alone while a run reads it"
            )

    def __call__(self, records: Records) -> pa.RecordBatch:
        return batch(_load(self.folder, self.digest).encode(chosen_texts(records, self.text)))


def static_embedding(folder: str, text: Text = "prompt") -> StaticEmbedding:
    """The annotation for a model2vec folder.

    Raises:
        GristmillError: there is no such model.
    """
    digest = digest_of(Path(folder), FILES, "diversity.embedding.model2vec")
    return StaticEmbedding(folder, digest, _load(folder, digest).table.shape[1], text)


class Model:
    """A table of token vectors and its tokenizer."""

    def __init__(self, folder: Path):
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # one process per core is the parallelism
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        tensors = load_file(folder / "model.safetensors")
        settings = json.loads((folder / "config.json").read_text()) if (folder / "config.json").is_file() else {}
        self._backend: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
        # sentence-transformers calls the same tensor by another name
        vectors = tensors["embeddings"] if "embeddings" in tensors else tensors["embedding.weight"]
        table = vectors.astype(np.float32)
        mapping, weights = tensors.get("mapping"), tensors.get("weights")
        if mapping is not None:
            table = table[mapping]
        if weights is not None:
            table = table * weights.astype(np.float32)[:, None]
        vocabulary = self._backend.get_vocab()
        if table.ndim != 2 or len(table) != len(vocabulary):
            raise ValueError(f"{len(vocabulary)} tokens but a table of {' x '.join(map(str, table.shape))}")
        self.table: Floats = table  # [tokens, d]
        self._unknown = _unknown_token(self._backend)
        most: int | None = settings.get("max_length", DEFAULT_MAX_TOKENS)
        self._backend.no_padding()
        self._characters: int | None = None
        if most is None:
            self._backend.no_truncation()
        else:
            self._backend.enable_truncation(most)
            self._characters = most * int(np.median([len(token) for token in vocabulary]))

    def encode(self, texts: pa.Array) -> Floats:
        """Unit vectors [n, d]; zeros for a text without a known token."""
        if self._characters is not None:
            texts = pc.utf8_slice_codeunits(texts, 0, self._characters)
        parts = [self._encode(texts.slice(at, WINDOW).to_pylist()) for at in range(0, len(texts), WINDOW)]
        return np.concatenate([np.zeros((0, self.table.shape[1]), np.float32), *parts])

    def _encode(self, texts: list[str]) -> Floats:
        encodings = self._backend.encode_batch_fast(texts, add_special_tokens=False)
        lists = [encoding.ids for encoding in encodings]
        lengths = np.fromiter(map(len, lists), np.int64, len(lists))
        tokens = np.fromiter(chain.from_iterable(lists), np.int64, int(lengths.sum()))
        if self._unknown is not None and (unknown := tokens == self._unknown).any():
            lengths -= np.bincount(np.repeat(np.arange(len(lists)), lengths)[unknown], minlength=len(lists))
            tokens = tokens[~unknown]
        return unit(_sums(self.table, tokens, lengths))


def _sums(table: Floats, tokens: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> Floats:
    """Sum [n, d] of each text's token vectors, added in the order of the text whatever stands beside it.

    The j-th tokens of all texts are added at once, longest text first, so that each step is a slice: five times as
    fast as ``np.add.reduceat`` over gathered rows.
    """
    order = np.argsort(-lengths, kind="stable")
    starts = (np.cumsum(lengths) - lengths)[order]
    longer = np.searchsorted(-lengths[order], -np.arange(lengths.max(initial=0)))  # texts with more than j tokens
    out = np.zeros((len(lengths), table.shape[1]), np.float32)
    for step, rows in enumerate(longer.tolist()):
        out[:rows] += table[tokens[starts[:rows] + step]]
    back = np.empty_like(out)
    back[order] = out
    return back


def _unknown_token(backend: Any) -> int | None:
    """The id of the token that stands for what the vocabulary has not."""
    model = json.loads(backend.to_str())["model"]
    if model.get("unk_token") is not None:
        found: int | None = backend.token_to_id(model["unk_token"])
        return found
    return model.get("unk_id")  # Unigram


@cache
def _load(folder: str, digest: str) -> Model:
    """Once a worker."""
    try:
        return Model(Path(folder))
    except Exception as error:  # the backends raise bare Exception
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise GristmillError(
            f"diversity.embedding.model2vec: {folder} cannot be read as a model2vec model ({first}); it needs "
            "model.safetensors "
            "with a tensor named embeddings, tokenizer.json and config.json"
        ) from None
