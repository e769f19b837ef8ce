"""Words of texts as 64-bit hashes, a whole Arrow column at a time.

What a word is (``WORDS_VERSION`` 1):

- letters are lower-cased one code point at a time (Unicode simple mapping; final sigma counts as sigma);
- a word is a maximal run of letters, marks, numbers and ``_``; everything else separates, variation selectors
  included, so that an emoji with one is not a word while the same emoji without it is none;
- each Han, Hiragana, Katakana, Thai, Lao, Khmer or Myanmar code point is a word of its own, because these
  scripts put no spaces between words. Hangul does, and stays in words;
- a run longer than 64 bytes is cut every 64 bytes of its UTF-8 form, each cut moved back to the start of the
  character that it falls in. A blob of base64 therefore gives many words, not one, and hashing takes a
  bounded number of steps.

``tokenise`` works on bytes, a window of rows at a time. One ``bytes.translate`` lower-cases ASCII and turns
its separators into zeros; the code points beyond ASCII are looked up in a table and written back where they
stood; the edges of the non-zero runs are the words, and each word is hashed eight bytes at a step by
unaligned 64-bit loads.

A polynomial hash read off a prefix sum modulo 2^64 would need no loads by word, but that sum alone takes as
long as all of this together and wants eight bytes of temporaries for every byte of text.
"""

import unicodedata
from bisect import bisect_right
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

WORDS_VERSION = 1
"""Goes into the manifest: hashes of different versions are not comparable."""

UNICODE_VERSION = unicodedata.unidata_version
"""Letters that a later Unicode adds are separators to an earlier one; so this goes into the manifest too."""

WORD_BYTES = 64
"""Longer runs are cut every so many bytes; a piece has at most three bytes more."""

WINDOW_BYTES = 1 << 17
"""Text handled at a time. Temporaries are about 20 bytes a byte; 128 kB keeps them near the L2 cache, which
measured 1.8 times faster than windows of 4 MB."""

_SOLO_RANGES = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x3005, 0x3007),  # Han iteration mark, closing mark, zero
    (0x3021, 0x3029),  # Hangzhou numerals
    (0x3038, 0x303B),
    (0x3041, 0x30FF),  # Hiragana, Katakana
    (0x31F0, 0x31FF),  # Katakana extensions
    (0x3400, 0x4DBF),  # Han extension A
    (0x4E00, 0x9FFF),  # Han
    (0xA9E0, 0xA9FF),  # Myanmar extension B
    (0xAA60, 0xAA7F),  # Myanmar extension A
    (0xF900, 0xFAFF),  # Han compatibility
    (0xFF66, 0xFF9F),  # half-width Katakana
    (0x1AFF0, 0x1B16F),  # Kana extensions
    (0x20000, 0x3FFFF),  # Han extensions B and later
)
_SOLO_EDGES = [edge for low, high in _SOLO_RANGES for edge in (low, high + 1)]  # ascending, for bisection
_VARIATION_SELECTORS = range(0xFE00, 0xFE10)
_SEPARATOR, _WORD, _SOLO = 0, 1, 2

# Odd constants; the two of the finaliser are MurmurHash3's fmix64 (Appleby, public domain).
_LENGTH_MULTIPLIER = 0x9E3779B97F4A7C15
_FMIX_1, _FMIX_2, _FMIX_SHIFT = 0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53, 33
_U64 = (1 << 64) - 1

UInt64 = npt.NDArray[np.uint64]
Int64 = npt.NDArray[np.int64]
UInt8 = npt.NDArray[np.uint8]


class Tokens(NamedTuple):
    """Words of n texts: those of text i are ``hashes[offsets[i]:offsets[i + 1]]``, in order."""

    hashes: UInt64  # [T]
    offsets: Int64  # [n + 1]


def tokenise(texts: pa.Array | pa.ChunkedArray) -> Tokens:
    """Word hashes of a string column (string, large_string or string_view, sliced or chunked).

    A null has no words. The hashes of a text do not depend on the texts around it.
    """
    if isinstance(texts, pa.ChunkedArray):
        parts = [tokenise(chunk) for chunk in texts.chunks if len(chunk)]
        sizes = [np.diff(part.offsets) for part in parts]
        return _tokens([part.hashes for part in parts], np.concatenate([np.zeros(0, np.int64), *sizes]))
    if len(texts) == 0:
        return _tokens([], np.zeros(0, np.int64))
    data, offsets = _buffers(texts)
    hashes: list[UInt64] = []
    counts_of_row = np.zeros(len(texts), np.int64)
    for low, high in _windows(data, offsets):
        first = int(np.searchsorted(offsets, low, "right")) - 1
        last = int(np.searchsorted(offsets, high, "left"))
        cuts = np.clip(offsets[first : last + 1], low, high) - low
        window = data[low:high]
        solo = np.zeros(0, np.int64)
        if window.max() >= 0x80:
            window, cuts, solo = _beyond_ascii(window, cuts)
        found, counts = _hash_window(window, cuts, solo)
        hashes.append(found)
        counts_of_row[first:last] += counts  # +=: a huge row spans several windows
    return _tokens(hashes, counts_of_row)


