"""Amounts with units: "5000 rows", "20 %", "3M tokens", "128 MiB".

A bare number in a recipe is ambiguous (is 1 one row or all of them?), so every size and share carries its unit
and a number without one is refused. Parsed values are exact; their text form is the shortest that says the same.
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import core_schema

_DECIMAL = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "b": 10**9, "t": 10**12}
_BYTES = {
    "b": 1, "byte": 1, "bytes": 1,
    "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
}  # fmt: skip
COUNT_UNITS = {
    "row": "rows", "rows": "rows", "record": "rows", "records": "rows",
    "char": "characters", "chars": "characters", "character": "characters", "characters": "characters",
    "token": "tokens", "tokens": "tokens",
}  # fmt: skip
_NUMBER = r"(?P<number>\d[\d_]*(?:\.\d+)?)"
_AMOUNT = re.compile(rf"\s*{_NUMBER}\s*(?P<scale>[kmgbt]?)\s*(?P<unit>{'|'.join(COUNT_UNITS)})\s*", flags=re.IGNORECASE)
_SIZE = re.compile(rf"\s*{_NUMBER}\s*(?P<unit>[A-Za-z]+)\s*")
_SHARE = re.compile(rf"\s*{_NUMBER}\s*%\s*")


def _number(text: str) -> Fraction:
    return Fraction(text.replace("_", ""))


class _Quantity:
    """Shared pydantic wiring: read from a string, write back as the string."""

    @classmethod
    def parse(cls, text: object) -> Any:
        raise NotImplementedError

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            lambda value: value if isinstance(value, cls) else cls.parse(value),
            serialization=core_schema.plain_serializer_function_ser_schema(str),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "string", "pattern": cls.PATTERN, "examples": list(cls.EXAMPLES)}  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Share(_Quantity):
    """A part of a whole, "20 %"; ``value`` is the exact fraction 0..1 (above 1 only where a setting allows it)."""

    value: Fraction
    PATTERN = r"^\s*\d[\d_]*(\.\d+)?\s*%\s*$"
    EXAMPLES = ("20 %", "0.5 %")

    @classmethod
    def parse(cls, text: object) -> "Share":
        match = _SHARE.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise ValueError(f'{text!r} is not a share; write it with its sign, for example "20 %"')
        value = _number(match["number"]) / 100
        if value > 1:
            raise ValueError(f"{text!r} is more than 100 %")
        return cls(value)

    def __float__(self) -> float:
        return float(self.value)

    def __str__(self) -> str:
        percent = self.value * 100
        return f"{(Decimal(percent.numerator) / percent.denominator).normalize():f} %"


@dataclass(frozen=True)
class Size(_Quantity):
    """A number of bytes, "128 MiB" (1024-based) or "100 MB" (1000-based)."""

    bytes: int
    PATTERN = r"^\s*\d[\d_]*(\.\d+)?\s*([kKmMgGtT][iI]?)?[bB](ytes?)?\s*$"
    EXAMPLES = ("128 MiB", "2 GB")

    @classmethod
    def parse(cls, text: object) -> "Size":
        match = _SIZE.fullmatch(text) if isinstance(text, str) else None
        factor = _BYTES.get(match["unit"].lower()) if match else None
        if match is None or factor is None:
            raise ValueError(f'{text!r} is not a size in bytes; write it with its unit, for example "128 MiB"')
        number = int(_number(match["number"]) * factor)
        if number < 1:
            raise ValueError(f"{text!r} is less than one byte")
        return cls(number)

    def __int__(self) -> int:
        return self.bytes

    def __str__(self) -> str:
        for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
            if self.bytes % factor == 0:
                return f"{self.bytes // factor} {unit}"
        return f"{self.bytes} bytes"


@dataclass(frozen=True)
class Amount(_Quantity):
    """A number of rows, characters or tokens: "5000 rows", "3M tokens", "250k characters"."""

    number: int
    unit: str  # rows | characters | tokens
    PATTERN = r"^\s*\d[\d_]*(\.\d+)?\s*[kKmMgGbBtT]?\s*(rows?|records?|char(acter)?s?|tokens?)\s*$"
    EXAMPLES = ("5000 rows", "3M tokens")

    @classmethod
    def parse(cls, text: object) -> "Amount":
        match = _AMOUNT.fullmatch(text) if isinstance(text, str) else None
        unit = COUNT_UNITS.get(match["unit"].lower()) if match else None
        if match is None or unit is None:
            raise ValueError(
                f'{text!r} is not an amount; write it with its unit, for example "5000 rows" or "3M tokens"'
            )
        number = _number(match["number"]) * _DECIMAL[match["scale"].lower()]
        if number.denominator != 1:
            raise ValueError(f"{text!r} is not a whole number of {unit}")
        return cls(int(number), unit)

    def __str__(self) -> str:
        return f"{self.number} {self.unit}"


def show_bytes(number: float) -> str:
    """12.3 MB: 1000-based, for people."""
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= factor:
            return f"{number / factor:.1f} {unit}"
    return f"{int(number)} B"
