"""The step that drops what holds an item of a benchmark, and what the release says of it."""

from dataclasses import asdict

import pyarrow as pa

from pipelines.outcome import Outcome
from pipelines.selecting import Run
from schemas.decontaminate import Decontaminate
from schemas.manifest import BenchmarkRow
from transforms.clean import Clean, Cleaning
from transforms.corpus import read_batch
from transforms.decontaminate.account import overlaps
from transforms.decontaminate.index import load
from transforms.decontaminate.match import Contamination
from transforms.storage import files_in
from transforms.units import Plan

SHOWN = 80
"""Characters of a benchmark's question in the manifest and the card."""


def decontaminate(run: Run, before: Outcome, after: Plan, settings: Decontaminate, found: Contamination) -> None:
    """The step: count how common grams are, drop what holds an item, and note what was found of each benchmark."""
    from pipelines import graphs

    cleaning = Cleaning(before.plan, after, found, settings)
    run.pipeline(graphs.count_grams, cleaning=cleaning)
    frequencies = files_in(run.folder, "frequency-*.arrow")[0]
    run.pipeline(graphs.clean, step=Clean(cleaning, str(frequencies)))
    parts, lost = (
        pa.Table.from_batches([read_batch(str(file)) for file in files_in(run.folder, f"{name}-*.arrow")])
        for name in ("overlap", "lost")
    )
    rows = []
    for one in overlaps(parts, lost, dict(enumerate(before.names)), load(found.index_path, found.index_digest)):
        examples = [f"{example.item}: {_short(example.question)}" for example in one.examples]
        misses = [f"{example.item} ({example.score:.2f}): {_short(example.question)}" for example in one.misses]
        plain = {name: value for name, value in asdict(one).items() if name not in ("examples", "misses")}
        rows.append(BenchmarkRow(**plain, examples=examples, misses=misses))
        if one.contaminated:
            run.report.warn(f"decontaminate: {one.found:,} of {one.items:,} items of {one.benchmark} were in the data")
    run.note(benchmarks=rows)


def _short(question: str) -> str:
    """Enough to recognise a question; a release must not carry the benchmark that it was cleaned of."""
    line = " ".join(question.split())
    return line if len(line) <= SHOWN else line[: SHOWN - 1] + "…"