def fmix64(values: UInt64) -> UInt64:
    """MurmurHash3's 64-bit finaliser, a bijection; a new array."""
    out = values >> np.uint64(_FMIX_SHIFT)
    out ^= values
    out *= np.uint64(_FMIX_1)
    out ^= out >> np.uint64(_FMIX_SHIFT)
    out *= np.uint64(_FMIX_2)
    out ^= out >> np.uint64(_FMIX_SHIFT)
    return out


def word_hash(word: bytes) -> int:
    """Plain-Python reference: the hash of one normalised word, as ``words_of`` gives it, in UTF-8."""
    value = len(word) * _LENGTH_MULTIPLIER & _U64
    for start in range(0, len(word), 8):
        value ^= int.from_bytes(word[start : start + 8], "little")
        value ^= value >> _FMIX_SHIFT
        value = value * _FMIX_1 & _U64
        value ^= value >> _FMIX_SHIFT
        value = value * _FMIX_2 & _U64
        value ^= value >> _FMIX_SHIFT
    return value


def words_of(text: str) -> list[str]:
    """Plain-Python reference: the words of one text, for tests and for showing to people."""
    words: list[str] = []
    run = ""
    for character in text + " ":
        folded, kind = _fold(character)
        if kind == _WORD:
            run += folded
            continue
        if run:
            words += _pieces(run)
            run = ""
        if kind == _SOLO:
            words.append(folded)
    return words


def _pieces(run: str) -> list[str]:
    encoded = run.encode()
    cuts = [0]
    for cut in range(WORD_BYTES, len(encoded), WORD_BYTES):
        while encoded[cut] & 0xC0 == 0x80:
            cut -= 1
        cuts.append(cut)
    cuts.append(len(encoded))
    return [encoded[a:b].decode() for a, b in pairwise(cuts)]


def _fold(character: str) -> tuple[str, int]:
    """(lower-cased character, kind); kind is _SEPARATOR, _WORD or _SOLO."""
    code = ord(character)
    is_word = unicodedata.category(character)[0] in "LMN" or character == "_"
    if not is_word or code in _VARIATION_SELECTORS or code >= 0x40000:
        return " ", _SEPARATOR
    if bisect_right(_SOLO_EDGES, code) % 2:
        return character, _SOLO
    # [0]: only U+0130 lower-cases to two characters; Unicode's simple mapping of it is the first.
    lower = character.lower()[0]
    return ("\u03c3" if lower == "\u03c2" else lower), _WORD


_SOLO_BIT, _SEPARATOR_BIT, _RESIZED_BIT = 1 << 31, 1 << 30, 1 << 29
_POINT = (1 << 21) - 1


@cache
def _code_points() -> npt.NDArray[np.uint32]:
    """[0x110000]: the lower-cased code point and its flags; 0.2 s, once a process that meets such text.

    A separator stands for itself, so that writing it back keeps its bytes. The resized are the few letters
    whose lower case has another length in UTF-8.
    """
    table = np.arange(0x110000, dtype=np.uint32) | np.uint32(_SEPARATOR_BIT)
    for code in range(0x80, 0x40000):
        character = chr(code)
        folded, kind = _fold(character)
        if kind == _SOLO:
            table[code] = code | _SOLO_BIT
        elif kind == _WORD:
            resized = len(folded.encode()) != len(character.encode())
            table[code] = ord(folded) | (_RESIZED_BIT if resized else 0)
    return table


def _byte_table() -> bytes:
    folded = (_fold(chr(byte)) if byte < 0x80 else (chr(byte), _WORD) for byte in range(256))
    return bytes(0 if kind == _SEPARATOR else ord(text) for text, kind in folded)


_BYTES = _byte_table()
_LOW_BYTES = np.array([(1 << 8 * size) - 1 for size in range(9)], np.uint64)


def _tokens(hashes: list[UInt64], counts: Int64) -> Tokens:
    offsets = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=offsets[1:])
    return Tokens(np.concatenate([np.zeros(0, np.uint64), *hashes]), offsets)


def _buffers(texts: pa.Array) -> tuple[UInt8, Int64]:
    """(bytes, [n + 1] offsets into them) of n > 0 texts; nothing is copied unless there are nulls."""
    column = texts.cast(pa.large_string())
    if column.null_count:
        column = pc.fill_null(column, "")  # Arrow lets a null slot cover bytes
    _, starts, data = column.buffers()
    offsets = np.frombuffer(starts, np.int64)[column.offset : column.offset + len(column) + 1]
    return np.frombuffer(data or b"", np.uint8), offsets


