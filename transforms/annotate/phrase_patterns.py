r"""What the phrase rules look for: RE2 syntax (no look-around, ASCII ``\b``), matched without regard to case.

Each ``Phrase`` has a screen and the pattern itself. Whatever the pattern matches must hold a match of the screen: the
screen reads the whole column, the pattern only what passed. Gaps inside a pattern are bounded: RE2 finds one match in
linear time, but an attempt that stays open to the end of the text would be made anew after each match.
As ``\b`` is ASCII, "ChatGPT是" holds the word ChatGPT.

Sources: open-instruct's ``scripts/data/filtering_and_updates`` (providers, cut-off phrases, special tokens) and
``scripts/data/sft/utils.py`` (names); the rest was written on real answers, and corrected on human ones.
"""

from dataclasses import dataclass

PATTERNS_VERSION = 1
"""Raised with any change here that changes a count; part of what the annotation is cached by."""


@dataclass(frozen=True)
class Phrase:
    """A message's count is the number of non-overlapping matches of ``pattern``, less those of ``spared``.

    It is 0 for a message that does not match ``screen``.
    """

    screen: str
    pattern: str
    spared: str | None = None


def _any(*alternatives: str) -> str:
    return f"(?:{'|'.join(alternatives)})"


# --- The assistant speaks of itself as a model -----------------------------------------------------------------------

_AI = r"(?:AI|A\.I\.|artificial intelligence)"
_THING = r"(?:model|assistant|chat ?bot|bot|system|program|helper|tool|agent)"
_KIND_OF = r"(?:powered |based |driven |large |language )*"
_MADE = r"(?:trained|developed|created|built|designed|made|fine-?tuned|programmed)"
_IN_CLAUSE = r"[^.,!?\n\"“”]{0,100}"  # quotations left out: who speaks there is another
_IN_SENTENCE = r"[^.!?\n\"“”]{0,100}"
# Whom "As an AI, …" is about: an article on the uses "as an AI assistant" goes on in another way.
_THEN_I = r"(?:,? ?\b(?:I|my)\b|, (?:it['’]s|it is|there|we|please))"
_IM = r"(?:^|[^\"'“‘\w] ?)\bI(?: am|['’`]?m)"
# "I am an AI researcher" goes on with another noun, and so does not count.
_WHAT_I_AM = _any(
    rf"{_AI}[ -]{_KIND_OF}{_THING}\b",
    r"(?:large |neural |big )*language model\b",
    r"(?:virtual|digital) assistant\b",
    rf"{_AI}(?: and\b| so\b| that\b| {_MADE}\b|[,;.!)\n]|$)",
)
_ADJECTIVES = r"(?:just |only |simply |merely |still |also )*(?:an?|the|your) (?:[\w-]+,? ){0,3}?"
# Names that no person has: "I am Claude" or "I am Gemini" may be anybody.
_NAMES = _any(
    r"chat ?gpt", r"gpt-?[2345](?:\.5|o)?", r"bing ?chat", r"open ?assistant", r"vicuna", r"qwen", r"ernie bot",
    r"deepseek", r"chatglm", r"stablelm", r"google bard",
)  # fmt: skip
# Makers of models and little else: "I was trained by Google" may be an engineer's.
_MAKERS = _any(
    r"open ?ai", r"anthropic", r"laion", r"(?:researchers (?:from|at) )?large model systems", r"lmsys", r"deepseek",
    r"mistral ai", r"zhipu",
)  # fmt: skip

