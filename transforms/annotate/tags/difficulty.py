"""How much a record asks of whoever answers it: a sum of six plain measures, in 0..1.

Each measure is a count c made into c / (c + half): 0 at none, 1/2 at ``half``. Nothing here is trained, and the value
says nothing of whether an answer is right; it ranks records of a kind, roughly.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.annotate.tags.views import Views

Floats = npt.NDArray[np.float64]

WORD = 6
"""Bytes counted as a word: an English word with its space; two Chinese characters."""


class Measure(NamedTuple):
    weight: float
    half: float  # the count that gives 1/2; about the 75th percentile over the shared data


MEASURES = {
    "work": Measure(0.30, 150),  # words of the last answer with its reasoning
    "steps": Measure(0.25, 4),  # numbered steps, inferences and equations in the answer
    "constraints": Measure(0.15, 3),  # conditions that the prompt sets
    "prompt": Measure(0.10, 60),  # words of the prompt
    "long_words": Measure(0.10, 6),  # words of nine letters or more in the prompt: rare words, without a table
    "symbols": Measure(0.10, 20),  # digits, operators and brackets in prompt and answer
}

_STEPS = (
    r"(?m:^[ \t]*(?:step )?\d{1,2}[.):、])|\b(?:therefore|because|since|thus|hence|so that|it follows|first|"
    r"second|third|then|next|finally|if)\b|=|因此|所以|因为|首先|其次|然后|最后|koska|siksi"
)
_CONSTRAINTS = (
    r"\b(?:must|should|shall|at least|at most|exactly|no more than|no less than|less than|more than|only|without|"
    r"do not|don't|not|except|each|every|between|if|unless|ensure|require[sd]?|in the format|using|based on|including|"
    r"separated|both|either|maximum|minimum|given)\b|必须|不得|至少|不要|包括|要求|vain|ilman|vähintään"
)
_LONG_WORD = r"[a-z]{9,}"
_SYMBOL = r"[0-9=+*/<>{}()\[\]^%$]"


def difficulty(views: Views) -> npt.NDArray[np.float32]:
    """[n] in 0..1, rounded to four decimals."""
    counts = {
        "work": (views.answer_bytes + views.reasoning_bytes) / WORD,
        "steps": _count(views.answer, _STEPS),
        "constraints": _count(views.prompt, _CONSTRAINTS),
        "prompt": views.prompt_bytes / WORD,
        "long_words": _count(views.prompt, _LONG_WORD),
        "symbols": _count(views.prompt, _SYMBOL) + _count(views.answer, _SYMBOL),
    }
    total = np.zeros(len(views.ask))
    for name, measure in MEASURES.items():
        total += measure.weight * (counts[name] / (counts[name] + measure.half))
    return np.round(total, 4).astype(np.float32)


def _count(texts: pa.Array, pattern: str) -> Floats:
    return np.asarray(pc.count_substring_regex(texts, pattern)).astype(np.float64)
