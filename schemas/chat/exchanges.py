"""Native templates of one exchange after the other: Alpaca, and a user's own format string; no tools.

What ends an answer is the tokenizer's end-of-sequence token. A conversation starts with the tokenizer's
begin-of-sequence token if the tokenizer puts one before a plain text, which is what a completions server does.
"""

import string
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from schemas.chat.template import (
    TEMPLATES_VERSION,
    Conversation,
    Message,
    Reasoning,
    Refusal,
    Segment,
    State,
    content_of,
    weight_of,
)
from schemas.chat.turns import reasoning_segments, refuse_tools
from schemas.errors import GristmillError

FIELDS = ("system", "instruction", "input", "output")


@dataclass(frozen=True)
class Exchange:
    """A question and, unless it is still to be written, its answer."""

    system: Message | None
    question: Message
    answer: Message | None


def exchanges(conversation: Conversation, name: str) -> Iterator[Exchange]:
    """The conversation in pairs.

    Raises:
        Refusal: tools, or roles in another order than (system) user assistant user assistant …
    """
    refuse_tools(conversation, name)
    messages = conversation.messages
    system: Message | None = None
    if messages and messages[0]["role"] == "system":
        system, messages = messages[0], messages[1:]
    for start in range(0, len(messages), 2):
        pair = messages[start : start + 2]
        for message, wanted in zip(pair, ("user", "assistant")):
            if message["role"] != wanted:
                raise Refusal(State.REFUSED, f"{name} wants user and assistant in turn, got {message['role']!r}")
        yield Exchange(system if start == 0 else None, pair[0], pair[1] if len(pair) == 2 else None)


def split_input(text: str) -> tuple[str, str]:
    """Instruction and input: the input is what follows the first blank line, which is where readers put it."""
    instruction, _, given = text.partition("\n\n")
    return (instruction, given) if instruction.strip() and given.strip() else (text, "")


def answer_segments(answer: Message, reasoning: Reasoning, lead: str, stop: str) -> list[Segment]:
    weight = weight_of(answer)
    return [
        *([Segment(lead, weight, "control")] if lead else []),
        *reasoning_segments(answer, reasoning, weight),
        Segment(content_of(answer), weight, "content"),
        Segment(stop, weight, "stop"),
    ]


@dataclass(frozen=True)
class Alpaca:
    """Stanford Alpaca's two prompts, with and without input; a system prompt replaces their first sentence.

    With ``split`` false the whole question is the instruction, whatever blank lines it holds.
    """

    stop: str
    start: str = ""
    split: bool = True

    WITH_INPUT: ClassVar[str] = (
        "Below is an instruction that describes a task, paired with an input that provides further context. "
        "Write a response that appropriately completes the request."
    )
    WITHOUT_INPUT: ClassVar[str] = (
        "Below is an instruction that describes a task. Write a response that appropriately completes the request."
    )

    @property
    def name(self) -> str:
        return "alpaca" if self.split else "alpaca_no_input"

    @property
    def controls(self) -> tuple[str, ...]:
        return tuple(token for token in (self.start, self.stop) if token)

    def identity(self) -> dict[str, Any]:
        return {"template": self.name, "version": TEMPLATES_VERSION, "start": self.start, "stop": self.stop}

    def render(self, conversation: Conversation, reasoning: Reasoning) -> list[Segment]:
        segments = [Segment(self.start, 0.0, "control")] if self.start else []
        for number, exchange in enumerate(exchanges(conversation, self.name)):
            text, weight = content_of(exchange.question), weight_of(exchange.question)
            instruction, given = split_input(text) if self.split else (text, "")
            if exchange.system is not None:
                segments.append(Segment(content_of(exchange.system), weight_of(exchange.system), "content"))
            elif number == 0:
                segments.append(Segment(self.WITH_INPUT if given else self.WITHOUT_INPUT, 0.0, "control"))
            segments.append(Segment("\n\n### Instruction:\n", 0.0, "control"))
            segments.append(Segment(instruction, weight, "content"))
            if given:
                segments.append(Segment("\n\n### Input:\n", 0.0, "control"))
                segments.append(Segment(given, weight, "content"))
            segments.append(Segment("\n\n### Response:\n", 0.0, "control"))
            if exchange.answer is not None:
                segments += answer_segments(exchange.answer, reasoning, "", self.stop)
        return segments

    def prompt(self, conversation: Conversation, reasoning: Reasoning) -> list[Segment]:
        return self.render(conversation, reasoning)


