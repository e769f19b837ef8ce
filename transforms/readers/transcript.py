"""Transcripts in one text: "\\n\\nHuman: …\\n\\nAssistant: …" (Anthropic's HH), alone in a ``text`` column.

A text without these marks is plain text, which is no conversation.
"""

import re

from schemas.errors import Unreadable
from transforms.readers.shape import Conversation, RawRow, Shape, with_leftovers
from transforms.readers.source import SourceOptions, need_text

_MARK = re.compile(r"(?:\A\s*|\n\n)(Human|Assistant|System):")
_ROLE = {"Human": "user", "Assistant": "assistant", "System": "system"}
_USED = frozenset(("text",))


def is_transcript(text: object) -> bool:
    return isinstance(text, str) and text.lstrip()[:10].startswith(("Human:", "Assistant:", "System:"))


def read_transcript(text: str) -> list[dict[str, str]]:
    """Messages of a transcript, stripped; raises Unreadable when text precedes the first mark."""
    pieces = _MARK.split(text)
    if len(pieces) < 3 or pieces[0].strip():
        raise Unreadable('a transcript must begin with "Human:" or "Assistant:"')
    return [
        {"role": _ROLE[name], "content": content.strip()}
        for name, content in zip(pieces[1::2], pieces[2::2], strict=True)
    ]


def recognise(keys: frozenset[str]) -> bool:
    return "text" in keys


def convert(row: RawRow, options: SourceOptions) -> Conversation:
    text = need_text(row, "text")
    if not is_transcript(text):
        raise Unreadable(
            'plain text is not a conversation; take it out of the sources, or map "text" to a column by hand'
        )
    return with_leftovers({"messages": read_transcript(text)}, row, _USED)


SHAPE = Shape("transcript", recognise, convert)
