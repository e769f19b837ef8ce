"""The parts of a record that the tags look at, bounded in length whatever the record's size."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.records import TOOL, USER, Records

ASK, TAIL, BODY = 600, 240, 3000
"""Code points of the asking paragraph, of the prompt's end, and of a prompt or answer. An instruction stands at one
end of a prompt; in the shared data 99 % of the paragraphs that hold one are shorter than 400 code points."""

PASSAGE = 50
"""Bytes beside the asking paragraph from which on there is a text to work on. The shortest context in Dolly that
answers its question has 61; below 50 there are mostly lists of options and single values."""

_POLITE = (
    r"^(?:(?:please|kindly|hi|hey|hello|ok|okay|thanks|can you|could you|would you|will you|i want you to|"
    r"i need you to|i would like you to|i'd like you to|help me to|help me|you are asked to|your task is to|"
    r"in this task,? you)[ ,!.]+)+"
)

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Views:
    """n records. Texts are lower case except ``answer_raw``; all have a value, "" where there is nothing."""

    ask: pa.LargeStringArray  # the paragraph that asks, without "please" and its like
    opening: pa.LargeStringArray  # the same with them
    prompt: pa.LargeStringArray  # first BODY code points of the first user turn
    answer: pa.LargeStringArray  # first BODY code points of the last answer's content
    answer_raw: pa.LargeStringArray  # the same as written
    final: pa.LargeStringArray  # all of the last answer's content
    reasoning_bytes: Ints  # separate reasoning of the last answer
    prompt_bytes: Ints  # of the whole turn, as answer_bytes
    answer_bytes: Ints
    passage: Bools  # there is a text beside the asking paragraph
    tools: Bools  # tools are offered or called
    users: Ints  # user turns


def look(records: Records) -> Views:
    whole = _taken(records.contents, records.first_user)
    final = _taken(records.contents, records.last_answer)
    prompt = pc.utf8_ltrim_whitespace(pc.utf8_slice_codeunits(whole, 0, BODY))
    first, beside = _first_paragraph(prompt)
    prompt_bytes = _bytes(whole)
    beside += prompt_bytes - _bytes(pc.utf8_slice_codeunits(whole, 0, BODY))
    lower = pc.utf8_lower(prompt)
    opening = pc.utf8_lower(pc.utf8_slice_codeunits(first, 0, ASK))
    # A text first and the question at the end: the question is what asks.
    tail = pc.utf8_lower(pc.utf8_slice_codeunits(pc.utf8_rtrim_whitespace(whole), -TAIL, np.iinfo(np.int32).max))
    asks_last = pc.match_substring_regex(tail, r"(?:\?|？|answer:|is|answer is)$")
    asks_first = pc.match_substring_regex(opening, r"\?|？|^(?:read|use|using|given|answer|based|please|what|wh|how)\b")
    late = np.asarray(asks_last) & ~np.asarray(asks_first) & (beside > 0)
    beside = np.where(late, np.maximum(beside, _bytes(first)), beside)
    opening = pc.if_else(pa.array(late), tail, opening)
    return Views(
        ask=pc.replace_substring_regex(opening, _POLITE, ""),
        opening=opening,
        prompt=lower,
        answer=pc.utf8_lower(pc.utf8_slice_codeunits(final, 0, BODY)),
        answer_raw=pc.utf8_slice_codeunits(final, 0, BODY),
        final=final,
        reasoning_bytes=_bytes(_taken(records.messages.field("reasoning_content"), records.last_answer)),
        prompt_bytes=prompt_bytes,
        answer_bytes=_bytes(final),
        passage=beside >= PASSAGE,
        tools=_tools(records),
        users=records.sums(records.roles == USER),
    )


def _taken(texts: pa.Array, which: Ints) -> pa.LargeStringArray:
    chosen = texts.take(pa.array(which, mask=which < 0))
    return chosen.fill_null("").cast(pa.large_string())


def _bytes(texts: pa.Array) -> Ints:
    return np.asarray(pc.binary_length(texts)).astype(np.int64)


def _first_paragraph(texts: pa.Array) -> tuple[pa.Array, Ints]:
    """Up to the first blank line, and how many bytes come after it."""
    first = pc.list_element(pc.split_pattern_regex(texts, r"\n[ \t\r]*\n", max_splits=1), 0) if len(texts) else texts
    return first, np.maximum(_bytes(texts) - _bytes(first), 0)


def _tools(records: Records) -> Bools:
    offered = np.asarray(records.batch["tools"].is_valid()) & (_bytes(records.batch["tools"].fill_null("")) > 2)
    calls = np.asarray(pc.list_value_length(records.messages.field("tool_calls")).fill_null(0)) > 0
    return offered | (records.sums(calls | (records.roles == TOOL)) > 0)
