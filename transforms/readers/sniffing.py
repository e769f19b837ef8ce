"""What a file holds, told from its content; its name counts for nothing."""

from collections import Counter
from dataclasses import replace
from itertools import islice

import orjson

from schemas.errors import GristmillError, Unreadable
from transforms.readers.columns import mapped_shape, missing_column
from transforms.readers.delimited import guess_table, line_table
from transforms.readers.hub import PREFIX
from transforms.readers.json_text import raw_bytes
from transforms.readers.opening import compression_of, decompressed_head, encoding_of, head_of
from transforms.readers.registry import BY_NAME, finder, shape_named
from transforms.readers.rows import read_rows
from transforms.readers.source import FileInfo, FileKind, Row, SourceOptions, Split, brief

_HEAD = 1 << 20
SAMPLE_ROWS = 200
CONTAINERS = ("jsonl", "json", "tsv", "csv", "parquet", "arrow", "arrow-stream", "text", "hub")
_FOREIGN = (
    (b"PK\x03\x04", "a zip archive", "unpack it"), (b"BZh", "a bzip2 file", "unpack it"),
    (b"\xfd7zXZ", "an xz file", "unpack it"), (b"7z\xbc\xaf", "a 7z archive", "unpack it"),
    (b"%PDF", "a PDF", "leave it out"), (b"SQLite format 3", "an SQLite database", "export it as JSONL"),
    (b"\x89HDF", "an HDF5 file", "export it as JSONL"), (b"\x89PNG", "a picture", "leave it out"),
    (b"\x80\x04\x95", "a Python pickle, which is never opened", "export it as JSONL"),
    (b"Obj\x01", "an Avro file", "export it as JSONL"),
)  # fmt: skip


def sniff(file: FileInfo, options: SourceOptions) -> FileKind:
    """Container, compression and shapes of a file, from its first mebibyte and its first 200 rows.

    Raises:
      GristmillError: nothing in the file can be read, or the options do not fit it.
    """
    if options.shape is not None:
        shape_named(options.shape)
    if options.columns is not None:
        mapped_shape(options)
    if options.container is not None and options.container not in CONTAINERS:
        raise GristmillError(f'there is no container "{options.container}"; the known ones are {", ".join(CONTAINERS)}')
    kind = FileKind("hub", None, (), False, 0, 0) if file.path.startswith(PREFIX) else _container(file, options)
    return _sampled(file, kind, options)


def _container(file: FileInfo, options: SourceOptions) -> FileKind:
    head = head_of(file, _HEAD)
    if not head:
        raise GristmillError(f"{file.name} is empty (0 bytes); fetch it again or leave it out of the sources")
    binary = _binary_container(file, head)
    if binary is not None and options.container in (None, binary):
        return FileKind(binary, None, (), binary == "parquet", 0, 0)
    compression = compression_of(head)
    content = decompressed_head(head, compression)
    if compression is not None and not content:
        raise GristmillError(f"{file.name} begins like {compression} but cannot be decompressed; fetch it again")
    encoding, mark = encoding_of(content)
    encoding = options.encoding or encoding
    try:
        text = content[mark:].decode(encoding, "replace")
    except (LookupError, UnicodeError):
        raise GristmillError(
            f'{file.name}: there is no encoding "{encoding}"; leave it out to have it recognised'
        ) from None
    encoding = "utf-8" if encoding.lower().replace("_", "-") in ("utf-8", "utf8", "utf-8-sig") else encoding
    _refuse_foreign(file, content[mark:], text)
    return _text_kind(file, text, FileKind("text", compression, (), False, 0, 0, encoding), options)


def _binary_container(file: FileInfo, head: bytes) -> str | None:
    if head[:4] == b"PAR1":
        return "parquet"
    if head[:6] == b"ARROW1":
        return "arrow"
    # A stream begins with a continuation mark and the length of its schema message.
    return "arrow-stream" if head[:4] == b"\xff\xff\xff\xff" and len(head) > 8 and head[6:8] == b"\0\0" else None


def _refuse_foreign(file: FileInfo, content: bytes, text: str) -> None:
    for magic, name, advice in _FOREIGN:
        if content.startswith(magic):
            raise GristmillError(f"{file.name} is {name}, which no reader opens; {advice}")
    if not text.strip("\ufeff\0 \t\r\n"):
        raise GristmillError(f"{file.name} holds nothing but blanks; fetch it again or leave it out of the sources")
    sample = text[:4096]
    if sample.count("\ufffd") + sample.count("\0") > len(sample) * 0.3:
        shown = content[:8].hex(" ")
        raise GristmillError(f"{file.name} is neither text nor a known container (it begins {shown}); leave it out")


