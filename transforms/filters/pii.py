"""Drops records with personal data. To keep them with the data replaced, see a source's ``redact``."""

from collections.abc import Iterator
from typing import Annotated

import numpy as np
import pyarrow as pa
from pydantic import Field, field_validator

from schemas.strict import Strict
from transforms.annotate.annotation import Annotation
from transforms.annotate.pii import Pii
from transforms.filters.filter import Filter, Finding, column
from transforms.pii import KINDS


class Settings(Strict):
    """Placeholders (example.com, 555 numbers, documentation and private addresses, test cards) are not counted."""

    max: dict[str, Annotated[int, Field(ge=0)]] = Field(
        default=dict.fromkeys(("card", "iban", "key"), 0),
        description="most finds of a kind (email, phone, ip, card, iban, key) in a record; kinds that are not named "
        "are not judged. By default only what does harm in any text: cards, bank accounts, keys",
    )

    @field_validator("max")
    @classmethod
    def _known(cls, bounds: dict[str, int]) -> dict[str, int]:
        for kind in bounds:
            if kind not in KINDS:
                raise ValueError(f"{kind!r} is no kind of personal data; known kinds: {', '.join(KINDS)}")
        return dict(sorted(bounds.items()))


def decide(features: pa.RecordBatch, settings: Settings) -> Iterator[Finding]:
    for kind, most in settings.max.items():
        found = column(features, f"pii_{kind}")
        yield Finding(f"pii.{kind}", found > most, found.astype(np.float64), most)


def needs(settings: Settings) -> tuple[Annotation, ...]:
    return (Pii(),)


FILTER = Filter("pii", Settings, decide, needs)
