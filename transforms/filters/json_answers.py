"""Drops answers that are meant to be JSON and do not parse."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from schemas.strict import Strict
from transforms.annotate.annotation import Annotation
from transforms.annotate.json_answers import STATES, JsonAnswers
from transforms.filters.filter import Filter, Finding, column


class Settings(Strict):
    """What counts as meant to be JSON: a json fence, a JSON opening, or a brace where the prompt asks for JSON."""

    drop: list[Literal["broken", "lines", "relaxed", "python"]] = Field(
        default=["broken"],
        description="what goes: broken; lines (JSON Lines instead of one value); relaxed (comments, trailing commas, "
        "NaN, ellipses); python (a dict as Python prints it). Default: broken; the others can "
        "still be read",
    )


def decide(features: pa.RecordBatch, settings: Settings) -> Iterator[Finding]:
    state = column(features, "json_state")
    for name in sorted(set(settings.drop)):
        hit = state == STATES.index(name)
        yield Finding(f"json_answers.{name}", hit, hit.astype(np.float64), 0)


def needs(settings: Settings) -> tuple[Annotation, ...]:
    return (JsonAnswers(),)


FILTER = Filter("json_answers", Settings, decide, needs)
