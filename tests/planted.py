"""A data set in which every near duplicate is known, and what a release's ledger says of it.

Pairs of random and of real texts with words exchanged, so that their similarity is spread around the threshold and
known exactly; pairs exactly at it; short texts, equal and different; ten thousand records of one template.
The truth is Jaccard similarity of 5-word windows, computed with Python sets, apart from all code under test but
``words_of``.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tests.recipes import Published, Row, chat
from transforms.words import words_of

WINDOW = 5
LENGTHS = (9, 14, 25, 60, 150, 400)
REAL = ("human/dolly-15k-en.jsonl", "synthetic/codegen-instruct.json", "multilingual/dolly-fi-3000.jsonl")
SHORT = ("Yes", "No!", "42", "x = 7", "C++", "a+b", "Berlin, Germany", "Not at all", "def f(x):", "你好", "はい", "ไม่")
# At each similarity the fewest words of which exchanging some, far apart, gives exactly that: (words, exchanged).
EXACT = {0.7: (89, 3), 0.8: (49, 1), 0.9: (99, 1)}
PREAMBLE = """SYSTEM: You are a helpful assistant with access to the following functions. Use them if required -
{"name": "book_trip", "description": "Book a trip for a traveller between two places on a given day", "parameters":
{"type": "object", "properties": {"from": {"type": "string", "description": "The place of departure"}, "to": {"type":
"string", "description": "The place of arrival"}, "day": {"type": "string", "description": "The day of the trip"},
"traveller": {"type": "string", "description": "The name of the traveller"}, "price": {"type": "number", "description":
"The highest price in euros"}}, "required": ["from", "to", "day"]}}"""

WISHES = (
    "",
    "A seat at the window would be nice, and a table if there is one.",
    "I have two large suitcases with me.",
    "Please avoid changes that leave me less than ten minutes to find the platform, as I walk slowly these days.",
)


def windows(text: str) -> frozenset[tuple[str, ...]]:
    words = words_of(text)
    return frozenset(zip(*(words[start:] for start in range(WINDOW)), strict=False))


def jaccard(one: str, other: str) -> float:
    a, b = windows(one), windows(other)
    return len(a & b) / len(a | b) if a | b else 0.0


@dataclass
class Planted:
    """Texts by source, and by source the pairs among them: two positions and their similarity."""

    texts: dict[str, list[str]] = field(default_factory=dict)
    pairs: dict[str, list[tuple[int, int, float]]] = field(default_factory=dict)

    def rows(self) -> dict[str, dict[str, list[Row]]]:
        """Rows by source and file, for ``recipes.write_recipe``."""
        return {source: {"rows.jsonl": [row_of(text) for text in texts]} for source, texts in self.texts.items()}

    def add_pairs(self, source: str, found: Iterator[tuple[str, str]]) -> None:
        texts, pairs = self.texts.setdefault(source, []), self.pairs.setdefault(source, [])
        for one, other in found:
            pairs.append((len(texts), len(texts) + 1, jaccard(one, other)))
            texts += [one, other]


def row_of(text: str) -> dict[str, object]:
    """About half of the words asked, the rest answered; of a short text, the last word is the answer."""
    short = len(text.split()) < 8
    cut = text.rstrip().rfind(" ") if short else text.find(" ", len(text) // 2)
    return chat(text[: cut + 1], text[cut + 1 :])


def plant(similarity: float, pairs: int = 3000, template_rows: int = 10_000, seed: int = 1) -> Planted:
    """About ``pairs`` pairs of generated texts, short texts, and a template. ``similarity``: that of the exact pairs."""
    generator = np.random.default_rng(seed)
    planted, words = Planted(), made_up_words(generator)
    planted.add_pairs("random", _random_pairs(words, pairs * 2 // 3, generator))
    planted.add_pairs("exact", _exact_pairs(words, pairs // 10, EXACT[similarity], generator))
    characters = [chr(code) for code in range(0x4E00, 0x9FA0)]
    planted.add_pairs("cjk", _random_pairs(characters, pairs // 5, generator, between=""))
    planted.texts["short"] = [form for text in short_texts() for form in forms(text)]
    planted.texts["template"] = list(_template(template_rows, generator))
    return planted


def real_texts(data: Path, count: int, seed: int = 2) -> Iterator[tuple[str, str]]:
    """``count`` pairs of a text of ../shared/data and the same with words exchanged."""
    generator = np.random.default_rng(seed)
    words = made_up_words(generator)
    for name in REAL:
        raw = (data / name).read_text(encoding="utf-8")
        rows = json.loads(raw) if name.endswith(".json") else [json.loads(line) for line in raw.split("\n") if line]
        parts = ("instruction", "input", "context", "response")
        texts = ["\n".join(row[part] for part in parts if row.get(part)) for row in rows]
        texts = [text for text in texts if len(text.split(" ")) >= 8]
        for place in generator.choice(len(texts), count // len(REAL), replace=False):
            tokens = texts[place].split(" ")
            yield texts[place], " ".join(exchange(tokens, _edits(len(tokens), generator), words, generator))


def made_up_words(generator: np.random.Generator) -> list[str]:
    return ["".join(one) for one in generator.choice(list("abcdefghijklmnoprstuvwz"), (20_000, 6)).tolist()]


def exchange(tokens: list[str], count: int, words: list[str], generator: np.random.Generator) -> list[str]:
    tokens = list(tokens)
    for place in generator.choice(len(tokens), count, replace=False):
        tokens[place] = words[generator.integers(len(words))]
    return tokens


def _edits(length: int, generator: np.random.Generator) -> int:
    """How many of ``length`` words to exchange for a similarity drawn from 0.5 to 0.98."""
    wanted = generator.uniform(0.5, 0.98)
    return max(1, round((length - WINDOW + 1) * (1 - wanted) / (1 + wanted) / WINDOW))


def _random_pairs(
    words: list[str], count: int, generator: np.random.Generator, between: str = " "
) -> Iterator[tuple[str, str]]:
    for _ in range(count):
        length = int(generator.choice(LENGTHS))
        tokens = [words[one] for one in generator.integers(len(words), size=length)]
        other = exchange(tokens, _edits(length, generator), words, generator)
        yield between.join(tokens), between.join(other)


def _exact_pairs(
    words: list[str], count: int, shape: tuple[int, int], generator: np.random.Generator
) -> Iterator[tuple[str, str]]:
    length, exchanged = shape
    for number in range(count):
        tokens = [words[one] for one in generator.choice(len(words), length, replace=False)]
        other = list(tokens)
        for place in range(exchanged):
            other[10 + 20 * place] = f"other{number}x{place}"
        yield " ".join(tokens), " ".join(other)


def short_texts() -> list[str]:
    """Different texts of one to four words: by a mark, a digit or a word."""
    found = []
    for text in SHORT:
        found += [text, f"{text}.", f"{text}?", f"{text} 1", f"{text} 2", f"{text} - 1", f"{text} so"]
    return found


def forms(text: str) -> list[str]:
    """Equal short texts: case and white space do not count."""
    return [text, text.upper(), text.replace(" ", "  "), f" {text.lower()}\n"]


def _template(count: int, generator: np.random.Generator) -> Iterator[str]:
    """Function calls: a long common preamble, slots of small and of large vocabularies."""
    names = [f"{a}{b}{c}" for a in ("mar", "jo", "el", "an") for b in ("ti", "ka", "ro") for c in ("na", "n", "s", "a")]
    places = [
        f"{a}{b}" for a in ("nord", "ober", "alt", "bad", "klein") for b in ("stadt", "furt", "heim", "au", "ach")
    ]
    for number in range(count):
        who, surname = (names[one] for one in generator.integers(len(names), size=2))
        start, end = (places[one] for one in generator.integers(len(places), size=2))
        day, month, price = generator.integers((1, 1, 20), (29, 13, 2000))
        yield (
            f"{PREAMBLE} USER: Hi, I am {who} {surname} and need to go from {start} to {end} on {day} / {month}, "
            f"please spend {price} at most, my number is {number}. {WISHES[generator.integers(len(WISHES))]} ASSISTANT: "
            f"<functioncall> book_trip from {start} to {end} day {day}.{month} price {price} as number {number}"
        )


@dataclass(frozen=True)
class Found:
    """What a ledger says of a planted set: counts."""

    dropped: int  # by near dedup
    right: int  # of these: truly as similar as asked for to the record that stays
    below: int  # with a value below the threshold in the ledger, or a value that is not the true one
    asked: dict[str, int]  # planted pairs at or above the similarity, by source
    found: dict[str, int]  # of these: not both kept
    template_kept: float  # share
    short_classes: int  # different short texts
    short_kept: int  # short texts kept
    short_merged_wrongly: int

    @property
    def precision(self) -> float:
        return self.right / max(self.dropped, 1)

    @property
    def recall(self) -> float:
        return sum(self.found.values()) / max(sum(self.asked.values()), 1)


def compare(planted: Planted, release: Published, similarity: float) -> Found:
    """The ledger of a release of ``planted`` against the truth."""
    ledger = {(row["source"], row["index"]): row for row in release.ledger}
    assert len(ledger) == sum(len(texts) for texts in planted.texts.values()), "every record has one ledger row"
    text_of = {row["id"]: planted.texts[source][index] for (source, index), row in ledger.items()}
    near = [(place, row) for place, row in ledger.items() if row["stage"] == "near_dedup"]
    truth = [jaccard(planted.texts[source][index], text_of[row["representative"]]) for (source, index), row in near]
    values = [(row["value"], true) for (_, row), true in zip(near, truth, strict=True)]
    kept = {place for place, row in ledger.items() if row["verdict"] == "kept"}
    kept_ids = {ledger[place]["id"] for place in kept}
    assert all(row["representative"] in kept_ids for _, row in near), "the record that stays is in the release"
    asked, found = {}, {}
    for source, pairs in planted.pairs.items():
        both = [(value, (source, a) in kept and (source, b) in kept) for a, b, value in pairs]
        asked[source] = sum(value >= similarity for value, _ in both)
        found[source] = sum(value >= similarity and not stay for value, stay in both)
    short = planted.texts.get("short", [])
    classes = {normal(text) for text in short}
    wrong = sum(
        normal(short[index]) != normal(text_of[row["representative"]])
        for (source, index), row in ledger.items()
        if source == "short" and row["verdict"] == "dropped"
    )
    return Found(
        dropped=len(near),
        right=sum(true >= similarity for true in truth),
        below=sum(value < similarity or abs(value - true) > 1e-3 for value, true in values),
        asked=asked,
        found=found,
        template_kept=sum(source == "template" for source, _ in kept) / max(len(planted.texts.get("template", ())), 1),
        short_classes=len(classes),
        short_kept=sum(source == "short" for source, _ in kept),
        short_merged_wrongly=wrong,
    )


def normal(text: str) -> str:
    return " ".join(text.lower().split())
