"""The texts of a record that are measured and compared: whole conversation, prompt side, response side.

The text of a message is everything in it that a model reads or writes: content, reasoning, tool calls.
"""

from collections.abc import Mapping
from typing import Any

import xxhash

# Part of the corpus key: raise it when ``exact_key`` gives another key for the same conversation.
NORMALISER_VERSION = 1


def message_text(message: Mapping[str, Any]) -> str:
    """Content, reasoning and tool calls of one message, joined by newlines."""
    if len(message) == 2:  # role and content: nearly all of them
        return str(message["content"])
    parts = [message["content"], message.get("reasoning_content")]
    for call in message.get("tool_calls") or ():
        parts += [call["function"]["name"], call["function"]["arguments"]]
    return "\n".join(part for part in parts if part)


def exact_key(roles: list[str], texts: list[str], tools: str | None, compare: str) -> bytes:
    """xxh3-128 of what exact deduplication compares, after normalising: lower case, runs of white space as one space.

    Punctuation and digits stay: ``a+b`` and ``a-b`` are different short texts and must never merge.
    ``compare`` is whole, prompt (all but assistant messages) or response (assistant messages).
    """
    if compare == "whole":
        pieces = [tools or ""]
        for role, text in zip(roles, texts, strict=True):
            pieces += (role, " ".join(text.lower().split()))
    else:
        answer = compare == "response"
        pieces = [
            " ".join(text.lower().split())
            for role, text in zip(roles, texts, strict=True)
            if (role == "assistant") is answer
        ]
    # Lengths before pieces: no choice of texts can imitate another division into messages.
    head = ",".join([str(len(piece)) for piece in pieces])
    return xxhash.xxh3_128_digest(f"{head}\x00{''.join(pieces)}".encode("utf-8", "surrogatepass"))
