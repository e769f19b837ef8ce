"""Small screens on a turn's text: how an answer ends, what gives away a machine or a template, what a prompt lacks.

They lower a score; they drop nothing. Full filters for refusals, templates and languages stand elsewhere.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.annotate.scores.demand import matches
from transforms.annotate.scores.turns import Floats

END, START = 120, 200
"""Characters of an answer that the screens on its end and its start read."""

# --- ending ---
_CLOSED_END = r"""[.!?。！？…;；>)\]}）】」』"'”’`*|~$%/\\0-9]$|\p{So}$"""
_DANGLING = (
    r"(,|，|、|:|：|\(|（|\[| -|–|\b(and|or|the|of|a|an|to|in|with|for|is|are|was|that|but|because|by|from|which"
    r"|such|as"
    r"|your|their|its|if|when|ja|tai|että))$"
)
_CODE = r"```|[;{}]\s*\n|\n(    |\t)\S|\b(def|function|import|return|select|print|echo)\b.*[(;:*]|</[a-z]+>"
_LISTED = r"\n\W{0,3}.{0,70}$"
DANGLING, OPEN = 0.2, 0.75

# --- candour ---
_REFUSAL = (
    r"^.{0,40}\b(sorry|apologi[sz]e|unfortunately)\b.{0,60}\b(can ?not|can't|can’t|unable|not able|don't have"
    r"|do not have"
    r"|won't|not (appropriate|comfortable))\b|^\W*(i('m| am) (not able|unable)|i (can ?not|can't|can’t) (provide"
    r"|assist|help"
    r"|answer|fulfil|comply|generate|create))|^\W*(i (don't|do not|don’t) know|no idea|n/?a\W*$|not sure)"
    r"|抱歉.{0,20}(无法|不能|没有)|^[\s“]*我?(无法|不能)(提供|回答|帮)|^[\s“]*不知道"
)
_SELF = (
    r"\bas an? (ai|artificial intelligence|(large )?language model)\b|\bi('m| am|’m) (just )?an? (ai|artificial"
    r"|(large )?language model|chatbot|virtual assistant)\b|\bmy (knowledge|training) (cut|data)|\bas of my (last"
    r"|knowledge)"
    r"|\bi (do not|don't|don’t) have (personal|feelings|emotions|real-time)|作为(一个|一名)?(ai|人工智能|语言模型"
    r"|大型语言模型)"
    r"|我是(一个|一名)?(ai|人工智能|语言模型)|\btekoälyn?ä\b.{0,30}\b(en|minulla)\b"
)
_LEFT_OVER = (
    r"\{\{ ?[a-z_]+ ?\}\}|\[(insert|your|citation needed)\b|lorem ipsum|<noinput>|<unk>|�"
    r"|&(nbsp|amp|quot|lt);"
)
_FLOURISH = (
    r"\b(i hope (this|that) helps|feel free to (ask|reach|contact)|let me know if (you|there)|happy to help"
    r"|hope this (helps|answers))\b"
    r"|\bis there anything else\b|希望(对你|对您|这).{0,6}(帮助|有用)"
)
# After punctuation only: arr[0] is code.
_PASTED = r"[.,;:”]\[[0-9]{1,3}\]|\bsource: ?https?:|https?://[a-z]+\.wikipedia"
REFUSED, GIVEN_AWAY, LEFT_OVER, PASTED, FLOURISH = 0.1, 0.1, 0.6, 0.85, 0.9

# --- clarity ---
_MISSING = (
    r"\b((the|these|those) (following|above|below|given|provided|attached) (passages?|paragraphs?|text|article"
    r"|excerpt"
    r"|sentences?|list|items|words|code|table|poem|document|email|dialogue|conversation|snippet|function)"
    r"|(this|the) (passage|paragraph|excerpt|snippet)( below| above)?|(article|text|sentence|code) (below|above))\b"
)
_SUM = r"[0-9]\W*[-+*/×÷=]"
_BROUGHT = r"""[:"“”‘’'\n{(<=\[：「《]"""
CLEAR_CHARACTERS = 12
MISSING, SHOUTED = 0.35, 0.5


def ending(answers: pa.LargeStringArray, sizes: Floats) -> Floats:
    """[t]: 1 where an answer comes to an end. Cut off at a comma or at "the" 0.2; a long last line of prose without a
    full stop 0.75, which careful people write too. Short answers, list items and code need no full stop."""
    trimmed = pc.utf8_rtrim_whitespace(answers)
    end = pc.utf8_lower(pc.utf8_slice_codeunits(trimmed, -END))
    code = matches(pc.utf8_lower(pc.utf8_slice_codeunits(trimmed, -4 * END)), _CODE)
    closed = matches(end, _CLOSED_END) | code
    fine = closed | matches(end, _LISTED) | (sizes < 12)
    score = np.where(fine, 1.0, OPEN)
    return np.where(matches(end, _DANGLING) & ~code & (sizes >= 3), DANGLING, score)


def candour(prompts: pa.LargeStringArray, answers: pa.LargeStringArray) -> Floats:
    """[t]: 0.1 for a refusal or a model that speaks of itself, less than 1 for what a template or a page left behind
    and for assistants' flourishes, 1 for an answer that is nothing but an answer. A phrase that the prompt brings is
    quoted, not said."""
    start = pc.utf8_lower(pc.utf8_slice_codeunits(answers, 0, START))
    lower = pc.utf8_lower(answers)
    score = np.ones(len(answers))
    for pattern, value in ((_FLOURISH, FLOURISH), (_PASTED, PASTED), (_LEFT_OVER, LEFT_OVER), (_SELF, GIVEN_AWAY)):
        found = matches(lower, pattern)
        found[found] = ~matches(pc.utf8_lower(prompts.filter(pa.array(found))), pattern)
        score = np.where(found, np.minimum(score, value), score)
    return np.where(matches(start, _REFUSAL), np.minimum(score, REFUSED), score)


def clarity(prompts: pa.LargeStringArray, windows: pa.LargeStringArray) -> Floats:
    """[t]: 1 for a prompt that can be answered. Less below 12 characters (six of Chinese), 0.5 in capitals
    throughout, 0.35 where it speaks of a text that is not there."""
    width = np.asarray(pc.binary_length(prompts)).astype(np.float64)  # three bytes a Chinese character
    score = np.minimum(1.0, 0.4 + 0.6 * width / CLEAR_CHARACTERS)
    sums = matches(windows, _SUM)
    score = np.where(sums, 1.0, score)
    head = pc.utf8_slice_codeunits(prompts, 0, START)
    upper = np.asarray(pc.equal(head, pc.utf8_upper(head))) & np.asarray(pc.not_equal(head, pc.utf8_lower(head)))
    score = np.where(upper & (width >= CLEAR_CHARACTERS), np.minimum(score, SHOUTED), score)
    nothing_there = matches(windows, _MISSING) & ~matches(windows, _BROUGHT) & (width < 160)
    return np.where(nothing_there, np.minimum(score, MISSING), score)
