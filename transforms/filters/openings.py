"""Drops records whose first answer opens with a stock phrase, where a recipe wants that.

Off by default: people write "Sure!" too, and such an answer may be good. To have fewer of one opening, cap the
column ``opening`` instead.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from pydantic import Field

from schemas.strict import Strict
from transforms.annotate.annotation import Annotation
from transforms.annotate.openings import Openings
from transforms.filters.filter import Filter, Finding, column


class Settings(Strict):
    """On the first assistant turn with content."""

    drop_boilerplate: bool = Field(
        False, description='drop answers that open with "Certainly! Here is", "Great question!", "当然！" and the like'
    )


def needs(settings: Settings) -> tuple[Annotation, ...]:
    return (Openings(),) if settings.drop_boilerplate else ()


def decide(features: pa.RecordBatch, settings: Settings) -> Iterator[Finding]:
    if settings.drop_boilerplate:
        found = column(features, "boilerplate_opening").astype(np.float64)
        yield Finding("openings.boilerplate", found > 0, found, 0)


FILTER = Filter("openings", Settings, decide, needs)
