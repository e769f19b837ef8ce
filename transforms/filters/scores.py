"""Bounds on scores. All are open by default. What a score means is its annotation's to say (``docs/quality.md``)."""

from collections.abc import Iterator
from typing import Annotated, Literal, Self

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from schemas.errors import GristmillError
from schemas.strict import Strict
from transforms.annotate.annotation import Annotation
from transforms.annotate.quality import WEIGHTS, Quality, quality
from transforms.filters.filter import Filter, Finding


class Bounds(Strict):
    """A closed range of a score."""

    min: float | None = Field(None, allow_inf_nan=False)
    max: float | None = Field(None, allow_inf_nan=False)
    missing: Literal["drop", "keep"] = Field(
        "drop", description="a record without the score: it has not been shown to lie inside the bounds"
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("give min, max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}")
        return self


Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Settings(Strict):
    """Bounds by score; values are compared at four decimals."""

    quality: Bounds | None = Field(None, description="weighted harmonic mean of the components, 0 to 1")
    weights: dict[str, Weight] = Field(
        default_factory=dict,
        description="weights of quality's components by name, for this bound alone; those not named keep their "
        f"defaults ({', '.join(f'{name} {weight:g}' for name, weight in WEIGHTS.items())})",
    )
    quality_substance: Bounds | None = Field(
        None, description="content words of the answer against what the prompt asks for, 0 to 1"
    )
    quality_candour: Bounds | None = Field(
        None, description='an answer and nothing else: no refusal, no "as an AI", no left-over of a template, 0 to 1'
    )
    quality_variety: Bounds | None = Field(None, description="no loops, ordinary richness of words, 0 to 1")
    quality_original: Bounds | None = Field(None, description="other phrases than the prompt's, 0 to 1")
    quality_ending: Bounds | None = Field(None, description="comes to an end, 0 to 1")
    quality_form: Bounds | None = Field(None, description="line breaks in long answers, 0 to 1")
    quality_clarity: Bounds | None = Field(None, description="the first prompt can be answered, 0 to 1")
    quality_relation: Bounds | None = Field(None, description="shares content words with its prompt, 0 to 1")
    reward: Bounds | None = Field(None, description="logit of a reward model; its scale is the model's own")
    deita: Bounds | None = Field(None, description="sum over turns of complexity x quality")
    deita_complexity: Bounds | None = Field(None, description="mean over turns, 1 to 6")
    deita_quality: Bounds | None = Field(None, description="mean over turns, 1 to 6")
    ifd: Bounds | None = Field(None, description="loss after the prompt / loss alone; from 1 on commonly discarded")
    judge: Bounds | None = Field(None, description="score of a judge, on the rubric's scale")

    @model_validator(mode="after")
    def _known_weights(self) -> Self:
        for name in self.weights:
            if name not in WEIGHTS:
                raise ValueError(f"weights: {name!r} is no component of quality; components: {', '.join(WEIGHTS)}")
        if not any((WEIGHTS | self.weights).values()):
            raise ValueError("weights: all are 0; leave one above 0")
        return self

    @property
    def bounds(self) -> dict[str, Bounds]:
        """The scores that are bounded, in the order of the fields."""
        found = {name: getattr(self, name) for name in type(self).model_fields if name != "weights"}
        return {name: bounds for name, bounds in found.items() if bounds is not None}


def decide(features: pa.RecordBatch, settings: Settings) -> Iterator[Finding]:
    for name, bounds in settings.bounds.items():
        value = _values(features, name, settings)
        missing = np.isnan(value)
        if bounds.missing == "drop":
            yield Finding(f"scores.{name}.missing", missing, value, np.nan)
        if bounds.min is not None:
            yield Finding(f"scores.{name}.min", value < bounds.min, value, bounds.min)  # NaN is never below or above
        if bounds.max is not None:
            yield Finding(f"scores.{name}.max", value > bounds.max, value, bounds.max)


def _values(features: pa.RecordBatch, name: str, settings: Settings) -> np.ndarray:
    """A score [n] as float64 at four decimals, NaN where there is none: 0.7 as float32 is below 0.7."""
    names = [f"quality_{one}" for one in WEIGHTS] if name == "quality" else [name]
    absent = [one for one in names if one not in features.schema.names]
    if absent and not features.num_rows:
        return np.zeros(0)
    if absent:
        raise GristmillError(f"filters.scores.{name}: no such score was computed; add it to the recipe's scores")
    columns = [features[one].cast(pa.float64()).to_numpy(zero_copy_only=False) for one in names]
    values = quality(dict(zip(WEIGHTS, columns)), WEIGHTS | settings.weights) if name == "quality" else columns[0]
    return np.round(values, 4)


def needs(settings: Settings) -> tuple[Annotation, ...]:
    """Quality needs nothing but text, so asking for it is enough; models and judges stand in the recipe."""
    return (Quality(),) if any(name.startswith("quality") for name in settings.bounds) else ()


FILTER = Filter("scores", Settings, decide, needs)
