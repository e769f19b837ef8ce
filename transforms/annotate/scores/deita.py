"""DEITA's scores (arXiv 2312.15685): complexity of a prompt, quality of its answer, and their product over the turns.

Each scorer is a causal language model that was taught to say a digit from 1 to 6 after a fixed text; the score is
the mean of the digits under its probabilities. DEITA's own code returns 3.0 where it finds no score; here a model
that does not mean to say a digit gives no score.
"""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from schemas.errors import GristmillError
from transforms.annotate.scores.missing import Missing, columns
from transforms.annotate.scores.model import Model, load
from transforms.annotate.scores.rendering import Renderer
from transforms.annotate.scores.turns import take_texts, turns
from transforms.records import Records

VERSION = 1

# The texts that the published scorers were trained with (deita: selection/scorer/llama_scorer.py), spaces included.
COMPLEXITY = (
    "You are a helpful assistant. Please identify the complexity score of the following user query. \n"
    "##Query: {prompt}\n##Complexity: "
)
QUALITY = (
    "You are a helpful assistant. Please identify the quality score of the Response corresponding to the Question. \n"
    "#Question#:\n{prompt}\n#Response#:\n{answer} \n##Quality: "
)
DIGITS = "123456"
LEAST_MASS = 0.5
"""Probability that the six digits must have together: a model that would rather say something else is no scorer."""


@dataclass(frozen=True)
class Deita:
    """``deita``: sum over turns of complexity x quality (the "evol score"); ``deita_complexity`` and ``deita_quality``:
    means over turns, 1 to 6; ``deita_missing`` int8 (``scores/missing.py``). A turn that cannot be scored leaves the
    record without a score: a sum over some of its turns would rank it too low."""

    complexity: Model
    quality: Model
    max_tokens: int = 2048

    @property
    def name(self) -> str:
        return "deita"

    @property
    def schema(self) -> pa.Schema:
        scores = [(name, pa.float32()) for name in ("deita", "deita_complexity", "deita_quality")]
        return pa.schema([*scores, ("deita_missing", pa.int8())])

    def identity(self) -> dict[str, Any]:
        models = {"complexity": self.complexity.identity(), "quality": self.quality.identity()}
        return {"version": VERSION, **models, "max_tokens": self.max_tokens}

    def check(self) -> None:
        """Raises: GristmillError: a model cannot be had or has no tokens for the digits."""
        for model in (self.complexity, self.quality):
            _digits(model, model.check("causal"))

    def __call__(self, records: Records) -> pa.RecordBatch:
        found = turns(records)
        prompts, answers = (take_texts(records.contents, at).to_pylist() for at in (found.prompt, found.answer))
        size = len(records)
        complex_by, good_by = (Renderer(load(which, "causal")[0]) for which in (self.complexity, self.quality))
        codes = [int(Missing.NO_ANSWER)] * size
        evol, complexities, qualities, count = [0.0] * size, [0.0] * size, [0.0] * size, [0] * size
        for row, prompt, answer in zip(found.record.tolist(), prompts, answers):
            if codes[row] not in (Missing.NO_ANSWER, Missing.SCORED):
                continue  # an earlier turn could not be scored
            codes[row], complexity = self._score(complex_by, self.complexity, COMPLEXITY, prompt, answer)
            if codes[row] == Missing.SCORED:
                codes[row], quality = self._score(good_by, self.quality, QUALITY, prompt, answer)
                evol[row] += complexity * quality
                complexities[row] += complexity
                qualities[row] += quality
                count[row] += 1
        for means in (complexities, qualities):
            means[:] = [value / max(turn, 1) for value, turn in zip(means, count)]
        return columns(self.schema, codes, evol, complexities, qualities)

    def _score(self, renderer: Renderer, which: Model, template: str, prompt: str, answer: str) -> tuple[int, float]:
        """(code, score)."""
        import torch

        tokenizer, model = load(which, "causal")
        # Braces in data are data: the pieces are put together without reading them.
        text = template.replace("{answer}", "\0").replace("{prompt}", renderer.plain(prompt).replace("\0", " "))
        given = list(tokenizer(text.replace("\0", renderer.plain(answer)), verbose=False)["input_ids"])
        if len(given) > self.max_tokens:
            return int(Missing.TOO_LONG), 0.0
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([given], device=which.device)).logits[0, -1].double().cpu()
        wanted = logits[_digits(which, tokenizer)]
        mass = torch.exp(torch.logsumexp(wanted, 0) - torch.logsumexp(logits, 0))
        if not float(mass) >= LEAST_MASS:  # a NaN is no score either
            return int(Missing.NO_SCORE), 0.0
        return int(Missing.SCORED), float((torch.softmax(wanted, 0) * torch.arange(1, 7)).sum())


def _digits(model: Model, tokenizer: Any) -> list[int]:
    """Token ids of 1 to 6."""
    vocabulary = tokenizer.get_vocab()
    if any(digit not in vocabulary for digit in DIGITS):
        raise GristmillError(f"model {model.name!r} has no tokens for the digits 1 to 6; name a DEITA scorer")
    return [vocabulary[digit] for digit in DIGITS]
