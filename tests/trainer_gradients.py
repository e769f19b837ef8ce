"""One process of a run that takes the gradients of one step and writes them down; started by test_trainer_distributed.

Arguments: output file, micro-batches per rank, strategy, precision. The step is the same eight documents however it is
cut: one pack, or four of which one is all masked.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

LENGTHS = (23, 9, 31, 5, 17, 2, 12, 20)
PACKS = ((0, 1), (2, 3), (4,), (5, 6, 7))  # of capacity 40; the third is all masked
CAPACITY = 40


@dataclass(frozen=True)
class Document:
    ids: Any
    weights: Any


def documents() -> list[Document]:
    draw = np.random.Generator(np.random.Philox(key=3))
    made = []
    for number, length in enumerate(LENGTHS):
        weights = (draw.random(length) < 0.6).astype(np.float32) * (0.5 if number == 6 else 1.0)
        weights[0] = 0.0
        if number in PACKS[2]:
            weights[:] = 0.0
        made.append(Document(draw.integers(1, 128, length, dtype=np.int32), weights.astype(np.float32)))
    return made


def main() -> None:
    import torch

    from trainer.attention.ladder import NAMES
    from trainer.checkpoint import trainable
    from trainer.distributed import spread, started, whole
    from trainer.model import prepare, tiny
    from trainer.objective import Objective
    from trainer.pack import collate
    from trainer.step import Slot, clip, reduced, run_step

    output, micro, strategy, precision = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
    assert "auto" in NAMES
    with started(seed=1, threads=1) as world:
        loaded = prepare(tiny(seed=5, tie_word_embeddings=True))
        objective = Objective(loaded.model, loaded.backend)
        bare = objective
        objective = spread(objective, objective.layers, strategy, world, precision == "bf16")
        every = documents()
        total = sum(float(one.weights.sum()) for one in every)
        if world.size * micro == 1:
            packs = [collate(every, sum(LENGTHS), 0)]
        else:
            packs = [collate([every[at] for at in members], CAPACITY, 0) for members in PACKS]
        mine = range(world.rank, len(packs), world.size)
        slots = [Slot(at, packs[at], ("all",) * packs[at].documents) for at in mine]
        assert len(slots) == micro
        tally = reduced(run_step(objective, slots, total, world, seed=7, step=0), ["all"], world)
        gradients = {name: whole(parameter.grad) for name, parameter in trainable(bare)}
        norm = clip(objective, None)
        if world.first:
            found = {"norm": torch.tensor(norm), "loss": torch.tensor(tally.loss / total), **gradients}
            found["weight"] = torch.tensor(tally.weight)
            torch.save(found, Path(output))


if __name__ == "__main__":
    main()
