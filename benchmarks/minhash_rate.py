"""Records per second from text to 128-permutation MinHash on one core: Gristmill against a rensa loop.

    python -m benchmarks.minhash_rate [--runs 7] [--peers-python PYTHON]
    python benchmarks/minhash_rate.py rensa --rows rows.jsonl    (one side, in this interpreter)

Every run is a fresh interpreter pinned to one core, the sides take turns, and the table shows medians. Both
sides read the same texts first (not timed) and make 5-word shingles of lower-cased words. "First pass" is the
first in its process, "warm" the second. The texts are those of ``../shared/data``: Dolly, codegen and
toolformer, with instruction, input and response joined; or the ``text`` of each line of ``--rows``. Besides
the loop over records of rensa's README, its batch call (1,000 records at a time) and its other sketch are
listed. PYTHON is one that has rensa; without it, that of ``.venv-peers``, which ``make bench`` fills.
"""

import argparse
import importlib
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data"
PEERS_PYTHON = os.environ.get("GRISTMILL_PEERS_PYTHON", str(ROOT / ".venv-peers" / "bin" / "python"))
FILES = (
    "human/dolly-15k-en.jsonl",
    "synthetic/codegen-instruct.json",
    "synthetic/toolformer-dedupe-only-dataset.json",
)
FIELDS = ("instruction", "input", "context", "response")
PERMUTATIONS, WORDS = 128, 5
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"),
    "1",
)
PHASES = ("words", "shingles", "signatures")
Seconds = dict[str, float]


def read_texts(rows: Path | None, data: Path = DATA) -> list[str]:
    if rows is not None:
        with rows.open("rb") as lines:
            return [json.loads(line)["text"] for line in lines]
    texts = []
    for name in FILES:
        raw = (data / name).read_text(encoding="utf-8")
        read = json.loads(raw) if name.endswith(".json") else map(json.loads, filter(None, raw.split("\n")))
        texts += ["\n".join(row[field] for field in FIELDS if row.get(field)) for row in read]
    return texts


def ours(texts: list[str]) -> Callable[[], Seconds]:
    sys.path.insert(0, str(ROOT))
    import pyarrow as pa

    from transforms.minhash import signatures
    from transforms.shingles import shingle_sets
    from transforms.words import tokenise

    column = pa.array(texts)  # records are Arrow already when they get here

    def one_pass() -> Seconds:
        times = [time.perf_counter()]
        tokens = tokenise(column)
        times.append(time.perf_counter())
        sets = shingle_sets(*tokens, k=WORDS)
        times.append(time.perf_counter())
        assert signatures(*sets, num_perm=PERMUTATIONS).shape == (len(texts), PERMUTATIONS)
        times.append(time.perf_counter())
        tokenised, shingled, signed = (b - a for a, b in pairwise(times))
        return {"total": times[-1] - times[0], "words": tokenised, "shingles": shingled, "signatures": signed}

    return one_pass


def rensa(texts: list[str], sketch: str = "RMinHash", by_batch: bool = False) -> Callable[[], Seconds]:
    kind = getattr(importlib.import_module("rensa"), sketch)
    find_words = re.compile(r"\w+").findall

    def shingles(text: str) -> list[str]:
        words = find_words(text.lower())
        return [" ".join(words[i : i + WORDS]) for i in range(len(words) - WORDS + 1)]

    def loop() -> None:
        for text in texts:
            one = kind(num_perm=PERMUTATIONS, seed=42)
            one.update(shingles(text))
            one.digest()

    def at_once() -> None:
        for first in range(0, len(texts), 1000):
            batch = [shingles(text) for text in texts[first : first + 1000]]
            kind.digest_matrix_from_token_sets(batch, num_perm=PERMUTATIONS, seed=42)

    def one_pass() -> Seconds:
        total = timed(at_once if by_batch else loop)
        # Its phases cannot be timed within a pass without slowing it, so the parts run alone.
        words = timed(lambda: [find_words(text.lower()) and None for text in texts])
        both = timed(lambda: [shingles(text) and None for text in texts])
        return {"total": total, "words": words, "shingles": both - words, "signatures": total - both}

    return one_pass


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


SIDES: dict[str, tuple[str, Callable[[list[str]], Callable[[], Seconds]]]] = {
    "ours": ("gristmill", ours),
    "rensa": ("rensa RMinHash, loop", rensa),
    "rensa-batch": ("rensa RMinHash, batch", lambda texts: rensa(texts, by_batch=True)),
    "cminhash": ("rensa CMinHash, loop", lambda texts: rensa(texts, "CMinHash")),
}


def measure(side: str, rows: Path | None) -> None:
    """In a child process: two passes, printed as JSON."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    texts = read_texts(rows)
    one_pass = SIDES[side][1](texts)
    size = sum(len(text.encode()) for text in texts)
    print(json.dumps({"records": len(texts), "bytes": size, "first": one_pass(), "warm": one_pass()}))


def compare(peers_python: str, rows: Path | None, runs: int) -> str:
    """Run all sides in turn; a table in Markdown."""
    found: dict[str, list[dict]] = {side: [] for side in SIDES}
    for _ in range(runs):
        for side, results in found.items():
            python = sys.executable if side == "ours" else peers_python
            command = [python, __file__, side] + (["--rows", str(rows)] if rows else [])
            done = subprocess.run(command, env={**os.environ, **ONE_THREAD}, capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"{SIDES[side][0]} failed under {python}:\n{done.stderr}")
            results.append(json.loads(done.stdout))

    def median(side: str, when: str, phase: str) -> float:
        return statistics.median(result[when][phase] for result in found[side])

    records, size = found["ours"][0]["records"], found["ours"][0]["bytes"]
    lines = [
        f"{records:,} records, {size / 1e6:.1f} MB, {PERMUTATIONS} permutations, {WORDS}-word shingles, "
        f"one core, medians of {runs} alternating runs.",
        "",
        "| | first pass s | warm s | words | shingles | signatures | records/s | MB/s | to the loop's rate |",
        "|---" * 9 + "|",
    ]
    for side, (title, _) in SIDES.items():
        total = median(side, "warm", "total")
        phases = " | ".join(f"{median(side, 'warm', name):.3f}" for name in PHASES)
        pairs = zip(found["rensa"], found[side], strict=True)
        faster = statistics.median(loop["warm"]["total"] / own["warm"]["total"] for loop, own in pairs)
        lines.append(
            f"| {title} | {median(side, 'first', 'total'):.3f} | {total:.3f} | {phases} "
            f"| {records / total:,.0f} | {size / total / 1e6:.1f} | {faster:.2f} |"
        )
    return "\n".join(lines)


def bench(runs: int) -> str:
    """The section of ``make bench``."""
    if not DATA.is_dir():
        text = "Skipped: there is no ../shared/data beside the repository."
    elif not Path(PEERS_PYTHON).exists():
        text = "Skipped: there is no environment with rensa; make bench makes one."
    else:
        text = compare(PEERS_PYTHON, None, runs)
    return f"## MinHash on one core\n\n{text}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="MinHash rate against rensa, text to signature.")
    parser.add_argument("side", nargs="?", choices=SIDES, help="measure one side in this interpreter")
    parser.add_argument("--peers-python", default=PEERS_PYTHON, help="a python that has rensa")
    parser.add_argument("--rows", type=Path, help="JSONL whose text is hashed, instead of the shared data")
    parser.add_argument("--runs", type=int, default=7)
    arguments = parser.parse_args()
    if arguments.side:
        measure(arguments.side, arguments.rows)
    else:
        print(compare(arguments.peers_python, arguments.rows, arguments.runs))


if __name__ == "__main__":
    main()
