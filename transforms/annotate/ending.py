"""How the last answer ends: whether it was cut off.

What a model or a copy limit cuts stops in the middle of a sentence, a bracket, a quotation or a block of code. But
people leave final full stops out, and titles, lists, tables, poems, code and numbers never had one. So a missing mark
is only held against a last line that is prose of some length and has sentence marks within; lines that begin like a
list item or hold code are not judged. Scripts without sentence marks (Thai, Lao, Khmer, Myanmar, Tibetan) never are.

Of a message the content is looked at, without reasoning; a message that calls a tool ends with the call, which is
not text.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.records import Records
from transforms.words import UNICODE_VERSION, WORDS_VERSION

VERSION = 1

Bools = npt.NDArray[np.bool_]

# Each but the first is the words of the whole answer where the thing is found, 0 where not, so that a least length can
# be chosen without the text.
SCHEMA = pa.schema(
    [
        ("open_fences", pa.int32()),  # 1: a block of code (```) is begun and not ended
        ("dangling_words", pa.int32()),  # ends on what no sentence ends on: a comma, "and", "the", "(", a colon
        # the last line opens a bracket or a quotation, ends without it and without a sentence mark
        ("unclosed_words", pa.int32()),
        ("unmarked_words", pa.int32()),  # the last line is prose with sentence marks, but none at its end
    ]
)

# RE2, on the last line without closing white space.
_LIST_ITEM = (
    r"^[ \t]*([-*+•‣◦·–—>#|•●○▪■□①-⑳]|[0-9０-９]+[.)、．）:\]]|[(（]?[A-Za-z0-9一二三四五六七八九十]{1,3}[)）、.])"
)
_CODE = r"[{}<>=\\;|_`$^~@]|\w\(|\)\s*[-+*/]|://|\w/\w+/|^\s{4}|\t|</|\.\w+\("
_MUTE = r"[\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}]"
_SENTENCE_MARK = r"[\p{Ll}\p{M}\p{Lo})\"”’»][.!?…]+[\"”’»)]* +[\p{Lu}\p{Lo}\"“«(]|[。！？؟۔।॥։።]."
_LETTER_END = r"[\p{L}\p{M}]$"
_DANGLING = (
    r"[,，、;；:：(（\[【「『《“‘«]$"
    r"|\p{Ll} [-–—]$"
    r"|\s(the|an|and|or|but|of|because|their|its|your|our|whose|into|upon|ja|sekä|että)$"
)
_UNCLOSED = r"(^|[^:;=\-])[(（\[【「『《“«][^()（）\[\]【】「」『』《》“”«»]*$"
_ENDED = (
    r"[.!?…。！？؟۔।॥։።:：][\"'”’»)\]）】」』》*_`~]*$|[\"'”’»)\]）】」』》]$"
    r"|\p{So}[\p{Sk}\x{FE0F}\x{200D}]*$"
)
_COLON = "[:：]$"
_SHORT_LINE = 40  # characters
_QUOTE = r"(^|[^0-9])\""


@dataclass(frozen=True)
class Ending:
    """Signs of a cut at the end of the last answer."""

    name: str = "ending"
    schema: pa.Schema = SCHEMA

    def identity(self) -> dict[str, Any]:
        return {"version": VERSION, "words": WORDS_VERSION, "unicode": UNICODE_VERSION}

    def __call__(self, records: Records) -> pa.RecordBatch:
        """SCHEMA [n]"""
        calls = np.asarray(pc.fill_null(pc.list_value_length(records.messages.field("tool_calls")), 0)) > 0
        judged = np.flatnonzero(records.last_answer >= 0)
        judged = judged[~calls[records.last_answer[judged]]]
        answer = records.last_answer[judged]
        texts = records.contents.take(pa.array(answer)).cast(pa.large_string())
        words = np.diff(records.words.offsets)[answer]

        columns = np.zeros((len(SCHEMA), len(records)), np.int32)
        columns[0, judged] = _open_fences(texts)
        for row, sign in enumerate(_signs(*_last_lines(texts)), 1):
            columns[row, judged] = words * sign
        return pa.record_batch([pa.array(column) for column in columns], schema=SCHEMA)


def _open_fences(texts: pa.LargeStringArray) -> Bools:
    """[n]: an odd number of lines that begin with a fence."""
    found = np.zeros(len(texts), bool)
    fenced = np.flatnonzero(np.asarray(pc.match_substring(texts, "```")))
    found[fenced] = np.asarray(pc.count_substring_regex(texts.take(pa.array(fenced)), r"(?m)^[ \t>]*```")) % 2 == 1
    return found


def _last_lines(texts: pa.LargeStringArray) -> tuple[pa.LargeStringArray, Bools]:
    """What follows the last line feed, white space around the text apart; and whether anything stands before [n]."""
    trimmed = pc.utf8_rtrim_whitespace(texts)
    lines = pc.split_pattern(trimmed, "\n", max_splits=1, reverse=True)
    pieces = np.asarray(pc.list_value_length(lines), np.int64)
    return lines.flatten().take(pa.array(np.cumsum(pieces) - 1)), pieces > 1


def _signs(lines: pa.LargeStringArray, follows: Bools) -> tuple[Bools, Bools, Bools]:
    """Dangling, unclosed, unmarked [n each]."""
    dangling, unclosed, unmarked = (np.zeros(len(lines), bool) for _ in range(3))
    some = np.flatnonzero(~_match(lines, _ENDED) | _match(lines, _COLON))  # most answers end as they should
    some = some[~_match(lines.take(pa.array(some)), f"{_MUTE}|{_CODE}")]
    lines = lines.take(pa.array(some))
    colon = _match(lines, _COLON)
    # "Kind regards," is how a letter ends, and a short line under others may be an item
    short = follows[some] & (np.asarray(pc.utf8_length(lines)) < _SHORT_LINE)
    dangling[some] = _match(lines, _DANGLING) & ~short
    quotes = np.asarray(pc.count_substring_regex(lines, _QUOTE)) % 2 == 1
    unclosed[some] = (_match(lines, _UNCLOSED) | quotes) & ~colon
    unmarked[some] = _match(lines, _LETTER_END) & _match(lines, _SENTENCE_MARK) & ~_match(lines, _LIST_ITEM)
    return dangling, unclosed, unmarked


def _match(texts: pa.LargeStringArray, pattern: str) -> Bools:
    return np.asarray(pc.match_substring_regex(texts, pattern))
