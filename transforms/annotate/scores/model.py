"""Language models of a folder, a GGUF file or a hub id: found, named by content, loaded once in each process.

No code of a model's author runs: ``trust_remote_code`` is off and weights are safetensors or GGUF, never pickles.
"""

import hashlib
import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from schemas.errors import GristmillError

FILES = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "*.gguf")
Kind = Literal["causal", "reward"]


@dataclass(frozen=True)
class Model:
    """A model that scores, and how it is run.

    ``threads`` is part of what it computes: a matrix product summed by more threads ends in other last bits.
    """

    name: str  # folder, .gguf file, hub id or hub id@revision
    device: str = "cpu"
    threads: int = 1

    def identity(self) -> dict[str, Any]:
        return {"model": _digest(self.name), "device": self.device.split(":")[0], "threads": self.threads}

    def check(self, kind: Kind) -> Any:
        """Load it once and let it go again: everything that can fail before work starts. Returns the tokenizer.

        Raises:
            GristmillError: torch is not installed, nothing is there, or it is no model of this kind.
        """
        for library in ("torch", "transformers"):
            if importlib.util.find_spec(library) is None:
                raise GristmillError(
                    f"model {self.name!r} needs {library}, which is not installed; install gristmill[train]"
                )
        if locate(self.name)[1] is not None and importlib.util.find_spec("gguf") is None:
            raise GristmillError(f"model {self.name!r} is a GGUF file, which needs gguf; pip install gguf accelerate")
        tokenizer, _ = load(self, kind)
        load.cache_clear()  # workers load their own; this process has no further use for it
        return tokenizer


@cache
def locate(name: str) -> tuple[Path, str | None]:
    """(folder, name of the GGUF file in it or None).

    Raises:
        GristmillError: neither a folder with a model, nor a GGUF file, nor a hub id that can be had.
    """
    path = Path(name).expanduser()
    if path.is_file() and path.suffix == ".gguf":
        return path.parent, path.name
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise GristmillError(f"model {name!r}: the folder holds no config.json; name the folder of a saved model")
        return path, None
    repository, _, revision = name.partition("@")
    if path.is_absolute() or name.startswith((".", "~")) or repository.count("/") > 1:
        raise GristmillError(f"model {name!r}: nothing is there; name a model's folder, a .gguf file or a hub id")
    from huggingface_hub import snapshot_download

    wanted: dict[str, Any] = {"repo_id": repository, "revision": revision or None, "allow_patterns": list(FILES)}
    try:
        try:
            return Path(snapshot_download(local_files_only=True, **wanted)), None
        except OSError:  # not here yet
            return Path(snapshot_download(**wanted)), None
    except Exception as error:  # the hub client raises many kinds
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise GristmillError(
            f"model {name!r} is neither a folder, a .gguf file nor a hub id to be had: {first}"
        ) from None


@cache
def _digest(name: str) -> str:
    """sha256 of the names and contents of the model's files; its place does not matter."""
    folder, gguf = locate(name)
    files = [folder / gguf] if gguf else sorted({file for pattern in FILES for file in folder.glob(pattern)})
    total = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            total.update(f"{file.name}\0{hashlib.file_digest(stream, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()


@cache
def load(model: Model, kind: Kind) -> tuple[Any, Any]:
    """(tokenizer, model in evaluation mode, float32), kept for the life of the process.

    Raises:
        GristmillError: it cannot be loaded, or it is not of this kind.
    """
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()
    folder, gguf = locate(model.name)
    more = {"gguf_file": gguf} if gguf else {"use_safetensors": True}
    maker = transformers.AutoModelForCausalLM if kind == "causal" else transformers.AutoModelForSequenceClassification
    try:
        own = {"gguf_file": gguf} if gguf else {}
        tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False, **own)
        made: Any = maker.from_pretrained(
            str(folder), trust_remote_code=False, dtype=torch.float32, output_loading_info=True, **more
        )
        loaded, report = made
    except Exception as error:  # config, weights, tokenizer: each library raises its own
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise GristmillError(f"model {model.name!r} cannot be loaded as a {kind} model: {first}") from None
    # What is missing from the file is filled with random numbers and a warning: scores that look like data.
    if kind == "reward" and (report["missing_keys"] or loaded.config.num_labels != 1):
        raise GristmillError(
            f"model {model.name!r} is no reward model: it has {loaded.config.num_labels} outputs and lacks "
            f"{len(report['missing_keys'])} weights; one output and all weights are needed"
        )
    # The usual padding rule looks for the last token that is not padding, and where that is also the stop token it
    # looks past the stop. One conversation at a time has no padding.
    loaded.config.pad_token_id = None
    torch.set_num_threads(model.threads)
    return tokenizer, loaded.to(model.device).eval()
