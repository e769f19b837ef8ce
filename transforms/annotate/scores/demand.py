"""How much an answer owes its prompt: one word to a yes-or-no question, a page to "write an essay".

A length that fits every prompt does not exist: the minimum of web heuristics, 50 words, would drop most of the right
answers of instruction data. So the prompt is asked first. The patterns are English, Chinese and Finnish; a prompt in
another language owes ``PLAIN``.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.annotate.scores.turns import Floats

# In content words that are not in the prompt: counting words would pay for padding, and for saying the prompt again.
CLOSED, CODED, PLAIN, EXPLAINED, WRITTEN = 1.0, 3.0, 5.0, 12.0, 25.0

CONTEXT_SIZE, MATERIAL_SIZE = 45, 12
"""Words of English from which a prompt carries its own material, and from which it does where it has several lines:
the answer is then in the prompt, and may be short or all in the prompt's own words."""

HEAD, TAIL = 300, 200
"""Characters of a prompt that are read: tasks are set at the start or asked at the end, material lies between."""

_CLOSED = (
    r"^\W*(is|are|was|were|do|does|did|has|have|had|am|can|could|will|would|should|who|when|where|which|whose)\b"
    r"|\b(yes or no|yes ?/ ?no|true or false|which (one )?of|choose|select|pick|classify|categori[sz]e|identify"
    r"|complete the"
    r"|how (many|much|old|long|far|tall|often|big|fast)|calculate|compute|solve|convert|extract|translate|fill in"
    r"|correct"
    r"|answer the (following )?question|fix|debug|sort|arrange|rearrange|separate|group|split|order|label|tag"
    r"|highlight|fact[- ]check|tell me (if|whether|which)"
    r"|evaluate|simplify|determine|find|rewrite|rephrase|reword|replace|change the|name (a|an|the|one|two|three|some)"
    r"|(what|which) (year|day|month|time|colou?r|country|city|state|language|number|percent(age)?|word|kind|type)"
    r"|what('s| is| was| are| were) the ([a-z]+ ){0,2}(name|capital|year|date|number|sum|product|answer|result"
    r"|output|value"
    r"|difference between [0-9]|total|average|mean|median|area|volume|price|cost|age|opposite|antonym|synonym|plural"
    r"|largest|biggest|smallest|highest|longest|tallest|best|most|first|last|only))\b"
    r"|options ?:|__|[0-9)] ?[-+*/×÷^=] ?[0-9(?]|= ?\??$|\bor [a-z]+ ?\?"
    r"|吗|是否|哪(个|一|里|儿|国|年)|几(个|年|月|岁)|多少|谁|什么(时候|时间|地方|颜色|语言|名称|名字|类型|版本)|(叫|称为|叫做)什么|翻译|选择|判断|对不对|等于"
    r"|^\W*(onko|voiko|oliko|ovatko|kuka|milloin|missä|mikä|mitkä)\b|\b(kuinka (monta|paljon)|luokittele|tunnista"
    r"|poimi)\b"
)
_REQUEST = r"^\W*(can|could|will|would|do) (you|someone|anyone|i|we)\b"
_WRITTEN = (
    r"\b(write|compose|draft|create|generate|produce|make up|come up with|tell me)\b.{0,80}\b(essay|story|stories"
    r"|article"
    r"|letter|e-?mail|blog|speech|paragraphs?|report|script|lyrics|dialogue|conversation|post|monologue"
    r"|description|guide"
    r"|itinerary|biography)\b|帮我写|写一?(篇|封|段|份)|作文|\bkirjoita\b.{0,60}\b(essee|tarina|kirje|artikkeli)"
)
_CODED = (
    r"\b(code|function|script|program|query|sql|python|javascript|java|c\+\+|php|ruby|html|css|bash|shell|regex"
    r"|command"
    r"|regular expression|method|class|algorithm|one-liner|equation|formula)\b|代码|函数"
)
_EXPLAINED = (
    r"\b(explain|describe|discuss|elaborate|compare|contrast|why|how (do|does|to|can|could|would|should|did|is|are)"
    r"|pros and cons|tips|advice|steps|suggest|recommend|brainstorm|outline|ideas|reasons|ways|write)\b"
    r"|解释|说明|如何|怎么|怎样|为什么|介绍|简述|区别|建议|\b(selitä|kuvaile|miksi|miten|vinkkejä)\b"
)


def window(prompts: pa.LargeStringArray) -> pa.LargeStringArray:
    """[t] lower case, white space as it is: the whole of a short prompt, head and tail of a long one."""
    short = np.asarray(pc.less_equal(pc.utf8_length(prompts), HEAD + TAIL))
    head, tail = pc.utf8_slice_codeunits(prompts, 0, HEAD), pc.utf8_slice_codeunits(prompts, -TAIL)
    cut = pc.binary_join_element_wise(head, tail, pa.scalar("\n", pa.large_string()))
    return pc.utf8_lower(pc.if_else(pa.array(short), pc.utf8_slice_codeunits(prompts, 0, HEAD + TAIL), cut))


def demand(windows: pa.LargeStringArray, sizes: Floats) -> Floats:
    """Content words [t] that an answer owes; ``sizes`` are the prompts' in words of English."""
    request = matches(windows, _REQUEST)
    closed = matches(windows, _CLOSED) & ~request
    written, explained, coded = (matches(windows, one) for one in (_WRITTEN, _EXPLAINED, _CODED))
    several_lines = matches(windows, r"\S\s*\n\s*\S")
    material = (sizes >= CONTEXT_SIZE) | several_lines & (sizes >= MATERIAL_SIZE) & ~explained
    owed = np.where(explained, EXPLAINED, PLAIN)
    for kind, most in ((coded, CODED), (closed, CLOSED)):
        owed = np.where(kind, np.minimum(owed, most), owed)
    return np.where(material, CLOSED, np.where(written & ~coded, WRITTEN, owed))


def matches(texts: pa.LargeStringArray, pattern: str) -> np.ndarray:
    """[t] bool, by Arrow's engine, which takes time in proportion to the text whatever it holds."""
    return np.array(pc.match_substring_regex(texts, pattern))
