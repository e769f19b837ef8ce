"""Personal data out of a conversation as it is read: ids, deduplication and all that follows see it redacted."""

import json
from collections.abc import Sequence
from typing import Any

from transforms.pii import redact
from transforms.readers.shape import Conversation


class Redaction:
    """Replaces finds of ``kinds`` in every text of a conversation and counts them, by kind, in its ``extra.redacted``.

    Messages are copied, not changed: the records of a tree share theirs, and each must count what it lost.
    """

    def __init__(self, kinds: Sequence[str]) -> None:
        self.kinds = tuple(kinds)

    def __call__(self, conversation: Conversation) -> None:
        counts: dict[str, int] = {}
        for key in ("messages", "chosen", "rejected"):
            if conversation.get(key):
                # What is in ``chosen`` is in ``messages`` too, and counts once.
                into = {} if key == "chosen" else counts
                conversation[key] = [self._message(message, into) for message in conversation[key]]
        if conversation.get("tools"):
            conversation["tools"] = self._json(conversation["tools"], counts)
        if conversation.get("extra"):
            conversation["extra"] = self._value(conversation["extra"], counts)
        if counts:
            extra = conversation.get("extra") or {}
            name = "redacted" if "redacted" not in extra else "redacted_kinds"  # the source may have such a column
            conversation["extra"] = {**extra, name: dict(sorted(counts.items()))}

    def _message(self, message: dict[str, Any], counts: dict[str, int]) -> dict[str, Any]:
        changed = {**message, "content": self._text(message["content"], counts)}
        if message.get("reasoning_content"):
            changed["reasoning_content"] = self._text(message["reasoning_content"], counts)
        if message.get("tool_calls"):
            changed["tool_calls"] = [self._call(call, counts) for call in message["tool_calls"]]
        return changed

    def _call(self, call: dict[str, Any], counts: dict[str, int]) -> dict[str, Any]:
        function = call["function"]
        return {**call, "function": {**function, "arguments": self._json(function["arguments"], counts)}}

    def _text(self, text: str, counts: dict[str, int]) -> str:
        redacted, found = redact(text, self.kinds)
        _add(counts, found)
        return redacted

    def _json(self, text: str, counts: dict[str, int]) -> str:
        """JSON text, still JSON afterwards: its escapes hide where a word begins, and a bare number has no room for a
        name. Text that is no JSON is redacted as it stands; JSON without finds stays to the byte."""
        found: dict[str, int] = {}
        try:
            redacted = json.dumps(self._value(json.loads(text), found), ensure_ascii=False)
        except (ValueError, RecursionError):
            return self._text(text, counts)
        _add(counts, found)
        return redacted if found else text

    def _value(self, value: Any, counts: dict[str, int], label: str = "") -> Any:
        if isinstance(value, str):
            return self._labelled(value, counts, label)
        if isinstance(value, dict):
            changed: dict[Any, Any] = {}
            for key, one in value.items():
                named = name = self._text(key, counts) if isinstance(key, str) else key
                while name in changed:  # two addresses as keys are two entries still
                    name = f"{named} {len(changed)}"
                changed[name] = self._value(one, counts, str(key))
            return changed
        if isinstance(value, list):
            return [self._value(one, counts, label) for one in value]
        if isinstance(value, int) and not isinstance(value, bool) and 10**6 <= value < 10**19:
            text = self._labelled(str(value), counts, label)
            return value if text == str(value) else text
        return value

    def _labelled(self, text: str, counts: dict[str, int], label: str) -> str:
        """A value's key says what it is, as the word before a number does in prose: {"phone": "0401234567"}."""
        if label and len(text) <= 40:
            head = f"{label.replace('_', ' ')}: "
            labelled, found = redact(head + text, self.kinds)
            if found and labelled.startswith(head):
                _add(counts, found)
                return labelled[len(head) :]
            return text if not found else self._text(text, counts)
        return self._text(text, counts)


def _add(counts: dict[str, int], found: dict[str, int]) -> None:
    for kind, number in found.items():
        counts[kind] = counts.get(kind, 0) + number
