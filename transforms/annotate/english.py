"""The English that ``verb_noun`` knows: verbs people give instructions with, function words, phrases, base forms."""

import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _table(text: str) -> dict[str, str]:
    return dict(pair.split(":") for pair in text.split())


VERBS = _words("""
    abbreviate abolish abstract accelerate accept access accomplish account achieve acknowledge acquire act
    activate adapt add address adjust administer admit adopt advertise advise advocate affect afford aggregate
    agree aid aim alert align allocate allow alphabetize alter amend amplify analyse analyze animate annotate
    announce answer anticipate apologise apologize appear append apply appoint appraise appreciate approach
    approve approximate argue arrange articulate ascertain ask assemble assess assign assist associate assume
    assure attach attack attempt attend attract attribute audit author automate average avoid award back bake
    balance ban base become begin believe belong benchmark bind block blog book boost borrow bounce brainstorm
    break breathe brief bring browse brush budget build bullet burn buy calculate calibrate call cancel
    capitalize caption capture care carry cast catch categorise categorize cause celebrate centre challenge
    change characterise characterize charge chart chat check choose cite claim clarify classify clean clear
    click climb clone close cluster coach code collaborate collate collect color colour combine come comment
    commit communicate compare compile complete compliment comply compose compress comprise compute concatenate
    conceive conclude condense conduct configure confirm connect consider consist consolidate construct consult
    consume contact contain contextualize continue contrast contribute control convert convey convince cook
    coordinate copy correct correlate cost count counter cover craft create criticise criticize critique crop
    cross cry cultivate curate cure cut deal debate debug decide decipher declare decline decode decompose
    decorate decrease decrypt dedicate deduce deduplicate defend define delegate delete deliver demonstrate deny
    depend depict deploy derive describe design detail detect determine develop devise diagnose diagram dictate
    die differ differentiate digest direct disable disagree discard disclose discover discuss dismiss display
    dispute dissect distinguish distribute divide do document double download draft draw dream dress drink drive
    drop dump duplicate earn eat edit educate elaborate elect eliminate elucidate embed emphasise emphasize
    employ empower emulate enable encode encourage encrypt end enforce engage enhance enjoy enlarge enlist
    ensure enter entertain enumerate envision equip erase escape establish estimate evaluate examine exchange
    exclude execute exemplify exercise exist exit expand expect explain exploit explore export expose express
    extend extract fabricate face facilitate factor factorize fail fall feed feel fetch fight figure file fill
    filter finalize find finish fire fit fix flag flip float fly focus fold follow forecast forget form format
    formulate found frame free fulfil fulfill function gather generalize generate get give go govern grab grade
    grant graph greet group grow guarantee guess guide handle happen harmonize hash have hear help hide
    highlight hire hold host hunt hurt hypothesize identify ignore illustrate imagine imitate implement imply
    import improve improvise include incorporate increase indicate infer inform initialize initiate inject
    innovate insert inspect inspire install instantiate instruct integrate interact interpret interview
    introduce invent inverse invert invest investigate invite involve isolate itemize iterate join joke judge
    justify keep kill knit know label laugh launch lay lead learn leave lend let leverage lift limit link list
    listen live load locate lock log look lose love lower maintain make manage manipulate map mark market match
    matter maximize mean measure meet memorize mention merge message migrate mimic minimize mix model moderate
    modify monitor motivate move multiply name narrate navigate need negate negotiate nominate normalise
    normalize note notice notify number obtain occur offer omit open operate optimise optimize order organise
    organize outline output overcome overload override own pack paint pair paraphrase park parse participate
    pass paste pay perform permute persuade phrase pick pitch place plan plant play plot point polish ponder
    portray pose position post practice practise praise pray predict prefer prepare prescribe present preserve
    press pretend prevent print prioritise prioritize probe proceed process procure produce profile program
    project promise promote prompt pronounce proofread propose protect prove provide publish pull punctuate
    purchase push put qualify quantify query question quote raise randomize rank rate rationalize reach react
    read realise realize rearrange reason rebuild rebut recall receive recite recognise recognize recommend
    reconcile reconstruct record recount rectify recycle redesign reduce refactor refer reference refine reflect
    reformat reformulate refresh refute register reimagine reject relate relax release remain remember remind
    remove rename render reorder reorganize repair repeat rephrase replace replicate reply report represent
    request require research reserve reset resize resolve respond restate restore restructure result resume
    retell retrieve return reveal reverse review revise reword rewrite rhyme ride rise roast role-play roleplay
    rotate round route run sample save say scale scan schedule score scrape search secure see seem segment segregate
    select sell send separate sequence serve set shape share shift shine shoot shop shorten show shuffle sign
    simplify simulate sing sit sketch skip sleep slice smell smile solve sort sound speak specify speculate
    spell spend split stack stand standardize start state stay stop store strengthen structure study style
    submit subtract succeed suggest suit sum summarise summarize supply support suppose surprise survey survive
    swap swim switch symbolize synthesize tabulate tackle tag take talk target taste teach tell test thank think
    throw title toggle tokenize total touch trace track trade train transcribe transform translate transpose
    travel treat trim troubleshoot truncate try turn tutor tweet type uncover underline understand undo unify
    uninstall unite unpack update upgrade upload use utilize validate value vectorize verify view visit
    visualise visualize volunteer vote wait walk want warn wash watch wear weigh win wish withdraw wonder work
    wrap write
    """)
