"""Rows of the score table for what is to be made or worked out: programs, new texts, talk, reasoning, tools, ideas,
other words."""

from transforms.annotate.tags.rule import CODE_NAME, CODE_THING, MADE, MAKE, Rule

# fmt: off
MADE_OR_DONE = (
    # Programs.
    Rule(
        "coding", 1.2, "ask",
        rf"\b{CODE_NAME}(?:$|[^a-z0-9+#])|代码|编程|编写.*(?:程序|函数|脚本)|ohjelmoi",
    ),
    Rule(
        "coding", 1.8, "ask",
        rf"^(?:.{{0,90}}[,.:] |explain )?(?:how (?:would|do|can|could|to) (?:(?:you|i|we) "
        rf")?)?{MAKE}\b.*\b{CODE_THING}s?\b",
    ),
    Rule(
        "coding", 1.8, "ask",
        rf"^(?:.{{0,90}}[,.:] |explain )?(?:how (?:would|do|can|could|to) (?:(?:you|i|we) "
        rf")?)?{MAKE}\b.*\b{CODE_NAME}(?:$|[^a-z0-9+#])",
    ),
    Rule(
        "coding", 1.6, "ask",
        rf"\b(?:{CODE_NAME} |code |shell )(?:[\w-]+ ){{0,2}}{CODE_THING}s?\b|\b(?:code snippet|source code|"
        rf"syntax error|following code)\b",
    ),
    Rule(
        "coding", 0.8, "ask",
        rf"\b(?:in|using|with) {CODE_NAME}(?:$|[^a-z0-9+#])",
    ),
    Rule(
        "coding", 1.2, "ask",
        rf"{CODE_NAME}.{{0,12}}(?:代码|查询|脚本|函数|程序)|(?:用|使用){CODE_NAME}",
    ),
    Rule(
        "coding", 3.0, "ask",
        rf"^(?:translate|convert|rewrite|port) .{{0,60}}\b(?:code|function|program|script|method|"
        rf"{CODE_NAME}(?:$|[^a-z0-9+#]))",
    ),
    Rule(
        "coding", 2.0, "prompt",
        r"```|\b(?:def \w+\(|#include\b|public (?:static|class)|console\.log|select \* from|select [\w., "
        r"]{1,60} from \w+ (?:where|join|group)|[;{}]\n|\bprint\(|\bint \w+ ?=|\b(?:let|var|const) \w+ ?=|"
        r"<html|<div|import \w+\n|function \w*\(.*\{)",
    ),
    Rule(
        "coding", 2.2, "answer_raw",
        r"```|(?m:^(?:def \w+\(|#include|import [\w.]+;?$|from \w+ import|public (?:static|class)|function "
        r"\w+\(|const \w+ = |class \w+.*[:{]$|SELECT .* FROM |<!DOCTYPE|<html|#!/))",
    ),
    # Something new.
    Rule(
        "creative", 4.2, "ask",
        rf"^(?:[\w ,’\'-]{{0,60}}[ .,:])?(?:write|compose|create|draft|generate|craft|pen|make up|tell me|give "
        rf"me|come up with|invent|prepare|produce|help me with)\b(?: \w+[,'’-]*){{0,5}}? (?:[\w-]+ "
        rf")?{MADE}s?\b",
    ),
    Rule(
        "creative", 2.4, "ask",
        r"^(?:write|compose|draft|imagine|pretend|rhyme|narrate|craft|invent)\b",
    ),
    Rule(
        "creative", 2.0, "ask",
        r"\b(?:imagine (?:you|that|a|being)|pretend|in the style of|from the (?:perspective|point of view) of|"
        r"as if you were|fictional|rhyming|creative)\b",
    ),
    Rule(
        "creative", 3.5, "ask",
        r"\b(?:complete|finish|continue|end) (?:the|this|my) (?:\w+ )?(?:sentence|story|poem|text|paragraph)|"
        r"\b(?:complete|finish|continue) the lyrics|^generate a (?:response|reply)|\boutline into\b|\bcreate "
        r"its description|\bmake up a|\btell me a (?:\w+ )?(?:joke|story)\b",
    ),
    Rule(
        "creative", 4.0, "ask",
        r"(?:[^编填]写|^写|创作|撰写|编一|编个|作一).{0,40}(?:诗|故事|信|文章|心得|申请书|作文|稿|演讲|小说|体会|报告|邮件|文案|发言|计划|一篇|通知|歌|材料)|"
        r"\bkirjoita\b.{0,60}(?:runo|tarina|kirje|sähköposti|essee|laulu|puhe|arvostelu|viesti|tarinaa|"
        r"esittely)|^(?:kirjoita|kuvittele)\b",
    ),
    # The talk itself.
    Rule(
        "dialogue", 3.0, "opening",
        r"^(?:hi|hello|hey|good (?:morning|evening|afternoon)|what is up|what's up|how are you|how's it going|"
        r"thanks|thank you|bye|goodbye|nice to meet|你好|您好|早上好|hei|moi|terve)\b[^a-z]{0,3}(?:there)?[^a-z]{0,3}"
        r"(?:$|\n|how are)|^(?:你好|您好)",
    ),
    Rule(
        "dialogue", 3.2, "ask",
        r"^(?:so,? )?(?:are|were|who|what|did|have|aren't|why|where|when|which|how|do|don't|can|tell me|i "
        r"heard|i think|is) .{0,20}\b(?:are you|you are|made you|built you|created? you|trained? you|"
        r"developed? you|designed? you|your (?:name|creators?|developers?|favou?rite|opinion|feelings?|"
        r"purpose|job|hobb|boss|father|mother|maker|owner|age|model|training|family)|you (?:a |an )?(?:gpt|"
        r"chatgpt|vicuna|human|robot|bot|ai|openai|llama|bard|sentient|conscious|language model|machine|"
        r"person|alive|real)|do you (?:call|have|like|know me|feel|love|use|work|want|remember|dream|eat|"
        r"sleep))\b", given=False,
    ),
    Rule(
        "dialogue", 3.2, "ask",
        r"^(?:are you|who are you|what are you|were you|have you|do you (?:call|have|like|feel|love|use|work|"
        r"want|remember|dream|eat|sleep|think you|get scared)|what do you do|who (?:built|made|created|"
        r"trained|developed|designed|owns|programmed) you|what(?:'s| is) your|where are you|how old are you|"
        r"who is your)\b|\b(?:about (?:you|yourself)|taught you)\b[^a-z]*$|\b(?:describe|introduce) "
        r"yourself\b|你是谁|^你(?:的|为什么|有|是|会|叫|如何处理)|"
        r"(?:制作|开发|创造|训练|创建)了?你|kuka sinä|oletko sinä", given=False,
    ),
    Rule(
        "dialogue", 1.5, "ask",
        r"\b(?:language game|role[- ]?play|chat with me|let's (?:talk|chat|play)|act as|you are (?:a|an|my) "
        r"[\w ]+ (?:and|who|that))\b",
    ),
    # To be worked out.
    Rule(
        "reasoning", 6.0, "opening",
        r"^\W*-?\d[\d.,]*\s*[-+*/x×÷^%]\s*\d[\d.,\s+*/x×÷()=-]*\??\s*$",
    ),
    Rule(
        "reasoning", 3.2, "opening",
        r"\d[^\d\n][^\n]*\d[^\n]*(?:how (?:many|much|far|long|old|fast|tall|big)|what (?:is|was|are|were|will|"
        r"percent\w*|fraction|number)|find|calculate|determine|compute|at what|by what|in what)\b",
    ),
    Rule(
        "reasoning", 2.4, "ask",
        r"\b(?:calculate|compute|solve|prove|deduce|derive|evaluate|simplify the expression|equation|puzzle|"
        r"riddle|syllogism|logical(?:ly)?|probability (?:that|of)|step[- ]by[- ]step|how many .{0,60} (?:left|"
        r"altogether|in total|remain)|average of|sum of)\b|计算|求解|证明|推理|laske\b|ratkaise",
    ),
    Rule(
        "reasoning", 1.5, "prompt",
        r"options:\s+(?:\(a\)|- )|\(a\).{1,80}\(b\)|choose the most (?:suitable|appropriate)|step[- ]by[- "
        r"]step",
    ),
    Rule(
        "reasoning", 1.2, "answer",
        r"the (?:final )?answer (?:is|to the question)|therefore,? the|answer: [a-e(\d]",
    ),
    Rule(
        "reasoning", 1.8, "answer",
        r"<<|#### |=\s*[$£€]?\d[\d.,]*\s*[+*/-]\s*\d|\d\s*[+*/×x-]\s*[$£€]?\d[\d.,]*\s*=",
    ),
    Rule(
        "reasoning", 1.6, "answer",
        r"[.!?)]\s.{0,40}the answer is [^.\n]{1,80}\.?\s*$",
    ),
    # Tools described in the text itself; those offered or called in the record's own fields decide at once.
    Rule(
        "tool_use", 9.0, "prompt",
        r"(?:useful for when you|input should be (?:a|in|an|valid|the)|(?:you have )?access to the following "
        r"(?:tools|functions|apis)|enabled \w+ access|available (?:tools|functions|apis):|you can use the "
        r"following (?:tools|functions|apis))",
    ),
    # Ideas and suggestions.
    Rule(
        "brainstorming", 2.6, "ask",
        r"\b(?:ideas?|suggest(?:ions?|ed)?|brainstorm|recommend(?:ations?|ed)?|think (?:up|of)|tips|come up "
        r"with|pros and cons|fun activities|key considerations|things to|hobbies|gift ideas)\b|^(?:what|where|"
        r"which)\b.*\bgood (?:\w+ ){1,3}(?:for|to)\b|(?:给出|提供|给|有什么|有哪些|一些|请|的)[^不]{0,12}建议|"
        r"推荐|点子|ideoita|ehdot|suosit|vinkkejä", given=False,
    ),
    Rule(
        "brainstorming", 2.0, "ask",
        r"\b(?:what are|name|list|give me|are there|provide|share)\b.{0,24}\b(?:some|good|great|fun|different|"
        r"creative|unique|popular|possible|potential|best|terrible|funny|interesting|cool)\b.{0,40}\b(?:ways?|"
        r"things|options|reasons|places|activities|foods?|names|uses|methods|gifts|items|topics|strategies|"
        r"steps|examples|factors|questions|projects?|dishes)\b|\bways (?:to|of|you|i|that|in)\b|^(?:what are "
        r")?(?:some|different) (?:good |fun )?(?:ways|things)\b", given=False,
    ),
    Rule(
        "brainstorming", 0.9, "ask",
        r"^(?:what are (?:some|a few|the best|good)|give me (?:a list|some|\d+|two|three|four|five|six|ten|a "
        r"few)|list (?:some|down|out|\d+|five|ten|of)|make (?:me )?a list|think|suggest|name some|(?:provide|"
        r"create|generate|write) (?:me )?(?:a|an? \w+) list|anna (?:minulle )?|列举|列出)", given=False,
    ),
    Rule(
        "brainstorming", 1.0, "ask",
        r"^(?:what are|give me|list|name|make|provide|some)\b.*\b(?:(?:you|i|we|one) (?:can|could|should|"
        r"might|may)|to try|to use|for my|for a|words (?:that|associated|which)|yourself)\b", given=False,
    ),
    Rule(
        "brainstorming", 1.8, "ask",
        r"^what (?:can|could|should|would|to|else can) (?:i|you|we|one|my \w+)? ?(?:do|eat|wear|cook|bring|"
        r"buy|make|pack|watch|see|visit|use|play)\b|\b(?:what|where) should i (?:do|eat|go|stay|buy|visit|"
        r"cook|wear|watch)\b", given=False,
    ),
    Rule(
        "brainstorming", 1.2, "ask",
        r"\b(?:i should|can i do|would be (?:a )?(?:good|fun|best)|best (?:to|for|places?|way to spend)|is a "
        r"good|one good)\b", given=False,
    ),
    # The same said otherwise.
    Rule(
        "rewriting", 5.0, "ask",
        r"^(?:\w+[ ,]+){0,4}(?:rewrite|re-write|rephrase|paraphrase|reword|proofread|reformat|restate|"
        r"polish)\b|^(?:edit|correct|fix|improve|simplify|shorten|expand|convert|change|transform|turn|"
        r"replace|reorder|rearrange|modify|revise|make) (?:the|this|these|my|each|it|any|"
        r"all)\b.{0,40}\b(?:sentences?|paragraph|text|passage|grammar\w*|spelling|essay|email|letter|tone|"
        r"quote|phrase|words?|statement|story|voice|errors?)\b|改写|润色|^(?:请)?(?:帮我)?(?:修改|改正)|muotoile|korjaa|"
        r"kirjoita uudelleen",
    ),
    Rule(
        "rewriting", 3.0, "ask",
        r"\b(?:more (?:formal|polite|concise|casual|professional)|grammatical(?:ly)? (?:errors?|correct)|"
        r"passive voice|active voice|same meaning|(?:past|present|future|paste) tense|upper ?case|lower ?case|"
        r"paraphrase|rephrase)\b",
    ),
)
# fmt: on
