"""Kinds of values in a training configuration: numbers as people write them, and lengths in steps or shares."""

import math
import re
import reprlib
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, PlainValidator

from schemas.units import Share

_EXPONENT = re.compile(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+")


def _number(value: Any) -> Any:
    # YAML 1.1 reads 2e-5 as text, because it has no dot; everybody means the number
    if isinstance(value, str) and _EXPONENT.fullmatch(value.strip()):
        value = float(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is no finite number")
    return value


Real = Annotated[float, BeforeValidator(_number)]


def _steps(value: Any) -> Share | int:
    if isinstance(value, Share):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str):
        parsed: Share = Share.parse(value)
        return parsed
    raise ValueError(f'{reprlib.repr(value)} is no length; write optimiser steps (100) or a share of the run ("3 %")')


Steps = Annotated[
    Share | int,
    PlainValidator(_steps),
    PlainSerializer(lambda value: value if isinstance(value, int) else str(value), return_type=str | int),
]


def in_steps(length: Share | int, steps: int) -> int:
    """A length in optimiser steps of a run of ``steps``; a share is rounded to the nearest."""
    return length if isinstance(length, int) else int(length.value * steps + 0.5)


def period(length: Share | int, steps: int) -> int:
    """Optimiser steps from one event to the next; what happens at the end happens there anyway.

    A share is rounded up, so "25 %" never means more than four times. Of a run too short for it, with less than a step
    to a share, only the end is left: looking after every step would cost more than the steps.
    """
    if isinstance(length, int):
        return max(1, length)
    exact = length.value * steps
    return max(1, steps) if exact < 1 else math.ceil(exact)
