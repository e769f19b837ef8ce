"""Python in answers, and how much of it does not parse.

Judged: fenced blocks marked python, and whole answers that evidently are Python. Spared: transcripts of a session
(``>>>``), shell and notebook lines, pseudo-code with ellipses, stubs whose body is a comment, blocks above
``MAX_CHARACTERS`` and those nested so deeply that the parser gives up. What is no syntax error is not found: the code
may still fail.
"""

import ast
import re
import sys
import textwrap
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.records import Records

PYTHON_VERSION = 1

MAX_CHARACTERS = 100_000
"""Longer code is not judged: the parser takes a hundred times its size in memory."""

_SCREEN = r"(?i)```[ \t]*(?:python|py)\b|```[ \t]*python3|^\s*(?:def|class|import|from|async def|@)\b|^\s*@[a-z]"
_FENCE = re.compile(
    r"^[ \t>]*```[ \t]*(?:python3?|py3?)\b[^\n]*\n(.*?)(?:^[ \t>]*```|\Z)", re.IGNORECASE | re.DOTALL | re.MULTILINE
)
_WHOLE = re.compile(
    r"(?:def \w+\(.*|async def \w+\(.*|class \w+(?:\([^\n]*\))?:[ \t]*(?:#.*)?|"
    r"import [\w.]+(?: as \w+)?(?:, ?[\w.]+(?: as \w+)?)*|"
    r"from [\w.]+ import [\w*, ()]+|@[\w.]+(?:\(.*\))?)[ \t]*(?:\n|\Z|#)"
)
# Lines that only Python writes like this; and ends of lines that Python does not have.
_BLOCK = re.compile(
    r"^def \w+\([^\n]*\)[^\n]*:[ \t]*$|"
    r"^[ \t]*(?:def|class|for|if|while|with|try|elif|else|except|async)\b[^\n]*:[ \t]*(?:#[^\n]*)?\n"
    r"(?:[ \t]*\n){0,3}[ \t]+\S",
    re.MULTILINE,
)
_OTHER = re.compile(
    r"[;{][ \t]*$|^[ \t]*(?:func|fn|var|let|const|public|private|package|end)\b|^[ \t]*\}", re.MULTILINE
)
_TWO = re.compile(
    r"^[ \t]*print[ \t]+(?![=(\[.,)+\-*/%:])[^\n=]|^[ \t]*print[ \t]*\([^\n]*\)[ \t]*%|"
    r"\bexcept[ \t]+[\w.()]+,[ \t]*\w+[ \t]*:|"
    r"\braise[ \t]+\w+,|^[ \t]*exec[ \t]+[\"']|\b0[0-7]+L?\b(?=[ \t]*[,)\n])|\bur[\"']|<>|\braw_input\(|\bxrange\(",
    re.MULTILINE,
)
_SHELL = re.compile(r"^[ \t]*(?:[!%$?][^\n]*|(?:pip3?|conda|apt-get|sudo|cd|python3?) [^\n=(]*)$", re.MULTILINE)
_PROMPT = re.compile(r"^[ \t]*(?:>>>|In \[\d+\]:)", re.MULTILINE)
_PSEUDO = re.compile(r"\.\.\.|…|<[A-Za-z][\w ]*>|\[(?:your|insert)\b|\byour[ _]code\b", re.IGNORECASE)
_DEEP = re.compile(
    r"(?:[(\[{\-+~!][ \t]*){150}|(?:\bnot[ \t]+){150}|(?:\blambda[^:\n]{0,20}:[ \t]*){60}|"
    r"(?:\*\*[ \t]*-?\w{1,8}[ \t]*){150}"
)
_PROSE = re.compile(
    r"[A-Z`\"'][^\n=(){}\[\]]*[a-z,] [a-z][^\n]*[.:!]?|\d+\.[ \t]+[A-Z]|[-*][ \t]+[A-Z`]|"
    r"(?:Output|Example|Result|Note)\b"
)

