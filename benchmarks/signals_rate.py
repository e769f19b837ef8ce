"""Signals per second on one core: Gristmill's against data-juicer's nearest operators, statistics only.

    python -m benchmarks.signals_rate [--runs 3] [--peers-python PYTHON]
    python benchmarks/signals_rate.py data-juicer    (one side, in this interpreter)

Every run is a fresh interpreter with one thread, pinned to one core; the sides take turns, and the tables show medians
of the second pass in each. The ratio is the median over the rounds. Data: every eighth record of all of
``../shared/data``. All sides hold it in memory before the clock starts, as what they work on: Gristmill blocks of
0.5 MB of its corpus, data-juicer lists of 1,000 str (its default batch), a record's messages joined by line feeds. All
numbers that come out are added up.

Gristmill measures prompts and answers apart, and repetition of answers alone. So there is a row in which every text is
one long answer, which leaves no measure less to look at than data-juicer's operator has; without a prompt to compare
with, each language is then looked at twice. In both, language goes by the first 200 letters and repetition of words by
texts of at least 50 words, as in a run.

data-juicer's operators are called as its executor calls them, without the executor, its data set and its filtering:
``compute_stats`` of word count, text length, special characters, character repetition, word repetition, language. In a
row of its own the two on words share their words, as its operator fusion does. Its model lid.176.bin has to be
downloaded; by its own setting for local models it is given lid.176.ftz, the compressed form that Gristmill uses.
PYTHON is one that has data-juicer; without it, that of ``.venv-peers``.
"""

import argparse
import importlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
FOLDER = ROOT / "build" / "bench" / "signals"
PEERS_PYTHON = os.environ.get("GRISTMILL_PEERS_PYTHON", str(ROOT / ".venv-peers" / "bin" / "python"))
EVERY = 8
BLOCK_BYTES, BATCH_ROWS = 1 << 19, 1000
TARGET = 5.0
ONE_THREAD = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    # data-juicer installs what it misses when it misses it; nothing is downloaded here.
    **dict.fromkeys(("PIP_NO_INDEX", "UV_OFFLINE", "HF_HUB_OFFLINE"), "1"),
    "DATA_JUICER_EXTERNAL_MODELS_HOME": str(FOLDER / "models"),
}
SIDES = {
    "six": "gristmill, the same six",
    "all": "gristmill, the six, roles and phrases",
    "default": "gristmill, what the default filters read",
    "six-answers": "gristmill, the same six, every text one answer",
    "data-juicer": "data-juicer, six operators",
    "data-juicer-fused": "data-juicer, words shared",
}
PEERS = ("data-juicer", "data-juicer-fused")
Parts = dict[str, float]  # seconds of CPU by signal
OnePass = Callable[[], tuple[Parts, float]]  # and the sum of all numbers that came out


def gristmill(side: str) -> tuple[int, OnePass]:
    """Number of records, and a pass over them."""
    sys.path.insert(0, str(ROOT))
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    from transforms.annotate.annotation import Annotation
    from transforms.annotate.characters import Characters
    from transforms.annotate.language import Language
    from transforms.annotate.order import Order
    from transforms.annotate.phrases import Phrases
    from transforms.annotate.repetition import Repetition
    from transforms.records import Records

    name = "answers.arrow" if side == "six-answers" else "records.arrow"
    blocks = pa.ipc.open_file(pa.py_buffer((FOLDER / name).read_bytes())).read_all().to_batches()
    chosen: list[Annotation] = [Repetition()]
    if side != "default":
        chosen += [Characters(), Language()]
    if side in ("all", "default"):
        chosen += [Order(), Phrases()]

    def lengths(records: Records) -> pa.RecordBatch:
        columns = {
            "words": records.sums(np.diff(records.words.offsets)),
            "characters": records.sums(np.asarray(pc.utf8_length(records.texts), np.int64)),
        }
        return pa.record_batch(columns)

    def one_pass() -> tuple[Parts, float]:
        parts: Parts = {}
        total = 0.0
        for block in blocks:
            records = Records(block)
            total += timed(parts, "words, lengths", lengths, records)
            for one in chosen:
                total += timed(parts, one.name, one, records)
        return parts, total

    def timed(parts: Parts, name: str, work: Callable[[Records], pa.RecordBatch], records: Records) -> float:
        begin = time.process_time()
        batch = work(records)
        total = sum(
            float(pc.sum(column).as_py() or 0) if not pa.types.is_string(column.type) else column.null_count
            for column in batch.columns
        )
        parts[name] = parts.get(name, 0.0) + time.process_time() - begin
        return total

    return sum(block.num_rows for block in blocks), one_pass


