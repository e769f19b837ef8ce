"""Precision and recall of decontamination on planted leaks and near misses, per kind, as markdown tables.

    python -m benchmarks.decontamination_planted [--items 40] [--seed 1] [--sweep]

Every other item of each file in ``../shared/benchmarks`` is indexed. Leaks are made of indexed items: copied, edited,
embedded. Near misses are made of the others (questions of the same kind that are no copies), of indexed items whose
numbers were changed, of their passages under other questions, of templates; and there are a few thousand rows of
``../shared/data``. Beside this project's rule stand Tulu 3's (more than half of a question's words in shared 8-grams,
user turns) and open-r1's (any shared 8-gram).
"""

import argparse
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from schemas.decontaminate import Decontaminate
from transforms.assemble import assemble
from transforms.decontaminate.benchmarks import Item, read_all
from transforms.decontaminate.decide import verdicts
from transforms.decontaminate.index import build
from transforms.decontaminate.match import find, searcher
from transforms.decontaminate.weigh import add_frequencies, document_frequency, weights
from transforms.records import Records
from transforms.words import words_of

SHARED = Path(__file__).resolve().parent.parent.parent / "shared"
DATA = ("human/dolly-15k-en.jsonl", "synthetic/codegen-instruct.json", "multilingual/dolly-fi-3000.jsonl")
BACKGROUND_ROWS = 2000
LONG_ANSWER_WORDS = 25
TWINS = (  # their items are made of each other: all but a word, an order or a table is the same
    *("winogrande", "bbh/penguins_in_a_table", "bbh/causal_judgement", "bbh/disambiguation_qa", "bbh/geometric_shapes"),
    *(f"bbh/logical_deduction_{number}_objects" for number in ("three", "five", "seven")),
)
TEMPLATE = (
    "Below is an instruction that describes a task, paired with an input that provides further context. Write a "
    "response that appropriately completes the request. Answer the following question by reasoning step by step, and "
    "finish with the words: the answer is.\n\n"
)
LICENCE = (
    'Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance '
    "with the License. Unless required by applicable law or agreed to in writing, software distributed under the "
    'License is distributed on an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND.\n\n'
)
SHOT = "Q: {0}\nA: {1}\n\nQ: {2}\nA:"

Rule = Callable[[Sequence["Case"]], np.ndarray]


@dataclass(frozen=True)
class Case:
    """One record: its kind, whether it holds an item, and who says what."""

    kind: str
    leak: bool
    prompt: str
    answer: str = "I do not know."

    def conversation(self) -> dict[str, list[dict[str, str]]]:
        roles = (("user", self.prompt), ("assistant", self.answer))
        return {"messages": [{"role": role, "content": text} for role, text in roles]}


def background(data: Path, rows: int) -> list[Case]:
    """Rows of real data sets, taken to be clean: what is found in them is counted as a false alarm."""
    cases = []
    for name in DATA:
        text = (data / name).read_text(encoding="utf-8")
        read = [json.loads(line) for line in text.split("\n") if line] if name.endswith("l") else json.loads(text)
        for row in read[:rows]:
            prompt = "\n\n".join(filter(None, [row["instruction"], row.get("context") or row.get("input")]))
            cases.append(Case(f"real: {Path(name).stem}", False, prompt, row["response"]))
    return cases


def split(items: Sequence[Item]) -> tuple[list[Item], list[Item]]:
    """(indexed, not indexed): every other item of a file; whatever asks the same as an indexed item is left out."""
    known = [item for item in items if item.number % 2 == 0]
    asked = {_content(item.question) for item in known}
    return known, [item for item in items if item.number % 2 and _content(item.question) not in asked]


def _content(question: str) -> tuple[tuple[str, ...], frozenset[str]]:
    """Two questions with the same numbers and the same longer words are taken for one."""
    words = words_of(question)
    return tuple(sorted(w for w in words if any(c.isdigit() for c in w))), frozenset(w for w in words if len(w) > 4)


