"""Repair of text on its way in: every string of a conversation goes through it, and changes are counted.

In this order: lone surrogates, ``ftfy`` (only where a recipe asks), NFC, line ends, control characters.
Everything else stays as it is; U+0085 and U+2028 are characters of the text, not line ends.
"""

import re
import unicodedata
from typing import Protocol

# Bytes of UTF-8 that need no look: tab, line feed, everything from the space on. What is left is C0 control
# characters.
_QUIET = bytes([9, 10, *range(0x20, 0x100)])
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f]")
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_SURROGATE = re.compile("[\ud800-\udfff]")


class Repairs(Protocol):
    """Whoever counts repairs: strings changed, by kind (surrogate, ftfy, nfc, newline, control)."""

    repaired: dict[str, int]


def repair_text(text: str, stats: Repairs | None = None, ftfy: bool = False) -> str:
    """``text`` with valid UTF-8, NFC, ``\\n`` line ends and no control characters except tab and line feed.

    Clean text is returned as the same object. ``stats.repaired[kind]`` grows by one for each kind of change.
    """
    try:
        quiet = not text.encode().translate(None, _QUIET)
    except UnicodeEncodeError:
        text = join_surrogates(text)
        _count(stats, "surrogate")
        quiet = False
    ascii_only = text.isascii()
    if quiet and ascii_only and not ftfy:
        return text
    if ftfy:
        text = _fixed(text, stats)
        ascii_only = text.isascii()
    if not ascii_only and not unicodedata.is_normalized("NFC", text):
        text = unicodedata.normalize("NFC", text)
        _count(stats, "nfc")
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        _count(stats, "newline")
    if not quiet or ftfy:
        without = _CONTROLS.sub("", text)
        if len(without) != len(text):
            _count(stats, "control")
            # Taking a control character out can bring a base and a combining mark together.
            return without if without.isascii() else unicodedata.normalize("NFC", without)
    return text


def join_surrogates(text: str) -> str:
    """Two halves of one character joined (a high and a low surrogate in a row), every other half U+FFFD."""
    joined = _PAIR.sub(lambda pair: pair[0].encode("utf-16", "surrogatepass").decode("utf-16"), text)
    return _SURROGATE.sub("\ufffd", joined)


def _fixed(text: str, stats: Repairs | None) -> str:
    import ftfy  # slow to import, and few recipes ask for it

    fixed = ftfy.fix_text(text)
    if fixed != text:
        _count(stats, "ftfy")
    return fixed


def _count(stats: Repairs | None, kind: str) -> None:
    if stats is not None:
        stats.repaired[kind] = stats.repaired.get(kind, 0) + 1
