"""All that is known before a model is loaded: release, renderer, preflight, plan and pin; no torch."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from schemas.chat.render import Renderer
from schemas.chat.settings import resolve
from schemas.chat.template import Conversation
from schemas.errors import GristmillError
from trainer.config import TrainConfig
from trainer.outcome import Preflight
from trainer.pin import Pin, digest_of
from trainer.plan.lengths import Lengths
from trainer.plan.plan import Plan, make_plan
from trainer.plan.settings import PlanSettings
from trainer.preflight import COLUMNS, preflight
from trainer.release import Release, open_release
from trainer.shards import CONVERSATION, conversations
from trainer.stream import Stream
from trainer.tokenizer import tokenizer_of

FEW = 20_000  # rows that one process looks at sooner than others could be started
SHOWN = 3  # generations, where the configuration names no prompts
# Settings that change how a step is computed and not what it computes: a run may go on with others.
ROUNDING_ONLY = ("attention", "distributed", "compile", "activation_checkpointing")
Once = Callable[[Callable[[], Any]], Any]


@dataclass(frozen=True)
class Prepared:
    """All that is known before a model is loaded."""

    release: Release
    renderer: Renderer
    checked: Preflight
    plan: Plan
    pin: Pin


def prepare(config: TrainConfig, base: Path, once: Once = lambda work: work()) -> Prepared:
    """Release, renderer, preflight and plan; no torch.

    Args:
        once: calls its argument on rank 0 first and then, when that has filled the cache, on the other ranks.

    Raises:
        GristmillError: nothing to train on, or more rows fail than data.max_failed allows.
    """
    release = open_release(config.release, base)
    renderer = resolve(config.template, tokenizer_of(config.tokenizer or config.model, base), base)
    checked = once(partial(_checked, config, base, release, renderer, config.split, config.loss))
    checked.require(float(config.data.max_failed))
    template = {key: value for key, value in renderer.identity().items() if key != "tokenizer"}
    parts = {
        "release": release.digest,
        "split": config.split,
        "template": digest_of(template),
        "tokenizer": renderer.tokenizer.digest,
    }
    weighed = {"overlong": config.data.overlong, "loss": config.loss}
    plan = make_plan(checked.lengths, config.plan_settings(), digest_of(parts | weighed))
    settings = {key: value for key, value in config.settings().items() if key not in ROUNDING_ONLY}
    pin = Pin(
        release_name=release.name,
        release=parts["release"],
        split=parts["split"],
        template=parts["template"],
        tokenizer=parts["tokenizer"],
        template_name=renderer.template.name,
        plan=plan.digest,
        config=digest_of(settings),
        settings=settings,
    )
    return Prepared(release, renderer, checked, plan, pin)


def _checked(
    config: TrainConfig, base: Path, release: Release, renderer: Renderer, split: str, weighting: Any
) -> Preflight:
    shards = release.open(split, COLUMNS)
    try:
        return preflight(
            shards,
            renderer,
            config.data.sequence_length,
            config.data.overlong,
            {"release": release.digest, "split": split},
            weighting=weighting,
            cache=base / config.output / "preflight",
            workers=0 if release.rows(split) < FEW else os.cpu_count() or 1,
        )
    finally:
        shards.close()


@dataclass(frozen=True)
class HeldOut:
    """A split's first rows with a plan of their own."""

    release: Release
    split: str
    renderer: Renderer
    checked: Preflight
    plan: Plan

    def open(self) -> Stream:
        return Stream(self.release.open(self.split, CONVERSATION), self.renderer, self.checked)


def held_out_split(config: TrainConfig, base: Path, data: Prepared, packs: int, once: Once) -> HeldOut | None:
    """None where the configuration wants none, or does not name a split and the release has no "validation"."""
    if config.evaluate is None:
        return None
    split = config.evaluate.split
    if split not in data.release.splits and "evaluate" not in config.model_fields_set:
        return None
    data.release.files(split)  # the sentence that names the splits there are
    checked: Preflight = once(partial(_checked, config, base, data.release, data.renderer, split, "token"))
    lengths: Lengths = checked.lengths
    out = np.arange(len(lengths)) >= config.evaluate.rows
    lengths = replace(
        lengths,
        tokens=np.where(out, 0, lengths.tokens).astype(np.int32),
        supervised=np.where(out, 0, lengths.supervised).astype(np.int32),
        weight=np.where(out, 0.0, lengths.weight),
    )
    if not (lengths.tokens > 0).any():
        raise GristmillError(f"none of the first {config.evaluate.rows} rows of split {split} can be trained on")
    settings = PlanSettings(seed=0, capacity=config.data.sequence_length, packs_per_step=packs)
    return HeldOut(data.release, split, data.renderer, checked, make_plan(lengths, settings, "held out"))


def prompts(config: TrainConfig, data: Prepared, held: HeldOut | None) -> list[Conversation]:
    """The first rows of the held-out split, or of the training split, that can be trained on."""
    split, checked = (config.split, data.checked) if held is None else (held.split, held.checked)
    rows = np.flatnonzero(checked.lengths.tokens > 0)[: 4 * SHOWN]
    shards = data.release.open(split, CONVERSATION)
    try:
        return conversations(shards.take(rows))
    finally:
        shards.close()
