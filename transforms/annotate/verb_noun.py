"""What an instruction asks for, as a pair: the verb and its object ("write", "story"), or the question and its head.

Self-Instruct (Wang et al. 2022) drew the diversity of its data this way, with a constituency parser. Here are rules
that a reader can follow, for English, without a model:

1. The first sentence of the first user turn is read; greetings and sentences about who somebody is ("You are a poet.")
   are passed over. Where it holds no instruction and no question, the text's last sentence is read, then its last
   question.
2. Labels ("Question:") and politeness ("Can you please", "I want you to") are skipped; so is a leading clause up to its
   comma ("Given the text below, extract …").
3. A verb of the list in first place is the verb. Its object is the head of the noun phrase after it: determiners and
   numbers are skipped, and the head is the last word before a preposition, an auxiliary or punctuation. "me" in "tell
   me" is no object; without a direct object that of the first preposition counts ("talk about dogs"); an indirect
   question gives its question word ("explain", "why").
4. A question gives its question word ("how many") and the noun it asks for, or the head of its subject; after "do" or
   a modal, the verb ("how do I knit": "how", "knit"). Yes-no questions begin with their auxiliary's lemma.

Everything else is None: other languages, statements, data without a question.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from transforms.annotate import english
from transforms.annotate.embedding.vectors import chosen_texts
from transforms.annotate.english import (
    ADVERBS,
    AUXILIARIES,
    DETERMINERS,
    INDIRECT,
    KNOWN,
    PARTICIPLES,
    PARTICLES,
    PREDICATES,
    PREPOSITIONS,
    PRONOUNS,
    QUESTION,
    STOPS,
    VERBS,
    lemma,
    singular,
)
from transforms.records import Records

Pair = tuple[str, str]

SCHEMA = pa.schema([("verb_noun", pa.uint64())])
_NO_NOUN = STOPS | VERBS | DETERMINERS
_ARTICLES = ("the", "a", "an")
_STANDING = ("following", "one", "each", "this", "these", "those", "above", "below")  # may stand alone: "sort these"
HEAD, TAIL = 600, 400
"""Characters read at the beginning and at the end of a text."""


def verb_noun(text: str) -> Pair | None:
    """The readable pair of an instruction, both in lower case and in their base form."""
    head, tail = (text[:HEAD], text[-TAIL:]) if len(text) > HEAD + TAIL else (text, text)
    sentences = [part for part in english.END.split(head) if part.strip()]
    for sentence in sentences[:3]:
        if found := _sentence(sentence):
            return found
        if not english.PASSED.match(sentence.lstrip()):
            break
    last = [part for part in english.END.split(tail) if part.strip()]
    if last and (found := _sentence(last[-1])):
        return found
    for sentence in reversed(sentences if len(text) <= HEAD + TAIL else sentences + last):
        if sentence.endswith("?") and (found := _sentence(sentence)):
            return found
    return None


def key(pair: Pair) -> int:
    """The number that stands for a pair in the column."""
    return xxhash.xxh3_64_intdigest("\0".join(pair).encode())


@dataclass(frozen=True)
class VerbNoun:
    """The annotation: ``verb_noun``, ``key`` of the pair, null where there is none."""

    name = "verb_noun"
    schema = SCHEMA

    def identity(self) -> dict[str, Any]:
        return {"version": 1}

    def __call__(self, records: Records) -> pa.RecordBatch:
        pairs = verb_nouns(chosen_texts(records, "prompt"))
        known = {pair: key(pair) for pair in set(pairs) if pair}
        keys = np.array([known[pair] if pair else 0 for pair in pairs], np.uint64)
        absent = np.array([pair is None for pair in pairs], np.bool_)
        return pa.RecordBatch.from_arrays([pa.array(keys, mask=absent)], schema=SCHEMA)


def verb_nouns(texts: pa.Array) -> list[Pair | None]:
    """``verb_noun`` of a column, nulls as no text."""
    head = pc.utf8_slice_codeunits(texts, 0, HEAD)
    tail = pc.utf8_slice_codeunits(texts, -TAIL, None)
    long = np.asarray(pc.greater(pc.utf8_length(texts), HEAD + TAIL).fill_null(False))
    middle = pc.utf8_slice_codeunits(texts, 0, HEAD + TAIL).to_pylist()
    # Only the two ends of a long text are made Python strings; joined, they are long enough to be cut again alike.
    ends = [
        (a or "") + "\0" + (b or "") if cut else (m or "")
        for a, b, m, cut in zip(head.to_pylist(), tail.to_pylist(), middle, long.tolist())
    ]
    return [verb_noun(text) for text in ends]


def _sentence(sentence: str) -> Pair | None:
    label = english.LABEL.match(sentence)
    text = sentence[label.end() if label else 0 :].replace("’", "'")
    if task := english.TASK.search(text):
        text = text[task.end() :]
    polite = english.POLITE.match(text)
    words = english.WORD.findall((text[polite.end() :] if polite else text).lower())
    if not words or not _english(words, sentence):
        return None
    if words[0] not in VERBS and english.CLAUSE.match(words[0]) and (len(words) < 2 or words[1] not in QUESTION):
        words = _main_clause(words)
    found = _asked_for(words)
    if found is None and (polite or words[0] in ("i", "we", "i'd", "we'd", "i'll", "we'll")):
        # "Can you swim": what was skipped is the question; "I'd like a latte": it is the verb
        found = _question(english.WORD.findall(text.lower())) or _wanted(text)
    if found is None and words[-1] == "?":  # "After the eagle was caught, where did it live?"
        for at in range(1, len(words) - 1):
            if words[at] in QUESTION and (words[at - 1] == "," or words[at + 1] in AUXILIARIES):
                return _question(words[at:])
    return found


def _asked_for(words: list[str]) -> Pair | None:
    if words[0] in AUXILIARIES and words[-1] == "?":  # "Do bats sleep?" and "Do the following"
        return _question(words) or _instruction(words)
    return _instruction(words) or _question(words)


def _wanted(text: str) -> Pair | None:
    wish = english.WISH.match(text)
    noun = _head(english.WORD.findall(text[wish.end() :].lower()), 0) if wish else None
    return ("want", noun) if noun else None


def _main_clause(words: list[str]) -> list[str]:
    """What follows the leading clause: after its comma, or from the verb on in "from the text extract the dates"."""
    comma = words.index(",") if "," in words else len(words)
    for at in range(2, min(comma, 10) - 1):
        opens = words[at + 1] in ("the", "a", "an", "all", "each", "what", "which", "who", "how", "why", "me")
        if opens and words[at] in VERBS and words[at - 1] not in STOPS and words[at - 1] not in DETERMINERS:
            return words[at:]
    if comma == len(words):
        return words
    text = " ".join(words[comma + 1 :]) + " "
    polite = english.POLITE.match(text)
    return english.WORD.findall(text[polite.end() :] if polite else text) or words


def _english(words: list[str], sentence: str) -> bool:
    if not sentence.isascii():
        foreign = sum(1 if letter < "\u0250" else 4 for letter in sentence if letter > "\u00bf" and letter.isalpha())
        if 10 * foreign > len(sentence):
            return False
    return len(words) <= 4 or not KNOWN.isdisjoint(words) or words[0] in QUESTION or words[0] in AUXILIARIES


def _instruction(words: list[str]) -> Pair | None:
    verb = words[0]
    if verb not in VERBS or len(words) < 2:
        return None
    following = words[1]
    if following in AUXILIARIES or following in ("'s", ":", "-", "=") or (following == "of" and verb not in english.OF):
        return None  # "Name of the city", "Answer is": a noun after all
    at = 1
    while at + 1 < len(words) and words[at] in ("and", "or", ",", "/") and words[at + 1] in VERBS:
        at += 2  # "identify and fix the error": the first of two verbs
    while at < len(words) and (words[at] in INDIRECT or words[at] in PARTICLES or words[at] in ADVERBS):
        if words[at] in ("in", "on", "over") and at + 1 < len(words) and words[at + 1] in DETERMINERS:
            break
        at += 1
    return _object(verb, words, at)


def _object(verb: str, words: list[str], at: int) -> Pair | None:
    if at < len(words) and words[at] in (
        "if",
        "whether",
        "why",
        "how",
        "what",
        "who",
        "when",
        "where",
        "which",
        "that",
    ):
        following = words[at + 1] if at + 1 < len(words) else ""
        if words[at] in ("how",) and following in ("many", "much"):
            return verb, f"how {following}"
        if words[at] != "that" or following in PRONOUNS or following in DETERMINERS:
            return verb, words[at]
    if words[at : at + 1] == ["to"] and at + 1 < len(words) and words[at + 1] in VERBS:
        return verb, words[at + 1]  # "learn to swim"
    noun = _head(words, at)
    if noun is None and at < len(words) and words[at] in PREPOSITIONS:
        noun = _head(words, at + 1) or (words[at + 1] if at + 1 < len(words) and words[at + 1] in PRONOUNS else None)
    return (verb, noun) if noun else None


def _question(words: list[str]) -> Pair | None:
    asked = words[0]
    if asked.endswith("'s") and asked[:-2] in QUESTION:  # "what's"
        words = [asked[:-2], "is", *words[1:]]
        asked = words[0]
    if asked in PREPOSITIONS and len(words) > 1 and words[1] in QUESTION:  # "in which year"
        words = words[1:]
        asked = words[0]
    if asked in QUESTION:
        return _asked(words)
    if asked in AUXILIARIES and words[-1] == "?":
        asked = lemma(asked.removesuffix("n't"))
        head = _subject(words, 1, words[0])
        return (asked, head) if head else None
    return None


def _asked(words: list[str]) -> Pair | None:
    asked, at = words[0], 1
    while at + 1 < len(words) and words[at] in ("and", "or") and words[at + 1] in QUESTION:  # "when and how did"
        at += 2
    if (
        asked == "how"
        and len(words) > at
        and words[at] in ("many", "much", "long", "old", "far", "often", "big", "tall")
    ):
        asked, at = f"how {words[at]}", at + 1
        if asked in ("how many", "how much") and (head := _head(words, at, asking=True)):
            return asked, head
    if at < len(words) and words[at] in PREPOSITIONS and words[at] != "to":  # "which of these", "who among"
        at += 1
    if at < len(words) and words[at] == "to":  # "how to knit a scarf"
        at += 1
        head = words[at] if at < len(words) and words[at].isalpha() else None
    elif at < len(words) and words[at] in AUXILIARIES:
        head = _subject(words, at + 1, words[at])
    elif asked in ("who", "what") and at < len(words) and (verb := lemma(words[at])) in VERBS and words[at] != verb:
        head = verb  # "who wrote Hamlet", "what makes it rain"
    else:
        head = _head(words, at, asking=True)
    return (asked, head) if head else None


def _subject(words: list[str], at: int, auxiliary: str) -> str | None:
    """What is asked after an auxiliary: the head of its subject; after "do" or a modal, or for a pronoun, the verb."""
    be = auxiliary in ("is", "are", "was", "were", "'s", "am")
    if words[at : at + 1] == ["be"]:  # "what can be done", "what could be the problem"
        at += 1
        if at < len(words) and words[at] not in DETERMINERS and lemma(words[at]) in VERBS:
            return lemma(words[at])
        return _head(words, at)
    pronoun = at < len(words) and words[at] in PRONOUNS and words[at] not in DETERMINERS
    if pronoun and not be:
        while at + 2 < len(words) and (words[at + 1] in ADVERBS or words[at + 1].endswith("ly")):
            at += 1
        verb = words[at + 1] if at + 1 < len(words) else ""
        if verb.isalpha() and (verb not in STOPS or verb in ("have", "do")):
            return lemma(verb)
    elif not be or pronoun:
        for word in words[at + 1 : at + 9]:
            if not word[0].isalpha() or word in ("and", "or", "that"):
                break
            if lemma(word) in VERBS and word not in DETERMINERS and (pronoun or word in VERBS):
                return lemma(word)
    if pronoun:  # "are you a robot", "who are you"
        return _head(words, at + 1) or words[at]
    return _head(words, at)


def _head(words: list[str], at: int, asking: bool = False) -> str | None:
    """The last word of the noun phrase that begins at ``at``, singular; None where none begins there.

    With ``asking`` the phrase is a question's subject, and its verb follows it: "which teams play in …".
    """
    head = fallback = None
    for place in range(at, min(at + 12, len(words))):
        word = words[place]
        following = words[place + 1] if place + 1 < len(words) else ""
        if not word[0].isalpha():
            if word[0].isdigit() or (head is None and word in "\"'“‘`*("):
                continue  # "top 10 ideas", a quoted name
            lone = head is not None and words[place - 2] in ("a", "an")
            if word == "," and lone and following[:1].isalpha() and following not in _NO_NOUN:
                head = None  # "a short, funny poem"
                continue
            if word == "'s":
                head = None  # "the dog's owner": the owner is meant
                continue
            break
        if head is None and word in DETERMINERS:
            fallback = word if word in _STANDING else fallback
            continue
        if head is None and word == "of" and words[place - 1] in DETERMINERS:
            continue  # "each of these", "one of your"
        goes_on = following[:1].isalpha() and following not in STOPS
        if word in STOPS or (word in PRONOUNS and not (word == "us" and goes_on)) or (head and word in _ARTICLES):
            break
        if word in ADVERBS or (word.endswith("ly") and len(word) > 4 and word not in ("family", "reply", "supply")):
            if head is None and goes_on:
                continue
            if head or word in ADVERBS:
                break  # else it ends in "ly" and is no adverb: "oligopoly", "a friendly, short letter"
        if word.endswith("'s"):
            head = None
            continue
        if head and word in PREDICATES and not following[:1].isalpha():
            break  # "is the statement true?"
        closes = following in PREPOSITIONS or following in DETERMINERS or following in PRONOUNS
        if head and closes:
            if word in PARTICIPLES or (word.endswith("ed") and lemma(word) != word):
                break  # "the story set in", "leaders claimed the"
            if asking and lemma(word) in VERBS:
                break
        head = word
    head = head or fallback
    return singular(head) if head else None
