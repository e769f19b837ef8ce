"""Keeps or drops records by what a classifier says of them: its labels by name, its scores by bounds."""

import difflib
from collections.abc import Iterator
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from schemas.errors import GristmillError
from schemas.strict import Strict
from transforms.annotate.classifier import Classifier
from transforms.filters.bounds import Scores
from transforms.filters.filter import Filter, Finding, column
from transforms.filters.tags import Choice

# A name becomes part of column names and of rules.
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,30}$")]


class Settings(Strict):
    """A record has the label with the highest score; ``labels`` goes by that, ``scores`` by single scores."""

    model: str = Field(description="a folder or hub id of a transformers model for sequence classification")
    name: Name = Field("classifier", description="first part of its columns and rules")
    text: Literal["prompt", "response", "whole"] = Field("response", description="what the model reads")
    max_tokens: int = Field(
        512,
        ge=1,
        description="tokens that it reads at most; the rest of the text is cut. 512 is what BERT and its kin take",
    )
    batch_size: int = Field(32, ge=1, description="texts at a time: memory against speed")
    revision: str | None = Field(None, description="commit of a hub model")
    labels: Choice = Field(Choice(), description="allow or drop, by the model's own names of its labels")
    scores: dict[str, Scores] = Field(
        {}, description="bounds of the score of a label, by its name; a probability, unless the model is a regression"
    )


def classifier(settings: Settings) -> Classifier:
    return Classifier(
        settings.model, settings.name, settings.text, settings.max_tokens, settings.batch_size, settings.revision
    )


def needs(settings: Settings) -> tuple[Classifier, ...]:
    """The classifier, once every label in the settings is found to be one of its own.

    Raises:
        GristmillError: the model is absent, or has no label of such a name.
    """
    one = classifier(settings)
    known = one.labels()
    for label in [*(settings.labels.allow or ()), *(settings.labels.drop or ()), *settings.scores]:
        if label not in known:
            near = difflib.get_close_matches(label, known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(known)}"
            raise GristmillError(f"classifier {settings.name!r} has no label {label!r}; {hint}")
    return (one,)


def decide(features: pa.RecordBatch, settings: Settings) -> Iterator[Finding]:
    one = classifier(settings)
    known = one.labels()
    columns = dict(zip(known, one.columns(), strict=True))
    best = column(features, f"{settings.name}_label")
    value = partial(_score, features)
    for label in settings.labels.gone(known):
        # The rule's name says which label it is, and the value how sure the model was.
        yield Finding(f"classified.{_rule(columns[label])}", best == known.index(label), value(columns[label]), 0.0)
    for label, bounds in sorted(settings.scores.items()):
        score = value(columns[label])
        if bounds.min is not None:
            low = score < np.float32(bounds.min)
            yield Finding(f"classified.{_rule(columns[label])}.min", low, score, bounds.min)
        if bounds.max is not None:
            high = score > np.float32(bounds.max)
            yield Finding(f"classified.{_rule(columns[label])}.max", high, score, bounds.max)


def _score(features: pa.RecordBatch, name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    return column(features, name).astype(np.float64)


def _rule(column_name: str) -> str:
    return column_name.replace("_score_", ".", 1)


FILTER = Filter("classified", Settings, decide, needs)
