"""Models kept as one GGUF file: which file a name means, and its tokenizer, read from the file's header without torch.

The header is that of versions 2 and 3 (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md): counts, then pairs
of a key and a typed value. transformers knows how a tokenizer is built from them, but reads them with torch.
"""

import mmap
import os
import struct
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from schemas.chat.tokenizer import ChatTokenizer, load_tokenizer
from schemas.errors import GristmillError

_STRING, _ARRAY = 8, 9
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_VERSIONS = (2, 3)
_SPECIALS = {"bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding"}


def gguf_file(place: Path, name: str) -> Path | None:
    """The one GGUF file meant by a name: a file, a folder without a config.json, or an installed package with one.

    Raises:
        GristmillError: a folder or package holds several.
    """
    folder = place
    if place.is_file() and place.suffix == ".gguf":
        return place
    if not place.exists() and name.isidentifier():
        package = find_spec(name)
        if package is None or not package.submodule_search_locations:
            return None
        folder = Path(next(iter(package.submodule_search_locations)))
    if not folder.is_dir() or (folder / "config.json").is_file():
        return None
    found = sorted(folder.glob("*.gguf"))
    if len(found) > 1:
        raise GristmillError(f"{name} holds {len(found)} GGUF files; name one of them, such as {found[0].name}")
    return found[0] if found else None


def gguf_tokenizer(file: Path) -> ChatTokenizer:
    """The tokenizer that the file's header describes; the same with torch and without.

    Raises:
        GristmillError: the file is damaged, or holds a tokenizer that transformers does not know.
    """
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")  # that there is no torch matters to nobody here
    from transformers import PreTrainedTokenizerFast
    from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_TOKENIZER_MAPPING, convert_gguf_tokenizer

    header = gguf_header(file)
    described, settings = (
        {name: header[f"tokenizer.{key}"] for key, name in keys.items() if f"tokenizer.{key}" in header}
        for keys in (GGUF_TOKENIZER_MAPPING["tokenizer"], GGUF_TOKENIZER_MAPPING["tokenizer_config"])
    )
    try:
        # As transformers.integrations.gguf.get_gguf_tokenizer has it.
        if described.get("tokenizer_type") == "llama":
            settings.setdefault("add_bos_token", True)
        elif described.get("tokenizer_type") == "gemma4":
            settings["add_bos_token"] = False
        for special, key in _SPECIALS.items():
            number = header.get(f"tokenizer.ggml.{key}_token_id")
            settings[special] = None if number is None else described["tokens"][number]
        backend, more = convert_gguf_tokenizer(header["general.architecture"], described)
        made = PreTrainedTokenizerFast(tokenizer_object=backend, **settings | more)
    except Exception as error:  # builders of many kinds, and the backend raises bare Exception
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise GristmillError(
            f"the tokenizer in {file} cannot be built: {first}; name another: tokenizer: a folder or a hub id"
        ) from None
    with tempfile.TemporaryDirectory() as folder:
        made.save_pretrained(folder)
        return load_tokenizer(folder, Path())


def gguf_header(file: Path) -> dict[str, Any]:
    """Keys and values: numbers, texts, and lists of them.

    Raises:
        GristmillError: it is no GGUF file, or a damaged one.
    """
    try:
        with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return _Reader(content).header()
    except (OSError, ValueError, KeyError, struct.error) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise GristmillError(f"{file} is no GGUF file that can be read: {first}; fetch it again") from None


class _Reader:
    """Walks over the header; every read is checked against the file's end by ``struct`` or by :meth:`_text`."""

    def __init__(self, content: Any) -> None:
        self._content, self._at = content, 0

    def header(self) -> dict[str, Any]:
        magic, version, _, count = self._numbers("4sIQQ")
        if magic != b"GGUF" or version not in _VERSIONS:
            raise ValueError(f"it starts with {magic!r}, version {version}")
        found: dict[str, Any] = {}
        for _ in range(count):
            key = self._text()
            (kind,) = self._numbers("I")
            found[key] = self._value(kind)
        if "general.architecture" not in found:
            raise ValueError("it names no general.architecture")
        return found

    def _value(self, kind: int) -> Any:
        if kind == _STRING:
            return self._text()
        if kind != _ARRAY:
            return self._numbers(_NUMBERS[kind])[0]
        inner, count = self._numbers("IQ")
        if inner == _STRING:
            return [self._text() for _ in range(count)]
        if count > len(self._content):
            raise ValueError(f"it ends within a list of {count:,} numbers")
        return list(self._numbers(f"{count}{_NUMBERS[inner]}"))

    def _text(self) -> str:
        (length,) = self._numbers("Q")
        end = self._at + length
        if end > len(self._content):
            raise ValueError("it ends within a text")
        text = self._content[self._at : end].decode("utf-8")
        self._at = end
        return str(text)

    def _numbers(self, form: str) -> tuple[Any, ...]:
        found = struct.unpack_from(f"<{form}", self._content, self._at)
        self._at += struct.calcsize(f"<{form}")
        return found
