"""Drops records with an answer that is nothing but links or images, or only points elsewhere: "See the link above."

A link is the right answer to whoever asks for one: records whose prompts speak of a link, a website, a source or a
picture keep theirs.
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
        0.6,
        description="share of an answer's code points, 0 to 1, that may be URLs and Markdown images, of the answer "
        "with most of them, unless a prompt asks for such; default 0.6: more link than words",
    )
    pointers: Annotated[int, Field(ge=0)] | None = Field(
        0, description='most answers of a record that are no more than "see the link above"; null: any number'
    )


def needs(settings: Settings) -> tuple[Annotation, ...]:
    return (Phrases(),)


def decide(features: pa.RecordBatch, settings: Settings) -> Iterator[Finding]:
    share = column(features, "url_share").astype(np.float64)
    unasked = column(features, "link_requests") == 0
    yield Finding("urls.share", (share > settings.share) & unasked, share, settings.share)
    if settings.pointers is not None:
        found = column(features, "pointers").astype(np.float64)
        yield Finding("urls.pointers", found > settings.pointers, found, settings.pointers)


FILTER = Filter("urls", Settings, decide, needs)
