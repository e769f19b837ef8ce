"""A dense [T, T] mask: the oracle the other rungs are compared with, and the last resort.

An explicit mask takes SDPA off its fast kernels and costs T² (training.md 2.2: packing with it can be slower than
padding). It is also the one rung that computes capped scores without a compiler (Gemma 2).
"""

from typing import Any

import torch
from torch.nn.functional import dropout as drop
from torch.nn.functional import scaled_dot_product_attention

from trainer.attention.backend import Arguments, Backend, Windows, document_of, groups, needed, refuse
from trainer.pack import Batch


def arguments_of(batch: Batch, windows: Windows) -> Arguments:
    """A bool mask [T, T] for each window, True where a query may look."""
    document = document_of(batch)
    place = torch.arange(len(document), device=document.device)
    distance = place[:, None] - place[None]
    own = (document[:, None] == document[None]) & (distance >= 0)
    return {
        "document_masks": {window: own if window is None else own & (distance < window) for window in windows},
    }


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    is_causal: bool | None = None,
    softcap: float | None = None,
    **arguments: Any,
) -> tuple[torch.Tensor, None]:
    """[1, heads, T, d] to [1, T, heads, d]."""
    refuse("dense", module, arguments, is_causal)
    mask = needed("dense", arguments, "document_masks")[sliding_window]
    key, value = (one.repeat_interleave(groups(query, one), dim=1) for one in (key, value))
    if softcap is None:
        out = scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout, scale=scaling)
    else:
        scores = query @ key.transpose(2, 3) * (query.shape[-1] ** -0.5 if scaling is None else scaling)
        scores = (softcap * torch.tanh(scores / softcap)).masked_fill(~mask, float("-inf"))
        out = drop(scores.softmax(dim=-1, dtype=torch.float32).to(query.dtype), dropout, training=bool(dropout)) @ value
    return out.transpose(1, 2).contiguous(), None


def unavailable(device: torch.device, dtype: torch.dtype) -> str | None:
    """It runs wherever torch does."""
    return None


DENSE = Backend("dense", attend, arguments_of, unavailable)
