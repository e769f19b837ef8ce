"""All that is known before a model is loaded: release, renderer, preflight, plan and pin; no torch."""

import os
from collections.abc import Callable
from dataclasses import dataclass
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
from trainer.plan.plan import Plan, make_plan
from trainer.plan.settings import PlanSettings
from trainer.preflight import COLUMNS, preflight
from trainer.progress import Progress
from trainer.release import Release, open_release
from trainer.shards import Shards, conversations
from trainer.stream import Stream
from trainer.tokenizer import tokenizer_of

FEW = 20_000  # rows that one process looks at sooner than others could be started
SHOWN = 3  # generations, where the configuration names no prompts
# Settings that change how a step is computed and not what it computes: a run may go on with others.
ROUNDING_ONLY = ("attention", "distributed", "compile", "activation_checkpointing")
# The model is pinned by its content (``basis.py``): its path may be written in many ways, and hold another one day.
ELSEWHERE = (*ROUNDING_ONLY, "model")
Once = Callable[[Callable[[], Any]], Any]


class Rows:
    """The rows of a release's splits, each opened once: a remote shard is fetched and hashed once a run, for preflight,
    training and every look at held-out rows. Close it."""

    def __init__(self, release: Release):
        self._release = release
        self._opened: dict[str, Shards] = {}

    def __getitem__(self, split: str) -> Shards:
        if split not in self._opened:
            self._opened[split] = self._release.open(split, COLUMNS)
        return self._opened[split]

    def close(self) -> None:
        for shards in self._opened.values():
            shards.close()


@dataclass(frozen=True)
class Prepared:
    """All that is known before a model is loaded. Close it: it holds files open."""

    release: Release
    rows: Rows
    renderer: Renderer
    checked: Preflight
    plan: Plan
    pin: Pin

    def stream(self) -> Stream:
        """Of the split that is trained on; it is closed with this."""
        return Stream(self.rows[self.pin.split], self.renderer, self.checked)

    def close(self) -> None:
        self.rows.close()


def prepare(config: TrainConfig, base: Path, once: Once = lambda work: work(), quiet: bool = False) -> Prepared:
    """Release, renderer, preflight and plan; no torch.

    Args:
        once: calls its argument on rank 0 first and then, when that has filled the cache, on the other ranks.
        quiet: a long preflight says nothing on stderr.

    Raises:
        GristmillError: nothing to train on, or more rows fail than data.max_failed allows.
    """
    release = open_release(config.release, base)
    refuse_place(config.output, base, config.release)
    renderer = resolve(config.template, tokenizer_of(config.tokenizer or config.model, base), base)
    rows = Rows(release)
    checked = once(partial(_checked, config, base, release, rows, renderer, config.split, config.loss, None, quiet))
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
    settings = {key: value for key, value in config.settings().items() if key not in ELSEWHERE}
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
    return Prepared(release, rows, renderer, checked, plan, pin)


def refuse_place(output: str, base: Path, location: str) -> None:
    """``location`` of the release: a URL, or a folder relative to ``base``.

    Raises:
        GristmillError: ``output`` is no local folder, or lies in the release.
    """
    if "://" in output:
        raise GristmillError(f"output is {output}; runs are written to a local folder, name one and copy it afterwards")
    place = (base / output).resolve()
    if "://" not in location and place.is_relative_to((base / location).resolve()):
        raise GristmillError(f"output {place} lies in the release {location}, which nothing may change; name another")


def _checked(
    config: TrainConfig,
    base: Path,
    release: Release,
    rows: Rows,
    renderer: Renderer,
    split: str,
    weighting: Any,
    first: int | None,
    quiet: bool,
) -> Preflight:
    count = release.rows(split) if first is None else min(first, release.rows(split))
    return preflight(
        rows[split],
        renderer,
        config.data.sequence_length,
        config.data.overlong,
        {"release": release.digest, "split": split},
        weighting=weighting,
        cache=base / config.output / "preflight",
        workers=0 if count < FEW else os.cpu_count() or 1,
        progress=None if quiet else Progress(f"checking split {split}"),
        first=first,
    )


@dataclass(frozen=True)
class HeldOut:
    """A split's first rows with a plan of their own."""

    rows: Rows
    split: str
    renderer: Renderer
    checked: Preflight
    plan: Plan

    def stream(self) -> Stream:
        """Of these rows; it is closed with the run's."""
        return Stream(self.rows[self.split], self.renderer, self.checked)


def held_out_split(
    config: TrainConfig, base: Path, data: Prepared, packs: int, once: Once, quiet: bool = False
) -> HeldOut | None:
    """None where the configuration wants none, or does not name a split and the release has no "validation"."""
    if config.evaluate is None:
        return None
    split = config.evaluate.split
    if split not in data.release.splits and "evaluate" not in config.model_fields_set:
        return None
    data.release.files(split)  # the sentence that names the splits there are
    first = config.evaluate.rows  # no others are looked at
    checked: Preflight = once(
        partial(_checked, config, base, data.release, data.rows, data.renderer, split, "token", first, quiet)
    )
    if not (checked.lengths.tokens > 0).any():
        raise GristmillError(f"none of the first {first} rows of split {split} can be trained on")
    settings = PlanSettings(seed=0, capacity=config.data.sequence_length, packs_per_step=packs)
    return HeldOut(data.rows, split, data.renderer, checked, make_plan(checked.lengths, settings, "held out"))


def prompts(config: TrainConfig, data: Prepared, held: HeldOut | None) -> list[Conversation]:
    """The first rows of the held-out split, or of the training split, that can be trained on."""
    split, checked = (config.split, data.checked) if held is None else (held.split, held.checked)
    rows = np.flatnonzero(checked.lengths.tokens > 0)[: 4 * SHOWN]
    return conversations(data.rows[split].take(rows))
