r"""Lines of a file, cut at ``\n`` only: U+0085, U+2028 and a lone ``\r`` are characters of a row.

A split owns the lines that start in its byte range, so any way of cutting a file gives the same lines.
"""

from collections.abc import Iterable, Iterator

from schemas.errors import Unreadable
from transforms.readers.opening import BrokenStream, open_raw
from transforms.readers.source import KEPT_BYTES, MAX_ROW_BYTES, FileInfo

_CHUNK = 1 << 20
_TAIL = 1 << 16  # read at a time behind the end of a split, for the rest of its last line

Line = bytes | tuple[bytes, Unreadable]  # A line, or what is kept of one that cannot be used and why.


def split_chunks(file: FileInfo, start: int, end: int) -> Iterator[bytes]:
    """Bytes of the lines that start in [start, end) of an uncompressed UTF-8 file."""
    with open_raw(file, end) as stream:
        position = start
        if start:
            stream.seek(start - 1)
            position = start - 1
            while True:  # on to the first line that starts at or after `start`
                chunk = stream.read(_CHUNK)
                if not chunk:
                    return
                found = chunk.find(b"\n")
                if found >= 0:
                    position += found + 1
                    chunk = chunk[found + 1 :]
                    break
                position += len(chunk)
            if position >= end:
                return
        else:
            chunk = stream.read(min(_CHUNK, max(end, _TAIL)))
            if chunk.startswith(b"\xef\xbb\xbf"):
                position += 3
                chunk = chunk[3:]
        while chunk:
            following = position + len(chunk)
            if following >= end:
                # The line that holds byte end-1 started before `end`; it and nothing after it is ours.
                last = chunk.find(b"\n", max(0, end - 1 - position))
                if last >= 0:
                    yield chunk[: last + 1]
                    return
            yield chunk
            position = following
            chunk = stream.read(min(_CHUNK, max(end - position, _TAIL)))


def lines(chunks: Iterable[bytes]) -> Iterator[Line]:
    """Lines without their ends, blank ones left out; a line over MAX_ROW_BYTES is cut short."""
    pending: list[bytes] = []
    size = 0
    try:
        for chunk in chunks:
            first, *rest = chunk.split(b"\n")
            size += len(first)
            if size <= MAX_ROW_BYTES or not pending:
                pending.append(first)
            if not rest:
                continue
            yield from _line(pending, size)
            last = rest.pop()
            for line in rest:
                if line and not line.isspace():
                    yield line
            pending, size = [last], len(last)
    except BrokenStream as error:
        yield from _line(pending, size)
        yield b"", Unreadable(f"the rest of the file cannot be decompressed: {error}")
        return
    yield from _line(pending, size)


def _line(pending: list[bytes], size: int) -> Iterator[Line]:
    if size > MAX_ROW_BYTES:
        kept = b"".join(pending)[:KEPT_BYTES]
        yield kept, Unreadable(f"a row of {size} bytes, more than the {MAX_ROW_BYTES} that are read")
        return
    line = b"".join(pending)
    if line and not line.isspace():
        yield line
