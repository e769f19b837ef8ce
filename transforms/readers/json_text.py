"""JSON bytes to values and back, for data that nobody checked."""

import json
import math
from typing import Any

import orjson

from schemas.errors import Unreadable
from transforms.readers.source import Loose
from transforms.repair import join_surrogates

MAX_DEPTH = 64  # Of values kept in ``extra``; deeper nesting is no data, and writing it would exhaust the stack.

NOT_UTF8 = "not valid UTF-8 at byte {}; if the file has another encoding, name it in the recipe"


def parse_json(raw: bytes) -> Any:
    """The value in ``raw``.

    Lone surrogates, NaN and bare control characters, which orjson refuses, are read by the standard library.

    Raises:
      Unreadable: not JSON; the reason tells where.
    """
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as strict:
        refusal = str(strict)
    try:
        return json.loads(raw.decode("utf-8", "surrogatepass"), strict=False)
    except UnicodeDecodeError as error:
        raise Unreadable(NOT_UTF8.format(error.start)) from None
    except RecursionError:
        raise Unreadable("JSON nested too deep") from None
    except ValueError as error:
        message = str(error) if isinstance(error, json.JSONDecodeError) else refusal
        raise Unreadable(f"not JSON: {message[:200]}") from None


def parse_row(raw: bytes) -> Any:
    """A row's value, or the Unreadable that says why there is none."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        pass
    try:
        value = parse_json(raw)
    except Unreadable as reason:
        return reason
    return Loose(value) if isinstance(value, dict) else value


def dump_json(value: Any) -> str:
    """Compact JSON text of a parsed value; not ASCII-escaped, keys in their order.

    Raises:
      Unreadable: nested too deep to be written.
    """
    try:
        return orjson.dumps(value).decode()
    except (TypeError, RecursionError):  # 65-bit integers, surrogates, other types, depth
        pass
    try:
        plain = json.dumps(jsonable(value), ensure_ascii=False, separators=(",", ":"))
        return join_surrogates(plain)
    except (TypeError, ValueError, RecursionError):
        raise Unreadable("a value that cannot be written as JSON") from None


def raw_bytes(value: Any) -> bytes:
    """JSON text of a row for quarantine, whatever the row holds."""
    try:
        return dump_json(value).encode()
    except Unreadable as error:
        return f"({error})".encode()


def jsonable(value: Any, depth: int = 0) -> Any:
    """``value`` as JSON can hold it: big integers, dates, decimals as text, bytes as UTF-8, NaN as null.

    Raises:
      Unreadable: nested deeper than MAX_DEPTH.
    """
    if value is None or value.__class__ is str or value.__class__ is bool:
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else _digits(value)
    if depth >= MAX_DEPTH:
        raise Unreadable(f"a value nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, dict):
        return {str(key): jsonable(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item, depth + 1) for item in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value)


def _digits(value: int) -> str:
    try:
        return str(value)
    except ValueError:  # longer than the interpreter turns into text
        return hex(value)
