"""One optimizer step: the loss of all packs of the plan's step, divided by one number known beforehand.

    L = Σ over ranks, micro-batches and targets of w·CE / N,   N = Σ w over the step, from the plan

(reference: training.md 6.3). The same for any number of ranks and micro-batches, because nothing is divided twice:
DDP and FSDP2 divide by the number of ranks D, so each micro-batch back-propagates D·Σw·CE / N.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.errors import GristmillError
from trainer.distributed import World, reducing
from trainer.pack import Pack, to_torch

# The plan sums weights in float64 in its order, packs in theirs; float32 weights agree to about 1e-7 each.
TOLERANCE = 1e-5


@dataclass(frozen=True)
class Slot:
    """One pack of this rank: which slot of the step it fills (dropout is keyed by it) and whose its tokens are."""

    slot: int
    pack: Pack
    sources: tuple[str, ...]  # [documents]


@dataclass
class Tally:
    """Sums over this rank's packs of a step."""

    loss: float = 0.0
    weight: float = 0.0
    slots: int = 0
    tokens: int = 0
    supervised: int = 0
    squares: float = 0.0
    sources: dict[str, list[float]] = field(default_factory=dict)  # Σ weight·loss, Σ weight


def run_step(
    objective: Any,
    slots: Sequence[Slot],
    denominator: float,
    world: World,
    seed: int,
    step: int,
) -> Tally:
    """Leave the step's gradients on the parameters and return this rank's sums.

    Every rank has the same number of slots; those without documents weigh nothing and are run all the same, for the
    collectives inside. The caller has skipped steps whose denominator is 0.

    Args:
        objective: called with a Batch, gives Σ w·CE (a scalar with a graph) and w·CE of each supervised position [k].
    """
    import torch

    tally = Tally()
    pending = []
    for number, one in enumerate(slots):
        batch = to_torch(one.pack, world.device)
        torch.manual_seed(_key(seed, step, one.slot))  # dropout does not depend on which rank has the slot
        with reducing(objective, last=number == len(slots) - 1):
            loss, parts = objective(batch)
            (loss * (world.size / denominator)).backward()
        pending.append((one, loss.detach(), parts.detach()))
    for one, loss, parts in pending:  # read from the device once, after all work has been queued
        _count(tally, one, float(loss), parts.float().cpu().numpy())
    return tally


def _count(tally: Tally, one: Slot, loss: float, parts: npt.NDArray[np.float32]) -> None:
    pack = one.pack
    tally.loss += loss
    tally.weight += pack.weight
    tally.slots += len(pack.input_ids)
    tally.tokens += pack.tokens
    tally.supervised += len(pack.supervised)
    tally.squares += float(np.square(pack.lengths[: pack.documents].astype(np.float64)).sum())
    for source, (lost, weight) in by_source(one, parts).items():
        sums = tally.sources.setdefault(source, [0.0, 0.0])
        sums[0] += lost
        sums[1] += weight


def by_source(one: Slot, parts: npt.NDArray[np.float32]) -> dict[str, tuple[float, float]]:
    """Σ w·CE and Σ w by source, given w·CE of each supervised position [k]."""
    document = np.searchsorted(one.pack.cu_seqlens[1:], one.pack.supervised, side="right")
    lost = np.bincount(document, parts.astype(np.float64), minlength=len(one.sources))
    weight = np.bincount(document, one.pack.weights[one.pack.supervised].astype(np.float64), minlength=len(one.sources))
    found: dict[str, tuple[float, float]] = {}
    for source, gained, weighed in zip(one.sources, lost.tolist(), weight.tolist()):
        before = found.get(source, (0.0, 0.0))
        found[source] = (before[0] + gained, before[1] + weighed)
    return found


def reduced(tally: Tally, sources: Sequence[str], world: World) -> Tally:
    """The sums over ranks; ``sources`` are all there are, in an order that all ranks share."""
    flat = [tally.loss, tally.weight, tally.slots, tally.tokens, tally.supervised, tally.squares]
    for source in sources:
        flat += tally.sources.get(source, [0.0, 0.0])
    total = world.sum(flat)
    kept = {
        source: total[6 + 2 * at : 8 + 2 * at]
        for at, source in enumerate(sources)
        if total[7 + 2 * at] or total[6 + 2 * at]
    }
    return Tally(total[0], total[1], int(total[2]), int(total[3]), int(total[4]), total[5], kept)


def check_denominator(planned: float, actual: float, step: int) -> None:
    """The plan's N against what the packs of all ranks hold.

    Raises:
        GristmillError: they differ by more than rounding: lengths and release do not belong together.
    """
    if abs(planned - actual) > TOLERANCE * max(1.0, abs(planned)):
        raise GristmillError(
            f"step {step}: the plan counts a loss weight of {planned:,.3f} and the packs hold {actual:,.3f}; the "
            "cached lengths are not those of this release and template: remove the trainer's cache and start again"
        )


def clip(module: Any, most: float | None) -> float:
    """The norm of all gradients, after their reduction; gradients are scaled down to ``most``.

    Raises:
        GristmillError: the norm is no number: the run has diverged, and a step would ruin the weights.
    """
    import torch

    parameters = [parameter for parameter in module.parameters() if parameter.grad is not None]
    norm = torch.nn.utils.clip_grad_norm_(parameters, most if most else float("inf"), foreach=None)
    norm = norm.full_tensor() if hasattr(norm, "full_tensor") else norm
    value = float(norm)
    if value != value or value == float("inf"):
        raise GristmillError(
            f"the gradient's norm is {value}; lower the learning rate or take another seed, with "
            "accept_release_change=true to go on from the newest checkpoint"
        )
    return value


def _key(seed: int, step: int, slot: int) -> int:
    """A seed for torch from (seed, step, slot)."""
    return int.from_bytes(hashlib.sha256(f"{seed} {step} {slot}".encode()).digest()[:7], "big")
