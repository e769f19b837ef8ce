"""Drops records with garbled characters in any turn. Where the recipe repairs with ftfy, little is left to drop."""

from collections.abc import Iterator
from typing import Annotated

import numpy as np
import pyarrow as pa
from pydantic import Field

from schemas.strict import Strict
from transforms.annotate.annotation import Annotation
from transforms.annotate.mojibake import Mojibake
from transforms.filters.filter import Filter, Finding, column

Most = Annotated[int, Field(ge=0)]


class Settings(Strict):
    """Each counts over all turns of a record; null allows any number."""

    sequences: Most | None = Field(
        0,
        description="most UTF-8 sequences read as Latin-1 or Windows-1252, as in cafÃ©; default 0: one tells of a "
        "wrong encoding",
    )
    replacements: Most | None = Field(
        4,
        description="most characters U+FFFD, each a character lost; default 4: formulas copied from a web page have "
        "three or four",
    )
    strays: Most | None = Field(
        4, description="most private-use and C1 control characters; default 4: marks of lists may be some"
    )


_COLUMNS = {
    "sequences": "mojibake_sequences",
    "replacements": "replacement_characters",
    "strays": "stray_characters",
}


def needs(settings: Settings) -> tuple[Annotation, ...]:
    return (Mojibake(),)


def decide(features: pa.RecordBatch, settings: Settings) -> Iterator[Finding]:
    for measure, name in _COLUMNS.items():
        most: int | None = getattr(settings, measure)
        if most is not None:
            found = column(features, name).astype(np.float64)
            yield Finding(f"mojibake.{measure}", found > most, found, most)


FILTER = Filter("mojibake", Settings, decide, needs)
