"""What tests of selection share: vectors by angle and rows as stages send them; rows and a recipe with every section."""

import math
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from hypothesis import strategies as st

from tests.recipes import Published, Row, chat, run, write_recipe
from transforms.annotate.embedding import HashedTfidf
from transforms.annotate.embedding.vectors import matrix
from transforms.annotate.openings import Openings
from transforms.annotate.quality import WEIGHTS, Quality, quality
from transforms.annotate.tags import Tags
from transforms.annotate.verb_noun import VerbNoun
from transforms.assemble import assemble
from transforms.census import score_order
from transforms.cosines import fine
from transforms.distance import vector_rows
from transforms.keys import halves, seeded
from transforms.records import Records
from transforms.words import words_of

Vectors = npt.NDArray[np.float32]

# (group, order, tens of degrees; None: zeros). Cosines of neighbours are 0.985, 0.940, 0.866 …
POINTS = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from([0, 1, 2, 2**64 - 1]), st.sampled_from([None, 0, 1, 2, 3, 8, 12, 35])),
    max_size=30,
)
Point = tuple[int, int, int | None]


def directions(tens: list[int | None]) -> Vectors:
    """Unit vectors [n, 2] at angles in tens of degrees."""
    at = [
        (0.0, 0.0) if one is None else (math.cos(math.radians(10 * one)), math.sin(math.radians(10 * one)))
        for one in tens
    ]
    return np.array(at, np.float32).reshape(-1, 2)


def id_of(address: int) -> bytes:
    return address.to_bytes(16, "big")


def sent(points: list[Point], vectors: Vectors | None = None) -> pa.RecordBatch:
    """The points as rows that travel; the address of each is its place."""
    groups, order, tens = ([one[at] for one in points] for at in range(3))
    return vector_rows(
        np.array(groups, np.int64), np.array(order, np.uint64), np.arange(len(points)),
        pa.array([id_of(address) for address in range(len(points))], pa.binary(16)),
        directions(tens) if vectors is None else vectors,
    )  # fmt: skip


def cosine(one: Any, other: Any) -> float:
    return float(np.dot(np.float64(one), np.float64(other)))


def nearest(vectors: Vectors, row: int, kept: list[int], similarity: float) -> float | None:
    """The highest cosine of a row to those kept, where it is above the threshold."""
    above = [found for other in kept if (found := cosine(vectors[row], vectors[other])) > similarity]
    return max(above, default=None)


def rounds_below(threshold: float) -> Vectors:
    """Two unit vectors whose cosine is above the threshold by so little that as a float32 it is below it."""
    first = np.array([0.6, 0.64, math.sqrt(1 - 0.6**2 - 0.64**2)], np.float32)
    for step in range(100_000):
        angle = math.acos(threshold) - 1e-9 * step
        across = np.cross(first, [0.3, -0.5, 0.8])
        other = (math.cos(angle) * first + math.sin(angle) * across / np.linalg.norm(across)).astype(np.float32)
        found = float(fine(first[None], other[None])[0])
        if threshold < found and float(np.float32(found)) < threshold:
            return np.stack([first, other])
    raise AssertionError("no such pair")


TOPICS = {
    "mill": "mill river wheel stone grain flour sack water weir miller",
    "sea": "harbour sail mast tide anchor gull rope captain storm island",
    "code": "function loop variable compiler string array pointer module thread test",
    "cook": "oven butter onion garlic pan sauce pepper soup knife salt",
}
ASKED = ("Write a story", "Describe the place", "List five facts", "Explain the rule", "Summarise the text")
OPENED = ("Here is a", "Well it is", "The first thing", "Nobody knows the", "As they say")


