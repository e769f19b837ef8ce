"""Phrases counted in the turns they are about, by RE2 on whole columns: what the filters on wording read.

A rule first finds the few messages that hold one of its literals (its screen), then counts its pattern in those alone.
RE2 reads any text in linear time.
"""

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from transforms.annotate import phrase_patterns as patterns
from transforms.annotate.phrase_patterns import Phrase
from transforms.records import USER, Bools, Ints, Records

PHRASES_VERSION = 1

# Columns that are plain counts over a record's turns, by whose turns these are.
_ANSWERS = {
    "self_identifications": patterns.SELF_IDENTIFICATION,
    "provider_mentions": patterns.PROVIDER_MENTIONS,
    "knowledge_cutoffs": patterns.KNOWLEDGE_CUTOFF,
    "fill_ins": patterns.FILL_INS,
    "pointers": patterns.POINTERS,
}
_PROMPTS = {"attachment_references": patterns.MISSING_ATTACHMENTS}
_ANY = {"template_tokens": patterns.TEMPLATE_TOKENS}
_OTHERS = (
    patterns.REFUSAL,
    patterns.OFFER,
    patterns.USER_LABELS,
    patterns.ASSISTANT_LABELS,
    patterns.URL,
    patterns.LINK_REQUESTS,
)
WHOLE_CHARACTERS = 600
"""A longer answer that begins with a refusal is not one and nothing else: whole refusals of real models have up to
four sentences."""

SCHEMA = pa.schema(
    [
        ("self_identifications", pa.int32()),  # an answer says "as an AI, I …", "I am ChatGPT"
        ("provider_mentions", pa.int32()),  # OpenAI, ChatGPT, GPT-4, LAION … in answers, in whatever sense
        ("knowledge_cutoffs", pa.int32()),  # "as of my last update", "my knowledge cutoff" in answers
        ("whole_refusals", pa.int32()),  # answers that begin by refusing and, short, offer nothing else
        ("partial_refusals", pa.int32()),  # answers that begin by refusing and then help after all, or go on
        ("template_tokens", pa.int32()),  # <|im_start|>, [INST], </s> … in any turn, quoted ones left out
        ("turn_labels", pa.int32()),  # "Human:" lines of an answer that has "Assistant:" lines too
        ("fill_ins", pa.int32()),  # [Your Name], <insert …>, XXXX in answers
        ("fill_in_share", pa.float32()),  # their share of an answer's code points; the answer with most of them
        ("url_share", pa.float32()),  # URLs' and images' share of an answer's code points, likewise
        ("pointers", pa.int32()),  # answers that are no more than "see the link above"
        ("link_requests", pa.int32()),  # if url_share > 0: words of the prompts that may ask for a link or a picture
        ("attachment_references", pa.int32()),  # prompts speak of "the attached image", "this screenshot"
    ]
)


@dataclass(frozen=True)
class Phrases:
    """The columns of ``SCHEMA``."""

    @property
    def name(self) -> str:
        return "phrases"

    @property
    def schema(self) -> pa.Schema:
        return SCHEMA

    def identity(self) -> dict[str, Any]:
        return {"version": PHRASES_VERSION, "patterns": patterns.PATTERNS_VERSION, "digest": _digest()}

    def __call__(self, records: Records) -> pa.RecordBatch:
        answers = _Turns(records.texts, np.flatnonzero(records.assistant))
        prompts = _Turns(records.texts, np.flatnonzero(records.roles == USER))
        everything = _Turns(records.texts, np.arange(len(records.texts)))
        columns: dict[str, npt.NDArray[Any]] = {}
        for turns, phrases in ((answers, _ANSWERS), (prompts, _PROMPTS), (everything, _ANY)):
            for name, phrase in phrases.items():
                columns[name] = records.sums(turns.count(phrase))
        refused = answers.has(patterns.REFUSAL)
        whole = refused.copy()
        whole[refused] = _offer_nothing(records.texts.filter(pa.array(refused)))
        columns["whole_refusals"] = records.sums(whole)
        columns["partial_refusals"] = records.sums(refused & ~whole)
        users = answers.count(patterns.USER_LABELS)
        assistants = _Turns(records.texts, np.flatnonzero(users)).count(patterns.ASSISTANT_LABELS)
        columns["turn_labels"] = records.sums(np.minimum(users, assistants))
        columns["fill_in_share"] = records.most(answers.share(patterns.FILL_INS))
        columns["url_share"] = records.most(answers.share(patterns.URL))
        linked = (columns["url_share"] > 0)[records.record_of]
        asking = _Turns(records.texts, np.flatnonzero(linked & (records.roles == USER)))
        columns["link_requests"] = records.sums(asking.count(patterns.LINK_REQUESTS))
        return pa.RecordBatch.from_arrays(
            [pa.array(columns[field.name]).cast(field.type) for field in SCHEMA], schema=SCHEMA
        )


