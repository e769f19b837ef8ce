"""Bounds on writing systems in the answers: Chinese in an English mix, an answer without any Latin letter."""

from collections.abc import Iterator
from typing import Annotated

import numpy as np
import pyarrow as pa
from pydantic import Field, field_validator

from schemas.strict import Strict
from schemas.units import Share
from transforms.annotate.annotation import Annotation
from transforms.annotate.scripts import SCRIPTS, Scripts
from transforms.filters.filter import Filter, Finding, column


class Settings(Strict):
    """Shares are of the letters of all assistant turns; digits, punctuation and emoji count for no script."""

    min: dict[str, Share] = Field(
        default_factory=dict, description='least share of a script, for example {latin: "50 %"}'
    )
    max: dict[str, Share] = Field(
        default_factory=dict,
        description='largest share of a script, for example {han: "5 %"}, Tulu 3\'s bound for Chinese in English data',
    )
    min_letters: Annotated[int, Field(ge=1)] = Field(
        20, description="letters in the answers below which nothing is judged: a name or a sign is a right answer"
    )

    @field_validator("min", "max")
    @classmethod
    def _known(cls, bounds: dict[str, Share]) -> dict[str, Share]:
        for name in bounds:
            if name not in SCRIPTS:
                raise ValueError(f"{name!r} is no script; known scripts: {', '.join(SCRIPTS)}")
        return dict(sorted(bounds.items()))


def decide(features: pa.RecordBatch, settings: Settings) -> Iterator[Finding]:
    judged = column(features, "letters") >= settings.min_letters
    for name, bound in settings.min.items():
        share = column(features, f"script_{name}").astype(np.float64)
        yield Finding(f"script.{name}.min", judged & (share < float(bound.value)), share, float(bound.value))
    for name, bound in settings.max.items():
        share = column(features, f"script_{name}").astype(np.float64)
        yield Finding(f"script.{name}.max", judged & (share > float(bound.value)), share, float(bound.value))


def needs(settings: Settings) -> tuple[Annotation, ...]:
    return (Scripts(),)


FILTER = Filter("script", Settings, decide, needs)
