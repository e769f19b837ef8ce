"""Input that is as uneven as real input gets: does time stay in proportion, and memory in bounds?

    python -m benchmarks.skew [--rows 50000 200000] [--rounds 1]

``even`` is ``perturbed_rows`` in ten sources of one size. ``source`` has 90 % of the same rows in one of ten sources.
``cluster`` has 30 % near duplicates of one text (two of 240 words exchanged, at any place). ``record`` has one answer
of 50 MB. Each from nothing on two local workers; growth is the large size's time over the small one's.
"""

import argparse
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import orjson

from benchmarks.perturbed_rows import SEED, Rows
from benchmarks.runs import BUILD, Command, median

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


def bench(counts: list[int], rounds: int) -> str:
    shutil.rmtree(FOLDER, ignore_errors=True)
    small, large = sorted(counts)
    lines = [
        f"| input | {small:,} rows, s | {large:,} rows, s | growth (rows: {large / small:.0f}) | to even, at {large:,} "
        "| stages | peak of all processes MB | rows released |",
        "|---" * 8 + "|",
    ]
    even = 0.0
    for kind in KINDS:
        commands = {count: Command(make(kind, count), FOLDER / f"{kind}-{count}" / "run") for count in (small, large)}
        runs = {count: [command.cold() for _ in range(rounds)] for count, command in commands.items()}
        seconds = {count: median([run.seconds for run in found]) for count, found in runs.items()}
        even = even or seconds[large]
        last = runs[large][-1]
        stages = ", ".join(f"{name} {value:.1f}" for name, value in last.stages.items())
        released = json.loads((last.release / "manifest.json").read_text())["splits"]["train"]["rows"]
        peak = commands[large].memory(0.1).pss / 1e6
        lines.append(
            f"| {kind} | {seconds[small]:.1f} | {seconds[large]:.1f} | {seconds[large] / seconds[small]:.1f} "
            f"| {seconds[large] / even:.2f} | {stages} | {peak:,.0f} | {released:,} |"
        )
        shutil.rmtree(FOLDER / f"{kind}-{small}")
        shutil.rmtree(FOLDER / f"{kind}-{large}")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Uneven input: time and memory.")
    parser.add_argument("--rows", type=int, nargs=2, default=(50_000, 200_000), metavar=("SMALL", "LARGE"))
    parser.add_argument("--rounds", type=int, default=1)
    arguments = parser.parse_args()
    print(bench(list(arguments.rows), arguments.rounds))