def _windows(data: UInt8, offsets: Int64) -> Iterator[tuple[int, int]]:
    """Byte ranges of about ``WINDOW_BYTES`` that cut no word: to a row's end, or a space in a huge row."""
    low, end = int(offsets[0]), int(offsets[-1])
    while low < end:
        size = WINDOW_BYTES
        while True:
            high = min(low + size, end)
            row = int(offsets[np.searchsorted(offsets, high, "right") - 1])
            if row > low:
                high = row
                break
            text = data[low:high].tobytes()
            space = max(text.rfind(b" "), text.rfind(b"\n"))
            if space >= 0:
                high = low + space + 1
                break
            size *= 2  # a long run without a space: take more until a space or the row's end
        yield low, high
        low = high


def _beyond_ascii(window: UInt8, cuts: Int64) -> tuple[UInt8, Int64, Int64]:
    """(copy lower-cased, zeros for separators; row cuts; cuts around solo words); ASCII stays as it is."""
    where = np.flatnonzero(window >= 0x80)
    # The bytes beyond ASCII alone are valid UTF-8 too, so that C decodes and encodes them in one go.
    high = window[where]
    raw = np.frombuffer(high.tobytes().decode().encode("utf-32-le"), "<u4")
    points = _code_points()[raw]
    resized = raw[points & np.uint32(_RESIZED_BIT) != 0]
    if len(resized):
        return _beyond_ascii(*_resize(window, cuts, set(resized.tolist())))
    lead = where[high >= 0xC0]
    size = np.diff(np.flatnonzero(high >= 0xC0), append=len(high))
    folded = np.frombuffer((points & np.uint32(_POINT)).tobytes().decode("utf-32-le").encode(), np.uint8)
    out = window.copy()
    out[where] = folded * np.repeat(points & np.uint32(_SEPARATOR_BIT) == 0, size)
    solo = points >= _SOLO_BIT
    return out, cuts, np.concatenate([lead[solo], lead[solo] + size[solo]])


def _resize(window: UInt8, cuts: Int64, codes: set[int]) -> tuple[UInt8, Int64]:
    """Lower-case the letters that change their length and so move what follows: dotted I, Kelvin sign."""
    text = window.tobytes().decode()
    for code in codes:
        text = text.replace(chr(code), _fold(chr(code))[0])
    characters = np.cumsum(window & 0xC0 != 0x80, dtype=np.int32)
    out = np.frombuffer(text.encode(), np.uint8)
    begins = np.append(np.flatnonzero(out & 0xC0 != 0x80), len(out))
    return out, begins[np.where(cuts > 0, characters[cuts - 1], 0)]


def _hash_window(window: UInt8, cuts: Int64, solo: Int64) -> tuple[UInt64, Int64]:
    """(word hashes, words of each row); row i is ``window[cuts[i]:cuts[i + 1]]``; solo cuts end words too."""
    padded = window.tobytes().translate(_BYTES) + bytes(8)  # a load may reach eight bytes past the last word
    inside = np.zeros(len(window) + 2, bool)  # inside[i + 1]: byte i belongs to a word
    np.not_equal(np.frombuffer(padded, np.uint8, len(window)), 0, out=inside[1:-1])
    starts_here = inside[1:] > inside[:-1]
    ends_here = inside[1:] < inside[:-1]
    joints = np.concatenate([cuts[1:-1], solo])
    joints = joints[inside[joints] & inside[joints + 1]]  # no separator between the two words
    starts_here[joints] = True
    ends_here[joints] = True
    starts, ends = np.flatnonzero(starts_here), np.flatnonzero(ends_here)
    if len(starts) and (ends - starts).max() > WORD_BYTES:
        starts, ends = _cut_long(np.frombuffer(padded, np.uint8), starts, ends)
    return _hash_words(padded, starts, ends - starts), np.diff(np.searchsorted(starts, cuts))


def _cut_long(data: UInt8, starts: Int64, ends: Int64) -> tuple[Int64, Int64]:
    pieces = (ends - starts + WORD_BYTES - 1) // WORD_BYTES
    first = np.cumsum(pieces) - pieces
    begin = np.repeat(starts - first * WORD_BYTES, pieces) + np.arange(pieces.sum()) * WORD_BYTES
    inner = np.ones(len(begin), bool)
    inner[first] = False
    for _ in range(3):  # a character has at most three bytes that continue it
        begin -= inner & (data[begin] & 0xC0 == 0x80)
    end = np.append(begin[1:], ends[-1:])
    end[np.append(first[1:], len(begin)) - 1] = ends
    return begin, end


def _hash_words(padded: bytes, starts: Int64, lengths: Int64) -> UInt64:
    loads = np.ndarray(len(padded) - 7, "<u8", padded, strides=(1,))  # eight bytes from any position
    out = lengths.astype(np.uint64) * np.uint64(_LENGTH_MULTIPLIER)
    out ^= loads[starts] & _LOW_BYTES[np.minimum(lengths, 8)]
    out = fmix64(out)
    step, index = 8, np.flatnonzero(lengths > 8)
    while len(index):
        left = lengths[index] - step
        chunk = loads[starts[index] + step] & _LOW_BYTES[np.minimum(left, 8)]
        out[index] = fmix64(out[index] ^ chunk)
        index = index[left > 8]
        step += 8
    return out
