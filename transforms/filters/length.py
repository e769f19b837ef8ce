"""Bounds on length. All are open by default: short right answers are good data, and what is too long is known
only to whoever trains."""

from collections.abc import Iterator

import pyarrow as pa
from pydantic import Field

from schemas.strict import Strict
from transforms.filters.bounds import Counts
from transforms.filters.filter import Filter, Finding, column, outside


class Settings(Strict):
    """Each measure is of all text of the record, or of its assistant turns alone (``answer_``)."""

    characters: Counts = Field(Counts(), description="Unicode code points, whole record")
    words: Counts = Field(Counts(), description="words, whole record; a CJK character is a word")
    tokens: Counts = Field(Counts(), description="tokens under the recipe's tokenizer, whole record")
    answer_characters: Counts = Field(Counts(), description="Unicode code points of the assistant turns")
    answer_words: Counts = Field(Counts(), description="words of the assistant turns")
    answer_tokens: Counts = Field(Counts(), description="tokens of the assistant turns")
    turns: Counts = Field(Counts(), description="assistant turns")
    turn_characters: Counts = Field(Counts(), description="Unicode code points of the longest message")
    turn_words: Counts = Field(Counts(), description="words of the longest message")
    turn_tokens: Counts = Field(Counts(), description="tokens of the longest message under the recipe's tokenizer")


def decide(features: pa.RecordBatch, settings: Settings) -> Iterator[Finding]:
    for measure in Settings.model_fields:
        bounds: Counts = getattr(settings, measure)
        yield from outside(f"length.{measure}", column(features, measure), bounds.min, bounds.max)


FILTER = Filter("length", Settings, decide)
