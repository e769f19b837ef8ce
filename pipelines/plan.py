"""``gristmill plan``: what a run would find and do, from a look at every file. Writes nothing."""

from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipelines.inputs import LEAST_SPLIT, list_source, reading
from pipelines.job import Job, prepare
from pipelines.report import harmless, stdout_console
from schemas.errors import GristmillError
from schemas.units import show_bytes
from transforms.lsh import curve, solve_bands
from transforms.readers import FileInfo, ReadStats, SourceOptions, convert, plan_splits, read_rows, sniff

SAMPLE_ROWS = 200

BASE_MEMORY = 170 << 20
"""What a process holds with Beam and Arrow imported (measured)."""

_UNPACKED = 4
"""How much larger a compressed file is assumed to be inside; text packs to a third or a fifth."""

ROW_MEMORY = 900
"""Bytes of a record while decisions are shuffled (bands, candidates, verdicts), held twice by the local runner."""


@dataclass
class SourceLook:
    """What a look at a source's files found; rows are estimated from the size of sampled ones."""

    files: int = 0
    bytes: int = 0
    rows: float = 0.0
    records: float = 0.0
    containers: set[str] = field(default_factory=set)
    shapes: dict[str, int] = field(default_factory=dict)
    bad: int = 0
    sampled: int = 0
    reason: str = ""
    problem: str = ""
    exact: bool = True  # every file was seen whole


def plan(recipe_path: Path, console: Console | None = None) -> None:
    """Print the plan of a recipe.

    Raises:
        GristmillError: a mistake in the recipe, or a path that matches nothing.
    """
    console = console or stdout_console()
    job = prepare(recipe_path)
    looks = {name: look(job, name) for name in job.names}
    _print_sources(job, looks, console)
    rows = sum(one.records for one in looks.values())
    _print_dedup(job, console)
    _print_size(job, looks, rows, console)
    problems = [f"source {name!r}: {one.problem}" for name, one in looks.items() if one.problem]
    for name, one in looks.items():
        budget = job.recipe.sources[name].max_bad or job.recipe.ingest.max_bad
        if one.sampled and one.bad > budget.value * one.sampled:
            problems.append(
                f"source {name!r}: {one.bad} of {one.sampled} sampled rows cannot be read, more than max_bad {budget}: "
                f"{one.reason}"
            )
    for problem in problems:
        console.print(f"[yellow]would stop:[/] {escape(harmless(problem))}")


def look(job: Job, name: str) -> SourceLook:
    """Sample every file of a source."""
    source = job.recipe.sources[name]
    options = reading(source)
    found = SourceLook()
    for file in list_source(name, source, job.base):
        found.files += 1
        found.bytes += file.size
        try:
            _sample(file, options, found)
        except GristmillError as error:
            found.problem = found.problem or str(error)
    return found


def _sample(file: FileInfo, options: SourceOptions, found: SourceLook) -> None:
    """Add what the first rows of a file tell."""
    kind = sniff(file, options)
    split = plan_splits(file, kind, LEAST_SPLIT)[0]
    rows = list(islice(read_rows(split, options), SAMPLE_ROWS))
    stats = ReadStats()
    bad = [one for one in convert(iter(rows), options, stats) if one.conversation is None]
    # A file of fewer rows was seen whole; of a longer one the sample's bytes tell how many it has.
    whole = len(rows) < SAMPLE_ROWS or not kind.sample_bytes
    scale = 1.0 if whole else max(1.0, file.size * (_UNPACKED if kind.compression else 1) / kind.sample_bytes)
    found.rows += len(rows) * scale
    found.records += stats.records * scale
    found.exact &= whole
    found.containers.add(kind.container if not kind.compression else f"{kind.container} ({kind.compression})")
    for shape, count in stats.shapes.items():
        found.shapes[shape] = found.shapes.get(shape, 0) + count
    found.sampled += len(rows)
    found.bad += len(bad)
    if bad and not found.reason:
        found.reason = f"{file.name}:{bad[0].index}: {bad[0].reason}"


def _print_sources(job: Job, looks: dict[str, SourceLook], console: Console) -> None:
    table = Table(title=f"{job.recipe.name} {job.recipe.version}: sources", title_justify="left", box=None)
    for column, justify in (("source", "left"), ("files", "right"), ("size", "right"), ("container", "left"),
                            ("shapes in the sample", "left"), ("rows", "right"), ("unreadable", "right")):  # fmt: skip
        table.add_column(column, justify="right" if justify == "right" else "left")
    for name, one in looks.items():
        shapes = ", ".join(
            f"{shape} {count}" for shape, count in sorted(one.shapes.items(), key=lambda i: (-i[1], i[0]))
        )
        table.add_row(
            escape(name), f"{one.files:,}", show_bytes(one.bytes), ", ".join(sorted(one.containers)), shapes or "none",
            f"{'' if one.exact else '~'}{one.rows:,.0f}", f"{one.bad} of {one.sampled}",
        )  # fmt: skip
    console.print(table)


def _print_dedup(job: Job, console: Console) -> None:
    dedup = job.recipe.dedup
    if dedup.exact:
        console.print(f"exact dedup compares the {dedup.exact.compare} text; who stays: {', '.join(dedup.keep)}, id")
    if dedup.near is None:
        return
    near = dedup.near
    bands = solve_bands(near.similarity, float(near.recall), near.permutations)
    console.print(
        f"near dedup compares the {near.compare} text at {near.similarity:g}, recall {near.recall}: "
        f"{bands.bands} bands × {bands.rows} rows; chance that a pair is compared, by its similarity:"
    )
    chances = curve(*bands)
    console.print("  " + "  ".join(f"{at:g}: {100 * chance:.1f} %" for at, chance in chances.items()), highlight=False)


def _print_size(job: Job, looks: dict[str, SourceLook], rows: float, console: Console) -> None:
    size = sum(one.bytes for one in looks.values())
    block = int(job.recipe.ingest.block)
    memory = BASE_MEMORY + rows * ROW_MEMORY + 8 * block
    console.print(
        f"about {rows:,.0f} records from {show_bytes(size)}; memory about {show_bytes(memory)} in the command and "
        f"{show_bytes(BASE_MEMORY + 24 * block)} in each worker; the corpus about {show_bytes(3 * size)} on disk"
    )
    if job.recipe.mix and job.recipe.mix.size:
        console.print(f"mix: {job.recipe.mix.size}, before what filters and deduplication take")
