"""A causal model in two parts: the backbone that gives hidden states, and the head that would give logits.

The loss reads the head's weight itself (trainer.loss), so that logits of a whole pack never exist. What a model does
to its logits beyond that product (Gemma 2 caps them, Granite divides, Cohere multiplies) is read from its
configuration and compared once with the model's own logits.
"""

from dataclasses import dataclass
from typing import Any

import torch

from schemas.errors import GristmillError
from trainer.attention.backend import Backend, windows_of
from trainer.attention.ladder import plain
from trainer.pack import Batch

# Relative to the size of what is compared, by the precision of the weights: a few roundings of a deep model's sums.
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 5e-2}


@dataclass(frozen=True)
class Head:
    """logits = cap(scale · (hidden @ weightᵀ + bias)), cap(x) = softcap · tanh(x / softcap) or x."""

    weight: torch.Tensor  # [V, d]; the embedding itself in tied models
    bias: torch.Tensor | None
    scale: float
    softcap: float | None

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """float32 (or wider), of few rows: for tests and checks."""
        raw = torch.nn.functional.linear(hidden, self.weight, self.bias)
        scaled = (raw if raw.dtype == torch.float64 else raw.float()) * self.scale
        return scaled if self.softcap is None else self.softcap * torch.tanh(scaled / self.softcap)


def causal(model: Any) -> Any:
    """The transformers model inside a peft model, or the model itself."""
    inside = getattr(model, "get_base_model", None)
    return model if inside is None else inside()


def backbone(model: Any) -> Any:
    """The part that ends in hidden states.

    Raises:
        GristmillError: the model has no such part.
    """
    whole = causal(model)
    part = whole.base_model
    if part is whole:
        raise GristmillError(f"{type(whole).__name__} has no backbone apart from its head; use a causal language model")
    return part


def head_of(model: Any) -> Head:
    """Read at every forward pass: sharding and casting replace parameters.

    Raises:
        GristmillError: the model has no head.
    """
    whole = causal(model)
    linear = whole.get_output_embeddings()
    if linear is None:
        raise GristmillError(f"{type(whole).__name__} has no language model head; use a causal language model")
    config = whole.config.get_text_config()
    scale = 1.0
    if getattr(config, "logits_scaling", None):
        scale /= float(config.logits_scaling)
    if getattr(config, "logit_scale", None):
        scale *= float(config.logit_scale)
    softcap = getattr(config, "final_logit_softcapping", None)
    return Head(linear.weight, getattr(linear, "bias", None), scale, float(softcap) if softcap else None)


def hidden_states(model: Any, batch: Batch, backend: Backend) -> torch.Tensor:
    """[T, d] of a pack, documents apart. No attention mask is passed: one would switch the isolation of
    transformers' own attention off without a word (transformers#46634), and ours reads the pack's boundaries."""
    found = backbone(model)(
        input_ids=batch.input_ids,
        position_ids=batch.position_ids,
        use_cache=False,
        **backend.arguments(batch, windows_of(causal(model).config)),
    )
    hidden: torch.Tensor = found.last_hidden_state[0]
    return hidden


def own_logits(model: Any, ids: torch.Tensor) -> torch.Tensor:
    """[t, V] of one document alone, as the model computes them itself with transformers' eager attention."""
    with plain(causal(model), "eager"), torch.no_grad():
        logits: torch.Tensor = causal(model)(input_ids=ids[None], use_cache=False).logits[0]
    return logits


def check_head(model: Any, ids: torch.Tensor) -> None:
    """Compare the head read here with the logits of the model itself, on one short document.

    Raises:
        GristmillError: they differ.
    """
    whole = causal(model)
    with plain(whole, "eager"), torch.no_grad():
        hidden = backbone(whole)(input_ids=ids[None], use_cache=False).last_hidden_state[0]
        ours, own = head_of(whole).logits(hidden), whole(input_ids=ids[None], use_cache=False).logits[0]
    apart, size = float((ours - own).abs().max()), float(own.abs().max())
    if not apart <= TOLERANCE[hidden.dtype] * max(size, 1e-6):
        raise GristmillError(
            f"the logits of {type(whole).__name__} are {apart:.3g} away (of {size:.3g}) from hidden states times its "
            "head's weight with the bias, scale and cap its configuration tells, so its loss cannot be computed in "
            "chunks; use another model"
        )
