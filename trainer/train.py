"""Supervised fine-tuning on a release, from top to bottom.

    python -m trainer.train config.yaml [section.key=value …] [--plan]
    torchrun --nproc-per-node=2 -m trainer.train config.yaml

The plan knows every step before the first one; what is kept to go on with are weights, moments and two integers. Start
the same command again after a crash, with any number of processes, and it goes on from the newest checkpoint.
"""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from schemas.chat.template import Conversation
from schemas.errors import GristmillError
from trainer import checkpoint
from trainer.checkpoint import Cursor
from trainer.config import TrainConfig, load_config
from trainer.config_types import in_steps
from trainer.distributed import World, spread, started, strategy_of
from trainer.evaluate import held_out
from trainer.export import write_served
from trainer.feed import feed, trained_steps
from trainer.generate import generate, questions, stops
from trainer.optimizer import learning_rate, make_optimizer, set_rate
from trainer.pin import matched, read_pin
from trainer.plan.plan import Plan
from trainer.prepare import SHOWN, held_out_split, prepare, prompts
from trainer.report import plan_report
from trainer.shards import CONVERSATION
from trainer.step import check_denominator, clip, reduced, run_step
from trainer.stream import Stream
from trainer.watch import Clock, Measured, Watch


def train(config: TrainConfig, base: Path = Path(), quiet: bool = False) -> Path:
    """Train as the configuration says and return the last checkpoint; ``base`` is what its paths are relative to.

    Raises:
        GristmillError: a mistake in configuration, release or model, told in one sentence.
    """
    with started(config.seed) as world:
        return _train(config, base, quiet, world)


