"""Drops answers in a language that is not wanted, or not the prompt's. What the model is not sure of stays."""

from collections.abc import Iterator
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator

from schemas.strict import Strict
from transforms.annotate.annotation import Annotation
from transforms.annotate.language import Language
from transforms.filters.filter import Filter, Finding, column

Code = Annotated[str, Field(pattern=r"^[a-z]{2,3}$")]


class Settings(Strict):
    """Languages are ISO 639 codes as fastText's lid.176 gives them: en, fi, zh, ..."""

    allow: list[Code] | None = Field(
        None, description="languages that answers may be in; null: any. An answer of unknown language stays"
    )
    same: bool = Field(
        False,
        description="the answer must be in the prompt's language, unless the prompt names a language or a translation",
    )
    min_score: Annotated[float, Field(gt=0, le=1)] = Field(
        0.8,
        description="probability 0..1 from which a language counts as known; below, nothing is dropped. "
        "Of 13,536 human English records (Dolly) 28 answers are taken for another language at 0.5, and 4 at 0.8, which "
        "are French and Dutch",
    )

    @field_validator("allow")
    @classmethod
    def _some(cls, allow: list[str] | None) -> list[str] | None:
        if allow is not None and not allow:
            raise ValueError("an empty list allows nothing; name a language or leave the key out")
        return None if allow is None else sorted(set(allow))


def decide(features: pa.RecordBatch, settings: Settings) -> Iterator[Finding]:
    score = column(features, "language_score").astype(np.float64)
    sure = np.round(score, 3) >= settings.min_score
    if settings.allow is not None:
        allowed = np.asarray(pc.is_in(features["language"], pa.array(settings.allow, pa.string())))
        yield Finding("language.not_allowed", sure & ~allowed, score, settings.min_score)
    if settings.same:
        prompt = column(features, "prompt_language_score").astype(np.float64)
        other = np.asarray(pc.fill_null(pc.not_equal(features["language"], features["prompt_language"]), False))
        both = sure & (np.round(prompt, 3) >= settings.min_score)
        named = np.asarray(pc.fill_null(features["names_language"], False))
        yield Finding("language.not_the_prompts", both & other & ~named, score, settings.min_score)


def needs(settings: Settings) -> tuple[Annotation, ...]:
    return (Language(),)


FILTER = Filter("language", Settings, decide, needs)
