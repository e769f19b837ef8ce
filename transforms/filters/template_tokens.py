"""Drops records with left-overs of a chat template: special tokens in any turn, both sides' labels in one answer."""

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
    """Tokens inside quotation marks or back-ticks are what the text is about, and do not count."""

    tokens: Most = Field(
        0, description="most <|im_start|>, [INST], <<SYS>>, a last </s>, ### Response: … over all turns of a record"
    )
    turn_labels: Most | None = Field(
        1,
        description='most lines "Human:" or "User:" in an answer that has as many "Assistant:" lines; 1, as '
        "examples of a dialogue have one; null: any number",
    )


def needs(settings: Settings) -> tuple[Annotation, ...]:
    return (Phrases(),)


def decide(features: pa.RecordBatch, settings: Settings) -> Iterator[Finding]:
    found = column(features, "template_tokens").astype(np.float64)
    yield Finding("template_tokens.tokens", found > settings.tokens, found, settings.tokens)
    if settings.turn_labels is not None:
        found = column(features, "turn_labels").astype(np.float64)
        yield Finding("template_tokens.turn_labels", found > settings.turn_labels, found, settings.turn_labels)


FILTER = Filter("template_tokens", Settings, decide, needs)