"""Base forms: the verbs that begin instructions in Self-Instruct, Dolly, FLAN and their like."""
IRREGULAR = _table("""
    am:be is:be are:be was:be were:be been:be 's:be has:have had:have having:have does:do did:do done:do
    doing:do went:go gone:go goes:go made:make making:make gave:give given:give giving:give took:take taken:take
    taking:take wrote:write written:write writing:write got:get gotten:get getting:get found:find told:tell
    said:say knew:know known:know thought:think bought:buy brought:bring built:build began:begin begun:begin
    became:become chose:choose chosen:choose came:come coming:come cut:cut drew:draw drawn:draw drove:drive
    driven:drive ate:eat eaten:eat fell:fall felt:feel fought:fight forgot:forget grew:grow grown:grow
    heard:hear held:hold kept:keep led:lead left:leave lost:lose meant:mean met:meet paid:pay ran:run
    running:run read:read saw:see seen:see sold:sell sent:send set:set shown:show sang:sing sat:sit slept:sleep
    spoke:speak spoken:speak spent:spend stood:stand swam:swim taught:teach thrown:throw threw:throw
    understood:understand woke:wake wore:wear won:win using:use used:use
    """)
QUESTION = _words("""
    how what when where which who whom whose why
    """)
AUXILIARIES = _words("""
    's am are aren't be been can can't could couldn't did didn't do does doesn't don't had has hasn't have
    haven't is isn't may might must shall should shouldn't was wasn't were weren't will won't would wouldn't
    """)
PRONOUNS = _words("""
    everyone he him i it me one she someone that them there these they this those us we you
    """)
DETERMINERS = _words("""
    a above all also an another any below both different each eight either enough every few fewer first five
    following four given half her his hundred its just last least less many more most much multiple my neither
    new next nine no one only other our own quite really same second seven several six some such ten that the
    their these third this those three too twelve twenty two various very what which whose your
    """)
PREPOSITIONS = _words("""
    about above across after against along among amongst around as at before behind below beneath beside between
    beyond by concerning despite down during except for from in inside into like near of off on onto out outside
    over per regarding since through throughout till to toward towards under underneath until up upon versus via
    vs vs. with within without
    """)
STOPS = (
    PREPOSITIONS
    | AUXILIARIES
    | QUESTION
    | _words("""
    according and based because being but called considering consisting containing describing discussing ending
    explaining following given having he i if including involving it named nor not or please she showing so
    starting than that then there they titled using we whereas while you
    """)
)
"""No noun phrase goes on behind one of them."""
ADVERBS = _words("""
    again alphabetically away back best better correctly e.g either etc ever forever here i.e instead less more
    most now online please there today together tomorrow tonight too well yesterday yet
    """)
INDIRECT = _words("""
    her him it me myself them themselves us you yourself
    """)
PARTICLES = _words("""
    away back down in off on out over up
    """)
PARTICIPLES = _words("""
    bought built done drawn found given held known made seen set shown sold taken used won written
    """)
PREDICATES = _words("""
    accurate bad better correct false good important incorrect possible real right true wrong
    """)
KNOWN = DETERMINERS | _words("""
    a an and are as be by can does for from how i in is it me my of on or that the this to what which with you
    your
    """)
"""A sentence of more than four words without one of them is hardly English."""
PLURALS = _table("""
    people:person men:man women:woman children:child mice:mouse feet:foot teeth:tooth lives:life wives:wife
    knives:knife leaves:leaf halves:half selves:self shelves:shelf wolves:wolf thieves:thief analyses:analysis
    theses:thesis hypotheses:hypothesis crises:crisis criteria:criterion phenomena:phenomenon indices:index
    matrices:matrix vertices:vertex series:series species:species news:news lens:lens physics:physics
    mathematics:mathematics economics:economics politics:politics ethics:ethics gas:gas bus:bus has:has
    lyrics:lyrics movies:movie cookies:cookie zombies:zombie calories:calorie pros:pro axes:axe data:data
    media:media shoes:shoe heroes:hero potatoes:potato tomatoes:tomato echoes:echo always:always perhaps:perhaps
    sports:sport thanks:thank canvas:canvas atlas:atlas alias:alias bias:bias christmas:christmas texas:texas
    caches:cache headaches:headache niches:niche houses:house horses:horse phrases:phrase cases:case
    databases:database courses:course purposes:purpose responses:response sentences:sentence uses:use
    causes:cause clauses:clause diseases:disease exercises:exercise expenses:expense licenses:license
    noises:noise nurses:nurse promises:promise roses:rose senses:sense universes:universe verses:verse
    vases:vase bases:base releases:release increases:increase decreases:decrease purchases:purchase
    enterprises:enterprise franchises:franchise sizes:size prizes:prize
    """)

