"""Rows of the score table for what is asked about a subject or a text: questions, answers from a passage, summaries,
translations, classes, extracts."""

from transforms.annotate.tags.rule import LANGUAGE, TEXT, Rule

# fmt: off
GIVEN = (
    # A question is a question until something says more.
    Rule(
        "question_answering", 1.0, "opening",
        r"\S",
    ),
    Rule(
        "question_answering", 0.5, "ask",
        r"\?|？|^(?:what|who|whom|whose|when|where|why|how|which|is|are|was|were|do|does|did|can|could|should|"
        r"will|would|"
        r"has|have|explain|describe|define|tell me|wh)\b",
    ),
    Rule(
        "question_answering", 0.5, "ask",
        r"什么|如何|怎么|怎样|为什么|为何|哪|吗|多少|请解释|介绍|是谁|几",
    ),
    Rule(
        "question_answering", 0.5, "ask",
        r"^(?:mikä|mitä|mitkä|kuka|ketkä|keitä|missä|milloin|miksi|miten|kuinka|kerro)\b|^\w+k[oö] ",
    ),
    # A question about a text that is given.
    Rule(
        "closed_question_answering", 1.4, "ask",
        r"\S", given=True,
    ),
    Rule(
        "closed_question_answering", 1.4, "ask",
        r"\?|？|^(?:wha?t?|who|when|where|why|how|which|is|are|was|were|do|does|did|can|answer)\b|\btell me\b|"
        r"\b(?:what|who|when|where|which|how)(?:'s)? (?:is|are|was|were|did|does|many|much|the|a)\b|^\w+k[oö] "
        r"|(?:什么|哪|谁|多少)|^(?:mikä|mitä|kuka|missä|milloin)\b", given=True,
    ),
    Rule(
        "closed_question_answering", 0.8, "prompt",
        rf"(?:given|based on|according to|from|using|use|read|about|in|considering|above|following|reference) "
        rf"(?:\w+ ){{0,4}}{TEXT}\b|"
        r"根据|下面|以下|perusteella|alla oleva|tekstistä|kappale", given=True,
    ),
    Rule(
        "closed_question_answering", 1.4, "prompt",
        r"\b(?:passage|paragraph|background|situation|context) ?:|\b(?:the fact that|assuming that|i can use "
        r"this background|new situation)\b", given=True,
    ),
    # Shorter than what is given.
    Rule(
        "summarisation", 4.5, "ask",
        r"^(?:\w+[ ,]+){0,8}summari[sz]e\b|\b(?:summari[sz]e (?:the|this|what|in|for|below|following|how|why|"
        r"all|it)|tl;?dr|condense)\b|"
        r"\b(?:give|write|provide|create|make|what is|what's|share|produce|need|generate|offer|prepare|"
        r"want)\b.{0,40}\b(?:summary|synopsis|overview|gist)\b|"
        r"总结|概括|概述|摘要|tiivist|yhteenveto",
    ),
    Rule(
        "summarisation", 3.5, "ask",
        r"\b(?:single[- ]sentence|one[- ]sentence|in (?:one|two|three|a few|1|2|3) (?:short )?sentences?|main "
        r"(?:points?|idea)|key (?:points?|takeaways|details|facts)|some (?:points|details|facts|information)|"
        r"bullet points? (?:about|of|summar)|without quoting)\b", given=True,
    ),
    Rule(
        "summarisation", 3.2, "ask",
        r"^(?:tell me (?:something |more |a bit )?about|describe (?:the|this|in)|explain (?:the|this|in)|"
        r"kerro minulle (?:jotain )?\w+sta|kuvaile)\b", given=True,
    ),
    Rule(
        "summarisation", 3.0, "opening",
        r"\bsummar(?:y|i[sz]e|i[sz]ation)\b.{0,40}$", given=True,
    ),
    # Another language.
    Rule(
        "translation", 6.0, "ask",
        rf"\b(?:translate|translation of)\b.*\b(?:{LANGUAGE}|language|sentence|text|phrase|word)\b|^translate "
        rf"(?:the|this|these|that|from|into|to (?:[a-z]+:)|it|following|each|my|[\"'“])|^.{0,8}翻译[^器块函]|翻译(?:成|"
        rf"为|下|一下|以下)|译成|译为|käännä|suomenna",
    ),
    Rule(
        "translation", 3.0, "ask",
        rf"\b(?:how do (?:you|i) say|say|what is .{{1,40}}) in {LANGUAGE}(?:\?|$)|的英文|英语怎么说",
    ),
    # Given things into given classes.
    Rule(
        "classification", 5.0, "ask",
        r"^(?:\w+[ ,:]+){0,6}(?:(?:classify|categori[sz]e|group|label|assign)\b.{0,80}\b(?:each|the|these|"
        r"those|this|following|below|as|into|by|based|according|whether|which|between|from|items?|all)\b|"
        r"(?:sort|split|divide|separate) .{0,80}\b(?:into|as either|as being|based on|by whether)\b)",
    ),
    Rule(
        "classification", 3.0, "ask",
        r"\b(?:classify|categori[sz]e|identify (?:which|whether|if|the following)|pick out which|(?:the|what|"
        r"which) category (?:for|of)|odd (?:one|word|man) out)\b|^.{0,6}(?:分类|归类)|将.{0,40}(?:分类|归类)|luokit",
    ),
    Rule(
        "classification", 2.8, "ask",
        r"\b(?:which|what|tell me|are) (?:one |ones |if )?(?:of |any of )?(?:the (?:following|below|given)|"
        r"these|those|this list)\b|\bfrom the (?:following|given|below) (?:list|items|options)|下列|以下哪|"
        r"(?:mitkä|mikä|ovatko) (?:näistä|seuraavista|nämä)", given=False,
    ),
    Rule(
        "classification", 3.6, "ask",
        r"^(?:.{0,80}[.,] )?(?:tell(?: me)?|detect|predict|decide|determine|check|judge|say|state|you need to "
        r"(?:detect|tell|decide)) (?:if|whether)\b|^predict the (?:sentiment|intent|topic|category|label)|"
        r"^(?:choose|pick) (?:a|the) (?:topic|category|label)\b|\b(?:one of the following categories|yes or "
        r"no\b|output (?:yes|true|positive))",
    ),
    Rule(
        "classification", 3.0, "ask",
        r"^tunnista\b", given=False,
    ),
    Rule(
        "classification", 3.2, "ask",
        r"\b(?:tell me|say|state|identify|choose|decide|specify|indicate|predict|guess|determine|figure out|"
        r"kerro)\b.{0,30}\b(?:whether|if|which|in which|as (?:either|being)|ovatko|mitkä)\b.{5,}\b(?:or|are|"
        r"is|were|tai|of)\b", given=False,
    ),
    Rule(
        "classification", 1.6, "ask",
        r"[^,:\n]+[:?.-] ?[^,:\n]{1,40}, ?[^,:\n]{1,40},(?:[^,:\n]{1,40},)* ?(?:and |or |ja |tai "
        r")?[^,:\n]{1,40}$", given=False,
    ),
    Rule(
        "classification", 2.2, "ask",
        r"^(?:which|what|is|mikä|kumpi) (?:is|are|of|one|a|an|on|\w+ is)\b[^?:]{0,80}[?:] ?\w[\w' -]*(?: or | "
        r"tai |, ?)\w[\w', -]*\??$", given=False,
    ),
    Rule(
        "classification", 3.8, "prompt",
        r"\b(?:true or false|positive or negative|factual statement|verifiable fact|(?:following|above) (?:a |"
        r"statement |claim |be )|sentiment of|the sentiment|spam or|toxic or|claim:|part[- ]of[- ]speech|pos "
        r"tags?|real or fake|correct or incorrect|(?:statement|claim|sentence) (?:above |below )?(?:is "
        r")?(?:true|correct|factual))\b",
    ),
    Rule(
        "classification", 3.0, "prompt",
        r"\b(?:sentence|statement|claim)s? (?:make sense|plausible|possible|reasonable|believable)\b",
    ),
    Rule(
        "classification", 1.8, "prompt",
        r"options:\s+- (?:yes|no)\s+- (?:yes|no)",
    ),
    # Pieces taken out of what is given.
    Rule(
        "extraction", 5.0, "ask",
        r"^(?:.{0,90}[ ,:.])?extract(?:ing|ed)?\b|提取|抽取|找出|\bpoimi\b|^etsi|^tunnista tekstistä",
    ),
    Rule(
        "extraction", 3.3, "ask",
        r"^(?:(?:create|make|compile|generate) (?:me )?an?\b.{0,30}\blist|list|name|find|note|pick|identify|"
        r"mention|get|collect|locate|enumerate|luettele|nimeä|listaa|please list|jot|write down|display|"
        r"provide|give)\b", given=True,
    ),
    Rule(
        "extraction", 2.8, "ask",
        rf"\b(?:from|in|using|based on|given|of|per|with) (?:\w+ ){{0,3}}{TEXT}\b.{{0,60}}\b(?:list|mention|"
        rf"note|find|name|identify|give|provide|write|get|pick|fetch|select)\b", given=True,
    ),
    Rule(
        "extraction", 1.2, "opening",
        r"\b(?:separated?(?: them)? (?:by|with|using)|bullet(?:s|ed)?|comma|semi-?colon|in the format|"
        r"numbered list|new line|each line)\b", given=True,
    ),
    Rule(
        "extraction", 3.2, "ask",
        r"\b(?:find|identify|pick out|highlight|locate|return|list|output) (?:all |any |every |out )?(?:the |"
        r"of the )?(?:\w+ ){0,4}(?:in|from|mentioned in|of) (?:the|this|that|each|a given|given) (?:following "
        r")?(?:sentence|text|passage|paragraph|email|document|article|string)",
    ),
)
# fmt: on
