"""A thousand damaged files: whatever is in them, each row is converted or quarantined, and nothing else is raised."""

import json
import random
import unicodedata
from typing import Any

import pytest

from schemas.errors import GristmillError
from tests import reader_samples as samples
from transforms.readers import ReadStats, SourceOptions, convert, plan_splits, read_rows, sniff
from transforms.readers.conversion import UNFORESEEN
from transforms.readers.source import FileInfo

OPTIONS = (
    SourceOptions(),
    SourceOptions(trees="best", ftfy=True, placeholders=(("name", "Mill"),)),
    SourceOptions(columns=(("instruction", "instruction"), ("output", "messages.0.content"), ("system", "id"))),
)
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, 10**25, "", "x", "\x00", "\ud800", "\r\n", [], {}, [[]], [{}], [None], {"a": None},
    {"role": "assistant"}, [{"role": "user", "content": "y"}], "[1", '{"name": "f"}', float("nan"), float("inf"), "é\u0301",
)  # fmt: skip


def swapped(value, rng, depth=0):
    """A copy of a JSON value in which something, somewhere, has another type, another key or is missing."""
    if depth and rng.random() < 0.08:
        return rng.choice(VALUES)
    if isinstance(value, dict):
        out = {key: swapped(item, rng, depth + 1) for key, item in value.items() if rng.random() > 0.04}
        if out and rng.random() < 0.1:
            out[
                rng.choice(("chosen", "rejected", "label", "messages", "text", "replies", "extra", "tools", "\ud801"))
            ] = rng.choice(VALUES)
        return out
    if isinstance(value, list):
        return [swapped(item, rng, depth + 1) for item in value if rng.random() > 0.04]
    return value


def damaged(content, rng):
    """Bytes with flips, cuts, insertions, doubled or removed stretches."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        if not data:
            break
        at = rng.randrange(len(data))
        kind = rng.randrange(6)
        if kind == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[at] = rng.choice(b'"\\{}[],:\n\t\r\x00\xff\x80')
        elif kind == 2:
            data[at:at] = rng.choice((b'"', b"\\", b"{", b"]", b"\n", b"\x00", b"\xed\xa0\x80", b"[" * 2000, b"NaN"))
        elif kind == 3:
            del data[at : at + rng.randrange(1, 40)]
        elif kind == 4:
            del data[at:]
        else:
            data[at:at] = data[at : at + rng.randrange(1, 200)]
    return bytes(data)


def strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from strings(key)
            yield from strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)


def check_sentence(sentence, name):
    assert name in sentence
    sentence.encode()


def check_file(path, options, split_bytes):
    file = FileInfo(str(path), path.name, path.stat().st_size)
    try:
        kind = sniff(file, options)
        splits = plan_splits(file, kind, split_bytes)
    except GristmillError as error:
        check_sentence(str(error), path.name)
        return 0
    records = 0
    for split in splits:
        stats = ReadStats()
        given, refused = set(), set()
        try:
            for one in convert(read_rows(split, options), options, stats):
                if one.reason is not None:
                    assert one.conversation is None
                    assert UNFORESEEN not in one.reason, one
                    assert isinstance(one.raw, bytes)
                    one.reason.encode()
                    assert one.index not in refused
                    refused.add(one.index)
                    continue
                given.add(one.index)
                check_conversation(one.conversation)
                records += 1
        except GristmillError:
            continue
        assert not given & refused
        assert len(given) + len(refused) + stats.consumed == stats.rows
        assert stats.quarantined == len(refused)
    return records


def check_conversation(conversation):
    assert any(message["role"] == "assistant" for message in conversation["messages"])
    for key in ("messages", "chosen", "rejected"):
        for message in conversation.get(key, ()):
            assert message["role"] in ("system", "user", "assistant", "tool")
            assert isinstance(message["content"], str)
            assert isinstance(message.get("reasoning_content", ""), str)
            assert isinstance(message.get("tool_call_id", ""), str)
            assert isinstance(message.get("name", ""), str)
            assert isinstance(message.get("train", True), bool)
            assert isinstance(message.get("weight", 1.0), float)
            for call in message.get("tool_calls", ()):
                assert set(call) == {"id", "type", "function"}
                assert isinstance(call["function"]["name"], str)
                assert isinstance(call["function"]["arguments"], str)
    if "tools" in conversation:
        assert isinstance(json.loads(conversation["tools"]), list)
    for key in ("task", "language", "license", "generator", "origin"):
        assert isinstance(conversation.get(key, ""), str)
    assert isinstance(conversation.get("label", True), bool)
    json.dumps(conversation.get("extra", {}), allow_nan=False)
    for text in strings(conversation):
        text.encode()
        assert unicodedata.is_normalized("NFC", text)
        assert not any(ord(character) < 32 and character not in "\t\n" for character in text), text


@pytest.mark.parametrize("seed", range(10))
def test_damaged_files(tmp_path, seed):
    rng = random.Random(seed)
    containers = list(samples.JSON_CONTAINERS.values())
    tables = list(samples.FLAT_CONTAINERS.values())
    path = tmp_path / "hostile.data"
    records = 0
    for _ in range(100):
        rows = [
            row for name in rng.sample(list(samples.SHAPES), rng.choice((1, 1, 2))) for row in samples.SHAPES[name][0]
        ]
        rows = rows * rng.choice((1, 2, 5))
        if rng.random() < 0.6:
            rows = [swapped(row, rng) for row in rows]
        if rng.random() < 0.3:
            content = rng.choice(tables)(samples.FLAT_ROWS * rng.choice((1, 20)))
        elif rng.random() < 0.1:
            content = b"What?\tyes\tBecause.\nWhy\\nnot?\tno\tSo.\n" * 20
        else:
            try:
                content = rng.choice(containers)(rows)
            except UnicodeEncodeError:
                content = samples.compact(rows)
        if rng.random() < 0.7:
            content = damaged(content, rng)
        path.write_bytes(content)
        records += check_file(path, rng.choice(OPTIONS), rng.choice((1 << 30, 100, 7)))
    assert records > 100


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 200_000,
        b'{"messages":' * 50_000,
        b'{"instruction": "a", "output": "b", "x": ' + b"[" * 500 + b"]" * 500 + b"}",
        b'{"instruction": "a", "output": "b", "x": ' + b"[" * 900 + b"]" * 900 + b"}\n",
        b'{"instruction": "a", "output": "b", "x": ' + b"9" * 5000 + b"}\n",
        b'{"instruction": "a", "instruction": "c", "output": "b", "output": "d"}\n',
        b"\\" * 3_000_000,
        b'["' + b"\\" * 3_000_001 + b'"]',
        b"[" + b'"\\\\\\\\\\""' * 100_000 + b"]",
        b'"' * 1_000_000,
        b"}" * 100_000,
        b"\x00" * 1000,
        b'{"text": "' + "é".encode("latin-1") + b'"}\n',
        b'{"instruction": "a\x00b", "output": "c"}\n',
    ],
)
def test_extreme_files(tmp_path, content):
    path = tmp_path / "hostile.data"
    path.write_bytes(content)
    check_file(path, SourceOptions(), 1 << 30)


def test_a_bomb_streams(tmp_path):
    import gzip
    import tracemalloc

    import zstandard

    for name, pack in (("gz", gzip.compress), ("zst", zstandard.compress)):
        path = tmp_path / f"bomb.{name}"
        path.write_bytes(pack(b'{"instruction": "a", "output": "b"}\n' + b" " * (200 << 20)))
        tracemalloc.start()
        assert check_file(path, SourceOptions(), 1 << 30) == 1
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 260 << 20
