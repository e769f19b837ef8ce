"""Native templates whose turns open and close with control tokens: ChatML, Llama 3, Llama 2.

The texts are those of the templates that models were published with: ChatML as in Qwen (without its default system
prompt), Llama 3 as in Meta-Llama-3-Instruct with the tool texts of Llama 3.1 (without its dates), Llama 2 as in
Llama-2-chat. The tests hold them against the published Jinja.
"""

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
    as_json,
    calls_of,
    content_of,
    tools_of,
    weight_of,
)


def reasoning_segments(message: Message, reasoning: Reasoning, weight: float) -> list[Segment]:
    """``<think>`` to ``</think>`` and a blank line, the form that most reasoning models write; often nothing."""
    thought = message.get("reasoning_content")
    if not thought or reasoning == "drop":
        return []
    weight = weight if reasoning == "train" else 0.0
    return [
        Segment("<think>\n", weight, "control"),
        Segment(thought.strip("\n"), weight, "reasoning"),
        Segment("\n</think>\n\n", weight, "control"),
    ]


def call_segments(message: Message, weight: float, arguments: str, opening: str, closing: str) -> list[Segment]:
    """Each tool call as JSON between ``opening`` and ``closing``; the first line break only after a content."""
    found = []
    after = bool(content_of(message))
    for call in calls_of(message):
        text = as_json({"name": call.name, arguments: call.arguments})
        found.append(Segment(("\n" if after else "") + opening, weight, "control"))
        found.append(Segment(text, weight, "content"))
        found.append(Segment(closing, weight, "control"))
        after = True
    return found


@dataclass(frozen=True)
class ChatML:
    """``<|im_start|>role\\n … <|im_end|>\\n``."""

    name: ClassVar[str] = "chatml"
    controls: ClassVar[tuple[str, ...]] = ("<|im_start|>", "<|im_end|>")

    def identity(self) -> dict[str, Any]:
        return {"template": self.name, "version": TEMPLATES_VERSION}

    def render(self, conversation: Conversation, reasoning: Reasoning) -> list[Segment]:
        messages = conversation.messages
        segments: list[Segment] = []
        tools = tools_of(conversation)
        if tools:
            first = messages[0] if messages and messages[0]["role"] == "system" else None
            messages = messages[1:] if first else messages
            segments += self._system(first, tools)
        for number, message in enumerate(messages):
            role, weight = message["role"], weight_of(message)
            if role == "tool":  # results that follow each other share a turn
                before = number > 0 and messages[number - 1]["role"] == "tool"
                after = number + 1 < len(messages) and messages[number + 1]["role"] == "tool"
                opening = "\n<tool_response>\n" if before else "<|im_start|>user\n<tool_response>\n"
                segments.append(Segment(opening, 0.0, "control"))
                segments.append(Segment(content_of(message), weight, "content"))
                segments.append(Segment("\n</tool_response>", weight, "control"))
                if after:
                    continue
            else:
                segments.append(Segment(f"<|im_start|>{role}\n", 0.0, "control"))
                thought = reasoning_segments(message, reasoning, weight) if role == "assistant" else []
                segments += thought
                text = content_of(message)
                segments.append(Segment(text.lstrip("\n") if thought else text, weight, "content"))
                if role == "assistant":
                    segments += call_segments(message, weight, "arguments", "<tool_call>\n", "\n</tool_call>")
            segments.append(Segment("<|im_end|>", weight, "stop"))
            segments.append(Segment("\n", 0.0, "control"))
        return segments

    def prompt(self, conversation: Conversation, reasoning: Reasoning) -> list[Segment]:
        return [*self.render(conversation, reasoning), Segment("<|im_start|>assistant\n", 0.0, "control")]

    def _system(self, message: Message | None, tools: list[Any]) -> list[Segment]:
        weight = weight_of(message) if message else 0.0
        text = content_of(message) + "\n\n" if message else ""
        return [
            Segment("<|im_start|>system\n", 0.0, "control"),
            Segment(
                f"{text}# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
                "You are provided with function signatures within <tools></tools> XML tags:\n<tools>\n"
                + "".join(as_json(tool) + "\n" for tool in tools)
                + "</tools>\n\nFor each function call, return a json object with function name and arguments within "
                "<tool_call></tool_call> XML tags:\n<tool_call>\n"
                '{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>',
                weight,
                "content",
            ),
            Segment("<|im_end|>", weight, "stop"),
            Segment("\n", 0.0, "control"),
        ]


