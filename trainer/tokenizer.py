"""The tokenizer of a model, also of one that is a GGUF file and has no tokenizer.json beside it."""

import tempfile
from pathlib import Path

from schemas.chat.tokenizer import ChatTokenizer, load_tokenizer


def tokenizer_of(name: str, base: Path) -> ChatTokenizer:
    """Of whatever ``trainer.model.load`` takes a model from.

    Raises:
        GristmillError: nothing usable is there.
    """
    place = (base / name).expanduser()
    if (place / "tokenizer.json").is_file() or place.name == "tokenizer.json":
        return load_tokenizer(name, base)
    try:
        from trainer.model import _gguf_file
    except ImportError:  # planning works without torch
        return load_tokenizer(name, base)
    gguf = _gguf_file(place, name)
    if gguf is None:
        return load_tokenizer(name, base)
    from transformers import AutoTokenizer

    with tempfile.TemporaryDirectory() as folder:
        AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name).save_pretrained(folder)
        return load_tokenizer(folder, Path())
