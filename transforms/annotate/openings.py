"""How the first answer opens: a key of its first words, and whether these are an assistant's stock phrase.

The first answer is the first assistant turn with any content: a call of a tool is no phrase.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.records import Records
from transforms.words import UNICODE_VERSION, WORDS_VERSION, Tokens, fmix64, tokenise, words_of

VERSION = 1

WORDS = 3
"""An opening is so many words: "i d be" tells a stock phrase, more words would split it by its object."""

SCHEMA = pa.schema(
    [
        ("opening", pa.uint64()),  # key of the first words of the first answer, 0 without any
        ("boilerplate_opening", pa.int8()),  # 1: a stock phrase
    ]
)

BOILERPLATE = "|".join(
    [
        r"(?:certainly|absolutely|of course|definitely|sure(?: thing)?|gladly)(?:!|[,.:] (?:I|here|let"
        r"|the following)\b)",
        r"sure,? (?:here|I)\b",
        r"(?:that['’]s|what) an? (?:great|good|excellent|interesting|fascinating|wonderful"
        r"|fantastic) (?:\w+ )?question",
        r"(?:great|good|excellent|interesting) question\b",
        r"(?:thank you|thanks) for (?:your|the|this|asking|sharing|providing)\b",
        r"I(?:['’]d| would) be (?:happy|glad|delighted) to\b|I(?:['’]m| am) (?:happy|glad) to (?:help|assist)\b"
        r"|happy to help",
        r"(?:当然(?:可以|没问题)?|好的|没问题|可以的)[！!，,。：:]|非常感谢您?的|很高兴(?:为|能|帮)"
        r"|这是(?:一个)?(?:很|非常)好的问题",
        r"¡?(?:claro|por supuesto|con gusto)[!,]|bien sûr ?[!,]|avec plaisir|natürlich[!,]|gerne[!,]|certo!"
        r"|certamente!|com certeza!",
        r"конечно[!,]|もちろん(?:です|、|！)|물론(?:이죠|입니다)|tietysti!|totta kai[!,]",
    ]
)
_HEAD = 160
"""Code points in which the first words nearly always stand; where they do not, the whole answer is read."""


@dataclass(frozen=True)
class Openings:
    """The columns of ``SCHEMA``."""

    name: str = "openings"
    schema: pa.Schema = SCHEMA

    def identity(self) -> dict[str, Any]:
        return {"version": VERSION, "words": WORDS_VERSION, "unicode": UNICODE_VERSION}

    def __call__(self, records: Records) -> pa.RecordBatch:
        """SCHEMA [n]"""
        written = np.asarray(pc.binary_length(records.contents).fill_null(0)) > 0
        answers = np.flatnonzero(records.assistant & written)[::-1]
        first = np.full(len(records), -1, np.int64)
        first[records.record_of[answers]] = answers  # NumPy keeps the last of several assignments
        rows = np.flatnonzero(first >= 0)
        texts = records.contents.take(pa.array(first[rows])).cast(pa.large_string())
        heads = pc.utf8_slice_codeunits(texts, 0, _HEAD)
        opening = np.zeros(len(records), np.uint64)
        opening[rows] = _keys(texts, heads)
        stock = np.zeros(len(records), np.int8)
        stock[rows] = pc.match_substring_regex(heads, rf"\A[\s*\"“]*(?:{BOILERPLATE})", ignore_case=True)
        return pa.record_batch([pa.array(opening), pa.array(stock)], schema=SCHEMA)


def opening_phrase(text: str) -> str:
    """The opening of an answer for people: its first words, lower-cased, without what stands between them.

    Two answers have the same phrase if and only if they have the same key, but for collisions of 64-bit hashes.
    """
    words = words_of(text[:_HEAD])
    if len(words) <= WORDS:  # the last one may be cut
        words = words_of(text)
    return " ".join(words[:WORDS])


def _keys(texts: pa.LargeStringArray, heads: pa.LargeStringArray) -> npt.NDArray[np.uint64]:
    """[k]: keys of texts, given their first ``_HEAD`` code points."""
    words = tokenise(heads)
    cut = np.asarray(pc.binary_length(heads)) < np.asarray(pc.binary_length(texts))
    # A word more than is wanted: then no wanted one was cut.
    again = np.flatnonzero(cut & (np.diff(words.offsets) <= WORDS))
    keys = _combined(words)
    keys[again] = _combined(tokenise(texts.take(pa.array(again))))
    return keys


def _combined(words: Tokens) -> npt.NDArray[np.uint64]:
    counts = np.diff(words.offsets)
    keys = np.zeros(len(counts), np.uint64)
    for place in range(WORDS):
        rows = np.flatnonzero(counts > place)
        keys[rows] = np.maximum(fmix64(keys[rows] + words.hashes[words.offsets[rows] + place]), np.uint64(1))
    return keys
