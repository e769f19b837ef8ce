"""Held-out loss by source: Σ loss / Σ tokens over all packs and ranks, never a mean of means."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from trainer.distributed import World, bare, reshard
from trainer.pack import to_torch
from trainer.step import Slot, by_source

Losses = Mapping[str, tuple[float, float]]  # by source: Σ weight·loss in nats, Σ weight (tokens, where all weigh 1)


def held_out(
    objective: Any,
    steps: Iterable[Sequence[Slot]],
    sources: Sequence[str],
    world: World,
) -> Losses:
    """The loss on a split's packs; gradients and dropout are off.

    Args:
        steps: this rank's slots of each step of the split's own plan; all ranks have as many of both, for the
            collectives inside FSDP2.
        sources: all there are, in an order that all ranks share.
    """
    import torch

    module = bare(objective)
    was = module.training
    module.eval()
    sums = {source: [0.0, 0.0] for source in sources}
    try:
        with torch.no_grad():
            for slots in steps:
                for one in slots:
                    _, parts = module(to_torch(one.pack, world.device))
                    for source, (lost, weight) in by_source(one, parts.float().cpu().numpy()).items():
                        sums[source][0] += lost
                        sums[source][1] += weight
    finally:
        reshard(module)
        module.train(was)
    total = world.sum([value for source in sources for value in sums[source]])
    found = {source: (total[2 * at], total[2 * at + 1]) for at, source in enumerate(sources)}
    return {source: pair for source, pair in found.items() if pair[1]}  # no mean of nothing


def mean(losses: Losses) -> float:
    """Over all sources, in nats a token; 0 where nothing was held out."""
    weight = sum(pair[1] for pair in losses.values())
    return sum(pair[0] for pair in losses.values()) / weight if weight else 0.0
