"""Personal data in text: e-mail, phone, IP, payment card, IBAN, keys. Found exactly, and replaced by ``redact``.

Each kind has a screen, a simple RE2 pattern that a whole column is matched against, and an exact search that only
candidates see. Placeholders are no personal data: example.com, 555 numbers, documentation addresses, the card numbers
that payment providers publish for tests. A miss is cheaper than a mistake here: a number is taken for a phone only
when its form or the word before it says so, because order numbers, dates and results of sums look alike.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.pii_numbers import cards, ibans, ip_addresses, phones

PII_VERSION = 1
"""Goes into the corpus key of redacted sources and of the annotation: raise it when a detector finds something else."""

PASSES = 8
"""Bounds the time that a chain of numbers takes, each of which hides the one before."""

Spans = Iterator[tuple[int, int]]


class Found(NamedTuple):
    """``text[start:end]`` is of this kind."""

    start: int
    end: int
    kind: str


@dataclass(frozen=True)
class Detector:
    """How one kind is found.

    ``screen`` is a pattern (RE2's and Python's syntax) that every text with a find matches; the same as substrings in
    ``marks``, of which it has one. A detector without marks finds nothing in a text without digits.
    """

    screen: str
    marks: tuple[str, ...]
    find: Callable[[str], Spans]


_DOMAIN = re.compile(r"@((?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,62})\.){1,8}[A-Za-z]{2,24})(?![A-Za-z0-9-])")
_LOCAL = re.compile(r"[A-Za-z0-9._%+\-]+\Z")
# RFC 2606 and 6761 reserve them for examples.
_NO_DOMAIN = re.compile(
    r"(?:\A|\.)(?:(?:example|sample)\w{0,3}\.\w{2,4}|(?:example|test|invalid|localhost)|"
    r"(?:your|my|our|some|the)?-?_?(?:domain|company|email|mail|website|site|business|store|organization|school)\.\w{2,4}|"
    r"xyz\.com|abc\.com|dolor\.com|foo\.com|bar\.com)\Z",
    re.IGNORECASE,
)
_NO_LOCAL = re.compile(
    r"\A(?:example|your[._-]?\w*|user(?:name)?|name|email|noreply|no-reply|firstname[._]lastname|me|you|test|someone|"
    r"x+|git)\Z",
    re.IGNORECASE,
)
# What decorators, file names and packages look like after an "at": app@2.x.py is no address.
_NO_TLD = {"py", "js", "ts", "png", "jpg", "jpeg", "gif", "svg", "css", "html", "json", "md", "txt", "xml", "local"}


def _emails(text: str) -> Spans:
    done = 0
    for match in _DOMAIN.finditer(text):
        domain = match[1]
        # Sixty-four characters are the longest local part (RFC 5321); looking back is bounded by them.
        local = _LOCAL.search(text, max(done, match.start() - 65), match.start())
        if local is None or len(local[0]) > 64:
            continue
        name = local[0].lstrip(".%+-")
        if not name or name.endswith(".") or domain.rsplit(".", 1)[1].lower() in _NO_TLD:
            continue
        done = match.end()
        if not _NO_DOMAIN.search(domain) and not _NO_LOCAL.match(name):
            yield match.start() - len(name), match.end()


_KEYS = re.compile(
    r"(?<![A-Za-z0-9_\-])(?:"
    r"(?:AKIA|ASIA)[A-Z0-9]{16}"  # AWS access key id
    r"|gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{50,255}"
    r"|sk-(?:proj-|ant-|svcacct-|or-v1-)?[A-Za-z0-9_\-]{20,255}"  # OpenAI and others
    r"|xox[abeoprs]-[A-Za-z0-9\-]{10,255}"  # Slack
    r"|hf_[A-Za-z0-9]{34}|AIza[A-Za-z0-9_\-]{35}|glpat-[A-Za-z0-9_\-]{20,255}|[sr]k_live_[A-Za-z0-9]{20,255}"
    r"|eyJ[A-Za-z0-9_\-]{8,8192}\.eyJ[A-Za-z0-9_\-]{8,8192}\.[A-Za-z0-9_\-]{16,8192}"  # JWT: {"… . {"…
    r")(?![A-Za-z0-9])"
)
_BEGIN = re.compile(r"-----BEGIN (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----")
_END = re.compile(r"-----END (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----")
_PLACEHOLDER = re.compile(r"example|your|xxxx|1234567890|abcdef|0000|\.\.\.|test|placeholder", re.IGNORECASE)
_KEY_BYTES = 1 << 14  # a private key is shorter; without an end mark no more than its first line goes


def _keys(text: str) -> Spans:
    for match in _KEYS.finditer(text):
        key = match[0]
        varied = len(set(key)) >= 10 and any(one.isdigit() for one in key) and not _PLACEHOLDER.search(key)
        # jwt.io's token says {"sub":"1234567890"}; "abcdef" and the like may stand in any token's base64
        if varied or (key.startswith("eyJ") and "eyJzdWIiOiIxMjM0NTY3ODkwI" not in key):
            yield match.span()
    for match in _BEGIN.finditer(text):
        end = _END.search(text, match.end(), match.end() + _KEY_BYTES)
        body = text[match.end() : end.start() if end else match.end() + 80]
        if sum(map(str.isalnum, body)) >= 40 and "..." not in body:
            yield match.start(), end.end() if end else match.end() + len(body)


_KEY_MARKS = (
    "AKIA", "ASIA", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "sk-", "xox", "hf_", "AIza", "glpat-",
    "k_live_", "eyJ", "-----BEGIN",
)  # fmt: skip

DETECTORS = {
    "key": Detector("|".join(_KEY_MARKS), _KEY_MARKS, _keys),
    "iban": Detector(r"[A-Z]{2}[0-9]{2} ?[A-Z0-9]{4}", (), ibans),
    "card": Detector(r"[0-9]{4}[ -]?[0-9]{4}", (), cards),
    "email": Detector("@", ("@",), _emails),
    "ip": Detector(r"[0-9]\.[0-9]{1,3}\.[0-9]|[23][0-9A-Fa-f]{3}:", (), ip_addresses),
    "phone": Detector(r"[0-9][0-9 ()./-]{5}", (), phones),
}
"""By kind, in the order in which they claim a place: a card number is no phone number."""

_SCREENS = {kind: re.compile(detector.screen) for kind, detector in DETECTORS.items()}
_DIGIT = re.compile("[0-9]")
KINDS = tuple(DETECTORS)


def find(text: str, kinds: Iterable[str] = KINDS) -> list[Found]:
    """Everything of these kinds in a text, in order, nothing overlapping. Time grows with the length of the text."""
    wanted = set(kinds)
    found: list[Found] = []
    digits = _DIGIT.search(text) is not None
    for kind, detector in DETECTORS.items():
        if kind not in wanted:
            continue
        if any(mark in text for mark in detector.marks) if detector.marks else digits and _SCREENS[kind].search(text):
            found += (Found(start, end, kind) for start, end in detector.find(text))
    if len(found) < 2:
        return found
    rank = {kind: number for number, kind in enumerate(KINDS)}
    # Overlaps come from spans that begin inside another: the kind that comes first in KINDS keeps the place.
    kept: list[Found] = []
    for one in sorted(found, key=lambda span: (span.start, rank[span.kind])):
        if kept and one.start < kept[-1].end:
            if rank[one.kind] < rank[kept[-1].kind]:
                kept[-1] = one
            continue
        kept.append(one)
    return kept


def redact(text: str, kinds: Iterable[str] = KINDS) -> tuple[str, dict[str, int]]:
    """The text with each find replaced by its kind, "[EMAIL]", and how many there were of each kind.

    A text without any is returned as the same object. What a replacement uncovers, a second number glued to the first,
    goes too, up to ``PASSES`` deep; but for such chains, redacting again changes nothing.
    """
    wanted = tuple(kinds)
    counts: dict[str, int] = {}
    for _ in range(PASSES):
        found = find(text, wanted)
        if not found:
            break
        pieces: list[str] = []
        end = 0
        for one in found:
            pieces += [text[end : one.start], f"[{one.kind.upper()}]"]
            end = one.end
            counts[one.kind] = counts.get(one.kind, 0) + 1
        text = "".join([*pieces, text[end:]])
    return text, counts


def count(texts: pa.Array, kind: str) -> npt.NDArray[np.int32]:
    """How many of a kind each text [n] of a string column holds."""
    counts = np.zeros(len(texts), np.int32)
    candidates = np.flatnonzero(
        np.asarray(pc.fill_null(pc.match_substring_regex(texts, DETECTORS[kind].screen), False))
    )
    for row, text in zip(candidates.tolist(), texts.take(pa.array(candidates)).to_pylist(), strict=True):
        counts[row] = sum(1 for _ in DETECTORS[kind].find(text))
    return counts
