"""Input that is as uneven as real input gets: does time stay in proportion, and memory in bounds?

    python -m benchmarks.skew [--rows 50000 200000] [--engines local-2 flink-2]

``even`` is ``perturbed_rows`` in ten sources of one size. ``source`` has 90 % of the same rows in one of ten sources.
``cluster`` has 30 % near duplicates of one text (two of 240 words exchanged, at any place). ``record`` has one answer
of 50 MB. One run each from nothing, on engines as ``bench_engines`` knows them; growth is the large size's time over
that of the small one. The releases of all engines must have one digest.
"""

import argparse
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import orjson

from benchmarks.bench_engines import Engine, run
from benchmarks.perturbed_rows import SEED, Rows
from benchmarks.processes import Failed
from benchmarks.runs import BUILD

FOLDER = BUILD / "skew"
SOURCES, MOST, CLUSTER = 10, 0.9, 0.3
EDITS = 2  # words of 240: any two variants share at least 0.84 of their shingles
LONG = 50_000_000  # bytes of the one long answer
KINDS = ("even", "source", "cluster", "record")


def texts(kind: str, count: int) -> Iterator[tuple[int, str, str]]:
    """(source, prompt, answer) of each row; row i does not depend on how many there are."""
    rows = Rows(count)
    source = np.random.default_rng(SEED).random(count)
    model = " ".join(max((rows.row(number)[1] for number in range(200)), key=len).split()[:240]).split()
    for number in range(count):
        if kind == "source":
            place = 0 if source[number] < MOST else 1 + int((source[number] - MOST) / (1 - MOST) * (SOURCES - 1))
        else:
            place = int(source[number] * SOURCES)
        prompt, answer = rows.row(number)
        if kind == "cluster" and source[number] * 1000 % 1 < CLUSTER:
            random = np.random.default_rng((SEED, number, 1))
            edited = list(model)
            for spot in random.choice(len(edited), EDITS, replace=False).tolist():
                edited[spot] = rows.words[int(random.integers(0, len(rows.words)))].strip()
            prompt, answer = "Tell me what you know of it.", " ".join(edited)
        yield place, prompt, answer
    if kind == "record":
        words = "".join(rows.words[:200_000])
        yield 0, "Write down everything.", (words * (LONG // len(words.encode()) + 1))[:LONG]


def make(kind: str, count: int) -> Path:
    """Write the sources; returns the recipe."""
    folder = FOLDER / f"{kind}-{count}"
    folder.mkdir(parents=True)
    files = [(folder / f"s{number}.jsonl").open("wb") for number in range(SOURCES)]
    for place, prompt, answer in texts(kind, count):
        files[place].write(orjson.dumps({"instruction": prompt, "output": answer}) + b"\n")
    for file in files:
        file.close()
    recipe = {
        "name": kind,
        "version": "1.0.0",
        "sources": {f"s{number}": {"path": f"s{number}.jsonl", "max_loss": "100 %"} for number in range(SOURCES)},
        "dedup": {"near": {"similarity": 0.8, "recall": "99 %"}},
    }
    path = folder / "recipe.yaml"
    path.write_text(json.dumps(recipe), encoding="utf-8")  # JSON is YAML
    return path


def bench(counts: list[int], engines: list[Engine]) -> str:
    shutil.rmtree(FOLDER, ignore_errors=True)
    small, large = sorted(counts)
    lines = [
        f"| input | engine | {small:,} rows, s | {large:,} rows, s | growth (rows: {large / small:.0f}) "
        f"| to even, at {large:,} | stages | largest worker MB |",
        "|---" * 8 + "|",
    ]
    even: dict[Engine, float] = {}
    for kind in KINDS:
        recipes = {count: make(kind, count) for count in (small, large)}
        costs = {(engine, count): run(engine, recipes[count], None, True) for engine in engines for count in recipes}
        for count in recipes:
            if len({costs[engine, count].digest for engine in engines}) != 1:
                raise Failed(f"{kind}, {count:,} rows: the engines give different releases")
        for engine in engines:
            little, much = costs[engine, small], costs[engine, large]
            lines.append(
                f"| {kind} | {engine.name} | {little.seconds:.1f} | {much.seconds:.1f} "
                f"| {much.seconds / little.seconds:.1f} | {much.seconds / even.setdefault(engine, much.seconds):.2f} "
                f"| {much.stage_times} | {much.peak / 1e6:,.0f} |"
            )
        for recipe in recipes.values():
            shutil.rmtree(recipe.parent)
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Uneven input: time and memory.")
    parser.add_argument("--rows", type=int, nargs=2, default=(50_000, 200_000), metavar=("SMALL", "LARGE"))
    parser.add_argument("--engines", nargs="+", default=["local-2"])
    arguments = parser.parse_args()
    print(bench(list(arguments.rows), [Engine(name) for name in arguments.engines]))
