"""Opening a file: local or remote, gzip or zstd, UTF-8 or UTF-16, as one stream of UTF-8 bytes."""

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from typing import IO

import zstandard

from schemas.errors import GristmillError
from transforms.readers.source import FileInfo
from transforms.storage import opened

_CHUNK = 1 << 20
# What a broken compressed stream raises in its middle. Other OSErrors are the disk's or the network's: a run
# must stop.
_BROKEN = (EOFError, gzip.BadGzipFile, zlib.error, zstandard.ZstdError)
_ZSTD_STEP = 1 << 10  # A zstd block of 4 bytes can unpack to 128 KiB, so 1 KiB to 32 MiB at worst.
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


class BrokenStream(Exception):
    """The rest of a compressed file cannot be decompressed."""


def open_raw(file: FileInfo, until: int | None = None) -> IO[bytes]:
    """The file's bytes as they are stored, seekable. ``until``: little will be read behind this byte (a store is asked
    for ranges).

    Raises:
      GristmillError: the file is not there or may not be read.
    """
    try:
        return opened(file.path, until)
    except OSError as error:
        raise GristmillError(
            f"{file.name} cannot be opened ({error.strerror or error}); check the path and its permissions"
        ) from None


def compression_of(head: bytes) -> str | None:
    if head[:2] == b"\x1f\x8b":
        return "gzip"
    return "zstd" if head[:4] == b"\x28\xb5\x2f\xfd" else None


def content_chunks(stream: IO[bytes], compression: str | None) -> Iterator[bytes]:
    """Decompressed content in pieces of bounded size, whatever a hostile file unpacks to.

    Raises:
      BrokenStream: after the last piece that could be decompressed; a cut-off file is broken too.
    """
    try:
        if compression == "zstd":
            yield from _zstd_chunks(stream)
            return
        # read1 gives what one step decompressed; read would lose it when the next step fails.
        read = gzip.GzipFile(fileobj=stream).read1 if compression == "gzip" else stream.read
        while chunk := read(_CHUNK):
            yield chunk
    except _BROKEN as error:
        raise BrokenStream(" ".join(str(error).split())[:200]) from None


def _zstd_chunks(stream: IO[bytes]) -> Iterator[bytes]:
    """Frame by frame, because only a frame's own decompressor tells whether the frame ended."""
    context = zstandard.ZstdDecompressor(max_window_size=2**31)
    frame = None
    while block := stream.read(_ZSTD_STEP):
        while block:
            frame = frame or context.decompressobj()
            piece = frame.decompress(block)
            for start in range(0, len(piece), _CHUNK):
                yield piece[start : start + _CHUNK]
            block = frame.unused_data if frame.eof else b""
            frame = None if frame.eof else frame
    if frame is not None:
        raise EOFError("the zstd stream is cut off")


def encoding_of(head: bytes) -> tuple[str, int]:
    """Encoding and length of the byte order mark; UTF-16 without a mark shows in its zero bytes."""
    for mark, name in _BOMS:
        if head.startswith(mark):
            return name, len(mark)
    if head[:2] in (b"{\0", b"[\0"):
        return "utf-16-le", 0
    if head[:2] in (b"\0{", b"\0["):
        return "utf-16-be", 0
    sample = head[:256]
    if len(sample) >= 4 and len(sample) % 2 == 0:
        half = len(sample) // 2
        if sample[1::2].count(0) > half * 0.6 and not sample[0::2].count(0):
            return "utf-16-le", 0
        if sample[0::2].count(0) > half * 0.6 and not sample[1::2].count(0):
            return "utf-16-be", 0
    return "utf-8", 0


def text_chunks(file: FileInfo, compression: str | None, encoding: str) -> Iterator[bytes]:
    """The content as chunks of UTF-8 bytes without a byte order mark; memory is one chunk.

    Raises:
      BrokenStream: after the last chunk that could be decompressed.
    """
    with open_raw(file) as stream:
        decoder = None if encoding == "utf-8" else codecs.getincrementaldecoder(encoding)("replace")
        first = True
        for chunk in content_chunks(stream, compression):
            if first:
                first = False
                found, mark = encoding_of(chunk)
                chunk = chunk[mark:] if found == encoding else chunk
            yield decoder.decode(chunk).encode("utf-8", "surrogatepass") if decoder is not None else chunk
        if decoder is not None:
            rest = decoder.decode(b"", True)
            if rest:
                yield rest.encode("utf-8", "surrogatepass")


def head_of(file: FileInfo, size: int) -> bytes:
    """The first bytes as stored."""
    with open_raw(file, size) as stream:
        try:
            return stream.read(size)
        except OSError as error:
            raise GristmillError(f"{file.name} cannot be read ({error.strerror or error}); check the file") from None


def decompressed_head(head: bytes, compression: str | None) -> bytes:
    """As much of the content as the stored head holds; empty when not even that can be decompressed."""
    if compression is None:
        return head
    pieces: list[bytes] = []
    size = 0
    try:
        for piece in content_chunks(io.BytesIO(head), compression):
            pieces.append(piece)
            size += len(piece)
            if size >= _CHUNK:
                break
    except BrokenStream:
        pass  # the head ends where it was cut
    return b"".join(pieces)[:_CHUNK]
