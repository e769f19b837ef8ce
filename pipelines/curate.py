"""``gristmill curate``: the whole way from raw files to a published release, on one screen.

find inputs → ingest → books → decide → guard → mix → release → manifest and card → publish. Each Beam pipeline
(``graphs``) ends before the next begins, so that what depends on totals is decided here, in plain sight.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pyarrow as pa

from pipelines import publish
from pipelines.accounts import Ingested, check_budget, check_conservation, check_loss, take_stock
from pipelines.engine import Engine
from pipelines.inputs import Input, check_unchanged, drop_damaged, find_inputs, missing_works, works_of
from pipelines.job import Job, prepare
from pipelines.likeness import bounds, with_portrait
from pipelines.outcome import (
    Outcome,
    Selection,
    decide_plan,
    loss_examples,
    quarantine_reasons,
    read_outcome,
)
from pipelines.report import Report
from pipelines.selecting import Run, select
from pipelines.shares import release_plan
from pipelines.steps import steps_of
from pipelines.unscored import unscored
from schemas.errors import GristmillError
from schemas.manifest import SelectionReport
from transforms.census import SOURCES
from transforms.corpus import write_batch
from transforms.ingest import IngestSplits
from transforms.mix import Target, settle
from transforms.spill import Spill, spill_into
from transforms.storage import gone_afterwards, is_remote, make_folder, scratch, within

ALONE_RECORDS = 200_000
"""Records up to which decisions run in the command's own process. Their ten steps move few bytes: at 79,000 records
0.7 s of work took 1.1 s in one process and 1.9 s in two, all of the difference being messages (measured)."""


def curate(recipe_path: Path, out: Path, work_dir: Path, engine: Engine, report: Report) -> Path:
    """Run the recipe and publish ``out/<name>/<version>``; returns that path.

    Raises:
        GristmillError: a mistake in recipe or data, a guard that stopped the run, a version that exists already.
    """
    job = prepare(recipe_path, work_dir)
    target = publish.target_of(job.recipe, out)
    engine.check(out, work_dir)
    with report.stage("inputs") as say:
        inputs = find_inputs(job.recipe, job.base, work_dir, report.warn)
        for one in inputs:
            for folder in (out, work_dir):
                if within(one.file.path, folder):
                    shown = folder if is_remote(folder) else folder.resolve()
                    raise GristmillError(
                        f"source {one.source!r}: {one.file.name} lies in {shown}, which this run writes to; "
                        "name another --out or --work-dir, or a narrower path"
                    )
        say(f"{len(inputs):,} files, {sum(one.file.size for one in inputs) / 1e6:,.1f} MB")
    report.say("engine", engine.line())
    with run_folder(work_dir) as folder, spilling(folder, engine.local) as spill:
        ingested = ingest(job, inputs, engine, report)
        outcome, found = decide(job, ingested, work_dir / "corpus", folder, spill, engine, report)
        targets = mix(job, outcome, report)
        with publish.staging(target) as staging:
            selection = release(job, ingested, outcome, targets, folder, staging, engine, report)
            found = with_portrait(job.recipe, found, folder)
            with report.stage("publish") as say:
                places = publish.finish(job, inputs, ingested, outcome, found, targets, selection, staging)
                publish.publish(staging, target, report, engine, places)
                say(str(target))
    return target


def ingest(job: Job, inputs: list[Input], engine: Engine, report: Report) -> Ingested:
    """Bring the corpus up to date, and stop on a source that is over its error budget."""
    works = tuple(works_of(inputs))
    damaged = drop_damaged(works, job.measuring)
    if damaged:
        report.warn(f"{damaged} pieces of the corpus are damaged, or of an older version, and are read again")
    pending = missing_works(works, job.measuring)
    with report.stage("ingest", {"read": len(pending)}, engine.progress) as say:
        if pending:
            from pipelines import graphs

            engine.run(partial(graphs.ingest, work=IngestSplits(works, job.measuring), pending=pending))
            check_unchanged(inputs, job.measuring)
        ingested = take_stock(inputs, job.names, job.settings)
        rows = sum(one.rows for one in ingested.accounts.values())
        bad = sum(one.quarantined for one in ingested.accounts.values())
        reused = (
            f", {len(works) - len(pending)} of {len(works)} pieces from the corpus" if len(pending) < len(works) else ""
        )
        say(f"{rows:,} rows: {ingested.records:,} records, {bad:,} quarantined{reused}")
    check_budget(job.recipe, ingested, quarantine_reasons(ingested))
    for (source, file), one in ingested.accounts.items():
        if one.rows == 0:
            report.warn(f"source {source!r}: {file} holds no rows")
    if ingested.records == 0:
        raise GristmillError("no record could be read from any source; run gristmill plan to see what was recognised")
    return ingested


def decide(
    job: Job, ingested: Ingested, corpus: Path, folder: Path, spill: Spill, engine: Engine, report: Report
) -> tuple[Outcome, SelectionReport]:
    """Filters, exact and near deduplication, and what the recipe selects of the rest.

    Raises:
        GristmillError: deduplication would wipe out a source, or a step cannot do what the recipe asks.
    """
    blocks, units = ingested.blocks, ingested.units
    write_batch(
        folder / "blocks.arrow", pa.RecordBatch.from_pylist([block.__dict__ for block in blocks]), compress=False
    )
    steps = steps_of(job.recipe, job.names, job.annotations)
    rules = tuple(rule for step in steps for rule in step.rules)
    grouping = steps[0].grouping if steps else SOURCES
    plan = decide_plan(job, ingested.records, corpus, folder, spill, engine.local, rules, grouping)
    progress = {"survey": units, "conclude": units} | ({"bands": units} if plan.near else {})
    with report.stage("decide", progress, engine.progress) as say:
        from pipelines import graphs

        engine.run(partial(graphs.decide, plan=plan, units=units), alone=ingested.records <= ALONE_RECORDS)
        outcome = read_outcome(plan, job.names, folder, job.tokenizer is not None)
        say(outcome.sentence())
    for name in job.names:
        records = sum(block.rows for block in blocks if job.names[block.source] == name)
        check_conservation(f"decide, source {name!r}", records, {"in and dropped": outcome.entered(name)})
    check_loss(
        job.recipe,
        outcome.lost_to_dedup(),
        outcome.left_by_filters(),
        loss_examples(job.recipe, outcome, blocks, job.names),
    )
    run = Run(job, folder, engine, report, units, alone=ingested.records <= ALONE_RECORDS)
    missing = unscored(job.annotations, blocks, corpus)
    run.note(missing=missing)
    for sentence in missing.values():
        report.warn(sentence)
    return select(run, steps, outcome), run.found


def mix(job: Job, outcome: Outcome, report: Report) -> dict[str, Target] | None:
    """Targets per source, or None when the recipe has no mix.

    Raises:
        GristmillError: nothing is left to release, or the mix cannot be had.
    """
    if not any(outcome.rows_at(name, range(-1, 0)) for name in job.names):
        raise GristmillError(f"filters and deduplication left no record to release; loosen them: {outcome.hardest()}")
    if job.recipe.mix is None:
        return None
    targets = settle(outcome.available(), job.recipe.mix)
    for name, one in targets.items():
        if one.target < one.asked:
            report.warn(
                f"mix: {name!r} was asked for {one.asked:,} {job.recipe.mix.unit} and gives {one.target:,} "
                f"({one.available:,} there)"
            )
    return targets


def release(
    job: Job,
    ingested: Ingested,
    outcome: Outcome,
    targets: dict[str, Target] | None,
    folder: Path,
    staging: Path,
    engine: Engine,
    report: Report,
) -> Selection:
    """Write shards and ledger into ``staging``."""
    samples = None
    if job.recipe.selects:
        later = range(outcome.plan.near_rule + 1, len(outcome.plan.rules))
        entered = outcome.left + sum(outcome.rows_at(name, later) for name in job.names)
        share = (
            1.0 if targets is None else sum(one.target for one in targets.values()) / sum(outcome.available().values())
        )
        samples = bounds(entered, round(share * outcome.left))
    plan = release_plan(job.recipe, job.names, outcome, targets, samples, staging)
    for name in ("data", "ledger", "quarantine"):
        make_folder(staging / name)
    steps = {"select": ingested.units, "write": sum(plan.partitions) * plan.pieces}
    if plan.pieces > 1:
        steps["bind"] = sum(plan.partitions)
    with report.stage("release", steps, engine.progress) as say:
        from pipelines import graphs

        engine.run(partial(graphs.release, plan=plan, units=ingested.units))
        selection = Selection.read(plan, job.names, folder, job.recipe.template is not None)
        say(f"{selection.rows:,} rows in {len(selection.shards)} shards")
    check_conservation("release", selection.rows, {"in shards": sum(one.rows or 0 for one in selection.shards)})
    if selection.rows == 0:
        raise GristmillError("the mix is so small that no record fits into it; raise mix.size")
    check_conservation("ledger", ingested.records, {"in the ledger": sum(one.rows or 0 for one in selection.ledger)})
    return selection


@contextmanager
def run_folder(work_dir: Path) -> Iterator[Path]:
    """A folder for this run's verdicts and summaries, gone afterwards."""
    with gone_afterwards(scratch(work_dir / "runs", "run")) as folder:
        for name in ("filtered", "verdicts", "pieces"):
            make_folder(folder / name)
        yield folder


@contextmanager
def spilling(folder: Path, local: bool) -> Iterator[Spill]:
    """Where the run leaves large batches that it shuffles: a local run on this machine's disk, always."""
    if local and is_remote(folder):
        with tempfile.TemporaryDirectory(prefix="gristmill-spill-") as here:
            yield spill_into(here)
    else:
        make_folder(folder / "spill")
        yield spill_into(str(folder / "spill"))
