"""Score of a reward model: one number for a conversation, as preference tuning uses it."""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from schemas.errors import GristmillError
from transforms.annotate.scores.missing import Missing, columns
from transforms.annotate.scores.model import Model, load
from transforms.annotate.scores.rendering import NotRendered, Renderer, conversations
from transforms.annotate.scores.turns import answered
from transforms.records import Records

VERSION = 1


@dataclass(frozen=True)
class Reward:
    """``reward`` float32, the logit of a sequence classification model with one output over the conversation in its
    chat template; ``reward_missing`` int8 says why it is null (``scores/missing.py``).

    Conversations go through the model one at a time: in a padded batch a record's score depends on its neighbours in
    the last bits, and on a processor short batches are no faster.
    """

    model: Model
    max_tokens: int = 2048
    truncate: bool = False  # keep the last max_tokens of what is longer, instead of giving no score

    @property
    def name(self) -> str:
        return "reward"

    @property
    def schema(self) -> pa.Schema:
        return pa.schema([("reward", pa.float32()), ("reward_missing", pa.int8())])

    def identity(self) -> dict[str, Any]:
        limits = {"max_tokens": self.max_tokens, "truncate": self.truncate}
        return {"version": VERSION, **self.model.identity(), **limits}

    def check(self) -> None:
        """Raises: GristmillError: the model cannot be had or has no chat template."""
        if not self.model.check("reward").chat_template:
            raise GristmillError(f"model {self.model.name!r} has no chat template; a reward model needs its own")

    def __call__(self, records: Records) -> pa.RecordBatch:
        import torch

        tokenizer, model = load(self.model, "reward")
        renderer = Renderer(tokenizer)
        scores, codes = [], []
        for messages, tools, has_answer in zip(
            conversations(records), records.batch["tools"].to_pylist(), answered(records).tolist()
        ):
            code, score = Missing.SCORED, 0.0
            if not has_answer:
                code = Missing.NO_ANSWER
            else:
                try:
                    ids = renderer.ids(renderer.text(messages, tools, prompt=False))
                    if len(ids) > self.max_tokens and not self.truncate:
                        code = Missing.TOO_LONG
                    else:
                        with torch.no_grad():
                            given = torch.tensor([ids[-self.max_tokens :]], device=self.model.device)
                            score = float(model(input_ids=given).logits[0, 0])
                except NotRendered:
                    code = Missing.NOT_RENDERED
            if score != score or abs(score) == float("inf"):
                code, score = Missing.NO_SCORE, 0.0
            codes.append(int(code))
            scores.append(score)
        return columns(self.schema, codes, scores)
