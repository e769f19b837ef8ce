"""Jinja chat templates, as tokenizers carry them: rendered as transformers renders them, except that no clock is read.

Which characters are learned comes from ``{% generation %}`` blocks where a template has them for every answer. Else it
is derived by rendering again: an answer starts where the prompt for it ends, and its turn ends where the conversation
up to it ends; both must be a start of the whole text, letter by letter. Nothing is searched for, and what does not hold
is refused with its reason.
"""

import hashlib
import re
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

from schemas.chat.environment import CLOSE, ESCAPE, MARKS, OPEN, compiled, run
from schemas.chat.spans import special_pattern
from schemas.chat.template import (
    TEMPLATES_VERSION,
    Conversation,
    Message,
    Reasoning,
    Refusal,
    Segment,
    State,
    calls_of,
    content_of,
    tools_of,
    weight_of,
)

# Each answer is rendered for on its own, which is quadratic in turns.
MAX_TURNS = 256
MAX_CHARACTERS = 1 << 29  # answers times characters of the conversation: what is rendered altogether


class Span(NamedTuple):
    """One learned turn in the rendered text, in characters: answer ``start:stop``, stop token ``stop:end``."""

    start: int
    stop: int
    end: int
    weight: float
    masked: int  # the text start:masked is reasoning that is read and not learned


