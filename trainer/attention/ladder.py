"""The rungs in the order in which they are tried, and the choice among them for one model on one device."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from schemas.errors import GristmillError
from trainer.attention.backend import Backend, register
from trainer.attention.dense import DENSE
from trainer.attention.flash import FLASH2, FLASH3
from trainer.attention.flex import FLEX
from trainer.attention.segments import SEGMENTS
from trainer.attention.varlen import VARLEN

LADDER = (FLASH3, FLASH2, VARLEN, FLEX, SEGMENTS, DENSE)
NAMES = ("auto", *(backend.name for backend in LADDER))
log = logging.getLogger(__name__)


def candidates(
    name: str, device: torch.device, dtype: torch.dtype, compiled: bool = False
) -> tuple[list[Backend], list[str]]:
    """The rungs to try, best first, and for each that is passed over "name: why".

    Raises:
        GristmillError: no rung has that name.
    """
    if name not in NAMES:
        raise GristmillError(f"attention backend {name!r} is unknown; choose one of {', '.join(NAMES)}")
    found, passed = [], []
    for backend in LADDER:
        if name not in ("auto", backend.name):
            continue
        reason = backend.unavailable(device, dtype)
        if reason is None and compiled and not backend.compiles:
            reason = "would be compiled again for every pack"
        if reason is None:
            found.append(backend)
        else:
            passed.append(f"{backend.name}: {reason}")
    return found, passed


def use(model: Any, backend: Backend) -> None:
    """Let the model attend with this rung from now on; it then needs a pack at every forward pass.

    Raises:
        GristmillError: the model's code does not go through transformers' attention interface.
    """
    register(backend)
    _refuse_closed(model)
    model.set_attn_implementation(backend.implementation)
    if model.config.get_text_config()._attn_implementation != backend.implementation:
        raise GristmillError(f"{type(model).__name__} did not take attention backend {backend.name}; use another model")


def _refuse_closed(model: Any) -> None:
    if not getattr(model, "_supports_attention_backend", False):
        raise GristmillError(
            f"{type(model).__name__} does not take attention functions from outside "
            "(transformers: _supports_attention_backend is not set), so packed documents cannot be kept apart in it; "
            "use another model"
        )


@contextmanager
def plain(model: Any, implementation: str = "sdpa") -> Iterator[None]:
    """The model with transformers' own attention, as generation with a cache needs it; then as it was."""
    before = model.config.get_text_config()._attn_implementation
    try:
        model.set_attn_implementation(implementation)
    except (ValueError, ImportError):  # Gemma 2 and others cannot use SDPA
        model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def choose(
    name: str,
    model: Any,
    prove: Callable[[Any, Backend], Any],
    *,
    device: Any,
    dtype: torch.dtype,
    compiled: bool = False,
) -> tuple[Backend, tuple[str, ...]]:
    """The first rung that works here and passes ``prove`` on this model, left in use; and why others were passed over.

    Raises:
        GristmillError: the named one does not, or none does.
    """
    _refuse_closed(model)
    found, passed = candidates(name, torch.device(device), dtype, compiled)
    for backend in found:
        try:
            use(model, backend)
            prove(model, backend)
        except (
            GristmillError,
            RuntimeError,
            TypeError,
            LookupError,
            ImportError,
        ) as error:  # a kernel may fail in many ways
            first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            passed.append(f"{backend.name}: {first}")
            continue
        log.info("attention: %s%s", backend.name, "".join(f"; not {one}" for one in passed))
        return backend, tuple(passed)
    raise GristmillError(
        f"no attention backend keeps packed documents apart in {type(model).__name__} on {device} in {dtype} "
        f"(asked for {name}): {'; '.join(passed)}"
    )
