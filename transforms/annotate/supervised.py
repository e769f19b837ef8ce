"""Supervised tokens of each record: what a trainer's loss will see under the recipe's tokenizer and chat template."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from schemas.chat.render import Renderer, counted
from schemas.chat.template import Conversation, Message
from transforms.records import Records

# Raise it when the same conversation, tokenizer and template give other columns.
SUPERVISED_VERSION = 1


@dataclass(frozen=True)
class SupervisedTokens:
    """Counts of the conversation in ``messages``, rendered and tokenised exactly as for training.

    - ``supervised_tokens`` int32: tokens with a positive weight, the stop of each answer among them;
    - ``rendered_tokens`` int32: all tokens, control tokens and headers too;
    - ``render_state`` int8: a ``schemas.chat.template.State``; counts are null unless it is OK, STRADDLE or NOTHING.

    The renderer is text and settings, sent to workers as it is; each process builds its tokenizer once.
    """

    renderer: Renderer

    name: ClassVar[str] = "supervised_tokens"
    schema: ClassVar[pa.Schema] = pa.schema(
        [
            ("supervised_tokens", pa.int32()),
            ("rendered_tokens", pa.int32()),
            ("render_state", pa.int8()),
        ]
    )

    def identity(self) -> dict[str, Any]:
        return {"version": SUPERVISED_VERSION, **self.renderer.identity()}

    def __call__(self, records: Records) -> pa.RecordBatch:
        measured = self.renderer.measure(conversations(records))
        absent = ~counted(measured.states)
        return pa.record_batch(
            [
                pa.array(measured.supervised, pa.int32(), mask=absent),
                pa.array(measured.rendered, pa.int32(), mask=absent),
                pa.array(measured.states.astype(np.int8)),
            ],
            schema=self.schema,
        )


def conversations(records: Records) -> list[Conversation]:
    """The records as plain Python [n]; a message has only the fields that it fills."""
    flat = records.messages
    columns = [flat.field(name).to_pylist() for name in ("role", "content")]
    messages: list[Message] = [{"role": role, "content": content} for role, content in zip(*columns)]
    for field in flat.type:
        values = flat.field(field.name)
        if field.name in ("role", "content") or values.null_count == len(values):
            continue
        for row in np.flatnonzero(np.asarray(values.is_valid())).tolist():
            messages[row][field.name] = values[row].as_py()
    bounds = records.bounds.tolist()
    tools = records.batch["tools"].to_pylist()
    return [Conversation(messages[start:end], offer) for start, end, offer in zip(bounds, bounds[1:], tools)]