@dataclass(frozen=True)
class JinjaTemplate:
    """``specials`` are the tokenizer's control tokens; ``variables`` what the template sees besides the conversation.

    ``stop`` names the control token that must end an answer; None: whichever control token does.
    """

    text: str
    specials: tuple[str, ...]
    variables: tuple[tuple[str, str], ...] = ()
    stop: str | None = None
    name: str = field(default="jinja", compare=False)

    @property
    def controls(self) -> tuple[str, ...]:
        return (self.stop,) if self.stop else ()

    def identity(self) -> dict[str, Any]:
        # The control tokens are the tokenizer's, whose digest stands beside this.
        return {
            "template": "jinja",
            "sha256": hashlib.sha256(self.text.encode("utf-8", "surrogatepass")).hexdigest(),
            "version": TEMPLATES_VERSION,
            "variables": dict(self.variables),
            "stop": self.stop,
        }

    def render(self, conversation: Conversation, reasoning: Reasoning) -> list[Segment]:
        for message in conversation.messages:
            if message["role"] != "assistant" and weight_of(message) > 0:
                raise Refusal(State.REFUSED, f"a Jinja template cannot train {message['role']} messages")
        messages, tools = self._inputs(conversation, reasoning)
        answers = [at for at, message in enumerate(messages) if message["role"] == "assistant"]
        trained = [at for at in answers if weight_of(conversation.messages[at]) > 0]
        if len(trained) > MAX_TURNS:
            raise Refusal(State.TOO_MANY_TURNS, f"{len(trained)} answers, and at most {MAX_TURNS} are rendered")
        full, blocks = _without_marks(run(self.text, self._seen(messages, tools)))
        if len(trained) * len(full) > MAX_CHARACTERS:
            raise Refusal(State.TOO_MANY_TURNS, f"{len(trained)} answers in {len(full)} characters")
        if len(blocks) != len(answers):
            blocks = []
        controls = [(found.start(), found.end()) for found in self._pattern.finditer(full)]
        spans = []
        for at in trained:
            block = blocks[answers.index(at)] if blocks else None
            start, end = self._turn(full, messages, tools, at, block)
            stop, end = self._stop(full, controls, start, end)
            spans.append(Span(start, stop, end, weight_of(conversation.messages[at]), start))
        for before, after in pairwise(spans):
            if before.end > after.start:
                raise Refusal(State.REWRITTEN, "the template gives two answers the same text")
        if reasoning == "mask":
            spans = self._masked(full, messages, tools, trained, spans)
        return _segments(full, controls, spans)

    def prompt(self, conversation: Conversation, reasoning: Reasoning) -> list[Segment]:
        messages, tools = self._inputs(conversation, reasoning)
        text, _ = _without_marks(run(self.text, self._seen(messages, tools, prompt=True)))
        return _segments(text, [(found.start(), found.end()) for found in self._pattern.finditer(text)], [])

    def _turn(
        self, full: str, messages: list[Message], tools: list[Any], at: int, block: tuple[int, int] | None
    ) -> tuple[int, int]:
        """Where the answer ``at`` starts and its turn ends."""
        prompt, _ = _without_marks(run(self.text, self._seen(messages[:at], tools, prompt=True)))
        if not full.startswith(prompt) or (block and block[0] < len(prompt)):
            raise Refusal(State.NO_PREFIX, f"the prompt for message {at} is not the start of the text")
        if block:
            return block
        if at + 1 == len(messages):
            return len(prompt), len(full)
        upto, _ = _without_marks(run(self.text, self._seen(messages[: at + 1], tools)))
        if len(upto) < len(prompt) or not full.startswith(upto):
            raise Refusal(State.REWRITTEN, f"the template writes message {at} otherwise once more messages follow")
        return len(prompt), len(upto)

    def _stop(self, full: str, controls: list[tuple[int, int]], start: int, end: int) -> tuple[int, int]:
        """The control token that ends the answer: the last of its turn, or the next role's right behind it."""
        inside = [one for one in controls if start <= one[0] and one[1] <= end]
        behind = [one for one in controls if one[0] == end]
        if inside and not full[inside[-1][1] : end].strip():
            stop, stop_end = inside[-1]
        elif behind:
            stop, stop_end = behind[0]
        else:
            raise Refusal(State.NO_STOP, "no control token ends an answer")
        if self.stop is not None and full[stop:stop_end] != self.stop:
            raise Refusal(State.NO_STOP, f"an answer ends with {full[stop:stop_end]!r}, not with {self.stop!r}")
        return stop, stop_end

    def _masked(
        self, full: str, messages: list[Message], tools: list[Any], trained: list[int], spans: list[Span]
    ) -> list[Span]:
        """Spans whose reasoning, with the tags around it, is not learned.

        The content of each such message is marked and all is rendered once more; the marks stand inside the white
        space around it, so that a template which trims does as before.
        """
        marked, turns = list(messages), []
        for number, at in enumerate(trained):
            if not messages[at].get("reasoning_content"):
                continue
            content = messages[at]["content"]
            if not content.strip():
                raise Refusal(State.FAILED, f"message {at} has reasoning and no content, so its mask has no border")
            lead = content[: len(content) - len(content.lstrip())]
            tail = content[len(content.rstrip()) :]
            marked[at] = messages[at] | {"content": f"{lead}{OPEN}{content.strip()}{CLOSE}{tail}"}
            turns.append(number)
        if not turns:
            return spans
        # Blocks of {% generation %} would mark too; their marks are the same text in either rendering.
        text, blocks = _without_marks(run(self.text, self._seen(marked, tools), blocks=False))
        if text != full or len(blocks) != len(turns):
            raise Refusal(State.FAILED, "the template does not show where reasoning ends and the answer starts")
        for number, (start, _) in zip(turns, blocks):
            span = spans[number]
            if not span.start <= start <= span.stop:
                raise Refusal(State.FAILED, "the template writes a content outside its answer")
            spans[number] = span._replace(masked=start)
        return spans

    def _seen(self, messages: list[Message], tools: list[Any], prompt: bool = False) -> dict[str, Any]:
        return {
            **dict(self.variables),
            "messages": messages,
            "tools": tools or None,
            "documents": None,
            "add_generation_prompt": prompt,
        }

    def _inputs(self, conversation: Conversation, reasoning: Reasoning) -> tuple[list[Message], list[Any]]:
        """Messages and tools as templates expect them: no null fields, arguments parsed, control tokens broken."""
        messages = []
        for message in conversation.messages:
            seen: Message = {"role": message["role"], "content": content_of(message)}
            thought = message.get("reasoning_content")
            if thought and reasoning != "drop":
                seen |= {"thinking": thought, "reasoning_content": thought}  # transformers gives both names
            calls = message.get("tool_calls")
            if calls:
                seen["tool_calls"] = [
                    {
                        **({"id": raw["id"]} if raw.get("id") else {}),
                        "type": "function",
                        "function": {"name": call.name, "arguments": call.arguments},
                    }
                    for raw, call in zip(calls, calls_of(message))
                ]
            for key in ("tool_call_id", "name"):
                if message.get(key):
                    seen[key] = message[key]
            messages.append(self._broken(seen))
        return messages, self._broken(tools_of(conversation))

    def _broken(self, value: Any) -> Any:
        """The same value with a mark inside every control token that a text holds, so that only the template writes
        whole ones; the mark is taken out again after rendering."""
        if isinstance(value, str):
            if any(mark in value for mark in MARKS):
                raise Refusal(State.RESERVED, "a text holds a non-character from U+FDD0 to U+FDD3")
            return self._pattern.sub(lambda found: f"{found[0][0]}{ESCAPE}{found[0][1:]}", value)
        if isinstance(value, dict):
            return {self._broken(key): self._broken(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._broken(item) for item in value]
        return value

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return special_pattern(tuple(name for name in self.specials if len(name) > 1))

    def probe(self) -> None:
        """Render a small conversation, so that a template that cannot work fails before any data is read.

        Raises:
            GristmillError: it does not parse, or reads the clock.
        """
        compiled(self.text)
        try:
            self.render(
                Conversation([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]), "train"
            )
        except Refusal:  # some templates want a system prompt, or tools
            pass


def _without_marks(text: str) -> tuple[str, list[tuple[int, int]]]:
    """The text without block marks, and where the blocks are in it."""
    if OPEN not in text:
        return text, []
    pieces = re.split(f"([{OPEN}{CLOSE}])", text)
    blocks, clean, position, start = [], [], 0, -1
    for piece in pieces:
        if piece == OPEN:
            if start >= 0:
                raise Refusal(State.FAILED, "a generation block lies in another")
            start = position
        elif piece == CLOSE:
            if start < 0:
                raise Refusal(State.FAILED, "a generation block ends that did not begin")
            blocks.append((start, position))
            start = -1
        else:
            clean.append(piece)
            position += len(piece)
    if start >= 0:
        raise Refusal(State.FAILED, "a generation block does not end")
    return "".join(clean), blocks


def _segments(full: str, controls: list[tuple[int, int]], spans: list[Span]) -> list[Segment]:
    """The text cut at control tokens and at the borders of what is learned."""
    whole = dict(controls)
    stops = {one.stop for one in spans}
    borders = {0, len(full), *whole, *whole.values()}
    for one in spans:
        borders |= {one.start, one.masked, one.stop, one.end}
    cuts = sorted(borders)
    segments, following = [], 0
    for start, end in pairwise(cuts):
        while following < len(spans) and spans[following].end <= start:
            following += 1
        span: Span | None = None
        if following < len(spans) and spans[following].start <= start:
            span = spans[following]
        weight = span.weight if span and start >= span.masked else 0.0
        text = full[start:end]
        if whole.get(start) == end:
            segments.append(Segment(text, weight, "stop" if start in stops else "control"))
        else:
            thought = span is not None and start < span.masked
            segments.append(Segment(text.replace(ESCAPE, ""), weight, "reasoning" if thought else "content"))
    return segments
