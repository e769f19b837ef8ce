"""The last step of every reader: checks, repair, placeholders, redaction. In one place, so no shape can forget it."""

from typing import Any

from schemas.errors import Unreadable
from transforms.readers.redaction import Redaction
from transforms.readers.shape import Conversation
from transforms.readers.source import ReadStats, SourceOptions
from transforms.repair import repair_text

_TEXT_FIELDS = ("reasoning_content", "tool_call_id", "name")
_NAMES = ("task", "language", "license", "generator")


class Finish:
    """Checks that a conversation has an answer, repairs all its strings in place, fills placeholders and takes
    personal data out where the source asks for it.

    Calling it raises Unreadable for a conversation without messages or without an assistant message.
    """

    def __init__(self, options: SourceOptions, stats: ReadStats) -> None:
        self.stats = stats
        self.ftfy = options.ftfy
        self.placeholders = [("{{" + name + "}}", value) for name, value in options.placeholders]
        self.redaction = Redaction(options.redact) if options.redact else None

    def __call__(self, conversation: Conversation, raw: bytes | None, row: Any) -> Conversation:
        messages = conversation["messages"]
        for message in messages:
            if message["role"] == "assistant":
                break
        else:
            raise Unreadable("a conversation without an assistant message" if messages else "an empty conversation")
        if self.ftfy or not (raw is not None and row.__class__ is dict and is_clean_json(raw)):
            self._repair(conversation)
        if self.placeholders:
            for key in ("messages", "chosen", "rejected"):
                for message in conversation.get(key, ()):
                    for mark, value in self.placeholders:
                        if mark in message["content"]:
                            message["content"] = message["content"].replace(mark, value)
        if self.redaction is not None:
            self.redaction(conversation)
        return conversation

    def _repair(self, conversation: Conversation) -> None:
        for key, value in conversation.items():
            if key == "messages" or key == "chosen" or key == "rejected":
                for message in value:
                    self._repair_message(message)
            elif key == "tools":
                conversation[key] = repair_text(value, self.stats)
            elif key == "extra":
                conversation[key] = self._repaired(value)
            elif key in _NAMES:
                conversation[key] = repair_text(value, self.stats)

    def _repair_message(self, message: dict[str, Any]) -> None:
        message["content"] = repair_text(message["content"], self.stats, self.ftfy)
        if len(message) == 2:
            return
        for key in _TEXT_FIELDS:
            if key in message:
                message[key] = repair_text(message[key], self.stats, self.ftfy and key == "reasoning_content")
        for call in message.get("tool_calls", ()):
            function = call["function"]
            function["name"] = repair_text(function["name"], self.stats)
            function["arguments"] = repair_text(function["arguments"], self.stats)
            if call["id"] is not None:
                call["id"] = repair_text(call["id"], self.stats)

    def _repaired(self, value: Any) -> Any:
        if value.__class__ is str:
            return repair_text(value, self.stats)
        if value.__class__ is dict:
            return {repair_text(key, self.stats): self._repaired(item) for key, item in value.items()}
        if value.__class__ is list:
            return [self._repaired(item) for item in value]
        return value


def is_clean_json(raw: bytes) -> bool:
    """Whether JSON text cannot hold anything that repair would change.

    ASCII without the escapes \\u, \\r, \\b and \\f: JSON forbids bare control characters, so none is left.
    JSON texts inside its strings are covered too, their escapes show the same two characters.
    """
    return raw.isascii() and not (b"\\u" in raw or b"\\r" in raw or b"\\b" in raw or b"\\f" in raw)