def content(seed: int = 1, count: int = 90) -> dict[str, dict[str, list[Row]]]:
    """Three sources of three sizes: answers of 3 to 120 words that open in few ways, prompts some of which are near."""
    draw = random.Random(seed)
    made: dict[str, dict[str, list[Row]]] = {}
    for source, (share, longest) in {"alpha": (1.0, 120), "beta": (0.6, 30), "gamma": (0.3, 60)}.items():
        rows: list[Row] = []
        for number in range(int(share * count)):
            words = TOPICS[draw.choice(sorted(TOPICS))].split()
            prompt = f"{draw.choice(ASKED)} about {' '.join(draw.sample(words, 4))}"
            if number % 6 == 5:  # a near one: the prompt before with one word more
                before = rows[-1]
                assert isinstance(before, dict)
                prompt = f"{before['messages'][0]['content']} {draw.choice(words)}"
            long = int(longest ** draw.uniform(0.3, 1))
            said = " ".join(f"{draw.choice(words)} {draw.randrange(1000)}" for _ in range(long // 2))
            rows.append(chat(prompt + ("?" if number % 2 else "."), f"{draw.choice(OPENED)} {said}."))
        half = len(rows) // 2
        made[source] = {"a.jsonl": rows[:half], "b.jsonl": rows[half:]}
    return made


SIMILARITY = 0.85
STAGES: list[dict[str, Any]] = [
    {"name": "easy", "difficulty": 0.3, "answer_words": 20},
    {"name": "middle", "sources": ["alpha", "beta"]},
    {"name": "rest"},
]
EVERYTHING: dict[str, Any] = {
    "seed": 5,
    "dedup": {"near": None},
    "tags": True,
    "quality": {"weights": {"form": 2.0}},
    "balance": {"edges": [8, 24, 48], "remain": "90 %", "max_epochs": 2, "per": "source"},
    "diversity": {
        "clusters": 5, "sample": "100 rows", "order": "quality", "max_opening": "24 rows", "max_verb_noun": "18 %",
        "similarity": SIMILARITY, "quota": "sqrt", "remain": "80 %",
    },
    "best": {"size": "60 rows", "by": "quality", "similarity": 0.8, "per": "source"},
    "mix": {"shares": {"alpha": "50 %", "beta": "30 %", "gamma": "20 %"}},
    "release": {
        "splits": {"validation": "10 %"}, "shard": "8 KiB", "row_group": "4 KiB", "curriculum": STAGES,
    },
}  # fmt: skip


def curated(folder: Path, files: dict[str, dict[str, list[Row]]] | None = None, **settings: Any) -> Published:
    """A release in a new folder; rows are those of ``content()`` unless given."""
    folder.mkdir(parents=True, exist_ok=True)
    return run(write_recipe(folder, files or content(), **settings), folder / "out")


@dataclass(frozen=True)
class Measured:
    """Everything that selection looks at, of the rows of ``files`` in the order of the ledger."""

    place: list[tuple[str, str, int]]
    columns: dict[str, npt.NDArray[Any]]
    vectors: Vectors

    @staticmethod
    def of(files: dict[str, dict[str, list[Row]]], weights: dict[str, float], seed: int) -> "Measured":
        place, made = [], []
        for source in sorted(files):
            for name in sorted(files[source]):
                for index, row in enumerate(files[source][name]):
                    assert isinstance(row, dict)
                    place.append((source, name, index))
                    made.append({"messages": row["messages"]})
        block = Records(assemble(made, range(len(made)), [0] * len(made)))
        columns = {
            name: np.asarray(batch[name].fill_null(0))
            for batch in (Openings()(block), VerbNoun()(block), Tags()(block), Quality()(block))
            for name in batch.schema.names
        }
        parts = {name: columns[f"quality_{name}"] for name in WEIGHTS}
        columns["quality"] = quality(parts, WEIGHTS | weights)
        columns["answer_words"] = np.array([len(words_of(row["messages"][1]["content"])) for row in made])
        columns["order"] = score_order(columns["quality"], seeded(halves(block.batch["id"]), seed, "choose"))
        return Measured(place, columns, matrix(HashedTfidf()(block)["embedding"]))


class Followed:
    """A release's ledger as the way of its records; rows are numbered as in ``Measured``."""

    def __init__(self, release: Published, measured: Measured):
        self.rows = [row for row in release.ledger if row["verdict"] != "quarantined"]
        assert [(row["source"], row["file"], row["index"]) for row in self.rows] == measured.place
        self.rules = [
            "balance.length", "diversity.opening", "diversity.verb_noun", "diversity.similarity", "diversity.cluster",
            "best.similarity", "best.size", "mix.target", "release",
        ]  # fmt: skip
        self._went = [self.rules.index(row["rule"]) for row in self.rows]
        self.at = {row["id"]: number for number, row in enumerate(self.rows)}

    def before(self, rule: str) -> list[int]:
        """Who was still in when the rule came."""
        return [number for number, went in enumerate(self._went) if went >= self.rules.index(rule)]

    def after(self, rule: str) -> list[int]:
        return [number for number, went in enumerate(self._went) if went > self.rules.index(rule)]

    def gone(self, rule: str) -> list[int]:
        return [number for number, went in enumerate(self._went) if went == self.rules.index(rule)]
