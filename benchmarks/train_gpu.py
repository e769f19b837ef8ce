"""Tokens a second, MFU and memory of training a Llama of about a billion random parameters on one GPU, by backend.

    python -m benchmarks.train_gpu [--backends NAME …] [--length 4096] [--packs 4] [--recompute] [--compile]

Full tuning in bf16 as the trainer does it: fp32 weights and moments, bf16 copies gathered by FSDP2, AdamW, clipping,
isolation proved first. Packs hold documents with lengths drawn like answers of people (log-normal, median 250 tokens),
one behind the other, half of the tokens supervised. Every backend runs in a process of its own, and its first
``--warm`` steps are not counted. MFU counts operations as ``trainer/flops.py`` does, against the device's dense peak
in bf16.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from trainer.pack import Pack, collate
from trainer.stream import Document

# Llama 3.2 1B's shape (16 layers of 2,048, 32 heads of 64, 8 of keys, 128,256 tokens, tied): 1.24 billion.
SHAPE = {
    "vocab_size": 128_256, "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16,
    "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 64, "tie_word_embeddings": True,
    "max_position_embeddings": 131_072,
}  # fmt: skip
NAMES = ("flash3", "flash2", "varlen", "flex", "segments", "dense")


def packs(length: int, count: int, seed: int) -> list[Pack]:
    draw = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        documents, used = [], 0
        while length - used > 8:
            size = int(min(length - used, max(8, draw.lognormal(5.5, 0.9))))
            weights = (np.arange(size) >= size // 2).astype(np.float32)
            documents.append(Document(0, draw.integers(3, SHAPE["vocab_size"], size, dtype=np.int32), weights))
            used += size
        made.append(collate(documents, length, 0))
    return made


def measure(arguments: argparse.Namespace, backend: str) -> dict[str, Any]:
    """One backend in this process."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from trainer.checkpoint import trainable
    from trainer.distributed import spread, started
    from trainer.flops import peak_flops, size_of
    from trainer.model import prepare
    from trainer.objective import Objective
    from trainer.optimizer import make_optimizer, set_rate
    from trainer.step import Slot, Tally, clip, run_step

    with started(seed=0) as world:
        config = AutoConfig.for_model("llama", **SHAPE)
        with torch.device(world.device):
            model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
        loaded = prepare(model, attention=backend, compiled=arguments.compile)
        objective = Objective(loaded.model.float(), loaded.backend)
        size = size_of(objective.model)
        if arguments.recompute:
            objective.recompute_activations()
        if arguments.compile:
            objective.compile_layers()
        module = spread(objective, objective.layers, "fsdp", world, bf16=True)
        optimizer = make_optimizer(list(trainable(objective)), 0.0, (0.9, 0.95), 1e-8)
        total, seconds = Tally(), 0.0
        losses = []
        for step in range(arguments.warm + arguments.steps):
            if step == arguments.warm:
                torch.cuda.reset_peak_memory_stats()
            slots = [
                Slot(at, one, ("all",) * one.documents)
                for at, one in enumerate(packs(arguments.length, arguments.packs, step))
            ]
            torch.cuda.synchronize()
            begin = time.perf_counter()
            tally = run_step(module, slots, sum(one.pack.weight for one in slots), world, seed=0, step=step)
            clip(objective, 1.0)
            set_rate(optimizer, 1e-5)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            torch.cuda.synchronize()
            losses.append(tally.loss / tally.weight)
            if step >= arguments.warm:
                seconds += time.perf_counter() - begin
                for name in ("slots", "tokens", "supervised", "squares"):
                    setattr(total, name, getattr(total, name) + getattr(tally, name))
        peak = peak_flops(world.device)
        work = size.step(total.tokens, total.supervised, int(total.squares))
        return {
            "backend": loaded.backend.name,
            "device": torch.cuda.get_device_name(),
            "parameters": size.parameters,
            "tokens_per_second": total.tokens / seconds,
            "supervised_per_second": total.supervised / seconds,
            "mfu": work / seconds / peak if peak else None,
            "peak_gib": torch.cuda.max_memory_allocated() / 2**30,
            "isolation": str(loaded.isolation),
            "losses": [losses[0], losses[-1]],
            "torch": torch.__version__,
        }


def compare(arguments: argparse.Namespace) -> str:
    lines = [
        "| backend | tokens/s | supervised tokens/s | MFU | peak GiB | loss, first to last step |",
        "|---|---|---|---|---|---|",
    ]
    head = ""
    for backend in arguments.backends:
        command = [sys.executable, "-m", "benchmarks.train_gpu", "--one", backend]
        for name in ("length", "packs", "steps", "warm"):
            command += [f"--{name}", str(getattr(arguments, name))]
        command += [f"--{name}" for name in ("recompute", "compile") if getattr(arguments, name)]
        done = subprocess.run(command, cwd=Path(__file__).resolve().parent.parent, capture_output=True, text=True)
        if done.returncode:
            told = done.stderr.strip().splitlines()[-1:] or ["no word"]
            lines.append(f"| {backend} | {told[0].replace('|', '/')[:300]} | | | | |")
            continue
        found = json.loads(done.stdout.splitlines()[-1])
        mfu = "unknown" if found["mfu"] is None else f"{found['mfu']:.1%}"
        head = f"{found['device']}, torch {found['torch']}, {found['parameters'] / 1e9:.2f} billion parameters, "
        lines.append(
            f"| {found['backend']} | {found['tokens_per_second']:,.0f} | {found['supervised_per_second']:,.0f} | {mfu} "
            f"| {found['peak_gib']:.1f} | {found['losses'][0]:.3f} to {found['losses'][1]:.3f} |"
        )
        print(f"{found['backend']}: {found['isolation']}", file=sys.stderr)
    ways = "".join(f", {name}" for name in ("recompute", "compile") if getattr(arguments, name))
    head += f"{arguments.packs} packs of {arguments.length:,} tokens a step, {arguments.steps} steps{ways}."
    return "\n".join([head, "", *lines])


def bench() -> str:
    """The section of ``make bench``."""
    try:
        import torch

        there = torch.cuda.is_available()
    except ImportError:
        there = False
    text = compare(_parser().parse_args([])) if there else "Skipped: there is no torch with a CUDA device here."
    return f"## Training on a GPU\n\n{text}\n"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backends", nargs="+", choices=("auto", *NAMES), default=list(NAMES))
    parser.add_argument("--length", type=int, default=4096)
    parser.add_argument("--packs", type=int, default=4)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--warm", type=int, default=3)
    parser.add_argument("--recompute", action="store_true", help="activation_checkpointing: full")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--one", choices=("auto", *NAMES), help="measure one backend in this process")
    return parser


def main() -> None:
    arguments = _parser().parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments, arguments.one)))
    else:
        print(compare(arguments))


if __name__ == "__main__":
    main()
