"""Answers that are meant to be JSON, and whether they are.

Meant to be: what stands in a ```json fence; an answer that opens with ``{"``, ``[{``, ``["`` and the like; one that
opens with any brace or bracket where the prompt asks for JSON. ``{Total} = {M} + {N}`` and ``[1st place - 25 pts]``
are neither.
"""

import ast
import json
import re
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from transforms.records import Records

JSON_VERSION = 1

STATES = ("none", "valid", "broken", "lines", "relaxed", "python")
"""What the answers of a record are; of several the worst, in the order of ``_WORST``. ``lines``: JSON Lines.
``relaxed``: right but for comments, a comma too many, NaN or an ellipsis. ``python``: a dict or list as Python
prints or writes it."""
_WORST = ("none", "valid", "lines", "relaxed", "python", "broken")

_SCREEN = r"^\s*[\[{]|```[ \t]*(?i:json)\b"
_ASKS = r"(?i)\bjson\b"
_SHAPE = re.compile(
    r"\s*(?:\{\s*(?:\"(?:[^\"\\\n]|\\.){0,200}\"\s*:|\}\s*\Z)|"
    r"\[\s*(?:[\[{\"]|-?\d+(?:\.\d+)?\s*[,\]]|\]\s*\Z|true|false|null))"
)
_FENCE = re.compile(r"```[ \t]*json[^\n`]*\n(.*?)(?:\n[ \t]*```|```|\Z)", re.IGNORECASE | re.DOTALL)
# A string, whole or cut, so that no quote is looked at twice; or what JSON does not have.
_STRING_OR = re.compile(r'("(?:[^"\\\n]|\\.)*+"?)|//[^\n]*|/\*.{0,500}?\*/|#[^\n]*|,(?=\s{0,200}+[}\]])', re.DOTALL)
_RELAXED_CHARACTERS, _PYTHON_CHARACTERS = 1_000_000, 100_000
"""Longer texts are not looked at for comments, nor given to the Python parser, which takes a hundred times as much."""


@dataclass(frozen=True)
class JsonAnswers:
    """Column ``json_state``: code into STATES over all assistant turns of the record."""

    name: str = "json_answers"

    @property
    def schema(self) -> pa.Schema:
        return pa.schema([("json_state", pa.int8())])

    def identity(self) -> dict[str, Any]:
        return {"version": JSON_VERSION}

    def __call__(self, records: Records) -> pa.RecordBatch:
        texts = records.contents.cast(pa.large_string())
        hit = pc.fill_null(pc.match_substring_regex(texts, _SCREEN), False)
        candidates = np.flatnonzero(np.asarray(hit) & records.assistant)
        worst = np.zeros(len(records), np.int8)
        if len(candidates):
            owners = records.record_of[candidates]
            asked = _asked(records, owners)
            for row, text, asks in zip(owners, texts.take(pa.array(candidates)).to_pylist(), asked, strict=True):
                worst[row] = max(worst[row], _WORST.index(state(text, bool(asks))))
        codes = np.array([STATES.index(name) for name in _WORST], np.int8)
        return pa.RecordBatch.from_arrays([pa.array(codes[worst])], schema=self.schema)


def _asked(records: Records, owners: Any) -> Any:
    """Whether the first user turn of each of these records speaks of JSON."""
    first = records.first_user[owners]
    prompts = records.contents.take(pa.array(first, mask=first < 0))
    return np.asarray(pc.fill_null(pc.match_substring_regex(prompts, _ASKS), False))


def state(text: str, asked: bool = False) -> str:
    """One of STATES for one answer; ``asked``: the prompt speaks of JSON."""
    fenced = [match[1] for match in _FENCE.finditer(text)]
    if fenced:
        return max((_parsed(body) for body in fenced if body.strip()), key=_WORST.index, default="none")
    text = text.strip()
    if text[:1] not in ("{", "[") or not text or not (asked or _SHAPE.match(text)):
        return "none"
    found = _parsed(text)
    # An object or a list in the first line and prose after it: an answer that begins with a value
    if found == "broken" and not asked and _starts_with_value(text):
        return "none"
    return found


def _parsed(text: str) -> str:
    text = text.strip()
    if _loads(text):
        return "valid"
    lines = [line for line in text.split("\n") if line.strip()]
    if len(lines) > 1 and all(line.lstrip()[:1] in ("{", "[") for line in lines) and all(map(_loads, lines)):
        return "lines"
    if len(text) > _RELAXED_CHARACTERS:
        return "broken"
    relaxed = _STRING_OR.sub(lambda match: match[1] or "", text)
    if "..." in relaxed or "…" in relaxed or (relaxed != text and _loads(relaxed)) or _loads(relaxed, strict=False):
        return "relaxed"
    return "python" if _is_python(text) else "broken"


def _loads(text: str, strict: bool = True) -> bool:
    try:
        orjson.loads(text)
        return True
    except orjson.JSONDecodeError:
        pass
    try:  # integers and nesting that orjson does not take; NaN only where not strict
        json.loads(text, parse_constant=_refuse if strict else None, strict=strict)
        return True
    except RecursionError:
        return True  # nested beyond what any parser takes; not broken as far as it was read
    except ValueError:
        return False


def _refuse(name: str) -> None:
    raise ValueError(name)


def _starts_with_value(text: str) -> bool:
    try:
        _, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return False
    return bool(re.match(r"\s*[^\s,\]}]", text[end : end + 200]))


def _is_python(text: str) -> bool:
    if len(text) > _PYTHON_CHARACTERS:
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            body = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    if isinstance(body, ast.Dict):
        return not any(isinstance(key, ast.Name) for key in body.keys)  # {name: …} is how JavaScript writes it
    return isinstance(body, ast.List | ast.DictComp | ast.ListComp | ast.Set)
