"""Writes N instruction rows made from ../shared/data by exchanging words: input for measuring growth.

    python -m benchmarks.perturbed_rows 1000000 build/bench/rows-1000000.jsonl

Each row is one of three kinds, drawn from a fixed seed: 75 % are new texts (a real row with 30 % of its words
exchanged for words drawn from all rows, so that no two share many 5-word shingles), 20 % near duplicates of
an earlier new row (one word in 60 exchanged: a similarity of 0.80 to 1, 0.88 in the middle), 5 % exact copies
of an earlier row. Earlier rows are drawn with a preference for the first ones, so that groups differ in size
and lie far apart in the file. Row i depends on i alone: the first rows of a longer file are the shorter file.
"""

import argparse
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import orjson

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data"
FILES = (
    "human/dolly-15k-en.jsonl",
    "cot/gsm8k-train.jsonl",
    "synthetic/codegen-instruct.json",
    "synthetic/toolformer-dedupe-only-dataset.json",
    "multilingual/dolly-fi-3000.jsonl",
)
PROMPT, ANSWER = ("instruction", "input", "context", "question"), ("response", "output", "answer")
NEW, NEAR, EXACT = 0, 1, 2
NEAR_SHARE, EXACT_SHARE = 0.20, 0.05
EXCHANGED = 0.3
WORDS_PER_EDIT = 60  # one exchanged word costs each side 5 shingles: (60 - 5) / (60 + 5) = 0.846
SEED = 7

Ints = npt.NDArray[np.int64]
_WORD = re.compile(r"\S+\s*")


class Rows:
    """The first ``count`` rows; ``kind`` [count] and ``origin`` [count], the row that each is made from."""

    def __init__(self, count: int, data: Path = DATA):
        self.words: list[str] = []  # every word of every real row, with the white space after it
        bounds, prompts = [0], []
        for prompt, answer in real_rows(data):
            head = _WORD.findall(prompt + "\n")
            self.words += head + _WORD.findall(answer)
            prompts.append(len(head))
            bounds.append(len(self.words))
        self.bounds, self.prompts = np.array(bounds), np.array(prompts)
        draw = np.random.default_rng(SEED).random((count, 3))
        self.kind = np.where(draw[:, 0] < NEAR_SHARE, NEAR, np.where(draw[:, 0] < NEAR_SHARE + EXACT_SHARE, EXACT, NEW))
        self.base = (draw[:, 1] * len(prompts)).astype(np.int64)
        long = np.diff(self.bounds)[self.base] >= WORDS_PER_EDIT
        eligible = np.flatnonzero((self.kind == NEW) & long)
        earlier = np.searchsorted(eligible, np.arange(count))
        self.kind[earlier == 0] = NEW
        self.origin = np.arange(count)
        copies = np.flatnonzero(self.kind != NEW)
        self.origin[copies] = eligible[(draw[copies, 2] ** 2 * earlier[copies]).astype(np.int64)]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """(prompt, answer) of every row."""
        for number in range(len(self.kind)):
            yield self.row(number)

    def row(self, number: int) -> tuple[str, str]:
        origin = int(self.origin[number])
        base = self.base[origin]
        places = np.arange(self.bounds[base], self.bounds[base + 1])
        random = np.random.default_rng((SEED, origin))
        self._exchange(places, np.flatnonzero(random.random(len(places)) < EXCHANGED), random)
        if self.kind[number] == NEAR:
            random = np.random.default_rng((SEED, number))
            edits = max(1, len(places) // WORDS_PER_EDIT)
            self._exchange(places, random.choice(len(places), edits, replace=False), random)
        words = [self.words[place] for place in places.tolist()]
        head = self.prompts[base]
        return "".join(words[:head]).strip(), "".join(words[head:]).strip()

    def _exchange(self, places: Ints, which: Ints, random: np.random.Generator) -> None:
        places[which] = random.integers(0, len(self.words), len(which))


def real_rows(data: Path) -> Iterator[tuple[str, str]]:
    for name in FILES:
        raw = (data / name).read_text(encoding="utf-8")
        rows = json.loads(raw) if name.endswith(".json") else map(json.loads, filter(None, raw.split("\n")))
        for row in rows:
            prompt = "\n".join(row[field] for field in PROMPT if row.get(field))
            answer = "\n".join(row[field] for field in ANSWER if row.get(field))
            if prompt.strip() and answer.strip():
                yield prompt, answer


def write(count: int, path: Path, data: Path = DATA) -> dict[str, int]:
    """Write the rows; how many there are of each kind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = Rows(count, data)
    staging = path.with_suffix(".part")
    with staging.open("wb") as file:
        for prompt, answer in rows:
            file.write(orjson.dumps({"instruction": prompt, "output": answer}) + b"\n")
    staging.rename(path)
    return {
        "new": int((rows.kind == NEW).sum()),
        "near": int((rows.kind == NEAR).sum()),
        "exact": int((rows.kind == EXACT).sum()),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", type=int)
    parser.add_argument("path", type=Path)
    arguments = parser.parse_args()
    print(write(arguments.count, arguments.path))
