"""Amounts with units: exact, and refused without one."""

import re
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.units import Amount, Share, Size, show_bytes

BARE: list[Any] = [1, 1.0, 0, "1", "1.0", "", " ", None, True, [], "ten", "1e3", "-1", "٣"]


@pytest.mark.parametrize(
    ("text", "number", "unit"),
    [
        ("5000 rows", 5000, "rows"), ("1 row", 1, "rows"), ("5k rows", 5000, "rows"), ("1.5k records", 1500, "rows"),
        ("3M tokens", 3_000_000, "tokens"), ("3 M tokens", 3_000_000, "tokens"), ("5_000 chars", 5000, "characters"),
        ("2B characters", 2_000_000_000, "characters"), ("0.25G characters", 250_000_000, "characters"),
        ("5000 tokens", 5000, "tokens"), ("1 token", 1, "tokens"), ("2T tokens", 2 * 10**12, "tokens"),
    ],
)  # fmt: skip
def test_amounts(text: str, number: int, unit: str):
    assert (Amount.parse(text).number, Amount.parse(text).unit) == (number, unit)
    assert re.fullmatch(Amount.PATTERN, text), "the published pattern refuses what we read"
    assert Amount.parse(str(Amount.parse(text))) == Amount.parse(text)


@pytest.mark.parametrize(
    "wrong", [*BARE, "5 %", "5 MiB", "5 apples", "1.5 rows", "0.5 tokens", "5 rows more", "k rows"]
)
def test_an_amount_needs_its_unit(wrong: object):
    with pytest.raises(ValueError, match=r"is not (an amount; write it with its unit|a whole number of)") as refused:
        Amount.parse(wrong)
    assert repr(wrong) in str(refused.value)


@pytest.mark.parametrize("wrong", [*BARE, "5", "5 rows", "5 percent", "%", "1,5 %", "-5 %", "5 %%"])
def test_a_share_needs_its_sign(wrong: object):
    with pytest.raises(ValueError, match='is not a share; write it with its sign, for example "20 %"') as refused:
        Share.parse(wrong)
    assert repr(wrong) in str(refused.value)


def test_shares_are_exact():
    assert Share.parse("0.1 %").value == Fraction(1, 1000)
    assert sum(Share.parse(text).value for text in ("33.3 %", "33.3%", " 33.4 % ")) == 1
    assert Share.parse("0 %").value == 0
    with pytest.raises(ValueError, match=r"'100\.1 %' is more than 100 %"):
        Share.parse("100.1 %")


@given(st.integers(0, 10**7))
def test_a_written_share_reads_back(number: int):
    share = Share(Fraction(number, 10**7))
    assert Share.parse(str(share)) == share


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("128 MiB", 2**27),
        ("100 MB", 10**8),
        ("1kB", 1000),
        ("1 KiB", 1024),
        ("1.5 GiB", 3 * 2**29),
        ("7 bytes", 7),
        ("7B", 7),
        ("1 TB", 10**12),
    ],
)
def test_sizes(text: str, number: int):
    assert int(Size.parse(text)) == number
    assert re.fullmatch(Size.PATTERN, text)
    assert Size.parse(str(Size.parse(text))) == Size.parse(text)


@pytest.mark.parametrize("wrong", [*BARE, "5", "5 rows", "5 %", "5 M", "5 MiBi", "-1 MB"])
def test_a_size_needs_its_unit(wrong: object):
    with pytest.raises(
        ValueError, match='is not a size in bytes; write it with its unit, for example "128 MiB"'
    ) as refused:
        Size.parse(wrong)
    assert repr(wrong) in str(refused.value)


@pytest.mark.parametrize("text", ["0 MiB", "0.1 bytes"])
def test_a_size_is_at_least_a_byte(text: str):
    with pytest.raises(ValueError, match="less than one byte"):
        Size.parse(text)


@pytest.mark.parametrize("kind", [Amount, Share, Size])
def test_examples_are_read(kind: Any):
    for example in kind.EXAMPLES:
        assert kind.parse(example)
        assert re.fullmatch(kind.PATTERN, example)


def test_bytes_for_people():
    assert [show_bytes(n) for n in (0, 999, 1000, 1_550_000, 2e12)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "1.6 MB",
        "2.0 TB",
    ]