def _train(config: TrainConfig, base: Path, quiet: bool, world: World) -> Path:
    from trainer import flops, lora, model
    from trainer.objective import Objective

    _quiet_libraries()

    def once(work: Callable[[], Any]) -> Any:
        if world.first:
            made = work()
            world.barrier()
            return made
        world.barrier()
        return work()

    # What will be trained, and in which order.
    data = prepare(config, base, once)
    plan, renderer = data.plan, data.renderer
    output = base / config.output
    root = output / "checkpoints"

    # The model, its adapters, and how both are spread over processes.
    bf16 = config.precision == "bf16"
    loaded = model.load(
        config.model,
        dtype="bfloat16" if bf16 else "float32",
        attention=config.attention,
        seed=config.seed,
        device=world.device,
        base=base,
        compiled=config.compile,
    )
    trained = loaded.model
    if config.lora is not None:
        targets = "auto" if config.lora.targets == "all-linear" else config.lora.targets
        alpha: Any = config.lora.alpha  # peft calls it an int and divides it
        trained = lora.add_lora(trained, config.lora.rank, alpha, config.lora.dropout, targets, seed=config.seed)
    elif bf16:
        trained.float()  # the master weights; see optimizer.py
    objective = Objective(trained, loaded.backend)
    size = flops.size_of(trained)
    if config.activation_checkpointing == "full":
        objective.recompute_activations()
    if config.compile:
        objective.compile_layers()
    strategy = strategy_of(config.distributed, world, size.parameters, config.lora is not None, bf16)
    module = spread(objective, objective.layers, strategy, world, bf16)
    asked = config.optimizer
    optimizer = make_optimizer(
        list(checkpoint.trainable(objective)), asked.weight_decay, (asked.betas[0], asked.betas[1]), asked.eps
    )

    # Where an earlier run stopped.
    cursor, pin = Cursor(), data.pin
    latest = checkpoint.resolve(root, "latest")
    if latest is not None:
        cursor = checkpoint.read_cursor(latest)
        pin, same_plan = matched(read_pin(latest), pin, config.accept_release_change, cursor.update, latest)
        checkpoint.load(latest, objective, optimizer, updates=_updates(plan, cursor, same_plan))
        if not same_plan:
            cursor = Cursor(0, cursor.update)
    steps = trained_steps(plan)
    total = cursor.before + plan.steps
    watch = Watch(
        output,
        total,
        world.first,
        start=cursor.update,
        flops=size.step,
        peak=_peak(flops.peak_flops(world.device), world),
        tensorboard=config.watch.tensorboard,
        wandb=output.name if config.watch.wandb else None,
        every=config.watch.every,
        quiet=quiet,
        settings=pin.settings,
    )
    passed = f" (not {'; not '.join(loaded.passed_over)})" if loaded.passed_over else ""
    watch.say(f"attention {loaded.backend.name}{passed}; {strategy}; {world.size} process(es) on {world.device}")
    if latest is not None:
        watch.say(f"going on from {latest}")

    # Held-out rows and prompts, the same at every look.
    held = held_out_split(config, base, data, world.size * config.data.micro_batch, once)
    talks = prompts(config, data, held)
    stop_ids = stops(renderer, [*talks, _EXAMPLE])
    pad = stop_ids[0] if stop_ids else 0
    if config.generate is None or not stop_ids:
        wanted = []
    elif config.generate.prompts:
        wanted = [Conversation([{"role": "user", "content": text}]) for text in config.generate.prompts]
    else:
        wanted = questions(renderer, talks, SHOWN)

    def look(step: int, generating: bool) -> None:
        """Held-out loss, and perhaps generations."""
        if held is not None:
            with held.open() as stream:
                every = trained_steps(held.plan)
                slots = [one.slots for one in feed(held.plan, stream, every, world, config.data.micro_batch, pad)]
                watch.held_out(step, held_out(module, slots, held.plan.lengths.sources, world))
        if generating and wanted and config.generate is not None:
            longest = config.generate.max_tokens
            watch.generations(step, generate(module, trained, renderer, wanted, stop_ids, longest, world))

    def save() -> Path:
        serve = partial(
            write_served, model=trained, renderer=renderer, stop_ids=stop_ids, pin=pin, bf16=bf16 and not config.lora
        )
        return checkpoint.save(root, cursor, pin, objective, optimizer, serve, config.checkpoint.keep, world)

    if cursor.step == 0 and cursor.before == 0:
        look(0, generating=False)
    warmup = in_steps(asked.warmup, len(steps))
    save_every = max(1, in_steps(config.checkpoint.every, plan.steps))
    look_every = max(1, in_steps(config.evaluate.every, plan.steps)) if config.evaluate else 0
    tell_every = max(1, in_steps(config.generate.every, plan.steps)) if config.generate else 0
    left = [step for step in steps if step >= cursor.step]
    shards = data.release.open(config.split, CONVERSATION)
    clock = Clock()
    with Stream(shards, renderer, data.checked) as stream:
        fed = feed(plan, stream, left, world, config.data.micro_batch, pad)
        for number, (step, denominator, slots) in enumerate(fed, len(steps) - len(left)):
            wait = clock.wait()
            tally = reduced(run_step(module, slots, denominator, world, config.seed, step), plan.lengths.sources, world)
            check_denominator(denominator, tally.weight, step)
            norm = clip(objective, asked.clip)
            rate = learning_rate(number, len(steps), asked.learning_rate, warmup, asked.schedule, asked.min_ratio)
            set_rate(optimizer, rate)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            cursor = replace(cursor, step=step + 1)
            watch.step(Measured.of(tally, cursor.update, denominator, norm, rate, clock.lap(), wait))
            last = number + 1 == len(steps)
            telling = bool(tell_every) and (last or (step + 1) % tell_every == 0)
            if last or telling or (look_every and (step + 1) % look_every == 0):
                look(cursor.update, telling)
            if last or (step + 1) % save_every == 0:
                latest = save()
            clock.lap()
    watch.close()
    if latest is None:
        raise GristmillError("the plan has no step with anything to learn; look at the release and its masks")
    return latest


_EXAMPLE = Conversation([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}])


def _updates(plan: Plan, cursor: Cursor, same_plan: bool) -> int:
    """Optimizer updates that the moments have seen, which Adam's bias correction counts."""
    if not same_plan:
        return cursor.update
    return cursor.before + int(np.count_nonzero(plan.step_weights[: cursor.step] > 0))


def _quiet_libraries() -> None:
    """transformers draws bars of its own while weights are read and written."""
    from transformers.utils import logging

    logging.disable_progress_bar()


def _peak(one: float | None, world: World) -> float | None:
    return None if one is None else one * world.size


def main(argv: Sequence[str] | None = None) -> int:
    """The command; exit status 2 and one sentence for a user's mistake."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    planning = "--plan" in arguments
    arguments = [one for one in arguments if one != "--plan"]
    if not arguments or arguments[0].startswith("-"):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        path = Path(arguments[0])
        config = load_config(path, arguments[1:])
        if planning:
            data = prepare(config, path.parent)
            print(plan_report(data.plan, data.checked))
        else:
            last = train(config, path.parent)
            if os.environ.get("RANK", "0") == "0":
                print(last)
    except GristmillError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
