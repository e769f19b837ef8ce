"""Drops answers that give the user's own words back.

By default only what no reader would take for an answer: a turn repeated, or most of the prompt copied out to the
letter. What is quoted from a long context, corrected, sorted or continued is kept, and short answers always are.
"""

from collections.abc import Iterator
from typing import Annotated

import numpy as np
import pyarrow as pa
from pydantic import Field

from schemas.strict import Strict
from transforms.annotate.echo import Echo
from transforms.filters.filter import Filter, Finding, column

Words = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]


class Settings(Strict):
    """Lengths in words (a CJK character is a word), shares from 0 to 1 in stretches of 5 words; null switches a rule
    off. Defaults were read off Dolly's 13,536 human records: the first rule finds 3 there, all of them slips, and
    the second 79, which copy out the whole context."""

    echoed_words: Words | None = Field(
        5, description="drop a last answer of so many words that equals a user turn before it; default 5"
    )
    quoted_words: Words | None = Field(
        20,
        description="drop a last answer of so many words that is, to the letter, a piece of the prompt and makes up "
        "prompt_copied_share of it; default 20",
    )
    restated_words: Words | None = Field(
        None,
        description="drop a last answer that begins with the whole user turn before it, of so many words, and goes on; "
        "default null: completing a sentence is an answer",
    )
    copied_share: Share | None = Field(
        None,
        description="most of the last answer's stretches that may come from the prompt, in an answer of copied_words "
        "that has prompt_copied_share of the prompt's; default null: corrections and sorted lists are copies too",
    )
    prompt_copied_share: Share = Field(
        0.8,
        description="quoted_words and copied_share spare an answer with less of the prompt's stretches; default 0.8",
    )
    copied_words: Words = Field(50, description="copied_share spares a shorter answer; in words, default 50")


def decide(features: pa.RecordBatch, settings: Settings) -> Iterator[Finding]:
    if settings.echoed_words is not None:
        words = column(features, "echoed_words").astype(np.float64)
        yield Finding("echo.echoed_words", words >= settings.echoed_words, words, settings.echoed_words)
    most_of_prompt = column(features, "prompt_copied_share").astype(np.float64) >= settings.prompt_copied_share
    if settings.quoted_words is not None:
        words = column(features, "quoted_words").astype(np.float64)
        failed = (words >= settings.quoted_words) & most_of_prompt
        yield Finding("echo.quoted_words", failed, words, settings.quoted_words)
    if settings.restated_words is not None:
        words = column(features, "restated_words").astype(np.float64)
        yield Finding("echo.restated_words", words >= settings.restated_words, words, settings.restated_words)
    if settings.copied_share is not None:
        share = column(features, "copied_share").astype(np.float64)
        long = column(features, "last_answer_words") >= settings.copied_words
        yield Finding(
            "echo.copied_share", (share > settings.copied_share) & most_of_prompt & long, share, settings.copied_share
        )


FILTER = Filter("echo", Settings, decide, lambda settings: (Echo(),))
