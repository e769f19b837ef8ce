"""Drops records with nothing to learn from: a blank user or assistant turn, no answer, or no prompt at all."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from schemas.strict import Strict
from transforms.filters.filter import Filter, Finding, column


class Settings(Strict):
    """No settings: an empty turn is never wanted."""


def decide(features: pa.RecordBatch, settings: Settings) -> Iterator[Finding]:
    blank = column(features, "empty_turns")
    yield Finding("empty.blank_turns", blank > 0, blank.astype(np.float64), 0)
    answer = column(features, "answer_characters")
    yield Finding("empty.answer_characters", answer < 1, answer.astype(np.float64), 1)
    prompt = column(features, "characters") - answer
    yield Finding("empty.prompt_characters", prompt < 1, prompt.astype(np.float64), 1)


FILTER = Filter("empty", Settings, decide)
