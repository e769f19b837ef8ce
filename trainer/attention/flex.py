"""FlexAttention with a block mask built once a pack: blocks that hold no pair of one document are never computed."""

from functools import cache
from typing import Any

import torch

from trainer.attention.backend import Arguments, Backend, Windows, document_of, groups, needed, refuse
from trainer.pack import Batch


@cache
def _kernel(compiled: bool) -> Any:
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention, dynamic=False) if compiled else flex_attention


def arguments_of(batch: Batch, windows: Windows) -> Arguments:
    """One BlockMask for each window; positions count from the start of the pack, and so do windows."""
    from torch.nn.attention.flex_attention import create_block_mask

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

    out = _kernel(query.device.type == "cuda" and not torch.compiler.is_compiling())(
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
