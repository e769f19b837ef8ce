"""LoRA by peft: small trainable matrices beside frozen ones."""

from collections.abc import Sequence
from typing import Any

import torch

from schemas.errors import GristmillError
from trainer.head import causal


def linear_names(model: Any) -> list[str]:
    """Last names of all linear layers but the head, sorted: what "auto" adapts (QLoRA, arXiv:2305.14314, section 4:
    all linear layers are needed to match full tuning)."""
    whole = causal(model)
    head = whole.get_output_embeddings()
    found = {
        name.rsplit(".", 1)[-1]
        for name, module in whole.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    }
    return sorted(found)


def add_lora(
    model: Any,
    rank: int = 16,
    alpha: float = 32,
    dropout: float = 0.0,
    targets: str | Sequence[str] = "auto",
    seed: int = 0,
) -> Any:
    """The model with adapters, everything else frozen; ``trainer.head`` and the checkpoint see through it.

    Adapters start as nothing (one of the two matrices is 0), so the first loss is the base model's.

    Raises:
        GristmillError: peft is missing, or a target names no linear layer.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError:
        raise GristmillError("LoRA needs the package peft; install it or set lora off") from None
    known = linear_names(model)
    chosen = known if targets == "auto" else [targets] if isinstance(targets, str) else list(targets)
    missing = [name for name in chosen if name not in known]
    if missing or not chosen:
        raise GristmillError(
            f"LoRA target {', '.join(missing) or '(none)'} is no linear layer of {type(model).__name__}; "
            f"it has {', '.join(known) or 'none'}"
        )
    torch.manual_seed(seed)
    # peft calls it an int, writes it into adapter_config.json as it is given, and divides it by the rank; a server may
    # insist on the int where there is one.
    scale: Any = int(alpha) if float(alpha).is_integer() else float(alpha)
    settings = LoraConfig(r=rank, lora_alpha=scale, lora_dropout=dropout, target_modules=chosen, task_type="CAUSAL_LM")
    return get_peft_model(model, settings)


def load_lora(model: Any, folder: str, trainable: bool = True) -> Any:
    """The model with the adapters of a checkpoint, to go on with.

    Raises:
        GristmillError: the folder holds no adapter that fits.
    """
    from peft import PeftModel

    try:
        return PeftModel.from_pretrained(model, folder, is_trainable=trainable)
    except (OSError, ValueError, RuntimeError) as error:
        first = str(error).strip().splitlines()[0]
        raise GristmillError(f"{folder} holds no LoRA adapter for {type(model).__name__}: {first}") from None
