"""Whether a model is what was meant: all weights from its file, rows for all tokens."""

from typing import Any

from schemas.chat.tokenizer import plain_backend
from schemas.errors import GristmillError


def refuse_holes(name: str, report: dict[str, Any]) -> None:
    """transformers fills what a file lacks with random numbers, and goes on."""
    missing = sorted(map(str, report.get("missing_keys") or ()))
    odd = sorted(str(one[0] if isinstance(one, tuple) else one) for one in report.get("mismatched_keys") or ())
    if missing or odd:
        what = f"lacks {len(missing)} weights" if missing else f"has {len(odd)} weights of another shape"
        raise GristmillError(f"model {name!r} {what}, the first {(missing or odd)[0]}; fetch it again")


def covers(model: Any, definition: str) -> None:
    """Every id of the tokenizer has an embedding.

    Raises:
        GristmillError: naming both numbers.
    """
    ids = max(plain_backend(definition).get_vocab(with_added_tokens=True).values(), default=-1) + 1
    rows = int(model.get_input_embeddings().weight.shape[0])
    if ids > rows:
        raise GristmillError(
            f"the tokenizer has ids up to {ids - 1:,} and the model embeddings for {rows:,}; they do not "
            "belong together, name the model's own tokenizer"
        )
