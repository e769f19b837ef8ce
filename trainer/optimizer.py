"""AdamW, its parameter groups, and the learning rate of each step.

Precision: in fp32 everything is fp32. In bf16 the trained parameters are kept in fp32, and they are the master weights.
Full tuning computes with bf16 copies that FSDP2 gathers from them, layer by layer, also in one process; gradients are
summed and reduced in fp32. LoRA keeps its adapters in fp32 (peft) beside frozen bf16 weights. Moments are fp32, and
nothing is rounded to bf16 between steps: 16 bytes a trained parameter (weight 4, gradient 4, moments 8).
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal

Schedule = Literal["cosine", "linear", "constant"]


def decay_groups(named: Iterable[tuple[str, Any]], decay: float) -> list[dict[str, Any]]:
    """Two groups: matrices decay; norms, biases and embeddings do not.

    Decay shrinks weights that a normalisation behind them scales again; vectors and rows of embeddings that a batch
    did not touch have none, so it would only erode them. A tied head is an embedding. LoRA's A and B are matrices.
    """
    decayed: list[Any] = []
    kept: list[Any] = []
    for name, parameter in named:
        if not parameter.requires_grad:
            continue
        vector = parameter.ndim < 2
        (kept if vector or _embedding(name) else decayed).append(parameter)
    groups = [{"params": decayed, "weight_decay": decay}, {"params": kept, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def _embedding(name: str) -> bool:
    if "lora_" in name and "lora_embedding" not in name:
        return False
    parts = set(name.split(".")) - {"embed_out"}  # GPT-NeoX calls its head so
    return any(part.startswith("embed") or part in ("wte", "wpe", "word_embeddings") for part in parts)


def make_optimizer(named: Sequence[tuple[str, Any]], decay: float, betas: tuple[float, float], eps: float) -> Any:
    """Fused AdamW on GPUs and CPUs that have it; the learning rate is set before each step."""
    import torch

    groups = decay_groups(named, decay)
    options: dict[str, Any] = {"lr": 0.0, "betas": betas, "eps": eps}
    try:
        return torch.optim.AdamW(groups, fused=True, **options)
    except (RuntimeError, ValueError):  # a device without the fused kernel
        return torch.optim.AdamW(groups, foreach=False, **options)


def learning_rate(update: int, total: int, peak: float, warmup: int, schedule: Schedule, floor: float = 0.0) -> float:
    """The rate of update ``update`` of ``total``, from 0: linear warm-up over ``warmup`` updates, then the schedule.

    Args:
        floor: what cosine and linear end at, as a share of ``peak``.
    """
    if update < warmup:
        return peak * (update + 1) / (warmup + 1)
    if schedule == "constant":
        return peak
    done = min(1.0, (update - warmup) / max(1, total - warmup))
    fall = 0.5 * (1.0 + math.cos(math.pi * done)) if schedule == "cosine" else 1.0 - done
    return peak * (floor + (1.0 - floor) * fall)


def set_rate(optimizer: Any, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate
