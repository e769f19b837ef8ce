"""Drops answers that do nothing but repeat themselves: loops of a model or of a faulty export."""

from collections.abc import Iterator
from typing import Annotated

import numpy as np
import pyarrow as pa
from pydantic import Field

from schemas.strict import Strict
from transforms.annotate.repetition import Repetition
from transforms.filters.filter import Filter, Finding, column

Share = Annotated[float, Field(ge=0, le=1)] | None
_GRAM = "words within an n-gram that stands earlier in the answer / words, n = {}; default {}, Gopher {}"
_TOP = "n times the count of the most frequent n-gram / words, n = {}; default null, Gopher {}"


class Settings(Strict):
    """The most of each measure that the worst answer of a record may have; null allows any.

    Gopher's bounds (arXiv 2112.11446, table A1) are for web pages. In instruction data they drop verses, tables,
    classifications ("A beagle is a dog. A ragdoll is a cat.") and sums. The defaults stand above all that Dolly, GSM8K
    and a set of 4,535 programs hold, and below what a loop gives. The most frequent n-gram tells nothing that the
    duplicate ones do not, and a table of yes and no has as much of it as a loop; so its bounds are open.
    """

    min_words: Annotated[int, Field(ge=1)] = Field(
        50, description="answers of fewer words are not measured; default 50, Gopher's least document"
    )
    duplicate_lines: Share = Field(
        0.6, description="lines that stand earlier in the answer / lines; default 0.6, Gopher 0.3"
    )
    duplicate_line_characters: Share = Field(
        0.6, description="characters of such lines / characters of lines; default 0.6, Gopher 0.2"
    )
    duplicate_paragraphs: Share = Field(
        0.6, description="paragraphs that stand earlier in the answer / paragraphs; default 0.6, Gopher 0.3"
    )
    top_2_grams: Share = Field(None, description=_TOP.format(2, "0.20"))
    top_3_grams: Share = Field(None, description=_TOP.format(3, "0.18"))
    top_4_grams: Share = Field(None, description=_TOP.format(4, "0.16"))
    duplicate_5_grams: Share = Field(0.8, description=_GRAM.format(5, 0.8, 0.15))
    duplicate_6_grams: Share = Field(0.8, description=_GRAM.format(6, 0.8, 0.14))
    duplicate_7_grams: Share = Field(0.75, description=_GRAM.format(7, 0.75, 0.13))
    duplicate_8_grams: Share = Field(0.75, description=_GRAM.format(8, 0.75, 0.12))
    duplicate_9_grams: Share = Field(0.7, description=_GRAM.format(9, 0.7, 0.11))
    duplicate_10_grams: Share = Field(0.7, description=_GRAM.format(10, 0.7, 0.10))
    sentence_run: Annotated[int, Field(ge=1)] | None = Field(
        5, description="times that the same sentence may stand in a row; default 5, Tulu 3 drops from 4 on"
    )


def decide(features: pa.RecordBatch, settings: Settings) -> Iterator[Finding]:
    for measure in Settings.model_fields:
        most = getattr(settings, measure)
        if measure != "min_words" and most is not None:
            value = column(features, measure).astype(np.float64)
            yield Finding(f"repetition.{measure}", value > most, value, most)


FILTER = Filter("repetition", Settings, decide, lambda settings: (Repetition(settings.min_words),))