@dataclass(frozen=True)
class Format:
    """A user's own format string, used once per exchange.

    ``{instruction}`` and ``{output}`` are needed, ``{input}`` and ``{system}`` may be there; ``{{`` is a brace. A line
    that holds only a field disappears where the field is empty. Spaces before ``{output}`` belong to the answer:
    tokenizers join them to the word that follows, so a prompt that ended with them would be no start of the text.
    The stop comes after the output; where the format itself has it there, it is not written twice.
    """

    text: str
    stop: str
    start: str = ""

    name: ClassVar[str] = "format"

    def __post_init__(self) -> None:
        pieces = self._pieces()
        fields = [field for _, field in pieces if field is not None]
        for field in ("instruction", "output"):
            if fields.count(field) != 1:
                raise GristmillError(
                    f"template.format: {{{field}}} stands in it {fields.count(field)} times; write it exactly once"
                )
        if fields[-1] != "output":
            raise GristmillError(f"template.format: {{{fields[-1]}}} comes after {{output}}; put {{output}} last")
        if len(set(fields)) != len(fields):
            raise GristmillError("template.format: a field stands in it twice; write each field once")

    @property
    def controls(self) -> tuple[str, ...]:
        return tuple(token for token in (self.start, self.stop) if token)

    def identity(self) -> dict[str, Any]:
        plain = {"format": self.text, "start": self.start, "stop": self.stop}
        return {"template": self.name, "version": TEMPLATES_VERSION, **plain}

    def render(self, conversation: Conversation, reasoning: Reasoning) -> list[Segment]:
        pieces = self._pieces()
        fields = [field for _, field in pieces]
        segments = [Segment(self.start, 0.0, "control")] if self.start else []
        for exchange in exchanges(conversation, self.name):
            if exchange.system is not None and "system" not in fields:
                raise Refusal(State.REFUSED, "the format has no {system} for the conversation's system prompt")
            text, weight = content_of(exchange.question), weight_of(exchange.question)
            instruction, given = split_input(text) if "input" in fields else (text, "")
            system = exchange.system
            values = {
                "instruction": (instruction, weight),
                "input": (given, weight),
                "system": (content_of(system), weight_of(system)) if system else ("", 0.0),
            }
            last = fields.index("output")
            segments += _filled(pieces[:last], values)
            before = pieces[last][0]
            if segments and not segments[-1].text and before.startswith("\n") and _on_own_line(pieces, last - 1):
                before = before[1:]
            prefix = before.rstrip(" ")
            segments.append(Segment(prefix, 0.0, "control"))
            if exchange.answer is not None:
                segments += answer_segments(exchange.answer, reasoning, before[len(prefix) :], self.stop)
                after = "".join(literal for literal, _ in pieces[last + 1 :]).removeprefix(self.stop)
                segments.append(Segment(after, 0.0, "control"))
        return [segment for segment in segments if segment.text]

    def prompt(self, conversation: Conversation, reasoning: Reasoning) -> list[Segment]:
        return self.render(conversation, reasoning)

    def _pieces(self) -> list[tuple[str, str | None]]:
        """Each field with the literal text before it; at the end perhaps text without a field."""
        try:
            parsed = list(string.Formatter().parse(self.text))
        except ValueError as error:
            raise GristmillError(f"template.format: {error}; write {{{{ for a brace") from None
        pieces: list[tuple[str, str | None]] = []
        literal = ""
        for text, field, spec, conversion in parsed:
            literal += text
            if field is None:
                continue
            if field not in FIELDS or spec or conversion:
                known = ", ".join(f"{{{name}}}" for name in FIELDS)
                raise GristmillError(f"template.format: {{{field}}} is no field; known: {known}; {{{{ is a brace")
            pieces.append((literal, field))
            literal = ""
        return [*pieces, (literal, None)] if literal else pieces


def _on_own_line(pieces: list[tuple[str, str | None]], at: int) -> bool:
    """Whether only a line's start is before this field (what follows it the caller looks at)."""
    literal = pieces[at][0]
    return literal.endswith("\n") or (at == 0 and not literal)


def _filled(pieces: list[tuple[str, str | None]], values: dict[str, tuple[str, float]]) -> list[Segment]:
    segments: list[Segment] = []
    gone = False  # the field before was empty and alone on its line, as far as can be seen from its left
    for at, (literal, field) in enumerate(pieces):
        if gone and literal.startswith("\n"):
            literal = literal[1:]
        text, weight = values[str(field)]
        segments.append(Segment(literal, 0.0, "control"))
        segments.append(Segment(text, weight, "content"))
        gone = not text and _on_own_line(pieces, at)
    return segments
