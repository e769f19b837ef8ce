"""Drops records whose answers are forms to fill in: "[Your Name]", "<insert date>", "XXXX".

A letter with two of them is what the user asked for, people write such letters too. So by default an answer fails
only if it is little else.
"""

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

    share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.4,
        description="share of an answer's code points, 0 to 1, that may be placeholders, of the answer with most of "
        "them; default 0.4: real letters have up to 0.1, short ones up to 0.3",
    )
    count: Annotated[int, Field(ge=0)] | None = Field(
        None, description="most placeholders in a record's answers; any number by default"
    )


def needs(settings: Settings) -> tuple[Annotation, ...]:
    return (Phrases(),)


def decide(features: pa.RecordBatch, settings: Settings) -> Iterator[Finding]:
    share = column(features, "fill_in_share").astype(np.float64)
    yield Finding("placeholders.share", share > settings.share, share, settings.share)
    if settings.count is not None:
        found = column(features, "fill_ins").astype(np.float64)
        yield Finding("placeholders.count", found > settings.count, found, settings.count)


FILTER = Filter("placeholders", Settings, decide, needs)
