"""The contract of a chat template: a conversation becomes segments of text, each with the weight of its loss.

A conversation is rendered once. Its segments, joined, are the text that a model is trained on; a segment with weight 0
is read, one with a positive weight is learned. ``control`` text comes from the template and may name control tokens
(``<|im_start|>``); ``content`` and ``reasoning`` come from a person or a model and never become control tokens.
"""

import json  # not orjson: the separators ", " and ": " are what models were trained on
import re
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Literal, NamedTuple, Protocol

Message = dict[str, Any]
Kind = Literal["content", "stop", "control", "reasoning"]
Reasoning = Literal["train", "mask", "drop"]

# Raise it when any template here renders another text or other weights for the same conversation.
TEMPLATES_VERSION = 1


class State(IntEnum):
    """What became of a row under a template; the codes are stored, so they are never renumbered."""

    OK = 0
    STRADDLE = 1  # counted, but one token holds both read and learned characters: the trainer's budget decides
    NOTHING = 2  # rendered, and nothing in it is learned: the count is 0
    REFUSED = 3  # the template does not take this conversation: order of roles, tools, a system prompt
    FAILED = 4  # the template ends with an error
    NO_STOP = 5  # no control token ends an answer: a model trained on it would never stop
    REWRITTEN = 6  # the template changes an answer once more turns follow, so no single text holds all turns
    NO_PREFIX = 7  # the prompt as inference renders it is not the start of the text
    RESERVED = 8  # the text holds U+FDD0, U+FDD1 or U+FDD2, non-characters which mark control tokens here
    TOO_MANY_TURNS = 9  # a Jinja template renders once per answer, which is quadratic


_SURROGATES = re.compile("[\ud800-\udfff]")

COUNTED = (State.OK, State.STRADDLE, State.NOTHING)


class Refusal(Exception):
    """One conversation cannot be rendered; ``state`` says why in a code, the text in words."""

    def __init__(self, state: State, reason: str):
        super().__init__(reason)
        self.state = state


class Segment(NamedTuple):
    """A piece of the rendered text. ``weight`` is that of each of its tokens in the loss; 0: not supervised."""

    text: str
    weight: float
    kind: Kind

    @property
    def supervised(self) -> bool:
        return self.weight > 0


@dataclass(frozen=True)
class Conversation:
    """What is rendered: messages as in ``schemas.record`` (an absent field is a null one), tools as JSON text."""

    messages: list[Message]
    tools: str | None = None

    def before(self, turn: int) -> "Conversation":
        """What a server is sent to get message ``turn``."""
        return Conversation(self.messages[:turn], self.tools)


class Template(Protocol):
    """A way to write conversations down."""

    @property
    def name(self) -> str:
        """For people; not unique."""

    @property
    def controls(self) -> tuple[str, ...]:
        """Control tokens that the template cannot do without; the tokenizer must have each as one token."""

    def identity(self) -> dict[str, Any]:
        """Everything that the segments depend on besides the conversation, as JSON."""

    def render(self, conversation: Conversation, reasoning: Reasoning) -> list[Segment]:
        """The whole conversation.

        Raises:
            Refusal: this conversation cannot be rendered.
        """

    def prompt(self, conversation: Conversation, reasoning: Reasoning) -> list[Segment]:
        """The conversation up to where the model begins to write its next answer, as inference sends it.

        Raises:
            Refusal: this conversation cannot be rendered.
        """


def text_of(segments: list[Segment]) -> str:
    return "".join([segment.text for segment in segments])


def weight_of(message: Message) -> float:
    """The weight of a message's tokens in the loss.

    Assistant messages count 1 and all others 0 unless ``train`` or ``weight`` says otherwise; a weight on a message of
    another role is a wish to train it. ``train: false`` overrules a weight.
    """
    train, weight = message.get("train"), message.get("weight")
    if train is False:
        return 0.0
    if weight is not None:
        return float(weight)
    return 1.0 if train or message["role"] == "assistant" else 0.0


def content_of(message: Message) -> str:
    content = message.get("content")
    return "" if content is None else str(content)


def as_json(value: Any, indent: int | None = None) -> str:
    """JSON as chat templates write it: transformers' ``tojson``, with its separators and Unicode as it is."""
    return encodable(json.dumps(value, ensure_ascii=False, indent=indent))


def encodable(text: str) -> str:
    """JSON text with halves of surrogate pairs as escapes; JSON may name them, but no UTF-8 holds them."""
    if text.isascii():
        return text
    return _SURROGATES.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def parsed(text: str) -> Any:
    """The value of JSON text; the text itself when it is no JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # a number of 5,000 digits is a ValueError too
        return text


def tools_of(conversation: Conversation) -> list[Any]:
    """The tools on offer, one value each.

    Raises:
        Refusal: the text of the tools is no JSON.
    """
    if not conversation.tools:
        return []
    tools = parsed(conversation.tools)
    if isinstance(tools, str):
        raise Refusal(State.REFUSED, "tools is no JSON text")
    return tools if isinstance(tools, list) else [tools]


@dataclass(frozen=True)
class Call:
    """A tool call: ``arguments`` is the parsed value, or the text where that is no JSON."""

    name: str
    arguments: Any = field(default_factory=dict)


def calls_of(message: Message) -> list[Call]:
    found = []
    for call in message.get("tool_calls") or ():
        function = call.get("function") or {}
        found.append(Call(function.get("name") or "", parsed(function.get("arguments") or "{}")))
    return found
