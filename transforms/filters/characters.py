"""Bounds on special characters and repeated stretches. All are open by default: code, formulas, tables and emoji are
good data in one release and noise in another."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from pydantic import Field

from schemas.strict import Strict
from transforms.annotate.characters import Characters
from transforms.filters.bounds import Parts
from transforms.filters.filter import Filter, Finding, column


class Settings(Strict):
    """Shares of characters (code points), 0 to 1. Web recipes have ``max: 0.25`` for special characters (data-juicer's
    default, which counts digits and spaces too) and ``max: 0.5`` for repetition."""

    answer_special: Parts = Field(
        Parts(), description="share of the answers' characters that are no letter, mark, number or space; default open"
    )
    prompt_special: Parts = Field(
        Parts(), description="share of all other characters that are no letter, mark, number or space; default open"
    )
    answer_character_repetition: Parts = Field(
        Parts(),
        description="share of an answer's windows of 10 characters that stand earlier in it, of the answer with most; "
        "default open",
    )


def decide(features: pa.RecordBatch, settings: Settings) -> Iterator[Finding]:
    for measure in Settings.model_fields:
        bounds: Parts = getattr(settings, measure)
        share = column(features, measure).astype(np.float64)
        if bounds.min is not None:
            yield Finding(f"characters.{measure}.min", share < bounds.min, share, bounds.min)
        if bounds.max is not None:
            yield Finding(f"characters.{measure}.max", share > bounds.max, share, bounds.max)


FILTER = Filter("characters", Settings, decide, lambda settings: (Characters(),))
