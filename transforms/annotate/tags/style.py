"""How the last answer is laid out, and how it speaks. Rules on its first BODY code points; JSON is parsed whole."""

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from transforms.annotate.tags.names import FORMATS, TONES
from transforms.annotate.tags.views import Views

Codes = npt.NDArray[np.int8]
Counts = npt.NDArray[np.int64]

JSON_BYTES = 1 << 20
"""Longer answers are not parsed; no answer of the shared data comes near."""

LIST_SHARE, CODE_SHARE = 0.4, 0.4
"""A list, or code without a fence, has this share of the lines: an answer that introduces its list stays a list."""

_ITEM = r"(?m:^[ \t]*(?:[-*•·–]|\(?\d{1,2}[.)、])[ \t]*[^\s\d*-])"
_LINE = r"(?m:^.*\S)"
_ROW = r"(?m:^[ \t]*\|.*\|[ \t\r]*$)"
_CODE_SURE = (
    r"(?m:^[ \t]*(?:def \w+\(|return\b|import \w|from \w+ import|#include|</?\w+[^>\n]*>|"
    r"(?:public|private|protected) (?:static|class|void|int|\w+ \w+ ?[({;=])|SELECT |INSERT |CREATE TABLE|"
    r"UPDATE \w+ SET|echo |print\(|console\.|var \w|let \w+ =|const \w|if ?\(|for ?\(|for \w+ in .*:$|while ?\(|\}|"
    r"(?:int|double|float|char|bool|void|String)(?:\[\])? \w+.*[=(;]|function \w+|using [\w.]+;|fetch\(|"
    r"while .*:$|if .*:$)|(?:\);|\{)[ \t\r]*$)"
)
_CODE_MAYBE = (
    r"(?m:^(?: {2,}|\t)\S|^[ \t]*[\w.\[\]$]+ ?[-+*/]?= ?\S|(?:[;}]|\):)[ \t\r]*$|"
    r"^[ \t]*(?:SELECT|FROM|WHERE|JOIN|GROUP BY|ORDER BY|HAVING|VALUES|SET|ON)\b|"
    r"^[ \t]*(?:then|fi|done|else:?|try:|#.*|//.*)$)"
)
_MARKDOWN = r"(?m:^#{1,6} +[^\d\s])|\*\*[A-Za-z\p{Han}][^*\n]*\*\*|\[[^\]\n]+\]\(https?:"

FORMAL_RATE, CASUAL_RATE, ENTHUSIASTIC_RATE = 1.0, 1.5, 2.0
"""Marks in each PARAGRAPH bytes from which on a tone is named, never fewer than MARKS in all; below, an answer is
neutral. Chosen by reading answers of Dolly and of the preference pairs: one "Thus" or one "!" is no tone."""
PARAGRAPH, MARKS = 400, 2
_FORMAL = (
    r"\b(?:furthermore|moreover|consequently|nevertheless|additionally|accordingly|hereby|"
    r"pursuant|regarding|in conclusion|in accordance|in addition|it is (?:important|essential|worth)|shall|"
    r"dear (?:sir|madam|hiring|mr|ms|dr)|to whom it may|sincerely|yours (?:faithfully|truly)|kind regards)\b|"
    r"此外|因此|综上|尊敬的|此致|敬礼|首先|其次"
)
_CASUAL = (
    r"\w(?:n't|n’t)\b|\b(?:i|you|we|they|it|that|he|she|there)['’](?:m|re|ll|ve|d|s)\b|"
    r"\b(?:gonna|wanna|gotta|yeah|yep|nope|hey|haha|lol|kinda|sorta|guys|stuff|awesome|cool|ok|okay|btw|dude|super)\b|"
    r"[:;]-?[)D(]|哈哈|嗯|哦"
)
_ENTHUSIASTIC = (
    r"[!！]|\b(?:amazing|awesome|exciting|excited|fantastic|wonderful|incredible|delighted|thrilled|absolutely|"
    r"great question|happy to help)\b"
)


def formats(views: Views) -> Codes:
    """Code into FORMATS [n]."""
    text = views.answer_raw
    lines, items = _count(text, _LINE), _count(text, _ITEM)
    sure, maybe = _count(text, _CODE_SURE), _count(text, _CODE_MAYBE)
    found = np.full(len(text), FORMATS.index("prose"), np.int8)
    found[_has(text, _MARKDOWN) | (items >= 2)] = FORMATS.index("markdown")
    found[(items >= 2) & (items >= LIST_SHARE * lines)] = FORMATS.index("list")
    found[_count(text, _ROW) >= 2] = FORMATS.index("table")
    code = (sure >= 1) & (np.maximum(sure, maybe) >= CODE_SHARE * lines)
    found[code | _has(text, r"(?m:^[ \t]*```)|^#!/")] = FORMATS.index("code")
    found[_json(views.final)] = FORMATS.index("json")
    found[lines == 0] = FORMATS.index("empty")
    return found


def tones(views: Views, layout: Codes) -> Codes:
    """Code into TONES [n]; code, JSON and tables have no tone."""
    text = views.answer
    size = np.maximum(np.asarray(pc.binary_length(text)) / PARAGRAPH, 1.0)
    formal, casual, keen = _count(text, _FORMAL), _count(text, _CASUAL), _count(text, _ENTHUSIASTIC)
    found = np.zeros(len(text), np.int8)
    found[(formal >= np.maximum(FORMAL_RATE * size, MARKS)) & (casual == 0)] = TONES.index("formal")
    found[(casual >= np.maximum(CASUAL_RATE * size, MARKS)) & (casual > formal)] = TONES.index("casual")
    found[(keen >= np.maximum(ENTHUSIASTIC_RATE * size, MARKS)) & (keen > formal)] = TONES.index("enthusiastic")
    found[np.isin(layout, [FORMATS.index(name) for name in ("empty", "table", "code", "json")])] = 0
    return found


def _has(texts: pa.Array, pattern: str) -> npt.NDArray[np.bool_]:
    return np.asarray(pc.match_substring_regex(texts, pattern))


def _count(texts: pa.Array, pattern: str) -> Counts:
    return np.asarray(pc.count_substring_regex(texts, pattern)).astype(np.int64)


def _json(texts: pa.Array) -> npt.NDArray[np.bool_]:
    """[n]: the whole text is a JSON object or array."""
    short = np.asarray(pc.binary_length(texts)) <= JSON_BYTES
    found = short & _has(texts, r"^\s*[{\[]") & _has(texts, r"[}\]]\s*$")
    for row in np.flatnonzero(found).tolist():
        found[row] = _parses(texts[row].as_py())
    return found


def _parses(text: str) -> bool:
    try:
        orjson.loads(text)
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        return False
    return True
