"""Drops records in which the assistant refuses. A refusal stands at the beginning of an answer; one that goes on to
help after all, or at length, is a partial one."""

from collections.abc import Iterator
from typing import Annotated

import numpy as np
import pyarrow as pa
from pydantic import Field

from schemas.strict import Strict
from transforms.annotate.annotation import Annotation
from transforms.annotate.phrases import Phrases
from transforms.filters.filter import Filter, Finding, column

Most = Annotated[int, Field(ge=0)]


class Settings(Strict):
    """On assistant turns alone. Leave the filter out for data that shall teach when to refuse."""

    whole: Most | None = Field(0, description="most answers of a record that refuse and do no more; null: any number")
    partial: Most | None = Field(
        None, description="most answers that begin by refusing and then offer or give something; any number by default"
    )


def needs(settings: Settings) -> tuple[Annotation, ...]:
    return (Phrases(),)


def decide(features: pa.RecordBatch, settings: Settings) -> Iterator[Finding]:
    for rule, most in (("whole", settings.whole), ("partial", settings.partial)):
        if most is not None:
            found = column(features, f"{rule}_refusals").astype(np.float64)
            yield Finding(f"refusal.{rule}", found > most, found, most)


FILTER = Filter("refusal", Settings, decide, needs)
