"""What a rung of the ladder is, and what all attention functions share.

A rung registers a function with transformers' ``AttentionInterface`` under its own name and no mask under that name,
so that models build none (transformers 5, masking_utils._preprocess_mask_arguments: an implementation without a mask
function gets None). Where documents end reaches the function as keyword arguments of the forward pass, which models
hand down to every layer. A function that does not find them raises: nothing here attends across a pack by default.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from schemas.errors import GristmillError
from trainer.pack import Batch

Arguments = dict[str, Any]
Windows = tuple[int | None, ...]  # the attention windows of a model's layers; None is all of the document
# What some models ask of attention beyond query, key, value, scale and window; a kernel that lacks it must say so.
EXTRAS = ("softcap", "s_aux", "sinks", "position_bias", "indices", "block_indices")


@dataclass(frozen=True)
class Backend:
    """One rung."""

    name: str  # as the config names it
    attend: Callable[..., tuple[torch.Tensor, None]]  # transformers' attention function
    arguments: Callable[[Batch, Windows], Arguments]  # of the forward pass, from a pack's segments
    unavailable: Callable[[torch.device, torch.dtype], str | None]  # why it cannot be used here, or None
    compiles: bool = True  # False: its Python differs from pack to pack, so a compiled layer would be rebuilt each time

    @property
    def implementation(self) -> str:
        """Its name in transformers; without "flash", behind which transformers looks for a package."""
        return f"gristmill_{self.name.replace('flash', 'fa')}"


def register(backend: Backend) -> None:
    """Make the rung known to transformers; again is harmless."""
    from transformers import AttentionInterface

    AttentionInterface.register(backend.implementation, backend.attend)


def windows_of(config: Any) -> Windows:
    """Of a model's (text) configuration: the distinct windows its layers may ask for."""
    text = config.get_text_config()
    sliding = getattr(text, "sliding_window", None)
    return (None,) if sliding is None else (None, int(sliding))


def refuse(name: str, module: Any, extras: Arguments, is_causal: bool | None = None, dropout: float = 0.0) -> None:
    """Stop where a layer wants what this kernel does not compute; ``extras`` leaves out what it does.

    Raises:
        GristmillError: naming the layer's class, the kernel and the wish.
    """
    wanted = [key for key in EXTRAS if extras.get(key) is not None]
    if dropout:
        wanted.append("attention dropout")
    if is_causal is False or getattr(module, "is_causal", True) is False:
        wanted.append("attention to later tokens")
    if wanted:
        raise GristmillError(
            f"{type(module).__name__} wants {', '.join(wanted)}, which attention backend {name} does not compute; "
            "choose another backend"
        )


def needed(name: str, arguments: Arguments, key: str) -> Any:
    """An argument without which documents would see each other.

    Raises:
        GristmillError: it did not reach the layer.
    """
    if arguments.get(key) is None:
        raise GristmillError(
            f"attention backend {name} was called without {key}, so it does not know where documents end; "
            "this model does not hand arguments down to its attention layers, or was called without a pack"
        )
    return arguments[key]


def groups(query: torch.Tensor, key: torch.Tensor) -> int:
    """How many query heads share one key head; [1, heads, T, d] both."""
    return query.shape[1] // key.shape[1]


def flat(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """[1, heads, T, d] to [T, heads, d] as variable-length kernels read it; values padded to the query's width."""
    width = query.shape[-1]
    if value.shape[-1] != width:  # multi-head latent attention; transformers pads the same way
        value = torch.nn.functional.pad(value, [0, width - value.shape[-1]])
    first, second, third = (one.transpose(1, 2).flatten(0, 1) for one in (query, key, value))
    return first, second, third


def variable_length(batch: Batch, windows: Windows) -> Arguments:
    """Arguments under the names transformers uses for them (FlashAttentionKwargs)."""
    return {
        "cu_seq_lens_q": batch.cu_seqlens,
        "cu_seq_lens_k": batch.cu_seqlens,
        "max_length_q": batch.max_length,
        "max_length_k": batch.max_length,
    }


def document_of(batch: Batch) -> torch.Tensor:
    """int64 [T]: the number of the segment each slot is in."""
    device = batch.cu_seqlens.device
    lengths = torch.tensor(batch.lengths, device=device)
    return torch.repeat_interleave(
        torch.arange(len(batch.lengths), device=device), lengths, output_size=sum(batch.lengths)
    )
