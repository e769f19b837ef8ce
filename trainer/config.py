"""The training configuration: one YAML file, typed and strict like the recipe, with ``section.key=value`` overrides.

Sources of defaults: Alpaca (github.com/tatsu-lab/stanford_alpaca, README), Tulu 3 (arXiv:2411.15124, table of SFT
settings), LIMA (arXiv:2305.11206), QLoRA (arXiv:2305.14314), "LoRA Without Regret" (Thinking Machines, 2025).
"""

import hashlib
import math
import reprlib
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
from pydantic import Field, field_validator, model_validator

from schemas.chat.settings import TemplateChoice
from schemas.errors import GristmillError
from schemas.strict import Strict, read_yaml, validate
from schemas.units import Share
from trainer.config_types import Real, Steps
from trainer.override import overridden
from trainer.plan.settings import PlanSettings

Every = Annotated[Steps, Field(description='optimiser steps, or a share of the run such as "10 %"')]
FULL_RATE, LORA_RATE = 2e-5, 2e-4
EPOCHS = 2


class Data(Strict):
    """What a step holds: G packs of T tokens, filled with whole conversations."""

    sequence_length: Annotated[int, Field(ge=8, le=2**18)] = Field(
        4096, description="T, tokens of a pack, and so of the longest conversation (Tulu 3: 4096)"
    )
    packs_per_step: Annotated[int, Field(ge=1, le=2**16)] = Field(
        16,
        description="G, packs of one optimiser step over all ranks; 16 of 4096 tokens hold about as many conversations "
        "as the batches of 128 of Alpaca and Tulu 3",
    )
    micro_batch: Annotated[int, Field(ge=1)] = Field(1, description="packs of one forward pass on one rank")
    epochs: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        None,
        description=f"passes over the release, of a mixture in supervised tokens; default {EPOCHS} (Tulu 3), unless "
        "steps is given",
    )
    steps: Annotated[int, Field(ge=1, le=10**7)] | None = Field(None, description="instead of epochs: optimiser steps")
    overlong: Literal["drop", "truncate_at_turn", "raise"] = Field(
        "truncate_at_turn",
        description="a conversation longer than sequence_length: drop it, keep its first whole turns (and drop it when "
        "none is left to learn from), or stop; counted by source in every case",
    )
    mixture: dict[str, Share] | None = Field(
        None, description="share of each source in supervised tokens; sources that are not named are left out"
    )
    max_epochs: Annotated[int, Field(ge=1, le=1000)] = Field(
        4, description="how often a mixture may repeat a source; 4 passes are nearly as good as new data "
        "(arXiv:2305.16264)",
    )  # fmt: skip
    exhausted: Literal["renormalise", "stop"] = Field(
        "renormalise", description="a source has been seen max_epochs times: go on with the others, or end the run"
    )
    curriculum: bool = Field(True, description="follow the release's stages, one after another in each epoch")
    window: Annotated[int, Field(ge=1, le=2**20)] = Field(
        4096, description="rows that are packed together; 4096 fill 99.9 % of a pack"
    )
    block: Annotated[int, Field(ge=1, le=2**24)] = Field(2**15, description="rows that are shuffled together")
    streams: Annotated[int, Field(ge=1)] | None = Field(
        None, description="row groups that are read side by side; divides packs_per_step; default: up to 8"
    )
    max_documents: Annotated[int, Field(ge=1, le=2**14)] = Field(256, description="conversations of one pack")
    max_failed: Share = Field(
        default=Share.parse("1 %"),
        description="of each source: rows that the template refuses, that teach nothing or that fail verification; "
        "more stop the run before it trains",
    )

    @field_validator("mixture")
    @classmethod
    def _adds_up(cls, mixture: dict[str, Share] | None) -> dict[str, Share] | None:
        if mixture is None:
            return None
        total = sum(share.value for share in mixture.values())
        if total != 1:
            raise ValueError(f"shares add up to {float(total * 100):g} %, not 100 %")
        return dict(sorted(mixture.items()))  # the digest does not see the order, so nothing may depend on it

    @model_validator(mode="before")
    @classmethod
    def _length(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("epochs") is None and value.get("steps") is None:
            return value | {"epochs": EPOCHS}
        return value

    @model_validator(mode="after")
    def _consistent(self) -> "Data":
        if self.epochs is not None and self.steps is not None:
            raise ValueError(f"epochs is {self.epochs} and steps is {self.steps}; set one of them to null")
        if self.streams is not None and self.packs_per_step % self.streams:
            raise ValueError(
                f"streams is {self.streams}, which does not divide packs_per_step, {self.packs_per_step}; set a divisor"
            )
        return self


class Optimizer(Strict):
    """AdamW and its schedule."""

    learning_rate: Annotated[Real, Field(gt=0, le=1)] = Field(
        FULL_RATE,
        description=f"at its peak; default {FULL_RATE:g} (Alpaca), with lora {LORA_RATE:g} (QLoRA; ten times the rate "
        "of full tuning, LoRA Without Regret)",
    )
    warmup: Steps = Field(
        default=Share.parse("3 %"), description='steps, or a share of the run such as "3 %" (Alpaca, Tulu 3)'
    )
    schedule: Literal["cosine", "linear", "constant"] = Field("cosine", description="after the warm-up")
    min_ratio: Annotated[Real, Field(ge=0, le=1)] = Field(
        0.0,
        description="what the rate falls to, after the last step, as a part of the peak; 0 (Alpaca; arXiv:2502.15938)",
    )
    weight_decay: Annotated[Real, Field(ge=0)] = Field(0.0, description="of matrices only (Alpaca, Tulu 3: 0)")
    betas: Annotated[list[Real], Field(min_length=2, max_length=2)] = Field(
        default=[0.9, 0.95], description="AdamW's decay rates (LIMA)"
    )
    eps: Annotated[Real, Field(gt=0)] = 1e-8
    clip: Annotated[Real, Field(gt=0)] | None = Field(1.0, description="largest norm of the gradient; null: any")

    @field_validator("betas")
    @classmethod
    def _below_one(cls, betas: list[float]) -> list[float]:
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas are {betas}; each must be at least 0 and below 1")
        return betas


class LoRA(Strict):
    """Low-rank adapters (peft) instead of full tuning."""

    rank: Annotated[int, Field(ge=1, le=4096)] = 16
    alpha: Annotated[Real, Field(gt=0)] = Field(32.0, description="scale: alpha / rank (LoRA Without Regret: 32)")
    dropout: Annotated[Real, Field(ge=0, lt=1)] = 0.0
    targets: Literal["all-linear"] | list[str] = Field(
        "all-linear", description="modules that get an adapter; all linear ones but the head (QLoRA), or names"
    )

    @field_validator("targets", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        if value == "all-linear" or (isinstance(value, list) and value and all(isinstance(one, str) for one in value)):
            return value
        raise ValueError(
            f"{reprlib.repr(value)} names no modules; write all-linear, or a list such as [q_proj, v_proj]"
        )


class Checkpoint(Strict):
    """The last step is always saved, and so is the step at which a run is asked to stop."""

    every: Every = Share.parse("25 %")
    minutes: Annotated[Real, Field(gt=0)] | None = Field(
        30.0, description="also when so many have passed since the last one; null: never for that"
    )
    keep: Annotated[int, Field(ge=1)] = Field(2, description="checkpoints on disk; older ones are removed")


class Evaluate(Strict):
    """Held-out loss per source, before the first step, every so often and at the end."""

    split: str = "validation"
    every: Every = Share.parse("10 %")
    rows: Annotated[int, Field(ge=1)] = Field(512, description="the split's first rows; the same in every run")


class Generate(Strict):
    """A few answers of the model, greedily decoded."""

    every: Every = Share.parse("25 %")
    prompts: list[str] = Field(
        default_factory=list, description="user messages; none: those of the first rows of the evaluation split"
    )
    max_tokens: Annotated[int, Field(ge=1)] = 128


class Watch(Strict):
    """Where progress goes besides the terminal and ``metrics.jsonl``."""

    tensorboard: bool = True
    wandb: bool = False
    every: Annotated[int, Field(ge=1)] = Field(1, description="optimiser steps between two records")


class TrainConfig(Strict):
    """One run: a release, a model and how the one is learned by the other."""

    release: str = Field(min_length=1, description="folder or URL of a release, relative to this file")
    split: str = Field("train", description="split that is trained on")
    model: str = Field(min_length=1, description="folder, relative to this file, or hub id of a causal language model")
    tokenizer: str | None = Field(None, description="default: the model's")
    template: TemplateChoice = Field(
        default=TemplateChoice(name="tokenizer"), description="chat template; default: the one the tokenizer carries"
    )
    output: str = Field(min_length=1, description="folder of the run, relative to this file")
    seed: Annotated[int, Field(ge=0, lt=2**63)] = Field(0, description="order, packs, adapters and dropout follow it")
    data: Data = Field(default=Data.model_validate({}))
    optimizer: Optimizer = Field(default_factory=Optimizer)
    loss: Literal["token", "sequence", "sqrt"] = Field(
        "token", description="weight of a supervised token: 1, or by its conversation's n: 1/n, 1/√n"
    )
    precision: Literal["bf16", "fp32"] = "bf16"
    attention: Literal["auto", "flash3", "flash2", "varlen", "flex", "segments", "dense"] = Field(
        "auto", description="the first of these that works here and keeps packed conversations apart"
    )
    activation_checkpointing: Literal["none", "full"] = Field(
        "none", description="full: less memory, one more forward pass a step, about a third more time"
    )
    compile: bool = Field(False, description="torch.compile of each layer")
    distributed: Literal["auto", "ddp", "fsdp"] = Field(
        "auto", description="several processes: whole copies (ddp) or parts (fsdp, FSDP2); auto: by size and lora"
    )
    lora: LoRA | None = Field(None, description="null: full tuning")
    checkpoint: Checkpoint = Field(default_factory=Checkpoint)
    evaluate: Evaluate | None = Field(default_factory=Evaluate, description="null: never")
    generate: Generate | None = Field(default_factory=Generate, description="null: never")
    watch: Watch = Field(default_factory=Watch)
    accept_release_change: bool = Field(
        False, description="continue a checkpoint on another release than it was made with; it is recorded there"
    )

    @model_validator(mode="before")
    @classmethod
    def _rate(cls, value: Any) -> Any:
        """Adapters learn at another rate; the configuration then holds the number that is used."""
        if not isinstance(value, dict) or value.get("lora") is None:
            return value
        optimizer = value.get("optimizer", {})
        if isinstance(optimizer, dict) and "learning_rate" not in optimizer:
            return value | {"optimizer": optimizer | {"learning_rate": LORA_RATE}}
        return value

    def canonical(self) -> bytes:
        """All settings as JSON, defaults filled in, keys sorted."""
        return orjson.dumps(self.model_dump(mode="json"), option=orjson.OPT_SORT_KEYS)

    def settings(self) -> dict[str, Any]:
        """The settings that decide what is learned: not places, nor how a step is computed, nor when it is looked at.

        What only moves the rounding is left out, because a run may go on with other devices and another micro-batch.
        The release, the template's text and the tokenizer have digests of their own (``trainer/pin.py``).
        """
        places = {"release", "tokenizer", "output", "accept_release_change"}
        ways = {"attention", "activation_checkpointing", "compile", "distributed"}
        looks = {"checkpoint", "evaluate", "generate", "watch"}
        plain = self.model_dump(mode="json", exclude=places | ways | looks)
        for key in ("max_failed", "micro_batch"):
            del plain["data"][key]
        return plain

    def digest(self) -> str:
        """sha256 of ``settings()``."""
        return hashlib.sha256(orjson.dumps(self.settings(), option=orjson.OPT_SORT_KEYS)).hexdigest()

    def plan_settings(self) -> PlanSettings:
        """What the plan is made with."""
        data = self.data
        shares = None if data.mixture is None else tuple((name, float(one)) for name, one in data.mixture.items())
        return PlanSettings(
            seed=self.seed,
            capacity=data.sequence_length,
            packs_per_step=data.packs_per_step,
            streams=data.streams or math.gcd(data.packs_per_step, 8),
            window=data.window,
            block=data.block,
            epochs=data.epochs or 1,
            mixture=shares,
            max_epochs=data.max_epochs,
            curriculum=data.curriculum,
            documents=data.max_documents,
            steps=data.steps,
            exhausted=data.exhausted,
        )


def load_config(path: Path, overrides: list[str] | None = None) -> TrainConfig:
    """Read a configuration file; ``overrides`` such as ``data.epochs=3`` (values are YAML) go over it, in order.

    Raises:
        GristmillError: one sentence with file or override, place, value and what to do.
    """
    data = read_yaml(path)
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise GristmillError(f"{path}: expected a mapping of settings, got {type(data).__name__}")
    for override in overrides or []:
        data = overridden(data, override)
    where = f"{path} with {' '.join(overrides)}" if overrides else str(path)
    return validate(TrainConfig, data, where)
