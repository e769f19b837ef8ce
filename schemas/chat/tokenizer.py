"""A tokenizer as templates need it: its definition, its begin and end tokens, its own chat template. Text only."""

import hashlib
import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from schemas.chat.hub import is_hub_id, only_cached
from schemas.errors import GristmillError


@dataclass(frozen=True)
class ChatTokenizer:
    """Small enough to send to workers; the backend is built where it is used."""

    definition: str  # tokenizer.json
    specials: tuple[tuple[str, str], ...] = ()  # ("eos_token", "</s>"), … as Jinja templates see them
    chat_template: str | None = None

    def special(self, name: str) -> str | None:
        return dict(self.specials).get(name)

    @cached_property
    def digest(self) -> str:
        """sha256 of the definition; what is used of the rest is in the identity of the template that uses it."""
        return hashlib.sha256(self.definition.encode("utf-8", "surrogatepass")).hexdigest()

    @cached_property
    def start(self) -> str:
        """The token that the tokenizer itself puts before a plain text and nothing behind it, or the empty text."""
        backend = plain_backend(self.definition)
        bare, dressed = (backend.encode("a", add_special_tokens=also).ids for also in (False, True))
        return str(backend.id_to_token(dressed[0])) if dressed[1:] == bare else ""


def plain_backend(definition: str, name: str = "given") -> Any:
    """The tokenizer as it stands, without truncation and padding.

    Raises:
        GristmillError: the text is no tokenizer.json.
    """
    from tokenizers import Tokenizer

    try:
        backend = Tokenizer.from_str(definition)
    except Exception as error:  # the backend raises bare Exception
        raise GristmillError(f"tokenizer {name!r} is no tokenizer.json ({error}); name another") from None
    backend.no_truncation()
    backend.no_padding()
    return backend


def load_tokenizer(name: str, base: Path) -> ChatTokenizer:
    """Of a folder or a ``tokenizer.json`` (relative to ``base``; its siblings are read too), or a hub id.

    Raises:
        GristmillError: nothing usable is there.
    """
    path = (base / name).expanduser()
    file = path / "tokenizer.json" if path.is_dir() else path
    if not file.is_file():
        return _from_transformers(name, path if path.exists() else None)
    definition = _read(file)
    plain_backend(definition, name)
    settings = {
        **_read_object(file.with_name("special_tokens_map.json")),
        **_read_object(file.with_name("tokenizer_config.json")),
    }
    template = file.with_name("chat_template.jinja")
    return ChatTokenizer(
        definition,
        _specials(settings),
        _read(template) if template.is_file() else _one_template(settings.get("chat_template"), name),
    )


def _specials(settings: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    found = {}
    for key, value in settings.items():
        text = value.get("content") if isinstance(value, dict) else value
        if key.endswith("_token") and isinstance(text, str):
            found[key] = text
    return tuple(sorted(found.items()))


def _one_template(value: Any, name: str) -> str | None:
    """Of several named templates, the one called default, as transformers takes it."""
    if isinstance(value, list):
        value = {one.get("name"): one.get("template") for one in value if isinstance(one, dict)}
    if isinstance(value, dict):
        if "default" not in value:
            known = ", ".join(sorted(map(str, value)))
            raise GristmillError(
                f"tokenizer {name!r} has the chat templates {known} and none called default; save one in a file and "
                "name it: template: {file: …}"
            )
        value = value["default"]
    return value if isinstance(value, str) else None


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except OSError as error:
        raise GristmillError(f"{path}: {error.strerror}; give a file that can be read") from None
    except UnicodeDecodeError as error:
        raise GristmillError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from None


def _read_object(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        value = json.loads(_read(path))
    except ValueError as error:
        raise GristmillError(f"{path}: {error}; repair the file or remove it") from None
    return value if isinstance(value, dict) else {}


def _from_transformers(name: str, path: Path | None) -> ChatTokenizer:
    """Of a folder, or with None of the hub."""
    if path is None and not is_hub_id(name):
        raise GristmillError(
            f"tokenizer {name!r} is neither a folder, a tokenizer.json nor a hub id; name one of these"
        )
    cached = path is not None or only_cached()
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")  # that there is no torch matters to nobody here
    from transformers import AutoTokenizer

    try:
        loaded = AutoTokenizer.from_pretrained(str(path or name), trust_remote_code=False, local_files_only=cached)
        definition = str(loaded.backend_tokenizer.to_str())
    except AttributeError:
        raise GristmillError(f"tokenizer {name!r} has no fast version (tokenizer.json), which offsets need") from None
    except Exception as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if cached and path is None:
            first = "it is not in the hub's cache, and the hub cannot be reached from here"
        raise GristmillError(
            f"tokenizer {name!r} is neither a folder, a tokenizer.json nor a hub id that can be loaded: {first}"
        ) from None
    specials = {key: str(value) for key, value in loaded.special_tokens_map.items() if isinstance(value, str)}
    return ChatTokenizer(
        definition, tuple(sorted(specials.items())), _one_template(getattr(loaded, "chat_template", None), name)
    )
