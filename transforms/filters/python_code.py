"""Drops answers with Python that does not parse."""

from collections.abc import Iterator
from typing import Annotated

import numpy as np
import pyarrow as pa
from pydantic import Field

from schemas.strict import Strict
from transforms.annotate.annotation import Annotation
from transforms.annotate.python_code import PythonCode
from transforms.filters.filter import Filter, Finding, column


class Settings(Strict):
    """Blocks are fenced ones marked python, and answers that are Python as a whole."""

    max_broken: Annotated[int, Field(ge=0)] = Field(
        0, description="most blocks of a record that do not parse, neither as Python 3 nor 2; default 0"
    )
    max_python2: Annotated[int, Field(ge=0)] | None = Field(
        0, description="most blocks that only Python 2 takes (print statements); null: not judged"
    )


def decide(features: pa.RecordBatch, settings: Settings) -> Iterator[Finding]:
    broken = column(features, "python_broken")
    yield Finding("python_code.broken", broken > settings.max_broken, broken.astype(np.float64), settings.max_broken)
    if settings.max_python2 is not None:
        old = column(features, "python_two")
        yield Finding("python_code.python2", old > settings.max_python2, old.astype(np.float64), settings.max_python2)


def needs(settings: Settings) -> tuple[Annotation, ...]:
    return (PythonCode(),)


FILTER = Filter("python_code", Settings, decide, needs)