SELF_IDENTIFICATION = Phrase(
    screen=_any(
        r"\bAI\b", r"\bA\.I\.", "artificial intelligence", "language model", "assistant",
        _NAMES, _MAKERS, "my (?:programming|training data)",
        "人工智[能慧]", "[语語]言模型", "(?:作|身)[为為][^。]{0,4}AI", "智能助手", "聊天机器人", "AI ?助",
        "文心一言", "通义千问",
        "modelo de ", "inteligencia artificial", "inteligência artificial", "asistente", "assistente", "modello ling",
        "intelligenza artificiale", "modèle de lang", "sprachmodell", r"\bKI\b", "künstliche", "kielimalli", "tekoäly",
        "языковая модель", "искусственный интеллект", "言語モデル", "언어 모델", "인공지능",
    ),
    pattern=_any(
        # As an AI language model (LLM), I …
        rf"\bas (?:I am )?(?:an?|your) (?:[\w-]+ ){{0,2}}?(?:{_AI}(?:[ -]{_KIND_OF}{_THING})?|language model)\b"
        rf"(?: ?\([a-z ]+\))?(?: (?:{_MADE}|called|named)\b{_IN_CLAUSE})?{_THEN_I}",
        rf"\bI (?:can(?:not|['’]t)?|do(?:n['’]t| not)|may|might|have"
        rf"|strive){_IN_SENTENCE} as an {_AI} (?:language )?model\b",
        rf"{_IM} {_ADJECTIVES}{_WHAT_I_AM}",
        rf"(?:{_IM}|\b(?:call|refer to) me(?: as)?)(?: [\w-]+){{1,3}}, {_ADJECTIVES}{_WHAT_I_AM}",
        rf"{_IM} (?:not )?(?:called |named )?{_NAMES}\b",
        rf"\bmy name is {_NAMES}\b",
        rf"\bI(?: was|['’]m| am|['’]ve been| have been) {_MADE} (?:and \w+ )?by (?:the )?(?:team at )?{_MAKERS}",
        rf"\bmy (?:creators?|developers?|makers?)(?: at| is| are|,) ?{_MAKERS}",
        rf"{_MAKERS}(?: organi[sz]ation)?(?: \([a-z]+\))? {_MADE} me\b",
        r"\bmy programming (?:does|do|is|allows|prevents|prohibits)\b",
        r"\b(?:based on|according to|from|in|beyond|outside) my training data\b",
        # Chinese
        r"(?:作|身)[为為](?:一[个個名款种種位])?(?:AI|人工智[能慧]|大?型?[语語]言模型)[^。\n，,]{0,12}[，,] ?(?:我|本)",
        r"(?:我(?:只?是|不是|叫|名叫|名为)|这里是)[^。\n！!？?]{0,40}(?:人工智[能慧](?:助手|模型|[语語]言模型|程序|系统)"
        r"|AI ?(?:助手|助理|[语語]言模型|模型)|[语語]言模型|智能助手|聊天机器人|ChatGPT|文心一言|通义千问)",
        r"我(?:是|由)[^。\n！!？?]{0,20}(?:OpenAI|LMSYS|Anthropic|智谱|阿里云|百度)[^。\n！!？?]{0,12}(?:训练|开发"
        r"|创建|打造|研发)",
        # Spanish, Portuguese, Italian, French
        r"\bcomo (?:una? |uma? )?(?:modelo de (?:lenguaje|linguagem)|asistente (?:virtual|de IA)|IA"
        r"|intelig[eê]ncia artificial)\b"
        r"[^.,\n]{0,60}, (?:no|não|yo|eu|mi|me)\b",
        r"\b(?:soy|sou|sono|je suis) (?:solo |só |apenas |juste |seulement )?(?:una?|une|uma?|un|el|o|le) (?:\w+ )?"
        r"(?:modelo de (?:lenguaje|linguagem)|modello linguistico|modèle de lang(?:age|ue)|as+istente (?:virtual|de IA)"
        r"|intelligen[cz]a artificiale|intelligence artificielle|intelig[eê]ncia artificial|IA\b)",
        r"\ben tant qu(?:e |['’])(?:un )?(?:modèle de lang(?:age|ue)|IA\b|intelligence artificielle)",
        # German, Finnish
        r"\bals (?:ein )?(?:KI|künstliche intelligenz|(?:KI-)?sprachmodell)\b[^.\n]{0,30}? ich\b",
        r"\bich bin (?:nur |lediglich )?eine? (?:\w+ )?(?:KI\b|künstliche intelligenz|(?:KI-)?sprachmodell)",
        r"\bolen (?:vain )?(?:\w+ )?(?:tekoälymalli|tekoäly\b|kielimalli)",
        # Russian, Japanese, Korean
        r"(?:^|[^\pL])(?:я —|я -|я|как) (?:всего лишь |просто )?(?:большая )?(?:языковая модель"
        r"|искусственный интеллект)(?:, |\.)",
        r"私は[^。\n]{0,12}(?:言語モデル|AIアシスタント)です|(?:言語モデル|AIアシスタント)として、(?:私|個人)",
        r"저는[^.\n]{0,20}(?:언어 모델|인공지능)|(?:언어 모델|인공지능)(?:로서|으로서)",
    ),
    # A literal of a program: text = "Hello, I am an AI language model!"
    spared=rf"[=(\[,] ?[\"'][^\"'\n]{{0,40}}\bI(?: am|'m) an? (?:[\w-]+ ){{0,3}}?{_WHAT_I_AM}",
)  # fmt: skip

