"""Scores of any ``transformers`` sequence classifier: quality, topic, language, toxicity, whatever its labels say.

A record's scores must not depend on the records beside it. Padding and batch size change the last bits of matrix
products, so every batch has one of a few fixed shapes: the length is the record's own, rounded up to a step of
LENGTHS, and a batch that is not full is filled with copies of its first row. Scores are rounded to four decimals on
top. Another device, or another build of torch, can still differ in the fourth decimal.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from schemas.errors import GristmillError
from transforms.annotate.model_files import digest, labels, model_folder, settings_of
from transforms.records import Records

CLASSIFIER_VERSION = 1
LENGTHS = (16, 32, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 4096, 8192, 16384, 32768)
"""Tokens that a batch is padded to. Steps of a third to a half: on average a fifth of a batch is padding."""

CHARACTERS_PER_TOKEN = 16
"""Text beyond max_tokens times this is not even tokenised; English has about 4 characters a token."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Classifier:
    """``model`` is a folder or a hub id with safetensors weights; its code, if it brings any, is never run.

    Columns: ``<name>_label``, the position of the best label in ``labels()``, and a score per label: a probability
    (softmax; sigmoid where the model says multi_label_classification), or the bare output of a regression.
    """

    model: str
    name: str = "classifier"
    text: Literal["prompt", "response", "whole"] = "response"
    max_tokens: int = 512
    batch_size: int = 32
    revision: str | None = None

    def labels(self) -> tuple[str, ...]:
        """The model's own names of its classes, in the order of its outputs."""
        return labels(self._folder())

    def columns(self) -> tuple[str, ...]:
        """Names of the score columns, one for each label."""
        slugs = [re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_") for label in self.labels()]
        unique = slugs if len(set(slugs)) == len(slugs) and all(slugs) else [str(i) for i in range(len(slugs))]
        return tuple(f"{self.name}_score_{slug}" for slug in unique)

    @property
    def schema(self) -> pa.Schema:
        scores = [pa.field(column, pa.float32(), nullable=False) for column in self.columns()]
        return pa.schema([pa.field(f"{self.name}_label", pa.int16(), nullable=False), *scores])

    def identity(self) -> dict[str, Any]:
        return {
            "version": CLASSIFIER_VERSION,
            "model": digest(self._folder()),
            "text": self.text,
            "max_tokens": self.max_tokens,
            "batch_size": self.batch_size,
        }

    def check(self) -> None:
        """Find out before any work whether this can run here; fetches a hub model that is not yet on the machine.

        Raises:
            GristmillError: torch or transformers is missing, or the model is, or it is no sequence classifier.
        """
        if self.max_tokens < 1 or self.max_tokens > LENGTHS[-1]:
            raise GristmillError(
                f"classifier {self.name!r}: max_tokens is {self.max_tokens}; choose from 1 to {LENGTHS[-1]}"
            )
        if self.batch_size < 1:
            raise GristmillError(f"classifier {self.name!r}: batch_size is {self.batch_size}; it must be at least 1")
        _load(self._folder(), digest(self._folder()))

    def __call__(self, records: Records) -> pa.RecordBatch:
        scores = self._scores(self._texts(records))
        label = np.argmax(scores, axis=1) if len(scores) else np.zeros(0)
        arrays = [pa.array(label.astype(np.int16)), *(pa.array(column) for column in scores.T.copy())]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def _folder(self) -> str:
        return model_folder(self.model, self.revision)

    def _texts(self, records: Records) -> list[str]:
        """[n]: the chosen messages of each record, joined by blank lines, cut to what can matter."""
        chosen = {"prompt": ~records.assistant, "response": records.assistant}.get(
            self.text, np.ones(len(records.roles), bool)
        )
        texts = records.texts.fill_null("").filter(pa.array(chosen))
        bounds = np.r_[0, np.cumsum(records.sums(chosen))]
        rows = pa.LargeListArray.from_arrays(pa.array(bounds, pa.int64()), texts.cast(pa.large_string()))
        joined = pc.binary_join(rows, pa.scalar("\n\n", pa.large_string()))
        cut: list[str] = pc.utf8_slice_codeunits(joined, 0, self.max_tokens * CHARACTERS_PER_TOKEN).to_pylist()
        return cut

    def _scores(self, texts: list[str]) -> Floats:
        """[n, labels]"""
        import torch

        model, tokenizer, device = _load(self._folder(), digest(self._folder()))
        count = len(self.labels())
        scores = np.zeros((len(texts), count), np.float32)
        if not texts:
            return scores
        tokens = tokenizer(texts, truncation=True, max_length=self._limit(model), padding=False)["input_ids"]
        if isinstance(tokens, np.ndarray):  # pragma: no cover - some tokenizers answer with arrays
            tokens = tokens.tolist()
        for rows, length in _batches([len(one) for one in tokens], self.batch_size):
            filled = rows + rows[:1] * (self.batch_size - len(rows))
            ids = torch.full((self.batch_size, length), int(tokenizer.pad_token_id), dtype=torch.long)
            mask = torch.zeros((self.batch_size, length), dtype=torch.long)
            for place, row in enumerate(filled):
                ids[place, : len(tokens[row])] = torch.tensor(tokens[row], dtype=torch.long)
                mask[place, : len(tokens[row])] = 1
            mask[:, 0] = 1  # a text without a single token still has one place to look at
            try:
                with torch.inference_mode():
                    logits = model(input_ids=ids.to(device), attention_mask=mask.to(device)).logits
            except (torch.OutOfMemoryError, MemoryError):
                raise GristmillError(
                    f"classifier {self.name!r}: {self.batch_size} texts of {length} tokens do not fit into memory; "
                    "lower batch_size or max_tokens"
                ) from None
            scores[rows] = _probabilities(logits, model.config)[: len(rows)]
        return np.round(scores, 4)

    def _limit(self, model: Any) -> int:
        """Positions that the model knows bound the tokens that it can be shown."""
        known = getattr(model.config, "max_position_embeddings", None)
        # RoBERTa and its kin count positions from pad_token_id + 1.
        offset = 2 if getattr(model.config, "model_type", "") in ("roberta", "xlm-roberta", "camembert") else 0
        return self.max_tokens if not known or known < 1 else min(self.max_tokens, known - offset)


def _batches(lengths: list[int], size: int) -> Iterator[tuple[list[int], int]]:
    """Row numbers of one batch and the length that it is padded to; rows of one length step go together."""
    steps = np.searchsorted(LENGTHS, np.maximum(lengths, 1))
    for step in np.unique(steps).tolist():
        rows = np.flatnonzero(steps == step).tolist()
        for start in range(0, len(rows), size):
            yield rows[start : start + size], LENGTHS[step]


def _probabilities(logits: Any, config: Any) -> Floats:
    import torch

    plain = logits.float()
    if config.problem_type == "multi_label_classification":
        plain = torch.sigmoid(plain)
    elif config.num_labels > 1 and config.problem_type != "regression":
        plain = torch.softmax(plain, dim=-1)
    found: Floats = plain.cpu().numpy().astype(np.float32)
    return found


@lru_cache(maxsize=2)  # a worker meets the few models of one recipe
def _load(folder: str, expected: str) -> tuple[Any, Any, Any]:
    """Model, tokenizer and device, once a process."""
    try:
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer
    except ImportError as error:
        raise GristmillError(
            f"a classifier needs torch and transformers, and {error.name} is not installed; "
            "pip install 'gristmill[train]'"
        ) from None
    settings = settings_of(folder)
    architectures = settings.get("architectures") or []
    if not any(str(one).endswith("ForSequenceClassification") for one in architectures):
        raise GristmillError(
            f"classifier {folder}: config.json names {', '.join(map(str, architectures)) or 'no architecture'}, and a "
            "model ForSequenceClassification is needed; name another model"
        )
    # One process per core is the parallelism, and the order of a sum must not depend on how many threads share it.
    torch.set_num_threads(1)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        model, told = AutoModelForSequenceClassification.from_pretrained(
            folder,
            trust_remote_code=False,
            local_files_only=True,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
    except Exception as error:  # transformers raises OSError, ValueError, KeyError and its own for a broken folder
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise GristmillError(f"classifier {folder} cannot be loaded: {first}") from None
    if told["missing_keys"]:  # transformers fills them with random numbers
        raise GristmillError(
            f"classifier {folder}: the weights lack {sorted(told['missing_keys'])[0]}; name a model that was trained "
            "to classify"
        )
    if digest(folder) != expected:
        raise GristmillError(f"classifier {folder} changed while it was being used; run again")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    if tokenizer.pad_token_id is None:
        raise GristmillError(f"classifier {folder}: its tokenizer has no padding token; add pad_token to its settings")
    if model.config.pad_token_id is None:
        model.config.pad_token_id = tokenizer.pad_token_id
    return model.to(device).eval(), tokenizer, device
