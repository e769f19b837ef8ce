"""The tokenizer of a model, also of one that is a GGUF file and has no tokenizer.json beside it."""

from pathlib import Path

from schemas.chat.tokenizer import ChatTokenizer, load_tokenizer
from trainer.gguf import gguf_file, gguf_tokenizer


def tokenizer_of(name: str, base: Path) -> ChatTokenizer:
    """Of whatever ``trainer.model.load`` takes a model from; no torch.

    Raises:
        GristmillError: nothing usable is there.
    """
    place = (base / name).expanduser()
    if (place / "tokenizer.json").is_file() or place.name == "tokenizer.json":
        return load_tokenizer(name, base)
    gguf = gguf_file(place, name)
    return load_tokenizer(name, base) if gguf is None else gguf_tokenizer(gguf)
