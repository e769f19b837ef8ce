"""Supervised fine-tuning on a release, from top to bottom.

    python -m trainer.train config.yaml [section.key=value …] [--plan]
    torchrun --nproc-per-node=2 -m trainer.train config.yaml

The plan knows every step before the first one; what is kept to go on with are weights, moments and two integers. Start
the same command again after a crash, with any number of processes, and it goes on from the newest checkpoint. Ctrl-C
and SIGTERM are no crash: the step is finished and saved.
"""

import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from schemas.chat.template import Conversation
from schemas.errors import GristmillError
from trainer import checkpoint
from trainer.basis import basis_digest
from trainer.config import TrainConfig, load_config
from trainer.config_types import in_steps, period
from trainer.distributed import World, spread, started, strategy_of
from trainer.evaluate import held_out
from trainer.export import write_served
from trainer.feed import feed, trained_steps
from trainer.generate import asked_for, generate, questions, stops
from trainer.lock import alone
from trainer.optimizer import learning_rate, make_optimizer, set_rate
from trainer.pin import matched, read_pin
from trainer.plan.plan import Plan
from trainer.prepare import SHOWN, held_out_split, prepare, prompts, refuse_place
from trainer.report import plan_report, too_long
from trainer.step import check_denominator, clip, reduced, run_step
from trainer.stop import Asked, Stopped
from trainer.watch import Clock, Measured, Watch
from trainer.whole import Cursor, read_cursor, require_whole

# Seconds after which another rank tells its mistake too: torchrun has ended it by then, if rank 0 made the same one.
LATER = 3.0


def train(config: TrainConfig, base: Path = Path(), quiet: bool = False) -> Path:
    """Train as the configuration says and return the last checkpoint; ``base`` is what its paths are relative to.

    Raises:
        GristmillError: a mistake in configuration, release or model, told in one sentence.
        Stopped: Ctrl-C or SIGTERM; the step was finished and saved, and a line was said on stderr.
    """
    try:
        with Asked() as stop, started(config.seed) as world, ExitStack() as opened:
            refuse_place(config.output, base, config.release)
            world.told(lambda: opened.enter_context(alone(base / config.output)))
            return _train(config, base, quiet, world, stop, opened)
    except Stopped as stopped:
        if os.environ.get("RANK", "0") == "0":
            print(stopped.told, file=sys.stderr, flush=True)
        raise


def _train(config: TrainConfig, base: Path, quiet: bool, world: World, stop: Asked, opened: ExitStack) -> Path:
    from trainer import flops, lora, model, sound
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
    data = opened.enter_context(closing(prepare(config, base, once, quiet)))
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
    sound.covers(trained, renderer.tokenizer.definition)
    if config.lora is not None:
        targets = "auto" if config.lora.targets == "all-linear" else config.lora.targets
        sizes = config.lora.rank, config.lora.alpha, config.lora.dropout
        trained = lora.add_lora(trained, *sizes, targets, seed=config.seed)
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
    commit = getattr(loaded.model.config, "_commit_hash", None)
    basis = world.told(lambda: basis_digest(config.model, base, output / "preflight", commit))
    cursor, pin = Cursor(), data.pin.model_copy(update={"model_name": config.model, "model": basis})
    latest = world.told(lambda: checkpoint.resolve(root, "latest"))
    if latest is not None:
        found = latest
        cursor = read_cursor(latest)
        pin, same_plan = matched(read_pin(latest), pin, config.accept_release_change, cursor.update, latest)
        world.told(lambda: require_whole(found, deep=True))
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
    opened.enter_context(closing(watch))
    passed = f" (not {'; not '.join(loaded.passed_over)})" if loaded.passed_over else ""
    watch.say(f"attention {loaded.backend.name}{passed}; {strategy}; {world.size} process(es) on {world.device}")
    for note in flops.unbalanced(loaded.model):
        watch.say(note)
    if not quiet:
        watch.say(plan_report(plan, data.checked))
    for note in too_long(data.checked):
        watch.say(note)
    longest, made_for = plan.settings.capacity, flops.positions(loaded.model)
    if made_for is not None and longest > made_for:
        watch.say(f"packs hold texts of up to {longest:,} tokens, and the model is made for {made_for:,}")
    if latest is not None:
        watch.say(f"going on from {latest}")

    # Held-out rows and prompts, the same at every look.
    held = held_out_split(config, base, data, world.size * config.data.micro_batch, once, quiet)
    talks = prompts(config, data, held)
    stop_ids = stops(renderer, [*talks, _EXAMPLE])
    pad = stop_ids[0] if stop_ids else 0
    if config.generate is None or not stop_ids:
        wanted = []
    elif config.generate.prompts:
        wanted = asked_for(renderer, config.generate.prompts)
    else:
        wanted = questions(renderer, talks, SHOWN)

    def look(step: int, measuring: bool, generating: bool) -> None:
        """Held-out loss, generations, or both."""
        if measuring and held is not None:
            every = trained_steps(held.plan)
            slots = (one.slots for one in feed(held.plan, held.stream(), every, world, config.data.micro_batch, pad))
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
        look(0, measuring=True, generating=False)
    warmup = in_steps(asked.warmup, len(steps))
    if warmup >= len(steps) > 1:
        watch.say(
            f"the warm-up of {warmup:,} steps is not shorter than the run of {len(steps):,}: no step has the peak rate"
        )
    save_every = period(config.checkpoint.every, plan.steps)
    look_every = period(config.evaluate.every, plan.steps) if config.evaluate else 0
    tell_every = period(config.generate.every, plan.steps) if config.generate else 0
    left = [step for step in steps if step >= cursor.step]
    clock, stop.stepping, saved = Clock(), True, time.monotonic()
    minutes = config.checkpoint.minutes or float("inf")
    with closing(feed(plan, data.stream(), left, world, config.data.micro_batch, pad)) as fed:
        for number, (step, denominator, slots) in enumerate(fed, len(steps) - len(left)):
            wait = clock.wait()
            tally = reduced(run_step(module, slots, denominator, world, config.seed, step), plan.lengths.sources, world)
            check_denominator(denominator, tally.weight, cursor.update + 1)
            norm = clip(objective, asked.clip)
            rate = learning_rate(number, len(steps), asked.learning_rate, warmup, asked.schedule, asked.min_ratio)
            set_rate(optimizer, rate)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            cursor = replace(cursor, step=step + 1)
            watch.step(Measured.of(tally, cursor.update, denominator, norm, rate, clock.lap(), wait))
            last = number + 1 == len(steps)
            asked_to, due = stop.agreed(world, time.monotonic() - saved >= 60 * minutes)
            if asked_to and not last:
                latest = save()
                raise Stopped(asked_to, cursor.update, total, latest)
            telling = bool(tell_every) and (last or (step + 1) % tell_every == 0)
            measuring = last or (bool(look_every) and (step + 1) % look_every == 0)
            if measuring or telling:
                look(cursor.update, measuring, telling)
            if last or due or (step + 1) % save_every == 0:
                latest, saved = save(), time.monotonic()
            clock.lap()
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
            with closing(prepare(config, path.parent)) as data:
                print(plan_report(data.plan, data.checked))
        else:
            last = train(config, path.parent)
            if os.environ.get("RANK", "0") == "0":
                print(last)
    except GristmillError as error:
        if os.environ.get("RANK", "0") != "0":
            time.sleep(LATER)
        print(f"error: {error}", file=sys.stderr)
        return 2
    except Stopped as stopped:  # it was told
        return stopped.status
    except KeyboardInterrupt:
        print("stopped by Ctrl-C", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
