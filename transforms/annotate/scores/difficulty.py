"""Instruction-following difficulty (IFD): how little a prompt helps a language model to say the answer.

IFD = mean loss of the answer after its prompt / mean loss of the answer alone, in the terms of Cherry LLM (Li et al.,
arXiv 2308.12032). Superfiltering (arXiv 2402.00530) showed that a model of 124 million parameters orders records
much as a large one does (its code divides perplexities, not losses). Selection keeps the highest 5 to 10 % below 1:
from 1 on the prompt makes the answer less likely, a sign of a pair that does not belong together, and such records are
commonly discarded.
"""

from dataclasses import dataclass
from inspect import signature
from typing import Any

import numpy as np
import pyarrow as pa

from transforms.annotate.scores.missing import Missing, columns
from transforms.annotate.scores.model import Model, load
from transforms.annotate.scores.rendering import Message, NotRendered, Renderer, conversations
from transforms.annotate.scores.turns import take_texts
from transforms.records import Records

VERSION = 1


@dataclass(frozen=True)
class InstructionDifficulty:
    """``ifd`` float32 of the last answer, given all before it; ``ifd_missing`` int8 (``scores/missing.py``).

    Both losses are means over the same tokens, all of the answer's. Alone, the answer stands behind the model's opening
    token, or its stop token where it has none. A model without a chat template is given the texts with blank lines
    between. Records go through the model one at a time, so that none depends on its neighbours.
    """

    model: Model
    max_tokens: int = 1024  # prompt and answer; what is longer has no score

    @property
    def name(self) -> str:
        return "ifd"

    @property
    def schema(self) -> pa.Schema:
        return pa.schema([("ifd", pa.float32()), ("ifd_missing", pa.int8())])

    def identity(self) -> dict[str, Any]:
        return {"version": VERSION, **self.model.identity(), "max_tokens": self.max_tokens}

    def check(self) -> None:
        """Raises: GristmillError: the model cannot be had."""
        self.model.check("causal")

    def __call__(self, records: Records) -> pa.RecordBatch:
        tokenizer, _ = load(self.model, "causal")
        renderer = Renderer(tokenizer)
        last = records.last_answer
        answers = take_texts(records.contents, last[last >= 0]).to_pylist()
        answer_of = np.full(len(records), -1, np.int64)
        answer_of[last >= 0] = np.arange(len(answers))
        before = conversations(records, upto=last)
        codes, scores = [], []
        for messages, tools, at in zip(before, records.batch["tools"].to_pylist(), answer_of.tolist()):
            answer = answers[at].strip() if at >= 0 else ""
            code, score = self._score(renderer, messages, tools, answer)
            codes.append(code)
            scores.append(score)
        return columns(self.schema, codes, scores)

    def _score(self, renderer: Renderer, messages: list[Message], tools: str | None, answer: str) -> tuple[int, float]:
        """(code, IFD)."""
        if not answer or not messages:
            return int(Missing.NO_ANSWER), 0.0
        try:
            prompt = renderer.ids(_prompt(renderer, messages, tools))
        except NotRendered:
            return int(Missing.NOT_RENDERED), 0.0
        said = renderer.ids(renderer.plain(answer))
        if len(prompt) + len(said) > self.max_tokens:
            return int(Missing.TOO_LONG), 0.0
        if not said or not prompt:
            return int(Missing.NO_ANSWER), 0.0
        tokenizer = renderer.tokenizer
        opening = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
        given, alone = self._loss(prompt, said), self._loss([opening or 0], said)
        if not (np.isfinite(given) and alone > 0):
            return int(Missing.NO_SCORE), 0.0
        return int(Missing.SCORED), given / alone

    def _loss(self, before: list[int], said: list[int]) -> float:
        """Mean negative log likelihood of ``said`` after ``before``, in nats a token."""
        import torch

        _, model = load(self.model, "causal")
        ids = torch.tensor([before + said], device=self.model.device)
        # Logits of the answer's positions alone, where the model knows how: over a prompt they are a fifth of the work.
        fewer = {"logits_to_keep": len(said) + 1} if "logits_to_keep" in signature(model.forward).parameters else {}
        with torch.no_grad():
            logits = model(input_ids=ids, use_cache=False, **fewer).logits[0, -len(said) - 1 : -1].float()
            losses = torch.nn.functional.cross_entropy(logits, ids[0, len(before) :], reduction="none")
        return float(losses.double().mean())


def _prompt(renderer: Renderer, messages: list[Message], tools: str | None) -> str:
    if renderer.tokenizer.chat_template:
        return renderer.text(messages, tools, prompt=True)
    return "".join(renderer.plain(one["content"] or "") + "\n\n" for one in messages)