# Tulu 3's list, by mere mention: open-instruct scripts/data/sft/utils.py, should_be_filtered.
PROVIDER_MENTIONS = Phrase(
    screen=r"open ?ai|chat ?gpt|gpt-?[345]|bing ?chat|laion|open ?assistant|anthropic",
    pattern=r"\b(?:open ?ai|chat ?gpt|gpt-?[345](?:\.5)?|bing ?chat|laion|open ?assistant|anthropic)\b",
)

# --- The state of its knowledge --------------------------------------------------------------------------------------

_CUT = r"(?:knowledge |training |data |information )*(?:cut[ -]?off|update|training)\b"
KNOWLEDGE_CUTOFF = Phrase(
    screen=_any(
        "cut[ -]?off", "last (?:knowledge |training )?update",
        r"\bmy (?:last|latest|most recent|knowledge|training|data)\b",
        r"\bI was last\b", r"real[ -]?time", "I (?:only )?have (?:knowledge|information)", r"brows(?:e|ing)\b",
        "截[至止]", "最后一次更新", "知识更新", "实时", "última actualización", "última atualização",
        "dernière mise à jour",
        "letzte[ns]? (?:Update|Aktualisierung)", "wissensstand", "последнего обновления", "知識は", "최신 정보",
    ),
    pattern=_any(
        rf"\b(?:as of|since|up to|until|after|before|at the time of) my (?:own )?(?:last |latest |most recent )?{_CUT}",
        r"\bmy (?:own )?(?:knowledge|training|training data|data|information) (?:base )?"
        r"(?:cut[ -]?off|(?:only )?(?:goes|extends|runs) (?:up )?(?:to|until)|(?:was|is|were) (?:last |only )?"
        r"(?:updated|current|limited|up[ -]to[ -]date|cut off))",
        r"\bmy (?:last|latest|most recent) (?:knowledge |training )?(?:update|cut[ -]?off)\b",
        r"\b(?:as of|with) (?:the|a) (?:knowledge|training(?: data)?) cut[ -]?off\b",
        r"\bI was last (?:updated|trained)\b",
        r"\bI (?:only )?have (?:knowledge|information) (?:only )?(?:up )?(?:to|until)\b",
        r"\bI (?:do not|don['’]t|cannot|can['’]t|am unable to|lack) (?:currently |actually |directly )?(?:have "
        r"|access |"
        r"provide |get |retrieve )*(?:to )?(?:any )?(?:current |live )?(?:or )?real[ -]?time "
        r"(?:information|data|access|news|weather|updates|capabilities|browsing|stock|prices)",
        r"\bI (?:do not|don['’]t|cannot|can['’]t|am unable to|am not able to) (?:have the ability to )?brows(?:e"
        r"|ing) the"
        r" (?:internet|web)\b",
        r"截[至止](?:到|于)?我(?:的|所)?(?:知识|训练|最后|最近|数据)|我的(?:知识|训练数据"
        r"|数据)[^。\n]{0,8}(?:截[至止]|更新)"
        r"|我(?:目前)?(?:无法|不能|没有)[^。，\n]{0,6}实时(?:信息|数据|天气|新闻|网络)",
        r"\bmi última actualización|\bminha última atualização|\bma dernière mise à jour|\bmeine[mrsn]? letzten "
        r"(?:updates?|aktualisierung)|\bmein(?:em|es)? wissensstand|моего последнего обновления"
        r"|私の知識は[^。\n]{0,20}まで",
    ),
)  # fmt: skip

