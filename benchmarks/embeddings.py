"""Prompts per second from text to unit vectors on one core: the static embedding against model2vec's own loop.

    python -m benchmarks.embeddings [--runs 7] [--peers-python PYTHON]
    python benchmarks/embeddings.py model2vec    (one side, in this interpreter)

Every run is a fresh interpreter pinned to one core, the sides take turns, and the table shows medians of the second
pass in each; the ratio is the median over pairs of neighbouring runs. Both sides hold the same texts before the clock
starts (the prompts of Dolly, codegen and toolformer in ``../shared/data``: instruction, input), model2vec as a list of
str, Gristmill as an Arrow column. The model is ``../shared/models/potion-base-4m-int8``. PYTHON is one that has
model2vec; without it, that of ``.venv-peers``.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
MODEL = SHARED / "models" / "potion-base-4m-int8"
PEERS_PYTHON = os.environ.get("GRISTMILL_PEERS_PYTHON", str(ROOT / ".venv-peers" / "bin" / "python"))
FILES = (
    "human/dolly-15k-en.jsonl",
    "synthetic/codegen-instruct.json",
    "synthetic/toolformer-dedupe-only-dataset.json",
)
FIELDS = ("instruction", "input", "context")
ONE_THREAD = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"), "1"),
    "TOKENIZERS_PARALLELISM": "false",
}
SIDES = {"static": "gristmill static", "model2vec": "model2vec encode", "tfidf": "gristmill tfidf, 256"}


def read_prompts() -> list[str]:
    prompts = []
    for name in FILES:
        raw = (SHARED / "data" / name).read_text(encoding="utf-8")
        read = json.loads(raw) if name.endswith(".json") else map(json.loads, filter(None, raw.split("\n")))
        prompts += ["\n\n".join(row[field] for field in FIELDS if row.get(field)) for row in read]
    return prompts


def side(name: str, prompts: list[str]) -> Callable[[], object]:
    if name == "model2vec":
        from model2vec import StaticModel

        model = StaticModel.from_pretrained(str(MODEL))
        # Left to itself it starts threads above 10,000 texts; one core is what both have.
        return lambda: model.encode(prompts, use_multiprocessing=False)
    sys.path.insert(0, str(ROOT))
    import pyarrow as pa

    from transforms.annotate.embedding import model2vec, tfidf

    column = pa.array(prompts, pa.large_string())
    if name == "tfidf":
        return lambda: tfidf.encode(column, 256)
    ours = model2vec.Model(MODEL)
    return lambda: ours.encode(column)


def measure(name: str) -> None:
    """In a child process: two passes, the second printed as JSON."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    prompts = read_prompts()
    one_pass = side(name, prompts)
    one_pass()
    start, used = time.perf_counter(), time.process_time()
    one_pass()
    took = {"seconds": time.perf_counter() - start, "cpu": time.process_time() - used}
    print(json.dumps({"records": len(prompts), **took}))


def compare(peers_python: str, runs: int) -> str:
    """Run all sides in turn; a table in Markdown."""
    found: dict[str, list[dict]] = {name: [] for name in SIDES}
    for _ in range(runs):
        for name, results in found.items():
            python = peers_python if name == "model2vec" else sys.executable
            command = [python, __file__, name]
            done = subprocess.run(command, env={**os.environ, **ONE_THREAD}, capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"{SIDES[name]} failed under {python}:\n{done.stderr}")
            results.append(json.loads(done.stdout))
    lines = [
        f"{found['static'][0]['records']:,} prompts, one core, medians of {runs} alternating runs.",
        "",
        "| | seconds | cpu seconds | records/s | to model2vec's rate, by cpu |",
        "|---|---|---|---|---|",
    ]
    for name, title in SIDES.items():
        seconds, cpu = (statistics.median(run[unit] for run in found[name]) for unit in ("seconds", "cpu"))
        pairs = zip(found["model2vec"], found[name], strict=True)
        ratio = statistics.median(theirs["cpu"] / own["cpu"] for theirs, own in pairs)
        rate = found[name][0]["records"] / seconds
        lines.append(f"| {title} | {seconds:.3f} | {cpu:.3f} | {rate:,.0f} | {ratio:.2f} |")
    return "\n".join(lines)


def bench(runs: int) -> str:
    """The section of ``make bench``."""
    if not (SHARED / "data").is_dir() or not MODEL.is_dir():
        text = "Skipped: there is no ../shared/data or no model beside the repository."
    elif not Path(PEERS_PYTHON).exists():
        text = "Skipped: there is no environment with model2vec; make bench makes one."
    else:
        text = compare(PEERS_PYTHON, runs)
    return f"## Embeddings on one core\n\n{text}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="Embedding rate against model2vec, text to unit vector.")
    parser.add_argument("side", nargs="?", choices=SIDES, help="measure one side in this interpreter")
    parser.add_argument("--peers-python", default=PEERS_PYTHON, help="a python that has model2vec")
    parser.add_argument("--runs", type=int, default=7)
    arguments = parser.parse_args()
    if arguments.side:
        measure(arguments.side)
    else:
        print(compare(arguments.peers_python, arguments.runs))


if __name__ == "__main__":
    main()
