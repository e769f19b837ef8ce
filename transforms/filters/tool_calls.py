"""Drops conversations in which the assistant calls a tool that there is not, or calls it wrongly."""

from collections.abc import Iterator
from typing import Annotated

import numpy as np
import pyarrow as pa
from pydantic import Field

from schemas.strict import Strict
from transforms.annotate.annotation import Annotation
from transforms.annotate.tool_calls import ToolCalls
from transforms.filters.filter import Filter, Finding, column

Bound = Annotated[int, Field(ge=0)] | None


class Settings(Strict):
    """Most calls with each fault that a record may have; null: not judged. By default none: one wrong call teaches a
    model to call wrongly."""

    unknown: Bound = Field(0, description="calls of a name that the record's list of tools does not have")
    arguments: Bound = Field(0, description="calls whose arguments are no JSON object")
    missing: Bound = Field(0, description="calls without a parameter that the tool requires")
    misfit: Bound = Field(0, description="calls with a value that its schema forbids: wrong type, outside the enum")


def decide(features: pa.RecordBatch, settings: Settings) -> Iterator[Finding]:
    for fault in Settings.model_fields:
        most = getattr(settings, fault)
        if most is not None:
            found = column(features, f"tool_calls_{fault}")
            yield Finding(f"tool_calls.{fault}", found > most, found.astype(np.float64), most)


def needs(settings: Settings) -> tuple[Annotation, ...]:
    return (ToolCalls(),)


FILTER = Filter("tool_calls", Settings, decide, needs)