@dataclass(frozen=True)
class Llama3:
    """``<|start_header_id|>role<|end_header_id|>\\n\\n … <|eot_id|>``; contents are trimmed."""

    name: ClassVar[str] = "llama3"
    controls: ClassVar[tuple[str, ...]] = (
        "<|begin_of_text|>",
        "<|start_header_id|>",
        "<|end_header_id|>",
        "<|eot_id|>",
    )

    def identity(self) -> dict[str, Any]:
        return {"template": self.name, "version": TEMPLATES_VERSION}

    def render(self, conversation: Conversation, reasoning: Reasoning) -> list[Segment]:
        messages = conversation.messages
        segments = [Segment("<|begin_of_text|>", 0.0, "control")]
        tools = tools_of(conversation)
        if tools:
            first: Message | None = messages[0] if messages and messages[0]["role"] == "system" else None
            messages = messages[1:] if first else messages
            weight = weight_of(first) if first else 0.0
            segments += self._turn("system", self._offer(first, tools), weight)
        for message in messages:
            role, weight = message["role"], weight_of(message)
            text = content_of(message).strip()
            if role != "assistant":
                segments += self._turn("ipython" if role == "tool" else role, text, weight)
                continue
            segments.append(Segment("<|start_header_id|>assistant<|end_header_id|>\n\n", 0.0, "control"))
            segments += reasoning_segments(message, reasoning, weight)
            segments.append(Segment(text, weight, "content"))
            segments += call_segments({**message, "content": text}, weight, "parameters", "", "")
            segments.append(Segment("<|eot_id|>", weight, "stop"))
        return segments

    def prompt(self, conversation: Conversation, reasoning: Reasoning) -> list[Segment]:
        header = Segment("<|start_header_id|>assistant<|end_header_id|>\n\n", 0.0, "control")
        return [*self.render(conversation, reasoning), header]

    def _turn(self, role: str, text: str, weight: float) -> list[Segment]:
        return [
            Segment(f"<|start_header_id|>{role}<|end_header_id|>\n\n", 0.0, "control"),
            Segment(text, weight, "content"),
            Segment("<|eot_id|>", weight, "stop"),
        ]

    def _offer(self, system: Message | None, tools: list[Any]) -> str:
        text = (
            "Environment: ipython\nYou have access to the following functions. To call a function, please respond with "
            'JSON for a function call.Respond in the format {"name": function name, "parameters": dictionary of '
            "argument name and its value}.Do not use variables.\n\n"
        )
        text += "".join(as_json(tool, indent=4) + "\n\n" for tool in tools)
        return (text + (content_of(system) if system else "")).strip()


@dataclass(frozen=True)
class Llama2:
    """``<s>[INST] … [/INST] … </s>``: a system prompt lies in the first user turn; no tools."""

    name: ClassVar[str] = "llama2"
    controls: ClassVar[tuple[str, ...]] = ("<s>", "</s>")

    def identity(self) -> dict[str, Any]:
        return {"template": self.name, "version": TEMPLATES_VERSION}

    def render(self, conversation: Conversation, reasoning: Reasoning) -> list[Segment]:
        messages = conversation.messages
        refuse_tools(conversation, self.name)
        system: Message | None = None
        if messages and messages[0]["role"] == "system":
            system, messages = messages[0], messages[1:]
        segments: list[Segment] = []
        for number, message in enumerate(messages):
            wanted = ("user", "assistant")[number % 2]
            if message["role"] != wanted:
                raise Refusal(State.REFUSED, f"llama2 wants user and assistant in turn, got {message['role']!r}")
            weight = weight_of(message)
            if wanted == "user":
                segments += self._question(system if number == 0 else None, content_of(message), weight)
            else:
                # The model writes the space after "[/INST]" too: tokenizers join it to the word that follows.
                segments.append(Segment(" ", weight, "control"))
                segments += reasoning_segments(message, reasoning, weight)
                segments.append(Segment(content_of(message).strip(), weight, "content"))
                segments.append(Segment(" ", weight, "control"))
                segments.append(Segment("</s>", weight, "stop"))
        return segments

    def prompt(self, conversation: Conversation, reasoning: Reasoning) -> list[Segment]:
        return self.render(conversation, reasoning)

    def _question(self, system: Message | None, text: str, weight: float) -> list[Segment]:
        segments = [Segment("<s>[INST] ", 0.0, "control")]
        if system is None:
            text = text.strip()
        else:
            text = text.rstrip()
            segments.append(Segment("<<SYS>>\n", 0.0, "control"))
            segments.append(Segment(content_of(system), weight_of(system), "content"))
            segments.append(Segment("\n<</SYS>>\n\n" if text else "\n<</SYS>>", 0.0, "control"))
        return [*segments, Segment(text, weight, "content"), Segment(" [/INST]", 0.0, "control")]


def refuse_tools(conversation: Conversation, name: str) -> None:
    """For templates that have no form for tools.

    Raises:
        Refusal: tools are offered, called or answer.
    """
    if tools_of(conversation):
        raise Refusal(State.REFUSED, f"{name} has no form for tools")
    for message in conversation.messages:
        if message["role"] == "tool" or message.get("tool_calls"):
            raise Refusal(State.REFUSED, f"{name} has no form for tool calls and tool results")