END = re.compile(r"(?<=[.!?])(?<![ .][A-Z]\.)(?<!Mr\.)(?<!Dr\.)(?<!vs\.)(?<!e\.g\.)[\"'”’)]*\s+|\n+")
LABEL = re.compile(
    r"\s*(?:[#*>\-\s\"“]|\d+[.)])*\s*(?:(?:question|q|instructions?|task|user|human|prompt|problem|input)\s*\d*\s*[:.]\W*)?",
    re.I,
)
WORD = re.compile(r"'s\b|[a-z]+(?:['’.-][a-z]+)*(?:\+\+|#)?|\d[\d,.]*|[^\s\w]|\S", re.I)
POLITE = re.compile(
    r"(?:(?:hi|hello|hey|ok|okay|now|so|then|well|also|first|next|finally|please|kindly|just|simply|briefly|pls|plz|sure|"
    r"thanks|hey there|assistant|chatgpt|in \d+ words|step by step)\b[\s,!.]*"
    r"|(?:can|could|would|will) (?:you|u|we|someone|anyone|anybody)(?: please| kindly| help (?:me|us)(?: to)?| "
    r"also| try to| be able to)*\s"
    r"|(?:i|we)(?: want| need| would like| 'd like|'d like|’d like) (?:you )?to\b\s*(?:please )?"
    r"|(?:i am|i'm|i’m|we are) (?:trying|looking|going|planning|hoping) to\s"
    r"|(?:your (?:task|job|goal|role|mission)|the (?:task|goal)) (?:is|will be) to\s"
    r"|you (?:need|have|are (?:asked|required|going|supposed|tasked with)|must|should|will|will be asked)(?: to)?\s"
    r"|(?:let's|let’s|let us|lets)\s|help (?:me|us)(?: to)?\s|go ahead and\s|try to\s|be sure to\s|in this task,?\s"
    r"|(?:can|could|may|might) (?:i|we) (?=(?:get|have|order|see|buy|please)\b)|yes ?(?:/|or) ?no\b[\s,:]*"
    r"|do you know\s|(?:can|could) you tell me\s(?=wh|how)|i (?:wonder|was wondering),?\s)+",
    re.I,
)
OF = ("think", "dream", "speak", "talk", "come")
TASK = re.compile(r"\byour (?:task|job|goal|role) (?:here )?is to ", re.I)
WISH = re.compile(
    r"(?:(?:hi|hello|hey)\b[ ,!.]*)?(?:i|we)(?:'d| would)? (?:want|need|like|'ll have|'ll take)\s|i'll (?:have|take)\s",
    re.I,
)
PASSED = re.compile(
    r"(?:you are|you're|you’re|i am|i'm|i’m|my name is|act as|hi|hello|hey|good (?:morning|evening))\b", re.I
)
CLAUSE = re.compile(
    r"(?:given|in|for|from|using|based|according|if|as|with|when|after|before|considering|to|by|among|between|at|on|of|"
    r"during|assuming|imagine|suppose|taking|without|like|once|while|under|here|below)\b",
    re.I,
)


def lemma(word: str) -> str:
    """Base form of a verb: by the table of irregular ones, else by its ending if that gives a verb of the list."""
    if word in IRREGULAR:
        return IRREGULAR[word]
    if word in VERBS:
        return word
    for ending in ("ies", "ied", "ing", "es", "ed", "s", "d"):
        if word.endswith(ending):
            stem = word[: -len(ending)]
            doubled = stem[:-1] if len(stem) > 2 and stem[-1:] == stem[-2:-1] else stem
            for base in (stem, f"{stem}e", f"{stem}y", doubled):
                if base in VERBS:
                    return base
    return word


def singular(noun: str) -> str:
    """Singular of a noun, by a table and by its ending."""
    if noun.endswith("oes"):
        return noun[:-1] if noun.endswith("shoes") else noun[:-2]
    if noun in PLURALS:
        return PLURALS[noun]
    if noun.endswith("ies") and len(noun) > 4:
        return f"{noun[:-3]}y"
    if noun.endswith(("sses", "shes", "ches", "xes", "zzes")):
        return noun[:-2]
    if noun.endswith("s") and len(noun) > 3 and not noun.endswith(("ss", "us", "is")):
        return noun[:-1]
    return noun
