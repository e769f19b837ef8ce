"""Top-level values of a JSON file, found without parsing it: an array's elements, or values in a row.

The scan is NumPy over windows: positions of quotes and brackets, a running parity for "inside a string", a
running sum for depth. So a huge pretty-printed array streams in bounded memory, and a broken element is one
row with its own bytes.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from schemas.errors import Unreadable
from transforms.readers.lines import Line
from transforms.readers.opening import BrokenStream
from transforms.readers.source import KEPT_BYTES, MAX_ROW_BYTES

_SPACE = b" \t\r\n"
_DEPTH = np.zeros(256, np.int64)
_DEPTH[[0x5B, 0x7B]] = 1
_DEPTH[[0x5D, 0x7D]] = -1
_COMMA, _QUOTE, _BACKSLASH = 0x2C, 0x22, 0x5C


def json_values(chunks: Iterable[bytes]) -> Iterator[Line]:
    """Bytes of each element of a top-level array, or of each of several top-level values.

    What follows the array, or is left of one that ends too early, is one unreadable row.
    """
    scan = _Scan()
    try:
        for chunk in chunks:
            yield from scan.feed(chunk)
    except BrokenStream as error:
        yield from scan.rest(f"the file ends here, the rest cannot be decompressed: {error}", always=True)
        return
    yield from scan.rest("the file ends in the middle of a value")


class _Scan:
    """What is carried from window to window: the unfinished value, its depth, an open string or escape."""

    def __init__(self) -> None:
        self.pending = bytearray()
        self.size = 0  # of the unfinished value; larger than `pending` when that has been cut short
        self.depth = 0
        self.in_string = 0
        self.escape_open = 0  # an odd number of backslashes ends the window
        self.is_array: bool | None = None
        self.closed = False
        self.started = False  # whether the opening bracket of the array is behind

    def feed(self, chunk: bytes) -> Iterator[Line]:
        if self.is_array is None:
            chunk = (bytes(self.pending) + chunk).lstrip(_SPACE)
            self.pending.clear()
            if not chunk:
                return
            self.is_array = chunk[:1] == b"["
        if self.closed:
            self._keep(chunk)
            return
        start = 0
        positions, marks = self._marks(chunk)
        inside = self.is_array
        base = 1 if inside else 0
        # Depth after each mark; an array's elements end at commas of depth 1, bare values where depth falls
        # back to 0.
        depth = self.depth + np.cumsum(_DEPTH[marks])
        if inside:
            ends = ((marks == _COMMA) & (depth == base)) | (depth <= 0)
        else:
            ends = (depth <= 0) & (_DEPTH[marks] < 0)
        opened = bool(inside and self.depth == 0 and not self.started)
        if len(depth):
            self.depth = int(depth[-1])
        if opened:
            start = 1  # the opening bracket
            self.started = True
        for index in np.flatnonzero(ends).tolist():
            at = int(positions[index])
            if inside and depth[index] <= 0:
                self._keep(chunk[start:at])
                yield from self._value()
                self.closed = True
                self._keep(chunk[at + 1 :])
                return
            self._keep(chunk[start : at if inside else at + 1])
            yield from self._value()
            start = at + 1
        self._keep(chunk[start:])

    def _marks(self, chunk: bytes) -> tuple[np.ndarray, np.ndarray]:
        """Positions and bytes of the brackets and commas outside strings."""
        data = np.frombuffer(chunk, np.uint8)
        folded = data | 0x20  # [ and { fall together, ] and } too
        positions = np.flatnonzero((data == _QUOTE) | (folded == 0x7B) | (folded == 0x7D) | (data == _COMMA))
        marks = data[positions]
        quotes = marks == _QUOTE
        where = np.flatnonzero(quotes)
        quotes[where[self._escaped(data, positions[where])]] = False
        parity = (np.cumsum(quotes) + self.in_string) & 1
        if len(parity):
            self.in_string = int(parity[-1])
        trailing = len(chunk) - len(chunk.rstrip(b"\\"))
        self.escape_open = (trailing + (self.escape_open if trailing == len(chunk) else 0)) & 1
        outside = (parity == 0) & (marks != _QUOTE)
        return positions[outside], marks[outside]

    def _escaped(self, data: np.ndarray, quotes: np.ndarray) -> np.ndarray:
        """Which quotes stand behind an odd number of backslashes."""
        escaped = np.zeros(len(quotes), bool)
        if len(quotes) and quotes[0] == 0:
            escaped[0] = bool(self.escape_open)
        active = np.flatnonzero((quotes > 0) & (data[quotes - 1] == _BACKSLASH))
        if not len(active):
            return escaped
        one = active[(quotes[active] > 1) & (data[quotes[active] - 2] != _BACKSLASH)]
        escaped[one] = True
        long = np.setdiff1d(active, one, assume_unique=True)
        if len(long):
            other = np.where(data != _BACKSLASH, np.arange(len(data)), -1)
            last = np.maximum.accumulate(other)[quotes[long] - 1]
            run = quotes[long] - 1 - last
            escaped[long] = (run + np.where(last < 0, self.escape_open, 0)) & 1 == 1
        return escaped

    def _keep(self, piece: bytes) -> None:
        self.size += len(piece)
        if self.size <= MAX_ROW_BYTES:
            self.pending += piece
        elif len(self.pending) < KEPT_BYTES:
            self.pending += piece[:KEPT_BYTES]

    def _value(self) -> Iterator[Line]:
        value, size = bytes(self.pending), self.size
        self.pending.clear()
        self.size = 0
        if size > MAX_ROW_BYTES:
            yield (
                value[:KEPT_BYTES],
                Unreadable(f"a row of {size} bytes, more than the {MAX_ROW_BYTES} that are read"),
            )
            return
        value = value.strip(_SPACE)
        if value:
            yield value

    def rest(self, reason: str, always: bool = False) -> Iterator[Line]:
        """What is left at the end of the file."""
        left = bytes(self.pending[:KEPT_BYTES]).strip(_SPACE)
        if self.closed:
            reason = "bytes after the end of the array"
        elif not self.is_array and not self.in_string and self.depth <= 0 and not always:
            yield from self._value()  # a bare number or string, or text that is no JSON
            return
        if left or always or (self.is_array and not self.closed):
            yield left, Unreadable(f"{reason} ({self.size} bytes)")
