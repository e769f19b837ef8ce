"""Drops records in which the assistant speaks of itself as a model: a new one would learn another's name."""

from collections.abc import Iterator
from typing import Annotated

import numpy as np
import pyarrow as pa
from pydantic import Field

from schemas.strict import Strict
from transforms.annotate.annotation import Annotation
from transforms.annotate.phrases import Mentions, Phrases
from transforms.filters.filter import Filter, Finding, column
from transforms.records import ASSISTANT

Most = Annotated[int, Field(ge=0)]


class Settings(Strict):
    """On assistant turns alone."""

    statements: Most | None = Field(
        0, description='most "as an AI, I …", "I am ChatGPT", "trained by OpenAI" of a record; null allows any number'
    )
    mentions: Most | None = Field(
        None,
        description="most mentions of OpenAI, ChatGPT, GPT-3 to 5, BingChat, LAION, OpenAssistant, Anthropic in "
        "whatever sense; Tulu 3 keeps none (0), which also drops right answers about these companies, any by default",
    )
    own_names: list[Annotated[str, Field(min_length=1, pattern=r"\S")]] = Field(
        [], description="names that your model goes by: records whose answers hold one keep their statements"
    )


def _own(settings: Settings) -> tuple[Mentions, ...]:
    return (Mentions("own_names", tuple(settings.own_names), ASSISTANT),) if settings.own_names else ()


def needs(settings: Settings) -> tuple[Annotation, ...]:
    return (Phrases(), *_own(settings))


def decide(features: pa.RecordBatch, settings: Settings) -> Iterator[Finding]:
    if settings.statements is not None:
        found = column(features, "self_identifications").astype(np.float64)
        failed = found > settings.statements
        if settings.own_names:
            failed &= column(features, "own_names") == 0
        yield Finding("self_identification.statements", failed, found, settings.statements)
    if settings.mentions is not None:
        found = column(features, "provider_mentions").astype(np.float64)
        yield Finding("self_identification.mentions", found > settings.mentions, found, settings.mentions)


FILTER = Filter("self_identification", Settings, decide, needs)
