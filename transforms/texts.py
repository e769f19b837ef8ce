"""The texts of a record that are measured and compared: whole conversation, prompt side, response side.

The text of a message is everything in it that a model reads or writes: content, reasoning, tool calls.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

# Part of the corpus key: raise it when ``exact_keys`` gives another key for the same conversation.
NORMALISER_VERSION = 1


def message_texts(messages: pa.StructArray) -> pa.LargeStringArray:
    """Text of each message [n]: content, reasoning and tool calls (name, arguments), joined by newlines."""
    contents = messages.field("content").cast(pa.large_string())
    reasoning, calls = messages.field("reasoning_content"), messages.field("tool_calls")
    rich = np.flatnonzero(np.asarray(pc.or_(reasoning.is_valid(), calls.is_valid())))
    if not len(rich):
        return contents
    texts = contents.to_pylist()
    for row in rich.tolist():
        parts = [texts[row], reasoning[row].as_py()]
        for call in calls[row].as_py() or ():
            parts += [call["function"]["name"], call["function"]["arguments"]]
        texts[row] = "\n".join(part for part in parts if part)
    return pa.array(texts, pa.large_string())


def exact_keys(
    roles: pa.Array, texts: pa.Array, bounds: npt.NDArray[np.int64], tools: pa.Array, compare: str | None
) -> pa.Array:
    """xxh3-128 [records] of what exact deduplication compares, as ``binary(16)``.

    Normalised: lower case, runs of white space as one space. Punctuation and digits stay: ``a+b`` and ``a-b`` are
    different short texts and must never merge. ``compare`` is whole (roles and tools count), prompt (all but the
    assistant's messages), response (the assistant's), or None (all keys zero).
    """
    records = len(bounds) - 1
    if compare is None:
        return pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), records, [None, pa.py_buffer(bytes(16 * records))])
    spoken = [" ".join(text.lower().split()) for text in texts.to_pylist()]
    by, offered = roles.to_pylist(), tools.to_pylist()
    keys = []
    for record in range(records):
        start, end = int(bounds[record]), int(bounds[record + 1])
        if compare == "whole":
            pieces = [offered[record] or "", *by[start:end], *spoken[start:end]]
        else:
            answers = compare == "response"
            pieces = [spoken[row] for row in range(start, end) if (by[row] == "assistant") is answers]
        # Lengths before pieces: no choice of texts can imitate another division into messages.
        head = ",".join([str(len(piece)) for piece in pieces])
        keys.append(xxhash.xxh3_128_digest(f"{head}\0{''.join(pieces)}".encode("utf-8", "surrogatepass")))
    return pa.array(keys, pa.binary(16))
