"""What curation counts with and the trainer makes its masks with: a tokenizer, a template and a reasoning policy."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from schemas.chat.spans import Encoded, Encoder, Int32s, Marked, encoder_of
from schemas.chat.template import COUNTED, Conversation, Reasoning, Refusal, Segment, State, Template
from schemas.chat.tokenizer import ChatTokenizer
from schemas.errors import GristmillError


@dataclass(frozen=True)
class Measured:
    """Per conversation [n]: codes of ``State``; counts, 0 and without meaning where the state is not in COUNTED."""

    states: Int32s
    supervised: Int32s
    rendered: Int32s


@dataclass(frozen=True)
class Renderer:
    """Small and picklable: text and settings; the backend is built where it is first used."""

    tokenizer: ChatTokenizer
    template: Template
    reasoning: Reasoning = "train"

    @property
    def encoder(self) -> Encoder:
        """Raises GristmillError when the tokenizer lacks a control token that the template needs."""
        return encoder_of(self.tokenizer.definition, self.template.controls)

    def identity(self) -> dict[str, Any]:
        """What tokens and weights depend on besides the conversation, as JSON."""
        return {
            "tokenizer": self.tokenizer.digest,
            "template": self.template.identity(),
            "reasoning": self.reasoning,
        }

    def render(self, conversation: Conversation) -> list[Segment]:
        """The whole conversation, or Refusal."""
        return _guarded(self.template.render, conversation, self.reasoning)

    def prompt(self, conversation: Conversation) -> list[Segment]:
        """What a server is sent to get the next answer, or Refusal."""
        return _guarded(self.template.prompt, conversation, self.reasoning)

    def mark(self, conversation: Conversation) -> Marked:
        """Ready for the tokenizer, or Refusal."""
        return self.encoder.mark(self.render(conversation))

    def encode(self, conversations: Sequence[Conversation]) -> list[Encoded | Refusal]:
        """Ids and weights of each conversation, or why there are none."""
        results: list[Encoded | Refusal | Marked] = [_attempt(self, one) for one in conversations]
        encoded = iter(self.encoder.encode([one for one in results if isinstance(one, Marked)]))
        return [next(encoded) if isinstance(one, Marked) else one for one in results]

    def measure(self, conversations: Sequence[Conversation]) -> Measured:
        """Token counts of each conversation."""
        results = [_attempt(self, one) for one in conversations]
        states = np.array([one.state if isinstance(one, Refusal) else State.OK for one in results], np.int32)
        rows = np.flatnonzero(states == State.OK)
        counts = self.encoder.count([one for one in results if isinstance(one, Marked)])
        supervised, rendered = np.zeros((2, len(results)), np.int32)
        supervised[rows], rendered[rows] = counts.supervised, counts.tokens
        states[rows[counts.straddles > 0]] = State.STRADDLE
        states[rows[counts.supervised == 0]] = State.NOTHING
        return Measured(states, supervised, rendered)


def counted(states: Int32s) -> Any:
    """Bool [n]: which rows have counts."""
    return np.isin(states, COUNTED)


def _attempt(renderer: Renderer, conversation: Conversation) -> Marked | Refusal:
    try:
        return renderer.mark(conversation)
    except Refusal as refusal:
        return refusal


def _guarded(render: Any, conversation: Conversation, reasoning: Reasoning) -> list[Segment]:
    try:
        segments: list[Segment] = render(conversation, reasoning)
        return segments
    except (Refusal, GristmillError):
        raise
    except RecursionError:
        raise Refusal(State.FAILED, "a value in the conversation is nested too deeply") from None
