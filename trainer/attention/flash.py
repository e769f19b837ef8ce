"""FlashAttention 3 and 2 as their packages install them, called with the pack's boundaries and nothing derived.

transformers' own path looks at position_ids in between, which breaks the graph of a compiled layer (training.md 2.5).
"""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch

from trainer.attention.backend import Arguments, Backend, Windows, flat, needed, refuse, variable_length
from trainer.pack import Batch

HALF = (torch.bfloat16, torch.float16)


# By package; filled outside of compiled layers, in which nothing can be imported without breaking the graph.
_KERNELS: dict[str, Any] = {}


def _backend(name: str, package: str, capability: int) -> Backend:
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
        refuse(name, module, arguments, is_causal)
        ends, longest = needed(name, arguments, "cu_seq_lens_q"), needed(name, arguments, "max_length_q")
        first, second, third = flat(query, key, value)
        out = _KERNELS[package](
            first,
            second,
            third,
            cu_seqlens_q=ends,
            cu_seqlens_k=ends,
            max_seqlen_q=longest,
            max_seqlen_k=longest,
            softmax_scale=scaling,
            causal=True,
            window_size=(-1, -1) if sliding_window is None else (sliding_window - 1, 0),
            softcap=softcap or 0.0,
            **({"dropout_p": dropout} if dropout else {}),  # version 3 has no such argument and then says so
        )
        out = out[0] if isinstance(out, tuple) else out  # the first releases of version 3 return the logsumexp too
        return out[None, ..., : value.shape[-1]], None

    def unavailable(device: torch.device, dtype: torch.dtype) -> str | None:
        if device.type != "cuda":
            return "needs a CUDA device"
        if dtype not in HALF:
            return f"computes in bfloat16 and float16, not in {dtype}"
        if find_spec(package) is None:
            return f"the package {package} is not installed"
        major = torch.cuda.get_device_capability(device)[0]
        # Version 3 is written for Hopper alone (compute capability 9.x).
        if major < capability or (name == "flash3" and major != capability):
            return f"is not built for compute capability {major}.x"
        return None

    def arguments(batch: Batch, windows: Windows) -> Arguments:
        if package not in _KERNELS:
            _KERNELS[package] = import_module(package).flash_attn_varlen_func
        return variable_length(batch, windows)

    return Backend(name, attend, arguments, unavailable)


FLASH3 = _backend("flash3", "flash_attn_interface", 9)
FLASH2 = _backend("flash2", "flash_attn", 8)