@dataclass(frozen=True)
class Mentions:
    """How often words or phrases of the user's own occur in the assistant's turns or the user's, as ``column``."""

    column: str
    phrases: tuple[str, ...]  # matched as whole words, without regard to case
    role: int  # ASSISTANT or USER of transforms.records

    @property
    def name(self) -> str:
        return self.column

    @property
    def schema(self) -> pa.Schema:
        return pa.schema([(self.column, pa.int32())])

    def identity(self) -> dict[str, Any]:
        return {"version": 1, "phrases": sorted(set(self.phrases)), "role": self.role}

    def __call__(self, records: Records) -> pa.RecordBatch:
        rows = np.flatnonzero(records.roles == self.role)
        texts = records.texts.take(pa.array(rows))
        found = np.zeros(len(records.texts), np.int64)
        phrases = sorted(set(self.phrases))
        for start in range(0, len(phrases), _AT_ONCE):
            some = "|".join(word_pattern(phrase) for phrase in phrases[start : start + _AT_ONCE])
            found[rows] += _counts(texts, some)
        return pa.RecordBatch.from_arrays([pa.array(records.sums(found)).cast(pa.int32())], schema=self.schema)


_AT_ONCE = 50  # phrases in one expression: RE2 refuses very large ones

# What may stand beside a word: no letter, or one of a script that puts no spaces between words (transforms.words).
_BESIDE = r"(?:[^\pL\pM\pN_]|\p{Han}|\p{Hiragana}|\p{Katakana}|\p{Thai}|\p{Lao}|\p{Khmer}|\p{Myanmar})"


def word_pattern(phrase: str) -> str:
    """RE2 for a phrase as whole words; any white space stands for any other."""
    body = r"\s+".join(re.escape(word) for word in phrase.split())
    before = rf"(?:\A|{_BESIDE})" if _in_word(phrase.strip()[0]) else ""
    after = rf"(?:\z|{_BESIDE})" if _in_word(phrase.strip()[-1]) else ""
    return f"(?:{before}{body}{after})"


def _in_word(character: str) -> bool:
    return character.isalnum() or character == "_"


class _Turns:
    """The chosen messages of a column, in which phrases are counted."""

    def __init__(self, texts: pa.LargeStringArray, rows: Ints):
        self.size = len(texts)
        self.rows = rows
        self.texts = texts if len(rows) == len(texts) else texts.take(pa.array(rows))
        self._passed: dict[Phrase, tuple[Ints, pa.LargeStringArray]] = {}

    def count(self, phrase: Phrase) -> Ints:
        """[m]: matches in each message of the column, 0 in those not chosen."""
        rows, texts = self._screened(phrase)
        found = np.zeros(self.size, np.int64)
        found[rows] = _counts(texts, phrase.pattern)
        if phrase.spared is not None:
            found[rows] = np.maximum(found[rows] - _counts(texts, phrase.spared), 0)
        return found

    def has(self, phrase: Phrase) -> Bools:
        """[m]: whether each message of the column is chosen and matches."""
        rows, texts = self._screened(phrase)
        found = np.zeros(self.size, bool)
        found[rows] = pc.match_substring_regex(texts, phrase.pattern, ignore_case=True)
        return found

    def share(self, phrase: Phrase) -> npt.NDArray[np.float32]:
        """[m]: matches' share of a message's code points without the white space around it."""
        rows, texts = self._screened(phrase)
        if not len(texts):
            return np.zeros(self.size, np.float32)
        texts = pc.utf8_trim_whitespace(texts)
        before = np.asarray(pc.utf8_length(texts))
        after = np.asarray(pc.utf8_length(pc.replace_substring_regex(texts, f"(?i){phrase.pattern}", "")))
        found = np.zeros(self.size, np.float32)
        found[rows] = (before - after) / np.maximum(before, 1)
        return found

    def _screened(self, phrase: Phrase) -> tuple[Ints, pa.LargeStringArray]:
        # A screen for each phrase: all in one expression outgrow RE2's automaton, and it falls back to 3 MB/s.
        if phrase not in self._passed:
            rows, texts = self.rows, self.texts
            for screen in (phrase.screen, *_boundless(phrase.pattern)):
                if len(texts):
                    passed = pc.match_substring_regex(texts, screen, ignore_case=True).fill_null(False)
                    rows, texts = rows[np.asarray(passed)], texts.filter(passed)
            self._passed[phrase] = rows, texts
        return self._passed[phrase]


@cache
def _boundless(pattern: str) -> tuple[str, ...]:
    """The pattern with its bounded gaps open, a second screen: what it matches is more, and it compiles in a fraction
    of the milliseconds that hundred-fold repetitions take, which for a small block is most of the work."""
    opened = re.sub(r"\{0,\d\d+\}\??", "*", pattern)
    return (opened,) if opened != pattern else ()


def _counts(texts: pa.LargeStringArray, pattern: str) -> Ints:
    if not len(texts):
        return np.zeros(0, np.int64)  # compiling a large pattern for nothing takes milliseconds
    return np.asarray(pc.count_substring_regex(texts, pattern, ignore_case=True).fill_null(0)).astype(np.int64)


def _offer_nothing(texts: pa.LargeStringArray) -> Bools:
    """[k]: which refusals have at most ``WHOLE_CHARACTERS`` and hold no offer."""
    short = np.asarray(pc.utf8_length(texts)) <= WHOLE_CHARACTERS
    return np.asarray(short & (_counts(texts, patterns.OFFER.pattern) == 0))


@cache
def _digest() -> str:
    phrases = (*_ANSWERS.values(), *_PROMPTS.values(), *_ANY.values(), *_OTHERS)
    return xxhash.xxh3_128_hexdigest(
        orjson.dumps([[phrase.screen, phrase.pattern, phrase.spared] for phrase in phrases])
    )
