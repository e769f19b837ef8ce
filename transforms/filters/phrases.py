"""Drops records that hold words or phrases of the user's own choice, in answers or in prompts."""

from collections.abc import Iterator
from typing import Annotated

import numpy as np
import pyarrow as pa
from pydantic import Field

from schemas.strict import Strict
from transforms.annotate.annotation import Annotation
from transforms.annotate.phrases import Mentions
from transforms.filters.filter import Filter, Finding, column
from transforms.records import ASSISTANT, USER

Text = Annotated[str, Field(min_length=1, pattern=r"\S")]


class Settings(Strict):
    """Whole words without regard to case; white space in a phrase stands for any white space."""

    answers: list[Text] = Field([], description="no assistant turn may hold any of these")
    prompts: list[Text] = Field([], description="no user turn may hold any of these")


def _mentions(settings: Settings) -> tuple[Mentions, ...]:
    return (
        *((Mentions("phrases_in_answers", tuple(settings.answers), ASSISTANT),) if settings.answers else ()),
        *((Mentions("phrases_in_prompts", tuple(settings.prompts), USER),) if settings.prompts else ()),
    )


def needs(settings: Settings) -> tuple[Annotation, ...]:
    return _mentions(settings)


def decide(features: pa.RecordBatch, settings: Settings) -> Iterator[Finding]:
    for one in _mentions(settings):
        found = column(features, one.column).astype(np.float64)
        yield Finding(f"phrases.{one.column.removeprefix('phrases_in_')}", found > 0, found, 0)


FILTER = Filter("phrases", Settings, decide, needs)