def data_juicer(fused: bool) -> tuple[int, OnePass]:
    """Number of texts, and a pass over them."""
    filters = importlib.import_module("data_juicer.ops.filter")
    fields = importlib.import_module("data_juicer.utils.constant").Fields
    importlib.import_module("loguru").logger.remove()
    lines = (FOLDER / "texts.jsonl").read_text(encoding="utf-8").split("\n")
    texts = [json.loads(line) for line in lines if line]
    operators = [
        filters.TextLengthFilter(),
        filters.WordsNumFilter(),
        filters.WordRepetitionFilter(),
        filters.SpecialCharactersFilter(),
        filters.CharacterRepetitionFilter(),
        filters.LanguageIDScoreFilter(),
    ]

    def one_pass() -> tuple[Parts, float]:
        parts: Parts = {}
        total = 0.0
        for first in range(0, len(texts), BATCH_ROWS):
            batch: dict[str, Any] = {"text": texts[first : first + BATCH_ROWS]}
            batch[fields.stats] = [{} for _ in batch["text"]]
            batch[fields.context] = [{} for _ in batch["text"]]
            for one in operators:
                begin = time.process_time()
                sharing = {"context": True} if fused and "word" in one._name else {}
                batch = one.compute_stats(batch, **sharing)
                parts[one._name] = parts.get(one._name, 0.0) + time.process_time() - begin
            total += sum(value for row in batch[fields.stats] for value in row.values() if not isinstance(value, str))
        return parts, total

    return len(texts), one_pass


