"""Quality of a record as a few transparent measures of its text; how they weigh is decided later, without the text.

The annotation stores the components, each in [0, 1]; ``quality`` makes one number of them under the recipe's weights.
A score is a screen, not a verdict: it knows whether an answer has substance, ends, repeats itself or refuses. It does
not know whether the answer is true. ``docs/quality.md`` holds what it was measured against.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.annotate.scores.demand import demand, window
from transforms.annotate.scores.screens import candour, clarity, ending
from transforms.annotate.scores.turns import Floats, take_texts, take_words, turns
from transforms.annotate.scores.vocabulary import Vocabulary, vocabulary, word_size
from transforms.records import Records
from transforms.words import WORDS_VERSION

VERSION = 1

WEIGHTS: dict[str, float] = {
    "substance": 3.0,  # says what its prompt asks for: the point of an answer
    "candour": 2.0,  # no refusal, no self-identification, nothing left over from a template: these are learnt at once
    "variety": 1.0,  # no loops
    "original": 2.0,  # is not its prompt said again
    "ending": 1.0,  # was not cut off
    "form": 1.0,  # a long answer has paragraphs, a list or code
    "clarity": 1.0,  # the prompt can be answered
    "relation": 1.0,  # prompt and answer speak of the same thing
}
"""Components and default weights. They were set by reading the best and worst of four real sources."""

FLOOR = 0.05
"""A component counts as at least this: a zero would make all other components meaningless."""


def quality(components: Mapping[str, npt.NDArray[Any]], weights: Mapping[str, float] | None = None) -> Floats:
    """Weighted harmonic mean [n] of components [n] in [0, 1]; NaN where a component is NaN.

    The harmonic mean lets nothing buy off a grave fault, unlike the arithmetic one; and it takes only sums and
    divisions, so that every machine computes the same bits, unlike the geometric one.

    Args:
        components: by name without ``quality_``; names beyond those in ``weights`` are ignored.
        weights: by name, at least 0; default ``WEIGHTS``. They need not add up to 1.
    """
    weights = WEIGHTS if weights is None else weights
    used = [(np.asarray(components[name], np.float64), weights[name]) for name in sorted(weights) if weights[name] > 0]
    if not used:
        raise ValueError("quality needs a weight above 0")
    parts = np.zeros(len(used[0][0]))
    for values, weight in used:
        parts = parts + weight / np.maximum(values, FLOOR)
    return sum(weight for _, weight in used) / parts


@dataclass(frozen=True)
class Quality:
    """Components of quality: ``quality_<name>`` float32, means over a record's turns; null where it has no turn, which
    is a user's message with an answer in words (``scores/turns.py``)."""

    @property
    def name(self) -> str:
        return "quality"

    @property
    def schema(self) -> pa.Schema:
        return pa.schema([(f"quality_{name}", pa.float32()) for name in WEIGHTS])

    def identity(self) -> dict[str, Any]:
        return {"version": VERSION, "words": WORDS_VERSION}

    def check(self) -> None:
        """Needs nothing that could be absent."""

    def __call__(self, records: Records) -> pa.RecordBatch:
        """[n]. About 0.02 ms a record."""
        found = turns(records)
        prompts, answers = (take_texts(records.contents, which) for which in (found.prompt, found.answer))
        words = vocabulary(take_words(records.words, found.prompt), take_words(records.words, found.answer))
        windows = window(prompts)
        prompt_words = np.diff(records.words.offsets)[found.prompt]
        prompt_sizes = word_size(prompt_words, np.asarray(pc.binary_length(prompts)))
        sizes = word_size(words.words, np.asarray(pc.binary_length(answers)))
        owed = demand(windows, prompt_sizes)
        measured = {
            "substance": substance(words, owed, sizes),
            "candour": candour(prompts, answers),
            "variety": variety(words),
            "original": original(words),
            "ending": ending(answers, sizes),
            "form": form(answers, sizes),
            "clarity": np.where(found.first, clarity(prompts, windows), 1.0),  # what follows leans on what was said
            "relation": relation(words, owed),
        }
        columns = []
        for name in WEIGHTS:
            means = found.mean(measured[name], len(records))
            columns.append(pa.array(means.astype(np.float32), from_pandas=True))  # NaN, no turn, becomes null
        return pa.record_batch(columns, schema=self.schema)


def substance(words: Vocabulary, owed: Floats, sizes: Floats) -> Floats:
    """[t]: content words of the answer, half for the prompt's own, against what the prompt asks for.

    A closed question is content with any word: "Larger or smaller?", "Larger". What the prompt asks for is a guess, so
    a short answer to an open question is doubted, not condemned: the least is ``1 / sqrt(owed)``, 0.45 where a few
    words are owed and 0.2 where a page is.
    """
    said = (words.content - 0.5 * words.shared) * (sizes / np.maximum(words.words, 1))
    return np.where(owed <= 1, 1.0, np.clip(said / owed, 1 / np.sqrt(owed), 1.0))


def variety(words: Vocabulary) -> Floats:
    """[t]: the smaller of two measures. Guiraud's index, distinct words / sqrt(words), is about 6 in a hundred English
    words and below 2.5 only in lists of the same. Phrases of four words: 1 where none comes twice, 0 where only three
    in ten are distinct. The step of the second was chosen on preference demos, see ``docs/quality.md``."""
    expected = np.minimum(words.words, 2.5 * np.sqrt(words.words))
    richness = np.minimum(1.0, words.distinct / np.maximum(expected, 1.0))
    phrases = words.distinct_phrases / np.maximum(words.phrases, 1)
    loops = np.where(words.phrases > 4, np.clip((phrases - 0.3) / 0.7, 0.0, 1.0), 1.0)
    return np.where(words.words > 0, np.minimum(richness, loops), 1.0)


def original(words: Vocabulary) -> Floats:
    """[t]: 1 up to a Jaccard similarity of 0.75 between the phrases of prompt and answer, 0 where they are the same.

    What is taken from a passage lies inside it and is not similar to it; sorted lists have other phrases; mended code
    is near its prompt but not so near. Below four phrases on either side nothing is said.
    """
    union = words.distinct_phrases + words.prompt_phrases - words.shared_phrases
    similarity = words.shared_phrases / np.maximum(union, 1)
    few = np.minimum(words.distinct_phrases, words.prompt_phrases) < 4
    return np.where(few, 1.0, np.clip((1 - similarity) / 0.25, 0.0, 1.0))


def form(answers: pa.LargeStringArray, sizes: Floats) -> Floats:
    """[t]: 1 up to 120 words. Beyond, one line break per 120 words is expected; without any, not less than 0.4."""
    breaks = np.asarray(pc.count_substring(answers, "\n"))
    return np.where(sizes <= 120, 1.0, np.clip((1 + breaks) * 120 / np.maximum(sizes, 1), 0.4, 1.0))


def relation(words: Vocabulary, owed: Floats) -> Floats:
    """[t]: 1 where answer and prompt share content words: a quarter of the smaller side's, three at most. None at all
    is 0.5, because synonyms, inflection and translation exist. Answers below eight content words are not asked."""
    smaller = np.minimum(words.content, words.prompt_content)
    needed = np.clip(smaller / 4, 1.0, 3.0)
    score = 0.5 + 0.5 * np.minimum(1.0, words.shared / needed)
    return np.where((words.content < 8) | (words.prompt_content < 2), 1.0, score)
