"""Drops records whose answers tell the date of a model's knowledge: another model's is another."""

from collections.abc import Iterator
from typing import Annotated

import numpy as np
import pyarrow as pa
from pydantic import Field

from schemas.strict import Strict
from transforms.annotate.annotation import Annotation
from transforms.annotate.phrases import Phrases
from transforms.filters.filter import Filter, Finding, column


class Settings(Strict):
    """On assistant turns alone."""

    phrases: Annotated[int, Field(ge=0)] = Field(
        0,
        description='most "as of my last update", "my knowledge cutoff", "I don\'t have real-time information" of a '
        "record (phrases after open-instruct, which keeps none)",
    )


def needs(settings: Settings) -> tuple[Annotation, ...]:
    return (Phrases(),)


def decide(features: pa.RecordBatch, settings: Settings) -> Iterator[Finding]:
    found = column(features, "knowledge_cutoffs").astype(np.float64)
    yield Finding("knowledge_cutoff.phrases", found > settings.phrases, found, settings.phrases)


FILTER = Filter("knowledge_cutoff", Settings, decide, needs)
