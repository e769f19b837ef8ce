"""Drops records whose prompts refer to an image or a file that a text record does not hold.

Self-Instruct drops any instruction with the words image, graph, picture, file or map, which takes good questions with
it; here the prompt must point at the thing: "the attached file", "this screenshot", "the image below".
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
    """On user turns alone."""

    references: Annotated[int, Field(ge=0)] = Field(
        0,
        description="most references to an attached image, recording or document in a record's user turns; default 0: "
        "what is not there cannot be answered about",
    )


def needs(settings: Settings) -> tuple[Annotation, ...]:
    return (Phrases(),)


def decide(features: pa.RecordBatch, settings: Settings) -> Iterator[Finding]:
    found = column(features, "attachment_references").astype(np.float64)
    yield Finding("attachments.references", found > settings.references, found, settings.references)


FILTER = Filter("attachments", Settings, decide, needs)