def leaks(items: Sequence[Item], real: Sequence[Case], generator: np.random.Generator) -> Iterator[Case]:
    for number, item in enumerate(items):
        question, size = item.question, len(words_of(item.question))
        length = "long" if size >= 20 else "13 to 19 words" if size >= 13 else "short"
        shots = real[2 * number % len(real)], real[(2 * number + 1) % len(real)]
        yield Case(f"copy, {length}", True, question)
        yield Case(f"case and punctuation, {length}", True, re.sub(r"[!-/:-@\[-^{-~]+", " ", question).upper())
        yield Case(
            f"among examples, {length}", True, SHOT.format(shots[0].prompt[:600], shots[1].prompt[:600], question)
        )
        yield Case(f"said by the assistant, {length}", True, "Write a quiz question.", f"Sure! {question}\nNext one?")
        yield Case(f"in the template, {length}", True, f"{TEMPLATE}{question}")
        if size >= 13:
            yield Case(f"a typing error, {length}", True, edit(question, "typo", generator))
            yield Case(f"a word exchanged, {length}", True, edit(question, "exchange", generator))
            yield Case(f"a word inserted, {length}", True, edit(question, "insert", generator))
        if size >= 20:
            yield Case("an edit every 15 words, long", True, edit(question, "exchange", generator, max(2, size // 15)))
            yield Case(
                "the last fifth missing, long", True, " ".join(question.split(" ")[: -(question.count(" ") // 5) - 1])
            )
        if len(words_of(item.answer)) >= LONG_ANSWER_WORDS:
            yield Case("the answer alone, long", True, shots[0].prompt[:200], item.answer)


def near_misses(
    items: Sequence[Item], others: Sequence[Item], real: Sequence[Case], generator: np.random.Generator
) -> Iterator[Case]:
    for item in others:
        if item.benchmark not in TWINS:
            yield Case("another item of the benchmark", False, item.question, item.answer or "I do not know.")
            yield Case("another item in the template", False, f"{TEMPLATE}{item.question}", item.answer or "None.")
    for number, item in enumerate(items):
        changed, count = _other_numbers(item.question, generator)
        if count >= 2:
            yield Case("all numbers changed", False, changed)
        if item.passage:
            yield Case(
                "its passage, other question", False, f"{item.passage}\n\n{real[number % len(real)].prompt[:200]}"
            )
        words = words_of(item.question)
        if 5 <= len(words) < 8 and (other := edit(item.question, "exchange", generator)) != item.question:
            yield Case("a question under 8 words, one changed", False, other)
            yield Case("the same inside a sentence", False, f"He never told us {item.question.rstrip('?.')} too")
        if len(words) >= 20:
            yield Case("its first third, then something else", False, _third(item.question, real[number % len(real)]))
    for case in real[:400]:
        yield Case("template, other question", False, TEMPLATE + case.prompt, case.answer)
        yield Case("licence, other question", False, LICENCE + case.prompt, case.answer)


def _third(question: str, other: Case) -> str:
    words = question.split(" ")
    return " ".join([*words[: len(words) // 3], *other.prompt.split(" ")[:60]])


def _other_numbers(text: str, generator: np.random.Generator) -> tuple[str, int]:
    """Every run of digits as another number of as many digits, and how many there were."""

    def other(found: re.Match[str]) -> str:
        digits = found[0]
        low = 10 ** (len(digits) - 1)
        new = str(low + (int(digits) - low + 1 + int(generator.integers(0, 8 * low))) % (9 * low))
        return new if new != digits else str(low + (int(digits) + 1 - low) % (9 * low))

    return re.subn(r"(?a:\d{1,9})", other, text)


def edit(text: str, kind: str, generator: np.random.Generator, count: int = 1) -> str:
    """``count`` words far apart misspelt, exchanged or joined by another; numbers stay."""
    words = re.split(r"(\s+)", text)
    able = [at for at in range(0, len(words), 2) if words[at].isalpha()]
    if not able:
        return text
    portion = max(len(able) // count, 1)
    for number in range(min(count, len(able))):
        at = able[number * portion + int(generator.integers(0, portion))]
        word = words[at]
        if kind == "typo":
            place = int(generator.integers(0, len(word)))
            words[at] = word[:place] + chr(97 + int(generator.integers(0, 26))) + word[place:]
        else:
            new = ("quite", "really", "surely", "perhaps", "often")[int(generator.integers(0, 5))]
            words[at] = new if kind == "exchange" else f"{word} {new}"
    return "".join(words)


def ours(items: Sequence[Item], settings: Decontaminate) -> Rule:
    def rule(cases: Sequence[Case]) -> np.ndarray:
        index = build(items, settings.ngram)
        batch = assemble([case.conversation() for case in cases], range(len(cases)), [0] * len(cases))
        columns = find(Records(batch), searcher(index))
        counted = document_frequency(columns, index, weights(index, None))
        worth = weights(index, add_frequencies(pa.Table.from_batches([counted]), index))
        return np.asarray(verdicts(columns, index, worth, settings)["contaminated"])

    return rule


def shared_ngrams(items: Sequence[Item], least: float, size: int = 8) -> Rule:
    """A question convicts when more than ``least`` of its words stand in n-grams of the user's turns."""

    def grams(words: list[str]) -> list[tuple[str, ...]]:
        return list(zip(*(words[start:] for start in range(size)), strict=False))

    def rule(cases: Sequence[Case]) -> np.ndarray:
        holders: defaultdict[tuple[str, ...], list[tuple[int, int]]] = defaultdict(list)
        sizes = []
        for number, item in enumerate(items):
            words = words_of(item.question)
            sizes.append(len(words))
            for place, gram in enumerate(grams(words)):
                holders[gram].append((number, place))
        convicted = np.zeros(len(cases), bool)
        for row, case in enumerate(cases):
            covered: defaultdict[int, set[int]] = defaultdict(set)
            for gram in set(grams(words_of(case.prompt))):
                for number, place in holders.get(gram, ()):
                    covered[number].update(range(place, place + size))
            convicted[row] = any(len(places) > least * sizes[number] for number, places in covered.items())
        return convicted

    return rule


def table(cases: Sequence[Case], found: dict[str, np.ndarray]) -> Iterator[str]:
    """Recall per kind of leak, false alarms per kind of near miss, and both over all."""
    yield f"| kind | records | {' | '.join(found)} |"
    yield "|---|---:|" + "---:|" * len(found)
    for leak, verb in ((True, "found"), (False, "wrongly found")):
        kinds = Counter(case.kind for case in cases if case.leak == leak)
        for kind, count in kinds.items():
            rows = np.array([case.kind == kind for case in cases])
            cells = [f"{hits[rows].mean():.1%}" if leak else f"{int(hits[rows].sum())}" for hits in found.values()]
            yield f"| {'leak' if leak else 'no leak'}: {kind} | {count:,} | {' | '.join(cells)} |"
        rows = np.array([case.leak == leak for case in cases])
        shares = [f"{hits[rows].mean():.2%}" for hits in found.values()]
        yield f"| **{verb}** | {int(rows.sum()):,} | {' | '.join(shares)} |"
    truth = np.array([case.leak for case in cases])
    cells = [f"{truth[hits].mean():.2%}" for hits in found.values()]
    yield f"| **precision here** | | {' | '.join(cells)} |"


def plant(shared: Path, per_benchmark: int, seed: int) -> tuple[list[Item], list[Case]]:
    """(indexed items, cases): the same for the same seed and files."""
    generator = np.random.default_rng(seed)
    items = read_all(Decontaminate(benchmarks=[str(shared / "benchmarks")]), Path())
    known, others = split(items)
    real = background(shared / "data", BACKGROUND_ROWS)
    chosen = [one for name in _names(known) for one in _some(known, name, per_benchmark, generator)]
    beside = [one for name in _names(others) for one in _some(others, name, per_benchmark, generator)]
    return known, [*leaks(chosen, real, generator), *near_misses(chosen, beside, real, generator), *real]


def _names(items: Sequence[Item]) -> list[str]:
    return sorted({item.benchmark for item in items})


def _some(items: Sequence[Item], name: str, count: int, generator: np.random.Generator) -> list[Item]:
    own = [item for item in items if item.benchmark == name]
    return [own[at] for at in sorted(generator.permutation(len(own))[:count].tolist())]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=40, help="of each benchmark")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sweep", action="store_true", help="n-gram sizes and thresholds instead of other rules")
    options = parser.parse_args()
    items, cases = plant(SHARED, options.items, options.seed)
    rules: dict[str, Rule] = {}
    if options.sweep:
        for size in (5, 6, 8):
            for threshold in (0.6, 0.7, 0.8):
                settings = Decontaminate(benchmarks=["-"], ngram=size, threshold=threshold)
                rules[f"n {size}, {threshold}"] = ours(items, settings)
    else:
        rules["Gristmill"] = ours(items, Decontaminate(benchmarks=["-"]))
        rules["Tulu 3: 8-grams, > 50 %"] = shared_ngrams(items, 0.5)
        rules["open-r1: any 8-gram"] = shared_ngrams(items, 0)
    print("\n".join(table(cases, {name: rule(cases) for name, rule in rules.items()})))


if __name__ == "__main__":
    main()
