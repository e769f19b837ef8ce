"""Native templates in plain markup, for tokenizers without chat tokens: XML tags, and one JSON object a line.

Both take tools and end an answer with the tokenizer's end-of-sequence token.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from schemas.chat.template import (
    TEMPLATES_VERSION,
    Conversation,
    Message,
    Reasoning,
    Segment,
    as_json,
    calls_of,
    content_of,
    tools_of,
    weight_of,
)
from schemas.chat.turns import call_segments, reasoning_segments


@dataclass(frozen=True)
class XML:
    """``<user>\\n … \\n</user>\\n``. Texts stand as they are: escaping would teach a model to write ``&lt;``."""

    stop: str
    start: str = ""

    name: ClassVar[str] = "xml"

    @property
    def controls(self) -> tuple[str, ...]:
        return tuple(token for token in (self.start, self.stop) if token)

    def identity(self) -> dict[str, Any]:
        return {"template": self.name, "version": TEMPLATES_VERSION, "start": self.start, "stop": self.stop}

    def render(self, conversation: Conversation, reasoning: Reasoning) -> list[Segment]:
        segments = [Segment(self.start, 0.0, "control")] if self.start else []
        tools = tools_of(conversation)
        if tools:
            segments.append(Segment("<tools>\n", 0.0, "control"))
            segments.append(Segment("\n".join([as_json(tool) for tool in tools]), 0.0, "content"))
            segments.append(Segment("\n</tools>\n", 0.0, "control"))
        for message in conversation.messages:
            role, weight = message["role"], weight_of(message)
            segments.append(Segment(f"<{role}>\n", 0.0, "control"))
            text = Segment(content_of(message), weight, "content")
            if role != "assistant":
                segments += [text, Segment(f"\n</{role}>\n", 0.0, "control")]
                continue
            answer = [
                *reasoning_segments(message, reasoning, weight),
                text,
                *call_segments(message, weight, "arguments", "<tool_call>\n", "\n</tool_call>"),
            ]
            # After an empty answer no second line break: it would join with the first, which the prompt has.
            filled = any(segment.text for segment in answer)
            segments += [*answer, Segment("\n</assistant>" if filled else "</assistant>", weight, "control")]
            segments.append(Segment(self.stop, weight, "stop"))
            segments.append(Segment("\n", 0.0, "control"))
        return segments

    def prompt(self, conversation: Conversation, reasoning: Reasoning) -> list[Segment]:
        return [*self.render(conversation, reasoning), Segment("<assistant>\n", 0.0, "control")]


@dataclass(frozen=True)
class JSON:
    """``{"role": "user", "content": "…"}`` and a line break; no text can leave its string.

    The model goes on after ``{"role": "assistant",``, so that it may begin with its reasoning.
    """

    stop: str
    start: str = ""

    name: ClassVar[str] = "json"

    @property
    def controls(self) -> tuple[str, ...]:
        return tuple(token for token in (self.start, self.stop) if token)

    def identity(self) -> dict[str, Any]:
        return {"template": self.name, "version": TEMPLATES_VERSION, "start": self.start, "stop": self.stop}

    def render(self, conversation: Conversation, reasoning: Reasoning) -> list[Segment]:
        segments = [Segment(self.start, 0.0, "control")] if self.start else []
        tools = tools_of(conversation)
        if tools:
            segments.append(Segment('{"tools": ', 0.0, "control"))
            segments.append(Segment(as_json(tools), 0.0, "content"))
            segments.append(Segment("}\n", 0.0, "control"))
        for message in conversation.messages:
            role, weight = message["role"], weight_of(message)
            segments.append(Segment(f'{{"role": "{role}",', 0.0, "control"))
            if role == "assistant":
                segments += self._thought(message, reasoning, weight)
            # Control text between the texts of an answer is learned with it; around others it is not.
            frame = weight if role == "assistant" else 0.0
            segments.append(Segment(' "content": ', frame, "control"))
            segments.append(Segment(as_json(content_of(message)), weight, "content"))
            calls = calls_of(message)
            if calls:
                listed = as_json([{"name": call.name, "arguments": call.arguments} for call in calls])
                segments.append(Segment(', "tool_calls": ', frame, "control"))
                segments.append(Segment(listed, weight, "content"))
            segments.append(Segment("}", frame, "control"))
            if role == "assistant":
                segments.append(Segment(self.stop, weight, "stop"))
            segments.append(Segment("\n", 0.0, "control"))
        return segments

    def prompt(self, conversation: Conversation, reasoning: Reasoning) -> list[Segment]:
        return [*self.render(conversation, reasoning), Segment('{"role": "assistant",', 0.0, "control")]

    def _thought(self, message: Message, reasoning: Reasoning, weight: float) -> list[Segment]:
        thought = message.get("reasoning_content")
        if not thought or reasoning == "drop":
            return []
        weight = weight if reasoning == "train" else 0.0
        return [
            Segment(' "reasoning_content": ', weight, "control"),
            Segment(as_json(thought), weight, "reasoning"),
            Segment(",", weight, "control"),
        ]
