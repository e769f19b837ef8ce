"""Drops conversations whose roles stand in an order that chat templates refuse or render wrongly.

Each fault is a rule of its own. A record without any user message is not judged here: whether it may have no prompt
is the filter ``empty``'s question.
"""

from collections.abc import Iterator
from typing import Annotated

import numpy as np
import pyarrow as pa
from pydantic import Field

from schemas.strict import Strict
from transforms.annotate.order import Order
from transforms.filters.filter import Filter, Finding, column

Most = Annotated[int, Field(ge=0)] | None


class Settings(Strict):
    """Each is the most faults of a kind that a record may have; null allows any number.

    The defaults are what the chat templates of Llama 2 and Mistral enforce ("roles must alternate user/assistant"),
    with room for tool calls. A conversation that ends on a tool's result is kept: the calls before it are whole.
    """

    late_systems: Most = Field(0, description="most system messages that are not the first message; default 0")
    user_runs: Most = Field(0, description="most user messages directly after a user message; default 0")
    assistant_runs: Most = Field(
        0, description="most assistant messages directly after an assistant message without a tool call; default 0"
    )
    stray_tools: Most = Field(0, description="most tool messages that follow no tool call; default 0")
    early_turns: Most = Field(
        0, description="most assistant and tool messages before the first user message, such as a greeting; default 0"
    )
    closing_users: Most = Field(0, description="0 drops what ends on an unanswered user message; default 0")
    closing_tools: Most = Field(
        None, description="0 drops what ends on a tool's result; default null: agent traces often end so"
    )


def decide(features: pa.RecordBatch, settings: Settings) -> Iterator[Finding]:
    for measure in Settings.model_fields:
        most: int | None = getattr(settings, measure)
        if most is not None:
            count = column(features, measure)
            yield Finding(f"roles.{measure}", count > most, count.astype(np.float64), most)


FILTER = Filter("roles", Settings, decide, lambda settings: (Order(),))
