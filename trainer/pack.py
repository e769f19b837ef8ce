"""Documents into a pack: one row of fixed length whose targets never cross from one document into the next.

NumPy only; :func:`to_torch` is the one place that turns a pack into tensors.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from schemas.errors import GristmillError

if TYPE_CHECKING:
    import torch

# Padding stands in documents of its own, of this many tokens at most: attention costs the square of a document's
# length, and a model with learned positions has no more of them than its longest text.
PADDING_TOKENS = 512


class Tokens(Protocol):
    """What a document is here; trainer.stream.Document is one."""

    @property
    def ids(self) -> NDArray[np.int32]:
        """int32 [t], t ≥ 1."""

    @property
    def weights(self) -> NDArray[np.float32]:
        """float32 [t]: the weight of each token as a target; the first is never one."""


@dataclass(frozen=True)
class Pack:
    """T token slots. Position t predicts the token at t + 1 of the same document; weight 0 means: not asked."""

    input_ids: NDArray[np.int64]  # [T]
    targets: NDArray[np.int64]  # [T], a valid id everywhere, also where the weight is 0
    weights: NDArray[np.float32]  # [T], of each target; 0 on prompts, on every last token and on padding
    position_ids: NDArray[np.int64]  # [T], from 0 in each document
    cu_seqlens: NDArray[np.int32]  # [segments + 1], strictly increasing from 0 to T: documents, then padding
    max_length: int  # tokens of the longest segment, rounded up to a power of two so that kernels are seldom rebuilt
    supervised: NDArray[np.int64]  # [k], positions with a weight other than 0: found by position, never by an id
    documents: int  # segments that are documents; the rest is padding
    tokens: int  # slots that are not padding

    @property
    def lengths(self) -> NDArray[np.int64]:
        """int64 [segments], tokens."""
        return self.cu_seqlens[1:].astype(np.int64) - self.cu_seqlens[:-1]

    @property
    def weight(self) -> float:
        """What this pack adds to the step's denominator."""
        return float(self.weights.sum(dtype=np.float64))


@dataclass(frozen=True)
class Batch:
    """A pack as tensors on one device: what a forward pass reads. One row: models see [1, T]."""

    input_ids: "torch.Tensor"  # int64 [1, T]
    position_ids: "torch.Tensor"  # int64 [1, T]
    targets: "torch.Tensor"  # int64 [T]
    weights: "torch.Tensor"  # float32 [T]
    supervised: "torch.Tensor"  # int64 [k]
    cu_seqlens: "torch.Tensor"  # int32 [segments + 1]
    lengths: tuple[int, ...]  # of the segments, on the host: no kernel has to wait for the device to learn them
    max_length: int


def collate(documents: Sequence[Tokens], capacity: int, pad_id: int) -> Pack:
    """One pack of ``capacity`` slots; no document gives a dummy pack, all padding, of weight 0.

    ``cu_seqlens`` has one entry for each real segment. It is not filled up with zero-length segments, which kernels
    have stumbled over (xtuner#1081); its length is marked dynamic where layers are compiled.

    Raises:
        GristmillError: the documents have more tokens than there are slots, or one is empty.
    """
    lengths = np.fromiter((len(one.ids) for one in documents), np.int64, len(documents))
    used = int(lengths.sum())
    if used > capacity:
        raise GristmillError(f"documents of {used:,} tokens do not fit a pack of {capacity:,}; plan with that capacity")
    if capacity < 1 or (lengths == 0).any():
        raise GristmillError(f"a pack of {capacity:,} slots holds an empty document; leave out rows without tokens")
    spare = capacity - used
    padding = np.full(-(-spare // PADDING_TOKENS), PADDING_TOKENS, np.int64)
    if len(padding):
        padding[-1] = spare - PADDING_TOKENS * (len(padding) - 1)
    segments = np.concatenate((lengths, padding))
    ends = np.cumsum(segments)
    input_ids = np.full(capacity, pad_id, np.int64)
    weights = np.zeros(capacity, np.float32)
    if used:
        np.concatenate([one.ids for one in documents], out=input_ids[:used], casting="same_kind")
        as_target = np.concatenate([one.weights for one in documents])
        weights[: used - 1] = as_target[1:]
        weights[ends[: len(lengths)] - 1] = 0.0  # a last token would predict the next document
    targets = np.empty(capacity, np.int64)
    targets[:-1] = input_ids[1:]
    targets[-1] = input_ids[-1]
    return Pack(
        input_ids=input_ids,
        targets=targets,
        weights=weights,
        position_ids=np.arange(capacity) - np.repeat(ends - segments, segments),
        cu_seqlens=np.concatenate((np.zeros(1, np.int32), ends.astype(np.int32))),
        max_length=1 << (int(segments.max()) - 1).bit_length(),
        supervised=np.flatnonzero(weights),
        documents=len(lengths),
        tokens=used,
    )


def to_torch(pack: Pack, device: Any = "cpu") -> Batch:
    """The pack on a device; from pinned memory and without waiting where that is a GPU."""
    import torch

    def move(array: NDArray[Any]) -> "torch.Tensor":
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        if torch.device(device).type != "cuda":
            return tensor.to(device)
        return tensor.pin_memory().to(device, non_blocking=True)

    return Batch(
        input_ids=move(pack.input_ids)[None],
        position_ids=move(pack.position_ids)[None],
        targets=move(pack.targets),
        weights=move(pack.weights),
        supervised=move(pack.supervised),
        cu_seqlens=move(pack.cu_seqlens),
        lengths=tuple(int(length) for length in pack.lengths),
        max_length=pack.max_length,
    )
