"""Keeps or drops records by their tags: task, format and tone by name, difficulty by bounds."""

import difflib
from collections.abc import Iterator
from typing import Annotated, Self

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from schemas.strict import Strict
from transforms.annotate.tags import FORMATS, TASKS, TONES, Tags
from transforms.filters.bounds import Parts
from transforms.filters.filter import Filter, Finding, column


class Choice(Strict):
    """``allow`` keeps these alone, ``drop`` drops these alone; one of the two. A rule for each name that goes."""

    allow: list[str] | None = None
    drop: list[str] | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.allow is not None and self.drop is not None:
            raise ValueError("allow and drop are both set; keep one of them")
        return self

    def gone(self, known: tuple[str, ...]) -> list[str]:
        """The names to drop, in the order of ``known``."""
        if self.allow is not None:
            return [name for name in known if name not in self.allow]
        return [name for name in known if name in (self.drop or ())]


class Settings(Strict):
    """All open by default."""

    tasks: Choice = Field(Choice(), description=f"what the first turn asks for: {', '.join(TASKS)}")
    formats: Choice = Field(Choice(), description=f"layout of the last answer: {', '.join(FORMATS)}")
    tones: Choice = Field(Choice(), description=f"tone of the last answer: {', '.join(TONES)}")
    difficulty: Parts = Field(
        Parts(),
        description="how much the record asks of whoever answers it, 0 to 1; docs/tags.md has the formula and medians",
    )
    confidence: Annotated[float, Field(ge=0, le=1)] = Field(
        0.0, description="a task is dropped only where its tag is at least this sure, 0 to 1; default 0: any"
    )

    @model_validator(mode="after")
    def _known(self) -> Self:
        for field, known in (("tasks", TASKS), ("formats", FORMATS), ("tones", TONES)):
            choice: Choice = getattr(self, field)
            for name in [*(choice.allow or ()), *(choice.drop or ())]:
                if name not in known:
                    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
                    hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"
                    raise ValueError(f"{field} has no tag {name!r}; {hint}")
        return self


def decide(features: pa.RecordBatch, settings: Settings) -> Iterator[Finding]:
    confidence = column(features, "task_confidence").astype(np.float64)
    task = column(features, "task")
    for name in settings.tasks.gone(TASKS):
        hit = (task == TASKS.index(name)) & (confidence >= np.float32(settings.confidence))
        yield Finding(f"tags.task.{name}", hit, confidence, settings.confidence)
    for kind, names, choice in (("format", FORMATS, settings.formats), ("tone", TONES, settings.tones)):
        codes = column(features, kind)
        for name in choice.gone(names):
            code = names.index(name)
            yield Finding(f"tags.{kind}.{name}", codes == code, codes.astype(np.float64), code)
    difficulty = column(features, "difficulty").astype(np.float64)
    if settings.difficulty.min is not None:
        least = settings.difficulty.min
        yield Finding("tags.difficulty.min", difficulty < np.float32(least), difficulty, least)
    if settings.difficulty.max is not None:
        most = settings.difficulty.max
        yield Finding("tags.difficulty.max", difficulty > np.float32(most), difficulty, most)


def needs(settings: Settings) -> tuple[Tags, ...]:
    return (Tags(),)


FILTER = Filter("tags", Settings, decide, needs)
