"""Bounds on length. All are open by default: short right answers are good data, and what is too long is known
only to whoever trains."""

from collections.abc import Iterator
from typing import Annotated, Self

import pyarrow as pa
from pydantic import Field, model_validator

from schemas.strict import Strict
from transforms.filters.filter import Filter, Finding, column, outside

Bound = Annotated[int, Field(ge=0)]


class Range(Strict):
    """A closed range; an absent bound is open."""

    min: Bound | None = None
    max: Bound | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}")
        return self


class Settings(Strict):
    """Each measure is of all text of the record, or of its assistant turns alone (``answer_``)."""

    characters: Range = Field(Range(), description="Unicode code points, whole record")
    words: Range = Field(Range(), description="words, whole record; a CJK character is a word")
    tokens: Range = Field(Range(), description="tokens under the recipe's tokenizer, whole record")
    answer_characters: Range = Field(Range(), description="Unicode code points of the assistant turns")
    answer_words: Range = Field(Range(), description="words of the assistant turns")
    answer_tokens: Range = Field(Range(), description="tokens of the assistant turns")
    turns: Range = Field(Range(), description="assistant turns")
    turn_characters: Range = Field(Range(), description="Unicode code points of the longest message")
    turn_words: Range = Field(Range(), description="words of the longest message")
    turn_tokens: Range = Field(Range(), description="tokens of the longest message under the recipe's tokenizer")


def decide(features: pa.RecordBatch, settings: Settings) -> Iterator[Finding]:
    for measure in Settings.model_fields:
        bounds: Range = getattr(settings, measure)
        yield from outside(f"length.{measure}", column(features, measure), bounds.min, bounds.max)


FILTER = Filter("length", Settings, decide)
