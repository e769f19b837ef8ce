"""Embeddings by an encoder: a sentence-transformers folder, or any plain transformers encoder, through torch.

The pooling is the folder's (``1_Pooling/config.json``: mean or cls), mean over the tokens without one; the vector is
L2-normalised. The folder is read locally and runs no code of its own (``trust_remote_code`` is off).

A record's vector must not depend on the records beside it, but a matrix product may add in another order when its
shape changes. So every text is padded to one of a few lengths (powers of two) and runs among exactly ``rows`` texts,
with blanks where there are fewer: each length has one shape. What then still may differ in the last bits (where in the
batch a text stands) is rounded away to multiples of 2^-12, except for a value that lies on the very edge of two; on
another machine or version of torch a few values may differ by one step.
"""

import importlib.util
import json
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.errors import GristmillError
from transforms.annotate.embedding.vectors import Floats, Text, batch, chosen_texts, digest_of, schema, unit
from transforms.records import Records

FILES = (
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "modules.json",
    "1_Pooling/config.json",
    "model.safetensors.index.json",
)
STEP = 1 << 12
SHORTEST = 16
"""Tokens of the smallest shape."""


@dataclass(frozen=True)
class SentenceEmbedding:
    """The annotation; ``sentence_embedding`` fills in what the folder says.

    ``prefix`` goes before every text ("query: " for the E5 family). ``device`` as torch names it; it is part of the
    identity, because another device gives other last bits.
    """

    model: str
    digest: str
    dimensions: int
    text: Text = "prompt"
    max_tokens: int = 256  # sentence-transformers' all-MiniLM-L6-v2 was made for as many
    rows: int = 16
    prefix: str = ""
    device: str = "cpu"

    name = "embedding"

    @property
    def schema(self) -> pa.Schema:
        return schema(self.dimensions)

    def identity(self) -> dict[str, Any]:
        own = {"max_tokens": self.max_tokens, "rows": self.rows, "prefix": self.prefix, "device": self.device}
        return {"version": 1, "kind": "encoder", "digest": self.digest, "text": self.text, **own}

    def check(self) -> None:
        """Raises:
        GristmillError: torch is not installed, or the folder is absent or holds another model than before.
        """
        _need_torch()
        found = digest_of(Path(self.model), FILES, "embedding.model")
        if found != self.digest:
            raise GristmillError(
                f"embedding.model: {self.model} now has digest {found[:12]}, not {self.digest[:12]} as when the run "
                "began; leave a model folder alone while a run reads it"
            )

    def __call__(self, records: Records) -> pa.RecordBatch:
        encoder = _load(self.model, self.digest, self.device)
        texts = chosen_texts(records, self.text)
        return batch(encoder.encode(texts, self.max_tokens, self.rows, self.prefix))


def sentence_embedding(
    model: str,
    text: Text = "prompt",
    max_tokens: int = 256,
    rows: int = 16,
    prefix: str = "",
    device: str = "cpu",
) -> SentenceEmbedding:
    """The annotation for an encoder's folder.

    Raises:
        GristmillError: torch or the model is absent, or is of a kind that this does not run.
    """
    _need_torch()
    digest = digest_of(Path(model), FILES, "embedding.model")
    try:
        settings = json.loads((Path(model) / "config.json").read_text())
        dimensions = int(settings.get("hidden_size") or settings["dim"])
    except (KeyError, TypeError, ValueError):
        raise GristmillError(
            f"embedding.model: {model}/config.json names no hidden_size; give the folder of a transformers encoder"
        ) from None
    _pooling(Path(model))
    return SentenceEmbedding(model, digest, dimensions, text, max_tokens, rows, prefix, device)


def _need_torch() -> None:
    if importlib.util.find_spec("torch") is None:
        raise GristmillError(
            "embedding.model needs torch, which is not installed here; run pip install 'gristmill[train]', or use a "
            "static embedding (diversity.embedding.model2vec) or hashed words (dimensions), which need none"
        )


