"""Shares of writing systems in the answers: how many of a record's letters are Latin, Han, Cyrillic and so on.

A letter is a code point of Unicode category L, and its script goes by ranges of code points. Digits, punctuation,
marks and emoji belong to every script and are not counted. A Han code point is one letter, though it carries as much
as a short word; a share of 5 % Han is therefore already much foreign text in an English answer.
"""

import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.records import Records

SCRIPTS_VERSION = 1

# First and last code point of each script's blocks (Unicode 15); what is a letter in no range is "other".
_RANGES: dict[str, tuple[tuple[int, int], ...]] = {
    "latin": ((0x41, 0x24F), (0x250, 0x2AF), (0x1D00, 0x1DBF), (0x1E00, 0x1EFF), (0x2C60, 0x2C7F), (0xA720, 0xA7FF),
              (0xAB30, 0xAB6F), (0xFB00, 0xFB06), (0xFF21, 0xFF5A)),
    "han": ((0x2E80, 0x2FDF), (0x3005, 0x3007), (0x3021, 0x3029), (0x3038, 0x303B), (0x3400, 0x4DBF), (0x4E00, 0x9FFF),
            (0xF900, 0xFAFF), (0x20000, 0x3FFFF)),
    "kana": ((0x3031, 0x3035), (0x3041, 0x30FF), (0x31F0, 0x31FF), (0xFF66, 0xFF9F), (0x1AFF0, 0x1B16F)),
    "hangul": ((0x1100, 0x11FF), (0x3131, 0x318E), (0xA960, 0xA97F), (0xAC00, 0xD7FB), (0xFFA0, 0xFFDC)),
    "cyrillic": ((0x400, 0x52F), (0x1C80, 0x1C8F), (0x2DE0, 0x2DFF), (0xA640, 0xA69F)),
    "greek": ((0x370, 0x3FF), (0x1F00, 0x1FFF)),
    "arabic": ((0x600, 0x6FF), (0x750, 0x77F), (0x870, 0x8FF), (0xFB50, 0xFDFF), (0xFE70, 0xFEFC)),
    "hebrew": ((0x590, 0x5FF), (0xFB1D, 0xFB4F)),
    "devanagari": ((0x900, 0x97F), (0xA8E0, 0xA8FF)),
    "bengali": ((0x980, 0x9FF),),
    "gurmukhi": ((0xA00, 0xA7F),),
    "gujarati": ((0xA80, 0xAFF),),
    "tamil": ((0xB80, 0xBFF),),
    "telugu": ((0xC00, 0xC7F),),
    "kannada": ((0xC80, 0xCFF),),
    "malayalam": ((0xD00, 0xD7F),),
    "sinhala": ((0xD80, 0xDFF),),
    "thai": ((0xE00, 0xE7F),),
    "lao": ((0xE80, 0xEFF),),
    "myanmar": ((0x1000, 0x109F), (0xA9E0, 0xA9FF), (0xAA60, 0xAA7F)),
    "georgian": ((0x10A0, 0x10FF), (0x1C90, 0x1CBF), (0x2D00, 0x2D2F)),
    "armenian": ((0x530, 0x58F), (0xFB13, 0xFB17)),
    "khmer": ((0x1780, 0x17FF),),
}  # fmt: skip
SCRIPTS = (*_RANGES, "other")
"""Names; the code of a script is its position."""

_NONE = len(SCRIPTS)
_WINDOW = 1 << 20
"""Bytes handled at a time: bounds the temporaries, about 15 bytes for every byte that is not ASCII."""

Counts = npt.NDArray[np.int64]


def script_letters(texts: pa.Array) -> Counts:
    """Letters of each script [n, len(SCRIPTS)] in a string column; a null has none."""
    found = np.zeros((len(texts), _NONE + 1), np.int64)
    column = pc.fill_null(texts.cast(pa.large_string()), "")
    if not len(column):
        return found[:, :_NONE]
    _, starts, buffer = column.buffers()
    offsets = np.frombuffer(starts, np.int64)[column.offset : column.offset + len(column) + 1]
    data = np.frombuffer(buffer or b"", np.uint8)
    low, end = int(offsets[0]), int(offsets[-1])
    while low < end:
        high = min(low + _WINDOW, end)
        while high < end and data[high] & 0xC0 == 0x80:  # never inside a character
            high += 1
        first = int(np.searchsorted(offsets, low, "right")) - 1
        last = int(np.searchsorted(offsets, high, "left"))
        cuts = np.clip(offsets[first : last + 1], low, high) - low
        _count(data[low:high], cuts, found[first:last])
        low = high
    return found[:, :_NONE]


def _count(window: npt.NDArray[np.uint8], cuts: Counts, found: Counts) -> None:
    """Adds the letters of rows ``window[cuts[i]:cuts[i + 1]]`` to ``found`` [rows, scripts + 1]."""
    rows = len(cuts) - 1
    folded = window | 0x20
    running = np.zeros(len(window) + 1, np.int32)
    np.cumsum((folded >= 0x61) & (folded <= 0x7A), dtype=np.int32, out=running[1:])
    found[:, 0] += np.diff(running[cuts])
    where = np.flatnonzero(window >= 0x80)
    if not len(where):
        return
    high = window[where]
    # The bytes beyond ASCII alone are valid UTF-8 too, so that C decodes them in one go.
    points = np.frombuffer(high.tobytes().decode().encode("utf-32-le"), "<u4")
    row = np.searchsorted(cuts, where[high >= 0xC0], "right") - 1
    codes = row * (_NONE + 1) + _codes()[points]
    found += np.bincount(codes, minlength=rows * (_NONE + 1)).reshape(rows, _NONE + 1)


@cache
def _codes() -> npt.NDArray[np.uint8]:
    """[0x110000]: the script of each code point that is a letter, ``_NONE`` of every other one."""
    table = np.full(0x110000, _NONE, np.uint8)
    for code in range(0x40000):  # Unicode has no letters beyond
        if unicodedata.category(chr(code))[0] == "L":
            table[code] = _NONE - 1
    letters = table != _NONE
    for number, ranges in enumerate(_RANGES.values()):
        for first, last in ranges:
            table[first : last + 1][letters[first : last + 1]] = number
    return table


@dataclass(frozen=True)
class Scripts:
    """Letters of all assistant contents, and the share of each script among them; null shares without letters."""

    name: str = "scripts"

    @property
    def schema(self) -> pa.Schema:
        return pa.schema([("letters", pa.int64()), *((f"script_{name}", pa.float32()) for name in SCRIPTS)])

    def identity(self) -> dict[str, Any]:
        return {"version": SCRIPTS_VERSION, "unicode": unicodedata.unidata_version}

    def __call__(self, records: Records) -> pa.RecordBatch:
        counts = script_letters(records.contents) * records.assistant[:, None]
        running = np.zeros((len(counts) + 1, len(SCRIPTS)), np.int64)
        np.cumsum(counts, axis=0, out=running[1:])
        per_record = np.diff(running[records.bounds], axis=0)
        letters = per_record.sum(axis=1)
        shares = per_record / np.maximum(letters, 1)[:, None]
        none = letters == 0
        columns = [pa.array(shares[:, code].astype(np.float32), mask=none) for code in range(len(SCRIPTS))]
        return pa.RecordBatch.from_arrays([pa.array(letters), *columns], schema=self.schema)