def measure(side: str) -> None:
    """In a child process: two passes, the second printed as JSON."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    records, one_pass = data_juicer(side == "data-juicer-fused") if side in PEERS else gristmill(side)
    one_pass()
    start, used = time.perf_counter(), time.process_time()
    parts, total = one_pass()
    took = {"seconds": time.perf_counter() - start, "cpu": time.process_time() - used}
    print(json.dumps({"records": records, "total": total, "parts": parts} | took))


def write_data() -> int:
    """What the sides read, and the language model under the name by which data-juicer looks for it; characters."""
    import pyarrow as pa

    from benchmarks.tag_agreement import RECIPE, source_batches
    from schemas.strict import read_yaml
    from transforms.annotate.language import _path
    from transforms.assemble import assemble
    from transforms.records import Records

    sources = read_yaml(RECIPE)["sources"]
    whole = pa.Table.from_batches([batch for name in sources for batch in source_batches(name)])
    chosen = whole.take(pa.array(range(0, whole.num_rows, EVERY))).combine_chunks().to_batches()[0]
    records = Records(chosen)
    spoken, bounds = records.texts.to_pylist(), records.bounds.tolist()
    texts = ["\n".join(spoken[start:end]) for start, end in pairwise(bounds)]
    filled = [row for row, text in enumerate(texts) if text.strip()]  # data-juicer's language operator fails on no text
    chosen, texts = chosen.take(pa.array(filled)), [texts[row] for row in filled]
    answers = [{"messages": [{"role": "assistant", "content": text}]} for text in texts]
    size = [len(text.encode()) for text in texts]
    ends = [
        row + 1
        for row, total in enumerate(accumulate(size))
        if total // BLOCK_BYTES > (total - size[row]) // BLOCK_BYTES
    ]
    cuts = [0, *ends, len(texts)]
    (FOLDER / "models").mkdir(parents=True, exist_ok=True)
    numbers = range(len(texts))
    for name, rows in (("records", chosen), ("answers", assemble(answers, numbers, [0] * len(texts)))):
        with pa.ipc.new_file(str(FOLDER / f"{name}.arrow"), rows.schema) as file:
            for start, end in pairwise(cuts):
                if start < end:
                    file.write_batch(rows.slice(start, end - start))
    (FOLDER / "texts.jsonl").write_text("\n".join(map(json.dumps, texts)), encoding="utf-8")
    (FOLDER / "models" / "lid.176.bin").write_bytes(_path().read_bytes())
    return sum(map(len, texts))


def compare(peers_python: str, runs: int) -> str:
    """Run all sides in turn; tables in Markdown."""
    characters = write_data()
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in SIDES}
    for _ in range(runs):
        for name, results in found.items():
            python = peers_python if name in PEERS else sys.executable
            done = subprocess.run(
                [python, __file__, name], env={**os.environ, **ONE_THREAD}, capture_output=True, text=True, check=False
            )
            if done.returncode:
                sys.exit(f"{SIDES[name]} failed under {python}:\n{done.stderr[-2000:]}")
            results.append(json.loads(done.stdout.strip().split("\n")[-1]))
    first = found["six"][0]
    lines = [
        f"{first['records']:,} records, {characters / 1e6:.1f} million characters, one core, medians of {runs} "
        "alternating runs. Ratios by CPU time.",
        "",
        "| | seconds | cpu seconds | records/s | to data-juicer's rate | the same, words shared | target | |",
        "|---" * 8 + "|",
    ]
    for name, title in SIDES.items():
        seconds, cpu = (statistics.median(run[unit] for run in found[name]) for unit in ("seconds", "cpu"))
        rate = first["records"] / seconds
        plain, shared = (_ratio(found[name], found[peer]) for peer in PEERS)
        verdict = ""
        if name not in PEERS:
            verdict = "reached" if min(plain, shared) >= TARGET else "**missed**"
        line = f"| {title} | {seconds:.3f} | {cpu:.3f} | {rate:,.0f} | {plain:.2f} | {shared:.2f} "
        lines.append(line + (f"| {TARGET:.0f} | {verdict} |" if verdict else "| | |"))
    lines += ["", "CPU seconds by signal:", ""]
    for name, title in SIDES.items():
        parts = [
            f"{part} {statistics.median(run['parts'][part] for run in found[name]):.3f}"
            for part in found[name][0]["parts"]
        ]
        lines.append(f"- {title}: {', '.join(parts)}")
    return "\n".join(lines)


def _ratio(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> float:
    """How many times as fast: the median over rounds, in which both sides ran next to each other."""
    return statistics.median(other["cpu"] / one["cpu"] for one, other in zip(ours, theirs, strict=True))


def bench(runs: int) -> str:
    """The section of ``make bench``."""
    if not (SHARED / "data").is_dir():
        text = "Skipped: there is no ../shared/data beside the repository."
    elif not Path(PEERS_PYTHON).exists():
        text = "Skipped: there is no environment with data-juicer; make bench makes one."
    else:
        text = compare(PEERS_PYTHON, runs)
    return f"## Signals on one core\n\n{text}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="Rate of signals against data-juicer, statistics only.")
    parser.add_argument("side", nargs="?", choices=SIDES, help="measure one side in this interpreter")
    parser.add_argument("--peers-python", default=PEERS_PYTHON, help="a python that has data-juicer")
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.side:
        measure(arguments.side)
    else:
        print(compare(arguments.peers_python, arguments.runs))


if __name__ == "__main__":
    main()
