"""Closed ranges as filters' settings have them; an absent bound is open."""

from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from schemas.strict import Strict


class _Ordered(Strict):
    min: Any = None
    max: Any = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}")
        return self


class Counts(_Ordered):
    """A range of whole numbers."""

    min: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    max: Annotated[int, Field(ge=0, lt=2**31)] | None = None


class Parts(_Ordered):
    """A range of parts of a whole, 0 to 1."""

    min: Annotated[float, Field(ge=0, le=1)] | None = None
    max: Annotated[float, Field(ge=0, le=1)] | None = None


class Scores(_Ordered):
    """A range of any numbers."""

    min: Annotated[float, Field(allow_inf_nan=False)] | None = None
    max: Annotated[float, Field(allow_inf_nan=False)] | None = None