# --- Refusals, at the beginning of an answer -------------------------------------------------------------------------

_SORRY = _any(
    r"(?:I(?: am|['’`]?m)|we(?: are|['’]re)) (?:\w+ ){0,2}?(?:sorry|afraid)", r"sorry", r"my apologies",
    r"(?:I |we )(?:\w+ )?apologi[sz]e", r"apologies", r"I regret", rf"as an? {_IN_CLAUSE}(?:{_AI}|model)",
)  # fmt: skip
_CANNOT = (
    r"\bI(?:['’]m| am)? (?:\w+ ){0,2}?(?:can(?:not|['’]?t| not)|won['’]?t|will not|(?:am )?(?:unable|not (?:able"
    r"|allowed|"
    r"permitted|comfortable|capable|programmed|equipped|designed))|(?:do not|don['’]?t) (?:currently |actually )?have "
    r"(?:the |any )?(?:capability|capabilities|ability|capacity|permission|authori[sz]ation|functionality|access|means)"
    r"|must (?:decline|refuse))"
)
_SERVE = (
    r"\b(?:assist|help (?:you|with)|provid(?:e|ing)|fulfil+|comply|generat(?:e|ing)|creat(?:e|ing)|produce|write|offer|"
    r"support|engag(?:e|ing)|participate|condone|promote|answer|discuss|share|perform(?:ing)?|complete|access"
    r"|brows(?:e|ing)|"
    r"order(?:ing)?|book(?:ing)?|plac(?:e|ing)|execut(?:e|ing)|send(?:ing)?|mak(?:e|ing)|do that|determine|process"
    r"|translate|"
    r"give|tell|respond|schedul(?:e|ing)|set|open|play|search|retrieve|fetch|continue|recommend|reserve|purchas(?:e"
    r"|ing)|buy)\b"
)
REFUSAL = Phrase(
    screen=_any(
        r"\A\W*(?:I|we|sorry|my|as|apologies|unfortunately|regret)\b",
        r"\A[^。\n]{0,24}(?:抱歉|对不起|對不起|不好意思|遗憾|作[为為]|我)",
        r"\A[^\n]{0,6}(?:lo siento|je suis désolé|désolé|es tut mir|tut mir|desculp|sinto muito|mi dispiace|извините|"
        r"простите|к сожалению|申し訳|すみません|죄송|olen pahoillani|valitettavasti|no puedo|não posso|je ne peux)",
    ),
    pattern=_any(
        rf"\A\W*{_SORRY}\b[^.!?\n]*?{_CANNOT}[^.!?\n]*?{_SERVE}",
        # "Unfortunately, I can't answer that: pounds are no unit of length" is an answer
        rf"\A\W*unfortunately\b[^.!?\n]*?{_CANNOT}[^.!?\n]*?\b(?:assist|help (?:you|with)|provide|fulfil+|comply"
        rf"|generate|create|support)\b",
        r"\A\W*I(?: am|['’]m)? (?:\w+ )?(?:can(?:not|['’]?t| not)|won['’]?t|will not|unable to|not able to) (?:\w+ )?"
        r"(?:assist|help (?:you|with)|provide|fulfil+|comply|generate|support|engage|participate|condone|promote"
        r"|discuss)\b",
        r"\A\W*I (?:must|have to) (?:respectfully )?(?:decline|refuse)\b",
        r"\A[^。\n]{0,12}(?:抱歉|对不起|對不起|不好意思|遗憾|作[为為][^。，\n]{0,16})[^。！\n]{0,40}?我?(?:目前|暂时"
        r"|现在)?(?:无法|無法|"
        r"不能|没有办法|没办法|不可以|没有[^。，\n]{0,12}能力)[^。！\n]{0,24}",
        r"\A我(?:们)?(?:目前|暂时|现在)?(?:无法|無法|不能|没办法)(?:为您|为你|向您|给您|帮您|直接)*(?:提供|协助|協助"
        r"|帮|幫|回答|满足|执行|生成|完成|预订|处理)",
        r"\A\W*(?:lo siento|desculp[ea]|sinto muito|mi dispiace|je suis désolée?|désolée?)[^.!?\n]*?\b(?:no puedo"
        r"|não posso|"
        r"não consigo|non posso|je ne (?:peux|suis pas))",
        r"\A\W*(?:es )?tut mir leid[^.!?\n]*?\b(?:kann ich|ich kann)[^.!?\n]*?\b(?:nicht|keine?n?)\b",
        r"\A\W*(?:извините|простите|к сожалению)[^.!?\n]*?я не (?:могу|в состоянии)",
        r"\A\W*(?:申し訳|すみません)[^。\n]*(?:ですが|ません|が)[^\n]{0,60}?(?:できません|お答えできません|かねます)",
        r"\A\W*죄송[^.\n]*(?:없습니다|수 없)",
        r"\A\W*(?:olen pahoillani|valitettavasti)[^.!?\n]*?\b(?:en voi|en pysty)\b",
    ),
)  # fmt: skip

