"""Scores by models: each is optional, each becomes a column, and a missing score is never a number."""

from typing import Annotated, Literal

from pydantic import Field

from schemas.strict import Strict

Tokens = Annotated[int, Field(ge=16, le=131072)]


class RewardModel(Strict):
    """A sequence classifier with one logit over the conversation (column ``reward``)."""

    model: str = Field(description="folder or hub id[@revision]; needs the train extra")
    max_tokens: Tokens = Field(2048, description="longer conversations have no score")
    truncate: bool = Field(False, description="score the last max_tokens of longer ones instead")


class InstructionDifficulty(Strict):
    """IFD: loss of the answer given the prompt over its loss alone, under a small causal model (column ``ifd``)."""

    model: str = Field(description="folder, .gguf file or hub id[@revision]; needs the train extra")
    max_tokens: Tokens = Field(1024, description="longer conversations have no score")


class Deita(Strict):
    """DEITA's two scorers: sums over turns of complexity times quality (column ``deita``)."""

    complexity: str = Field(description="folder or hub id of the complexity scorer")
    quality: str = Field(description="folder or hub id of the quality scorer")
    max_tokens: Tokens = Field(2048, description="longer conversations have no score")


class Judge(Strict):
    """A language model that reads and grades, over an OpenAI-compatible endpoint (column ``judge``)."""

    base_url: str = Field(pattern=r"^https?://", description="for example http://localhost:8000/v1")
    model: str = Field(description="the model's name at the endpoint")
    api_key_env: str | None = Field(None, description="environment variable that holds the key; never the key itself")
    rubric: str | None = Field(None, description="file with your own rubric; default: Gristmill's")
    scale: tuple[float, float] = Field((1, 10), strict=False, description="lowest and highest grade")
    share: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0, description="part of the records that are graded, chosen by id; the others have no score"
    )
    max_requests: Annotated[int, Field(ge=1)] | None = Field(None, description="budget, over all runs of this corpus")
    max_tokens: Annotated[int, Field(ge=1)] | None = Field(None, description="budget, over all runs of this corpus")
    on_exhausted: Literal["null", "stop"] = Field(
        "stop", description="when the budget is spent: stop, or leave the rest without a score"
    )
    concurrency: Annotated[int, Field(ge=1, le=256)] = Field(4, description="requests at a time in each worker")
    timeout_s: Annotated[float, Field(gt=0)] = Field(120, description="seconds that one reply may take")
    retries: Annotated[int, Field(ge=0, le=20)] = Field(5, description="tries after the first, ever further apart")


class Scores(Strict):
    """Which models score."""

    reward: RewardModel | None = None
    ifd: InstructionDifficulty | None = None
    deita: Deita | None = None
    judge: Judge | None = None