def _pooling(folder: Path) -> str:
    """ "mean" or "cls"."""
    modules = folder / "modules.json"
    if modules.is_file():
        kinds = [str(module.get("type", "")).rsplit(".", 1)[-1] for module in json.loads(modules.read_text())]
        if other := [kind for kind in kinds if kind not in ("Transformer", "Pooling", "Normalize")]:
            raise GristmillError(
                f"embedding.model: {folder} has a module {other[0]}, and only Transformer, Pooling and Normalize are "
                "run; give another model"
            )
    path = folder / "1_Pooling" / "config.json"
    if not path.is_file():
        return "mean"
    settings = json.loads(path.read_text())
    modes = [key.removeprefix("pooling_mode_") for key, on in settings.items() if on is True and "mode" in key]
    if isinstance(settings.get("pooling_mode"), str):
        modes = [settings["pooling_mode"]]
    known = {"mean_tokens": "mean", "mean": "mean", "cls_token": "cls", "cls": "cls"}
    if len(modes) != 1 or modes[0] not in known:
        raise GristmillError(
            f"embedding.model: {folder} pools by {' and '.join(modes) or 'nothing'}, and only mean_tokens or cls_token "
            "are known; give another model"
        )
    return known[modes[0]]


class Encoder:
    """A model and its tokenizer. torch itself is never imported here: transformers brings it."""

    def __init__(self, folder: Path, device: str):
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # one process per core is the parallelism
        from transformers import AutoModel, AutoTokenizer

        local: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}
        self._pooling = _pooling(folder)
        self._tokenizer: Any = AutoTokenizer.from_pretrained(str(folder), **local)
        model: Any = AutoModel.from_pretrained(str(folder), **local)
        self._model: Any = model.float().eval().requires_grad_(False).to(device)
        self._device = device
        self.dimensions = int(self._model.config.hidden_size)
        places = getattr(self._model.config, "max_position_embeddings", None)
        # RoBERTa counts positions from the padding's id + 1
        reserved = 2 if "roberta" in str(self._model.config.model_type) else 0
        self._most = int(places) - reserved if places else None

    def encode(self, texts: pa.Array, max_tokens: int, rows: int, prefix: str) -> Floats:
        """Unit vectors [n, d]; zeros for a blank text."""
        most = min(max_tokens, self._most or max_tokens)
        # A token has one character or more; this keeps a huge message from being tokenised whole. 16 is generous.
        short = pc.utf8_slice_codeunits(texts, 0, 16 * most).to_pylist()
        out = np.zeros((len(short), self.dimensions), np.float32)
        chosen = [row for row, text in enumerate(short) if text.strip()]
        if not chosen:
            return out
        found = self._tokenizer([prefix + short[row] for row in chosen], truncation=True, max_length=most)
        shapes: dict[int, list[int]] = {}
        for at, ids in enumerate(found["input_ids"]):
            shapes.setdefault(_padded(len(ids), most), []).append(at)
        for length, members in sorted(shapes.items()):
            for begin in range(0, len(members), rows):
                window = members[begin : begin + rows]
                out[[chosen[at] for at in window]] = self._tile(found["input_ids"], window, rows, length)
        return out

    def _tile(self, ids: list[list[int]], window: list[int], rows: int, length: int) -> Floats:
        """Vectors of the texts in ``window``, computed as a batch of exactly [rows, length] tokens."""
        blanks = [ids[window[0]]] * (rows - len(window))
        padded = self._tokenizer.pad(
            {"input_ids": [ids[at] for at in window] + blanks},
            padding="max_length",
            max_length=length,
            return_tensors="pt",
        )
        mask = padded["attention_mask"].numpy()
        moved = {name: padded[name].to(self._device) for name in ("input_ids", "attention_mask")}
        states = self._model(**moved).last_hidden_state.cpu().numpy()  # [rows, length, d]
        if self._pooling == "cls":
            # padding may stand on either side
            pooled = states[np.arange(rows), mask.argmax(axis=1)].astype(np.float64)
        else:
            pooled = np.zeros((rows, states.shape[2]))
            for place in range(length):  # in the order of the text: the same additions in any batch
                pooled += np.where(mask[:, place, None] == 1, states[:, place], 0)
        steps = np.rint(unit(pooled[: len(window)]).astype(np.float64) * STEP)
        return unit(steps)


def _padded(tokens: int, most: int) -> int:
    length = SHORTEST
    while length < tokens:
        length *= 2
    return min(length, most)


@cache
def _load(model: str, digest: str, device: str) -> Encoder:
    """Once a worker."""
    _need_torch()
    try:
        return Encoder(Path(model), device)
    except GristmillError:
        raise
    except Exception as error:  # transformers raises many kinds
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise GristmillError(
            f"embedding.model: {model} cannot be loaded as a transformers encoder ({first}); give another folder"
        ) from None
