"""The part of a checkpoint that others open: weights, tokenizer, chat template, and a README that says what it is."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from schemas.chat.render import Renderer
from trainer.pin import Pin
from trainer.served import served_template


def write_served(
    folder: Path,
    state: dict[str, Any],
    model: Any,
    renderer: Renderer,
    stop_ids: Sequence[int],
    pin: Pin,
    bf16: bool,
) -> None:
    """Write what ``from_pretrained`` and a server need into ``folder``.

    Args:
        state: whole tensors by the names of the module around the model ("model.…").
        model: a transformers model, or a peft model, of which only the adapter is written.
        bf16: weights were computed with in bf16, and are written so; what training goes on with is kept apart.
    """
    import torch

    named = {name.removeprefix("model."): value for name, value in state.items()}
    adapter = hasattr(model, "peft_config")
    if adapter:
        model.save_pretrained(str(folder), state_dict=named, save_embedding_layers=False)
    else:
        if bf16:
            made: dict[int, Any] = {}  # tied names stay tied
            for name, value in named.items():
                if value.is_floating_point():
                    named[name] = made.setdefault(id(value), value.to(torch.bfloat16))
        model.save_pretrained(str(folder), state_dict=named)
        _edit(folder / "config.json", {"use_cache": True} | ({"dtype": "bfloat16"} if bf16 else {}))
        _edit(folder / "generation_config.json", {"eos_token_id": list(stop_ids)})
    template = write_tokenizer(folder, renderer)
    (folder / "README.md").write_text(_readme(model, renderer, stop_ids, pin, template, adapter), encoding="utf-8")


def write_tokenizer(folder: Path, renderer: Renderer) -> str | None:
    """The tokenizer as it was trained with, byte for byte, and the chat template; its text."""
    from transformers import PreTrainedTokenizerFast

    from schemas.chat.tokenizer import plain_backend

    tokenizer = renderer.tokenizer
    specials = {name: value for name, value in tokenizer.specials if name != "additional_special_tokens"}
    saved = PreTrainedTokenizerFast(tokenizer_object=plain_backend(tokenizer.definition), **specials)
    template = served_template(renderer)
    saved.chat_template = template
    saved.save_pretrained(str(folder))
    (folder / "tokenizer.json").write_text(tokenizer.definition, encoding="utf-8")
    return template


def _edit(path: Path, changes: dict[str, Any]) -> None:
    plain = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    path.write_text(json.dumps(plain | changes, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _readme(
    model: Any, renderer: Renderer, stop_ids: Sequence[int], pin: Pin, template: str | None, adapter: bool
) -> str:
    names = {number: name for name, number in renderer.encoder.specials.items()}
    stops = ", ".join(f"`{names.get(one, one)}` ({one})" for one in stop_ids)
    lines = [
        "# Trained with Gristmill",
        "",
        f"- release: {pin.release_name} (`{pin.release[:16]}…`), split {pin.split}",
        f"- chat template: {pin.template_name}; an answer ends with {stops}",
        f"- {'LoRA adapter; open it with peft on its base model' if adapter else 'all weights were trained'}",
        "- `pin.json`: hashes of release, template, tokenizer, plan, settings; `resume/`: what training goes on with",
        "",
    ]
    if template is None:
        lines += [
            f"There is no Jinja twin of the template {pin.template_name}, so `chat_template.jinja` is missing: render "
            "prompts with Gristmill (`schemas/chat`), or the model sees prompts that it was not trained on.",
            "",
        ]
    else:
        lines += ["`chat_template.jinja` renders the prompts that the model was trained on.", ""]
    if pin.lineage:
        lines += [f"It was continued on other inputs {len(pin.lineage)} times; see `lineage` in `pin.json`.", ""]
    return "\n".join(lines)