# What turns a refusal into an answer: another way, an offer, the thing itself after all.
OFFER = Phrase(
    screen=".",
    pattern=r"\bbut I(?: can| could| will|['’]ll) |\b(?:however|instead|nevertheless|I (?:can|could|would|will"
    r"|am happy to)"
    r" (?:\w+ )?(?:help|assist|provide|suggest|recommend|tell|offer|give|share|explain|guide)"
    r"|I (?:would )?(?:suggest|recommend)|here (?:is|are)"
    r"|here['’]s|you (?:can|could|may|might) (?:try|use|check|find|consult|contact|also))\b|```|\n\s*(?:[-*•]|\d+[.)]) "
    r"|但(?:是)?我?(?:可以|能|会)|不过|建议|[您你]可以|以下是|\bpero puedo\b|\bmas posso\b|\bmais je peux\b"
    r"|\bstattdessen\b|\bich (?:Ihnen|dir) (?:aber|jedoch)\b|\bно я могу\b",
)

# --- Left-over templates ---------------------------------------------------------------------------------------------

# Quoted or in back-ticks, a token is what the text is about, not a left-over.
_BARE = r"(?:^|[^`\"'“‘\w])"
TEMPLATE_TOKENS = Phrase(
    screen=r"<\||<｜|\[/?INST\]|<</?SYS>>|_of_turn>|</s>|^\s*<s>|<unk>|<pad>|\[(?:PAD|UNK)\]|### ?[IRHAU]|bos_token"
    r"|eos_token",
    pattern=_any(
        rf"{_BARE}<\|(?:[a-z]+|[a-z]+(?:_[a-z]+)+|reserved_special_token_\d+|im_(?:start|end|sep)|fim_\w+)\|>",
        rf"{_BARE}<｜[^｜<>\n]{{1,40}}｜>",
        rf"{_BARE}\[/?INST\]",
        rf"{_BARE}<</?SYS>>",
        rf"{_BARE}<(?:start|end)_of_turn>",
        r"\A\s*<s>(?:\s|$)",
        r"(?:^|[^`\"'“‘])</s>(?:\s*\z|\s*<s>)",
        rf"{_BARE}<(?:unk|pad)>",
        rf"{_BARE}\[(?:PAD|UNK)\](?:\s*\[(?:PAD|UNK)\]|\s*\z)",
        r"(?m:^###? ?(?:Instruction|Response|Human|Assistant|User)s?\s?:)",
        r"\{\{-? ?(?:bos_token|eos_token)\b",
    ),
)
# Both sides of a conversation, labelled, inside one answer: the model went on to speak for the user.
USER_LABELS = Phrase(screen=r"(?:human|user|用户)\s?[:：]", pattern=r"(?m:^[ \t*]*(?:human|user|用户)[ *]?[:：])")
ASSISTANT_LABELS = Phrase(
    screen=r"(?:assistant|AI|助手|chatbot)\s?[:：]",
    pattern=r"(?m:^[ \t*]*(?:(?:AI )?assistant|AI|助手|chatbot)[ *]?[:：])",
)

# --- Answers that are not finished, or point elsewhere ---------------------------------------------------------------

