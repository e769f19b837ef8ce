"""A filter that a user wrote: ``my_rule: {function: rules.py:measure, max: 3}`` in the recipe's filters.

The function gets a record and returns a number, which is held against ``min`` and ``max``. Without them it returns True
to keep the record and False (or 0) to drop it. None (and NaN) has nothing to say and keeps it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
from pydantic import Field, PrivateAttr, model_validator

from schemas.errors import GristmillError
from schemas.strict import Strict
from transforms.annotate.annotation import Annotation
from transforms.annotate.function import UserFunction
from transforms.filters.filter import Filter, Finding


class Settings(Strict):
    """Which function, and what its value must be."""

    function: str = Field(
        pattern=r"^.+\.py:[A-Za-z_][A-Za-z0-9_]*$", description="file and function, for example rules.py:measure"
    )
    min: float | None = Field(None, allow_inf_nan=False, description="least value that stays")
    max: float | None = Field(None, allow_inf_nan=False, description="greatest value that stays")
    _source: str = PrivateAttr("")  # the file's text

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} is above max {self.max:g}")
        return self


def loaded(name: str, settings: Settings, base: Path) -> Settings:
    """The settings with the file's text.

    Raises:
        GristmillError: the file cannot be read, or does not hold the function.
    """
    path, _, function = settings.function.rpartition(":")
    try:
        source = (base / path).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:  # a path with a NUL is a ValueError too
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        raise GristmillError(f"filters.{name}: {path}: {reason}; relative paths start at the recipe's folder") from None
    filled = settings.model_copy()
    filled._source = source
    UserFunction(name, path, function, source).check()
    return filled


def user_filter(name: str) -> Filter:
    """The filter that the recipe calls ``name``."""

    def annotation(settings: Settings) -> UserFunction:
        path, _, function = settings.function.rpartition(":")
        return UserFunction(name, path, function, settings._source)

    def needs(settings: Settings) -> tuple[Annotation, ...]:
        return (annotation(settings),)

    def decide(features: pa.RecordBatch, settings: Settings) -> Iterator[Finding]:
        found = features[annotation(settings).name]
        value, known = np.asarray(found.fill_null(np.nan)), np.asarray(found.is_valid())
        if settings.min is None and settings.max is None:
            strange = value[known & (value != 0) & (value != 1)]
            if len(strange):
                raise GristmillError(
                    f"filters.{name}: {settings.function} returns numbers such as {strange[0]:g}, and the recipe gives "
                    "no bound for them; set min or max, or return True (keep) and False (drop)"
                )
            yield Finding(f"{name}.keep", known & (value == 0), value, 1)
        if settings.min is not None:
            yield Finding(f"{name}.min", known & ~(value >= settings.min), value, settings.min)
        if settings.max is not None:
            yield Finding(f"{name}.max", known & ~(value <= settings.max), value, settings.max)

    return Filter(name, Settings, decide, needs)
