"""Conversations as token ids for a model that scores; control tokens in people's text become plain text first."""

import re
from typing import Any

import numpy as np
import orjson

from transforms.annotate.scores.turns import Ints
from transforms.records import Records

Message = dict[str, Any]


class NotRendered(Exception):
    """The chat template refuses this conversation."""


class Renderer:
    """Renders with a tokenizer's chat template."""

    def __init__(self, tokenizer: Any):
        self.tokenizer = tokenizer
        special = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
        special |= set(tokenizer.all_special_tokens)
        found = sorted((token for token in special if len(token) > 1), key=lambda token: (-len(token), token))
        self._special = re.compile("|".join(map(re.escape, found))) if found else None

    def plain(self, text: str) -> str:
        """The text with each control token opened by a space: "<|im_end|>" in data is what somebody wrote, and must
        not end the turn of whoever wrote it."""
        if self._special is None:
            return text
        return self._special.sub(lambda found: found[0][0] + " " + found[0][1:], text)

    def text(self, messages: list[Message], tools: str | None, prompt: bool) -> str:
        """The conversation in the template's words; ``prompt`` adds the opening of the next answer.

        Raises:
            NotRendered: the template refuses, for instance a system message or two turns of one role in a row.
        """
        cleaned = [{key: self._clean(key, value) for key, value in one.items() if value} for one in messages]
        for one in cleaned:
            one.setdefault("content", "")
        try:
            offered = orjson.loads(self.plain(tools)) if tools else None
            return str(
                self.tokenizer.apply_chat_template(cleaned, tools=offered, tokenize=False, add_generation_prompt=prompt)
            )
        except Exception as error:  # templates are programs: Jinja's errors and any other
            raise NotRendered(str(error)) from None

    def ids(self, text: str) -> list[int]:
        """Token ids; nothing is added, the template has said all."""
        return list(self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    def _clean(self, key: str, value: Any) -> Any:
        if key != "tool_calls":
            return self.plain(value)
        return [{"type": "function", "function": self._call(call["function"])} for call in value]

    def _call(self, function: dict[str, str]) -> dict[str, Any]:
        arguments = self.plain(function["arguments"] or "")
        try:
            return {"name": self.plain(function["name"] or ""), "arguments": orjson.loads(arguments)}
        except orjson.JSONDecodeError:
            return {"name": self.plain(function["name"] or ""), "arguments": arguments}


_KEYS = ("role", "content", "reasoning_content", "tool_calls", "tool_call_id", "name")


def conversations(records: Records, upto: Ints | None = None) -> list[list[Message]]:
    """Messages of each record [n] as Python; ``upto`` [n] ends each before that message number."""
    flat = records.messages.to_pylist()
    ends = records.bounds[1:] if upto is None else np.maximum(upto, records.bounds[:-1])
    return [
        [{key: one[key] for key in _KEYS} for one in flat[start:end]]
        for start, end in zip(records.bounds[:-1].tolist(), ends.tolist())
    ]