_BLANK = (
    r"(?:your|insert|company|organi[sz]ation|recipient|sender|client|customer|employee|student|manager|name|"
    r"first name|last name|full name|date|address|city|phone|email|e-mail|position|job title|job role|signature"
    r"|website)"
)
FILL_INS = Phrase(
    screen=rf"\[{_BLANK}|"
    r"<(?:insert|your|name of|enter)|\{\{ ?\w+|xxx|xx-xx|xx[年月日]|lorem ipsum|待填写"
    r"|\[(?:请|您的|你的|姓名|日期|公司|单位)",
    # a following "(" or ":" makes it a link, a following "]" or quote code
    pattern=_any(
        rf"\[{_BLANK}(?:['’]s)?(?: [\w'’/,&#-]{{2,}}){{0,6}}\](?:[^(:\[\]=;]|$)",
        r"<(?:insert|your|name of|enter)(?: [\w'’/-]+){1,6}>",
        r"\{\{ ?(?:name|your[ _]\w+|first_?name|last_?name|company(?:_?name)?|date|email|address|city) ?\}\}",
        r"(?-i:\bX{4,}\b|\bX{2,}(?:-X{2,})+|X{2,}[年月日]|[：:] ?XXX\b)",
        r"\blorem ipsum dolor\b",
        r"\[(?:请|您的|你的|姓名|日期|公司|单位)[^\]\n]{0,12}\]|待填写",
    ),
)
URL = Phrase(
    screen=r"https?://|www\.|!\[",
    pattern=r"!\[[^\[\]\n]*\]\([^()\n]*\)|\bhttps?://[^\s<>\"'()\[\]，。；、）】]+|\bwww\.[^\s<>\"'()\[\]，。；、）】]+",
)
POINTERS = Phrase(
    screen=r"\A\W*(?:please )?(?:see|check|refer|look|click|read|visit|follow|as)\b|\A请?(?:参|查|点|见)",
    pattern=_any(
        r"\A\W*(?:please )?(?:see|check|refer to|look at|click(?: on)?|read|visit|follow) (?:the |this "
        r"|that )?(?:link|url|image|"
        r"picture|attachment|attached \w+|website|article|document|answer|explanation)s?(?: (?:above|below|here"
        r"|attached))?\W*\z",
        r"\A\W*(?:please )?(?:see|as|refer to) (?:the )?(?:above|below|attached)\W*\z",
        r"\A请?(?:参考|参见|查看|点击|见)(?:上述|上面|以下|下面|附件)?的?(?:链接|附件|图片|网址|网站)[。.]?\z",
    ),
)
# The user asks for a link, so that an answer which is one is right.
LINK_REQUESTS = Phrase(
    screen=r"\b(?:links?|urls?|web ?sites?|web ?pages?|web|sources?|address|references?|images?|pictures?|logo"
    r"|photos?)\b|网址|网站|链接|图片",
    pattern=r"\b(?:links?|urls?|web ?sites?|web ?pages?|web|sources?|address|references?|images?|pictures?|logo"
    r"|photos?)\b|网址|网站|链接|图片",
)
_SHOWN = (
    r"(?:image|picture|photo|photograph|screenshot|diagram|video|audio (?:file|clip)|spreadsheet|pdf|attached file)"
)
MISSING_ATTACHMENTS = Phrase(
    screen=r"attach|image|picture|photo|screenshot|diagram|video|audio|spreadsheet|pdf|附件|照片|图",
    pattern=_any(
        rf"\bthe (?:attached|above|below|given|provided|uploaded) {_SHOWN}s?\b",
        # not "the following diagram", which encyclopaedias say as well
        r"\bthe following (?:image|picture|photo|photograph|screenshot|video)s?\b",
        rf"\bthis {_SHOWN}\b|\b(?:in|on|at|of) the {_SHOWN}s? (?:above|below|attached|provided|shown)\b",
        rf"\b{_SHOWN} (?:below|above|attached|I (?:have )?(?:attached|uploaded|provided))\b",
        r"\b(?:see|find|I|I['’]ve|I have) attached (?:is |are )?(?:the|a|an|my|this)\b|\battached (?:is|are) (?:the"
        r"|a|an|my)\b",
        r"这[张幅](?:图|照片)|(?:^|[^\p{Han}])[上下]图(?:中|所示|是)|附件[中里]|如图(?:所示|[，,])|截图[中里]",
    ),
)
