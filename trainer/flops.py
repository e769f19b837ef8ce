"""What a model costs, counted: parameters, floating-point operations of a step, and what devices can do at most."""

from dataclasses import dataclass
from typing import Any

import torch

from trainer.head import causal, head_of

# Dense matrix products in bfloat16 with float32 sums, FLOP/s, without sparsity: the makers' data sheets. The first name
# of which the device's name holds all words counts, so the special ones stand first; an A4000 is no A40.
PEAKS = (
    ("B200", 2.25e15),
    ("B100", 1.75e15),
    ("GH200", 9.89e14),
    ("H200", 9.89e14),
    ("H100 PCIe", 7.56e14),
    ("H100 NVL", 8.35e14),
    ("H100", 9.89e14),
    ("H800", 9.89e14),
    ("H20", 1.48e14),
    ("A100", 3.12e14),
    ("A800", 3.12e14),
    ("A40", 1.497e14),
    ("A30", 1.65e14),
    ("A10G", 7.0e13),
    ("A10", 1.25e14),
    ("L40S", 3.62e14),
    ("L40", 1.81e14),
    ("L4", 1.21e14),
    ("RTX 4090", 1.652e14),
    ("RTX 3090", 7.1e13),
    ("MI300X", 1.3074e15),
    ("MI250X", 3.83e14),
)


@dataclass(frozen=True)
class Size:
    """Parameters, as training costs them."""

    parameters: int  # all, tied ones once
    trainable: int
    body: float  # that a token is multiplied with in the backbone; of a mixture, the share of its experts in use
    body_trainable: float
    head: int
    head_trainable: int
    attention: int  # layers · query heads · head width: FLOPs of attention for each pair of tokens, divided by 4

    def step(self, tokens: int, supervised: int, squares: int) -> float:
        """FLOPs of forward and backward over ``tokens``, of which the head sees ``supervised``.

        2 FLOPs a parameter and token forward, 2 back to the inputs, 2 for the weight's own gradient if it learns (so
        6N, and 4N for frozen weights under LoRA); attention 2 · 2 products a pair, thrice, over half of the pairs, with
        ``squares`` = Σ length² over documents and not T² (training.md 2.5). Recomputed activations do not count.
        """
        body = (4 * self.body + 2 * self.body_trainable) * tokens
        head = (4 * self.head + 2 * self.head_trainable) * supervised
        return body + head + 6.0 * self.attention * squares


def size_of(model: Any) -> Size:
    """Counted from the parameters as they are; call it before sharding."""
    whole = causal(model)
    config = whole.config.get_text_config()
    tables = {
        id(parameter)
        for module in whole.modules()
        if isinstance(module, torch.nn.Embedding)
        for parameter in module.parameters()
    }
    head = head_of(model).weight
    experts = experts_of(config)
    used = (getattr(config, "num_experts_per_tok", None) or 1) / experts if experts > 1 else 1.0
    body = body_trainable = 0.0
    for name, parameter in whole.named_parameters():
        if parameter is head or id(parameter) in tables:
            continue
        count = parameter.numel() * (used if ".experts." in name else 1.0)
        body += count
        body_trainable += count * parameter.requires_grad
    heads = int(config.num_attention_heads)
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    return Size(
        parameters=sum(one.numel() for one in whole.parameters()),
        trainable=sum(one.numel() for one in whole.parameters() if one.requires_grad),
        body=body,
        body_trainable=body_trainable,
        head=head.numel(),
        head_trainable=head.numel() * head.requires_grad,
        attention=int(config.num_hidden_layers) * heads * int(width),
    )


def experts_of(config: Any) -> int:
    """Experts of a layer, among which a router chooses for each token; 1 where there is no router."""
    names = ("num_local_experts", "num_experts", "n_routed_experts")
    return max([1, *(int(getattr(config, name, None) or 1) for name in names)])


def positions(model: Any) -> int | None:
    """Tokens of the longest text that the model is made for, where its configuration tells."""
    found = getattr(causal(model).config.get_text_config(), "max_position_embeddings", None)
    return None if found is None else int(found)


def unbalanced(model: Any) -> list[str]:
    """What to say once of a mixture of experts: nothing here keeps their use even."""
    whole = causal(model)
    experts = experts_of(whole.config.get_text_config())
    if experts == 1:
        return []
    return [
        f"{type(whole).__name__} routes tokens among {experts} experts; their auxiliary loss is not part of the loss "
        "here, as in transformers unless output_router_logits is set: fine for a short run, experts may go unused in a "
        "long one"
    ]


def peak_flops(device: Any) -> float | None:
    """FLOP/s of dense bfloat16 products on this device; None where it is not known, as for all CPUs."""
    device = torch.device(device)
    return named_peak(torch.cuda.get_device_name(device)) if device.type == "cuda" else None


def named_peak(name: str) -> float | None:
    """Of a device by the name its driver gives: "NVIDIA H100 80GB HBM3"."""
    words = f" {name} ".replace("-", " ")
    return next((peak for known, peak in PEAKS if f" {known} " in words), None)
