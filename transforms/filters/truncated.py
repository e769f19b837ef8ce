"""Drops records whose last answer was cut off.

Each sign is a rule of its own with the least length, in words, of an answer that it may drop: short answers are
complete as they are. How a sign is told from a title, a list, a table, code or a poem: ``transforms.annotate.ending``.
"""

from collections.abc import Iterator
from typing import Annotated

import numpy as np
import pyarrow as pa
from pydantic import Field

from schemas.strict import Strict
from transforms.annotate.ending import Ending
from transforms.filters.filter import Filter, Finding, column

Words = Annotated[int, Field(ge=1)]


class Settings(Strict):
    """Least words of an answer that a rule may drop (a CJK character is a word); null switches the rule off.

    Defaults were read off Dolly's 13,536 human records: of the 100 answers of more than 50 words whose last line of
    prose ends without a mark nearly all are complete and merely lack the full stop.
    """

    open_fences: bool = Field(True, description="drop an answer that begins a block of code and never ends it")
    dangling_words: Words | None = Field(
        20,
        description="drop an answer of so many words that stops on a comma, a colon, an opening bracket or a word such "
        "as 'and' or 'the'; default 20",
    )
    unclosed_words: Words | None = Field(
        20,
        description="drop an answer of so many words that stops inside a bracket or a quotation; default 20",
    )
    unmarked_words: Words | None = Field(
        None,
        description="drop an answer of so many words whose last line is prose that stops without a sentence mark; "
        "default null; about 100 suits synthetic sources",
    )


def decide(features: pa.RecordBatch, settings: Settings) -> Iterator[Finding]:
    if settings.open_fences:
        fences = column(features, "open_fences").astype(np.float64)
        yield Finding("truncated.open_fences", fences > 0, fences, 0)
    for measure in ("dangling_words", "unclosed_words", "unmarked_words"):
        least: int | None = getattr(settings, measure)
        if least is not None:
            words = column(features, measure).astype(np.float64)
            yield Finding(f"truncated.{measure}", words >= least, words, least)


FILTER = Filter("truncated", Settings, decide, lambda settings: (Ending(),))