VERDICTS = ("parses", "broken", "python2", "spared")


@dataclass(frozen=True)
class PythonCode:
    """Columns over the assistant's contents: blocks of Python, those that do not parse, and those that would have
    under Python 2 (not among the broken)."""

    name: str = "python_code"

    @property
    def schema(self) -> pa.Schema:
        return pa.schema([(name, pa.int32()) for name in ("python_blocks", "python_broken", "python_two")])

    def identity(self) -> dict[str, Any]:
        # the grammar is that of the running interpreter: 3.12 takes f-strings that 3.11 does not
        return {"version": PYTHON_VERSION, "grammar": list(sys.version_info[:2])}

    def __call__(self, records: Records) -> pa.RecordBatch:
        counts = np.zeros((len(records), 3), np.int32)
        texts = records.contents.cast(pa.large_string())
        hit = np.asarray(pc.fill_null(pc.match_substring_regex(texts, _SCREEN), False))
        candidates = np.flatnonzero(hit & records.assistant)
        owners = records.record_of[candidates].tolist()
        with warnings.catch_warnings():  # "invalid escape sequence" is no fault, even where warnings are errors
            warnings.simplefilter("ignore")
            for row, text in zip(owners, texts.take(pa.array(candidates)).to_pylist(), strict=True):
                found = verdicts(text)
                counts[row] += (len(found), found.count("broken"), found.count("python2"))
        return pa.RecordBatch.from_arrays([pa.array(column) for column in counts.T], schema=self.schema)


def verdicts(text: str) -> list[str]:
    """Of each block of Python in an answer one of VERDICTS, in order."""
    fenced = [match[1] for match in _FENCE.finditer(text)]
    if fenced:
        return [judge(block) for block in fenced if block.strip()]
    if "```" in text or len(text) > MAX_CHARACTERS:
        return []
    text = text.strip()
    if not _WHOLE.match(text) or _OTHER.search(text) or not _BLOCK.search(text):
        return []
    verdict = judge(text)
    return [_before_prose(text) if verdict == "broken" else verdict]


def judge(code: str) -> str:
    """One of VERDICTS for a block of code."""
    if len(code) > MAX_CHARACTERS or _DEEP.search(code):
        return "spared"
    code = textwrap.dedent(code.replace("\t", "    ")) if code[:1] in " \t" else code
    error = _error(code)
    if error is None:
        return "parses"
    if error == "" or _PROMPT.search(code) or _is_stub(code, error):
        return "spared"
    if _PSEUDO.search(code) or ("\n" in code and _SHELL.search(code) and _error(_SHELL.sub("", code)) is None):
        return "spared"
    return "python2" if _TWO.search(code) else "broken"


def _error(code: str) -> str | None:
    """Message of the syntax error; None: it parses; empty: the parser gave up."""
    try:
        compile(code, "<answer>", "exec", ast.PyCF_ONLY_AST, dont_inherit=True)
    except SyntaxError as error:
        return error.msg or "invalid syntax"
    except (ValueError, UnicodeError):  # a null byte, a lone surrogate
        return "invalid characters"
    except (RecursionError, MemoryError, OverflowError):
        return ""
    return None


def _is_stub(code: str, error: str) -> bool:
    """A body that is a comment only, for the user to fill in."""
    if "expected an indented block" not in error:
        return False
    return _error(re.sub(r"^([ \t]*)#[^\n]*$", r"\1pass", code, flags=re.MULTILINE) + "\n") is None


def _before_prose(text: str) -> str:
    """The verdict on code with an explanation under it: the code alone is judged, when what follows reads as prose."""
    paragraphs = re.split(r"\n[ \t]*\n", text)
    prose = [number for number, one in enumerate(paragraphs) if number and _PROSE.match(one)]
    parses = any(_error("\n\n".join(paragraphs[:number])) is None for number in prose[:5])
    return "parses" if parses else "broken"
