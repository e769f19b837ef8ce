"""FlexAttention with a block mask built once a pack: blocks that hold no pair of one document are never computed."""

from functools import cache
from typing import Any

import torch
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

from trainer.attention.backend import Arguments, Backend, Windows, document_of, groups, needed, refuse
from trainer.pack import Batch


@cache
def _compiled() -> Any:
    """Fast only when compiled, on a GPU; within a compiled layer it is compiled with the rest."""
    return torch.compile(flex_attention, dynamic=False)


def arguments_of(batch: Batch, windows: Windows) -> Arguments:
    """One BlockMask for each window; positions count from the start of the pack, and so do windows."""
    document = document_of(batch)
    size = len(document)

    def mask(window: int | None) -> Any:
        def seen(row: Any, head: Any, query: Any, key: Any) -> Any:
            near = (query >= key) & (document[query] == document[key])
            return near if window is None else near & (query - key < window)

        return create_block_mask(
            seen, None, None, size, size, device=document.device, _compile=document.device.type == "cuda"
        )

    return {"document_masks": {window: mask(window) for window in windows}}


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
    """[1, heads, T, d] to [1, T, heads, d]; compiled on a GPU, where alone it is fast."""
    refuse("flex", module, arguments, is_causal, dropout)
    masks = needed("flex", arguments, "document_masks")

    def capped(score: Any, row: Any, head: Any, first: Any, second: Any) -> Any:
        return score if softcap is None else softcap * torch.tanh(score / softcap)

    kernel = _compiled() if query.device.type == "cuda" and not torch.compiler.is_compiling() else flex_attention
    out = kernel(
        query,
        key,
        value,
        score_mod=None if softcap is None else capped,
        block_mask=masks[sliding_window],
        scale=scaling,
        enable_gqa=groups(query, key) > 1,
    )
    return out.transpose(1, 2).contiguous(), None


def unavailable(device: torch.device, dtype: torch.dtype) -> str | None:
    """Why not here: on a CPU it has no backward pass (torch 2.12 raises NotImplementedError)."""
    return None if device.type == "cuda" else "has no backward pass on this kind of device"


FLEX = Backend("flex", attend, arguments_of, unavailable)