def _text_kind(file: FileInfo, text: str, kind: FileKind, options: SourceOptions) -> FileKind:
    forced = options.container
    if forced in ("parquet", "arrow", "arrow-stream", "hub"):
        raise GristmillError(f"{file.name} is read as {forced} by the recipe but is text; leave the container out")
    text = text.lstrip("\ufeff")
    container = forced or _json_container(text)
    plain = kind.compression is None and kind.encoding == "utf-8"
    if container in ("jsonl", "json", "text"):
        return replace(kind, container=container, splittable=plain and container == "jsonl")
    table = line_table(text) if forced == "tsv" else guess_table(text)
    if table is None and container is None:
        return kind
    guessed, delimiter, columns, has_header = table or ("csv", ",", (), True)
    container = container or guessed
    kind = replace(kind, container=container, delimiter=delimiter, splittable=plain and container == "tsv")
    return replace(kind, header=columns) if has_header else replace(kind, columns=columns)


def _json_container(text: str) -> str | None:
    """``jsonl``, ``json`` (an array or values over several lines), or None."""
    start = text.lstrip()[:1]
    lines = [line for line in text.split("\n") if line.strip()]
    whole = lines[:-1] if len(lines) > 1 and len(text) >= _HEAD // 4 else lines
    if start == "[":
        return "jsonl" if len(whole) > 1 and all(_is_json(line, b"[") for line in whole[:20]) else "json"
    sample = whole[:SAMPLE_ROWS]
    good = sum(_is_json(line, b"{") for line in sample)
    if good and good * 2 >= len(sample):
        return "jsonl"
    return "json" if start == "{" else None


def _is_json(line: str, start: bytes) -> bool:
    raw = line.strip().encode("utf-8", "replace")
    if not raw.startswith(start):
        return False
    try:
        orjson.loads(raw)
    except orjson.JSONDecodeError:
        return raw.endswith(b"}") and b'":' in raw  # a lone surrogate or NaN, which is read leniently later
    return True


def _sampled(file: FileInfo, kind: FileKind, options: SourceOptions) -> FileKind:
    """``kind`` with what its first rows show."""
    end = file.size if kind.container != "parquet" else 1 << 30
    sample = list(islice(read_rows(Split(file, kind, 0, max(end, 1), 0), options), SAMPLE_ROWS))
    readable = [row for _, _, row in sample if isinstance(row, dict)]
    if sample and not readable and kind.container not in ("text", "jsonl", "json", "tsv", "csv"):
        raise GristmillError(f"{file.name} is read as {kind.container}, and none of it can be: {sample[0][2]}")
    if options.columns is not None and readable:
        missing = [missing_column(row, options) for row in readable]
        if all(missing) and missing[0] is not None:
            target, column = missing[0]
            found = brief(", ".join(list(map(str, readable[0]))[:20]), 400)
            raise GristmillError(f'{file.name} has no column "{column}" (mapped to {target}); its columns are {found}')
    shapes = _shapes(readable, options)
    whole_file = any(BY_NAME[name].convert_file is not None for name in shapes)
    return replace(
        kind,
        shapes=shapes,
        splittable=kind.splittable and not whole_file,
        sample_rows=len(sample),
        sample_bytes=sum(_size(row) for row in sample),
    )


def _shapes(rows: list[dict[str, object]], options: SourceOptions) -> tuple[str, ...]:
    if options.columns is not None:
        return (mapped_shape(options).name,) if rows else ()
    find = finder()
    forced = shape_named(options.shape) if options.shape is not None else None
    counts: Counter[str] = Counter()
    for row in rows:
        row = {key: value for key, value in row.items() if value is not None}
        try:
            shape = find(row) if forced is None else forced
            if shape.name != "transcript" or shape.convert is None or shape.convert(row, options):
                counts[shape.name] += 1
        except Unreadable:
            continue
    return tuple(name for name, _ in counts.most_common())


def _size(row: Row) -> int:
    return len(row[1]) + 1 if row[1] is not None else len(raw_bytes(row[2]))
