"""PyTorch's own variable-length attention (torch.nn.attention.varlen of torch 2.12 or later)."""

import inspect
from typing import Any

import torch

from trainer.attention.backend import Backend, flat, groups, needed, refuse, variable_length

try:
    from torch.nn.attention import varlen as _module
except ImportError:  # an older torch
    varlen_attn: Any = None
else:
    varlen_attn = _module.varlen_attn
_NEEDED = {"scale", "window_size", "enable_gqa"}


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
    **arguments: Any,
) -> tuple[torch.Tensor, None]:
    """Causal within each segment: a window of (-1, 0) is that, and (W - 1, 0) the last W tokens."""
    refuse("varlen", module, arguments, is_causal, dropout)
    ends, longest = needed("varlen", arguments, "cu_seq_lens_q"), needed("varlen", arguments, "max_length_q")
    first, second, third = flat(query, key, value)
    out = varlen_attn(
        first,
        second,
        third,
        ends,
        ends,
        longest,
        longest,
        scale=scaling,
        window_size=(-1 if sliding_window is None else sliding_window - 1, 0),
        enable_gqa=groups(query, key) > 1,
    )
    return out[None, ..., : value.shape[-1]], None


def unavailable(device: torch.device, dtype: torch.dtype) -> str | None:
    """Why not here: it has no kernel for CPUs (torch 2.12: aten::_flash_attention_forward is CUDA's alone)."""
    if device.type != "cuda":
        return "has a kernel for CUDA devices only"
    if dtype not in (torch.bfloat16, torch.float16):
        return f"computes in bfloat16 and float16, not in {dtype}"
    if varlen_attn is None or not set(inspect.signature(varlen_attn).parameters) >= _NEEDED:
        return f"torch {torch.__version__} has no varlen_attn with windows and grouped heads; 2.12 has"
    major = torch.cuda.get_device_capability(device)[0]
    return f"is not built for compute capability {major}.x" if major < 8 else None


VARLEN = Backend("varlen", attend, variable_length, unavailable)
