"""Proof, on the model and kernel in use, that packed documents do not see each other (training.md 6.5).

Three documents and padding in one pack. (1) Replace one document's tokens: no state that logits are made of may move in
the others. (2) Take the loss on the middle one: no other's embeddings may get a gradient. (3) Each document's loss must
be what the model itself, with transformers' own attention, gives for it alone. And the negative control: with the
boundaries taken away, (1) and (2) must fail, or they could not have seen anything.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from schemas.errors import GristmillError
from trainer.attention.backend import Backend
from trainer.head import TOLERANCE, backbone, causal, head_of, hidden_states, own_logits
from trainer.pack import Batch, collate, to_torch

# Slots of the proof's pack. Kernels on GPUs work in blocks of 64 and 128, so documents must begin inside and across
# them; on a CPU there are no blocks, and a short pack starts the run sooner.
SLOTS = {"cpu": 96}
SLOTS_GPU = 320
# Shares of the pack, none on a block boundary of any kernel; the rest is padding.
SHARES = (0.19, 0.36, 0.27)
# How far the last hidden state of one position moves, relative to its size. A neighbour must change nothing, and most
# kernels change not a bit; what is allowed is rounding, should a kernel sum in another order (experts do).
MOVED = {torch.float64: 1e-9, torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1e-2}
VISIBLE = 10  # a control that moves less than this many tolerances shows nothing
# Layers that carry a state along the row mix documents unless they are told where each begins.
RECURRENT = re.compile(r"Mamba|SSM|RWKV|Rwkv|Recurrent|DeltaNet|LinearAttention|ShortConv|xLSTM|Retention|Lightning")
ATTENTION = {"full_attention", "sliding_attention"}


@dataclass(frozen=True)
class Isolation:
    """What was measured, all relative: how far a neighbour moves hidden states and gradients; and without isolation."""

    moved: float
    moved_control: float
    gradient: float
    gradient_control: float
    loss_apart: float  # the largest difference of a document's mean loss, packed and alone, in nats

    def __str__(self) -> str:
        return (
            f"a neighbour moves the others by {self.moved:.1e} (without isolation {self.moved_control:.1e}) and "
            f"gradients by {self.gradient:.1e} ({self.gradient_control:.1e}); "
            f"packed and alone differ by {self.loss_apart:.1e} nats"
        )


@dataclass(frozen=True)
class _Document:
    ids: Any
    weights: Any


def refuse_mixers(model: Any) -> None:
    """Stop on layers that mix along the row by other means than attention, unless the model declares that it can.

    A model class says so with ``supports_packed_documents = True``; the proof is then still asked for.

    Raises:
        GristmillError: naming the layers.
    """
    whole = causal(model)
    if getattr(whole, "supports_packed_documents", False):
        return
    kinds = set(getattr(whole.config.get_text_config(), "layer_types", None) or ()) - ATTENTION
    found = sorted(str(kind) for kind in kinds)
    for module in whole.modules():
        name = type(module).__name__
        if isinstance(module, torch.nn.Conv1d) or RECURRENT.search(name):
            found.append(name)
    if getattr(whole, "_is_stateful", False):
        found.append("a recurrent state")
    if found:
        raise GristmillError(
            f"{type(whole).__name__} has layers that mix packed documents ({', '.join(dict.fromkeys(found))}); "
            "use a model of plain attention layers"
        )


def check_isolation(model: Any, backend: Backend, slots: int | None = None) -> Isolation:
    """Run the proof; the model must have this backend in use (ladder.use) and not be sharded yet.

    Deterministic; leaves parameters, gradients and training mode as they were. ``slots`` of the pack: give the capacity
    of the run to prove compiled layers on the shape they will have.

    Raises:
        GristmillError: naming the model and the backend.
    """
    refuse_mixers(model)
    device = next(backbone(model).parameters()).device
    with _evaluating(model):
        found = _measure(model, backend, slots or SLOTS.get(device.type, SLOTS_GPU))
    dtype, name = next(backbone(model).parameters()).dtype, type(causal(model)).__name__
    where = f"{name} ({causal(model).config.name_or_path or 'no name'}) with attention backend {backend.name}"
    allowed = MOVED[dtype]
    if not (found.moved <= allowed and found.gradient <= allowed):
        raise GristmillError(f"packed documents see each other in {where}: {found}; choose another backend")
    if not (found.moved_control > VISIBLE * allowed and found.gradient_control > VISIBLE * allowed):
        raise GristmillError(f"the isolation test sees no neighbour even without isolation in {where}: {found}")
    if not found.loss_apart <= TOLERANCE[dtype]:
        raise GristmillError(
            f"a packed document has another loss than alone in {where}: {found}; choose another backend"
        )
    return found


def _measure(model: Any, backend: Backend, slots: int) -> Isolation:
    embedding = causal(model).get_input_embeddings()
    device, vocabulary = embedding.weight.device, int(embedding.weight.shape[0])
    draw = np.random.Generator(np.random.Philox(key=20))
    documents = []
    for share in SHARES:
        ids = draw.integers(0, vocabulary, max(4, int(share * slots)), dtype=np.int32)
        documents.append(_Document(ids, np.ones(len(ids), np.float32)))
    batch = to_torch(collate(documents, slots, 0), device)
    edges = np.cumsum([0, *batch.lengths])
    poisoned = []
    for number, document in enumerate(documents):
        changed = batch.input_ids.clone()
        other = (document.ids + draw.integers(1, vocabulary, len(document.ids))) % vocabulary
        changed[0, edges[number] : edges[number + 1]] = torch.from_numpy(other).to(device)
        poisoned.append(changed)

    def moved(of: Batch, neighbours: int) -> tuple[torch.Tensor, float]:
        with torch.no_grad():
            clean = hidden_states(model, of, backend)  # logits are a function of these, row by row
            size = clean.float().norm(dim=1).clamp_min(1e-12)
            worst = 0.0
            for number in range(neighbours):
                states = hidden_states(model, replace(of, input_ids=poisoned[number]), backend)
                apart = (states - clean).float().norm(dim=1) / size
                apart[edges[number] : edges[number + 1]] = 0.0
                worst = max(worst, _finite(float(apart.max())))
        return clean, worst

    def gradient(of: Batch) -> float:
        slopes = _embedding_gradient(model, of, backend, slice(int(edges[1]), int(edges[2]) - 1)).norm(dim=1)
        own = slopes[edges[1] : edges[2]].max().clamp_min(1e-30)
        others = torch.cat((slopes[: edges[1]], slopes[edges[2] :]))
        return _finite(float(others.max() / own))

    clean, worst = moved(batch, len(documents))
    open_batch = without_isolation(batch)
    with torch.no_grad():
        logits = head_of(model).logits(clean)
    apart = 0.0
    for number, document in enumerate(documents):
        tokens = torch.from_numpy(document.ids.astype(np.int64)).to(device)
        alone, packed = own_logits(model, tokens), logits[edges[number] : edges[number + 1]]
        losses = [torch.nn.functional.cross_entropy(one[:-1].float(), tokens[1:]) for one in (alone, packed)]
        apart = max(apart, _finite(float((losses[0] - losses[1]).abs())))
    return Isolation(worst, moved(open_batch, 1)[1], gradient(batch), gradient(open_batch), apart)


def _finite(value: float) -> float:
    """NaN would pass any comparison that asks whether it is too large."""
    return value if np.isfinite(value) else float("inf")


def without_isolation(batch: Batch) -> Batch:
    """The same pack as one segment: what the negative control runs."""
    total = sum(batch.lengths)
    ends = torch.tensor([0, total], dtype=torch.int32, device=batch.cu_seqlens.device)
    return replace(batch, cu_seqlens=ends, lengths=(total,), max_length=1 << (total - 1).bit_length())


def _embedding_gradient(model: Any, batch: Batch, backend: Backend, rows: slice) -> torch.Tensor:
    """float32 [T, d]: what the cross-entropy of these rows gives to the embeddings; no parameter gets a gradient."""
    caught: list[torch.Tensor] = []

    def catch(module: Any, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        caught.append(output.detach().requires_grad_())
        return caught[-1]

    hook = causal(model).get_input_embeddings().register_forward_hook(catch)
    try:
        with torch.enable_grad():
            logits = head_of(model).logits(hidden_states(model, batch, backend)[rows])
            loss = torch.nn.functional.cross_entropy(logits, batch.targets[rows])
            (slope,) = torch.autograd.grad(loss, caught[:1])
    finally:
        hook.remove()
    return slope[0].float()


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    """Without dropout and, on a GPU, without TF32, whose rounding would pass for a neighbour; then all as it was."""
    modes = [(module, module.training) for module in model.modules()]
    precision = torch.get_float32_matmul_precision()
    model.eval()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(precision)
        for module, training in modes:
            module.training = training
