"""From a staging folder to a published version: whole, once, and never changed."""

import hashlib
import os
import platform
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, closing
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.accounts import Ingested, check_conservation
from pipelines.card import write_card
from pipelines.croissant import write_croissant
from pipelines.engine import Engine
from pipelines.inputs import Input
from pipelines.job import Job
from pipelines.outcome import Outcome, Selection
from pipelines.publish_store import check_free, publish_in_store
from pipelines.report import Report
from pipelines.report_page import write_report
from schemas import manifest
from schemas.errors import GristmillError
from schemas.ledger import LEDGER, QUARANTINE, QUARANTINED
from schemas.recipe import Recipe
from schemas.version import __version__
from transforms.annotate.function import UserFunction
from transforms.corpus import read_batch
from transforms.mix import Target
from transforms.shards import file_digest
from transforms.storage import (
    all_files,
    gone_afterwards,
    is_file,
    is_remote,
    remove_files,
    replacing,
    scratch,
    write_bytes,
)

# What Parquet bytes and signatures depend on besides our own code.
DEPENDENCIES = ("pyarrow", "numpy", "orjson", "xxhash", "tokenizers", "ftfy")

QUARANTINE_ROWS = 4096
"""Rows per row group of the quarantine: up to 64 KiB of raw bytes each, but mostly a few hundred."""


def target_of(recipe: Recipe, out: Path) -> Path:
    """Where the release will stand.

    Raises:
        GristmillError: it stands there already, or ``out`` cannot be written.
    """
    target = out / recipe.name / recipe.version
    if is_remote(target):
        check_free(target)
    if is_file(target / manifest.FILE_NAME) if is_remote(target) else target.exists():
        raise GristmillError(
            f"{target} is published already and a version never changes; raise version {recipe.version} in the recipe"
        )
    if is_remote(target):
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GristmillError(f"--out {out}: {error.strerror}; name a folder that can be written") from None
    return target


def staging(target: Path) -> AbstractContextManager[Path]:
    """A hidden folder beside the target; what is left of it afterwards is removed."""
    return gone_afterwards(scratch(target.parent, f"staging-{target.name}"))


def publish(
    folder: Path, target: Path, report: Report, engine: Engine, places: Mapping[str, str] | None = None
) -> None:
    """Rename the finished staging folder to its place; in a store, copy its files, which lie at ``places`` in it.

    Raises:
        GristmillError: another run has published this version meanwhile.
    """
    run = {
        "started": report.started,
        "seconds": round(time.time() - report.started, 3),
        "stages": report.durations,
        "host": platform.node(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        **engine.facts(),
    }
    if is_remote(target):
        publish_in_store(folder, target, places or {}, run)
        return
    if places is not None:
        # What workers left that were killed while they wrote.
        remove_files([one.path for name, one in all_files(folder).items() if name not in {*places, manifest.FILE_NAME}])
    (folder / "run.json").write_bytes(orjson.dumps(run, option=orjson.OPT_INDENT_2) + b"\n")
    # All of it must be on the disk before the name is: after a power cut a release is whole or not there.
    for path in sorted(folder.rglob("*")):
        _to_disk(path)
    _to_disk(folder)
    try:
        os.rename(folder, target)
    except OSError as error:
        if target.exists():
            raise GristmillError(
                f"{target} was published by another run meanwhile; this one's result is dropped"
            ) from None
        raise GristmillError(f"{target} cannot be published: {error.strerror}") from None
    _to_disk(target.parent)


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def finish(
    job: Job,
    inputs: list[Input],
    ingested: Ingested,
    outcome: Outcome,
    found: manifest.SelectionReport,
    targets: dict[str, Target] | None,
    selection: Selection,
    folder: Path,
) -> dict[str, str]:
    """Give shards their final names, add quarantine, card, description, report and manifest.

    Returns where in ``folder`` each file lies, by its path in the release: a store cannot rename, so there shards get
    their names when they are copied to their places.
    """
    shards = _name_shards(selection, outcome, folder)
    files = [file for file, _ in shards] + selection.ledger
    files += _write_quarantine(ingested, folder)
    made = _manifest(job, inputs, ingested, outcome, found, targets, selection, files)
    # Each is made from the manifest as it is then; the report comes last and lists the other two.
    for name, write in (("README.md", write_card), ("croissant.json", write_croissant), ("report.html", write_report)):
        with replacing(folder / name) as page:
            write(made, page)
            size, digest = file_digest(page)
        files = sorted([*files, manifest.File(path=name, bytes=size, sha256=digest)], key=lambda file: file.path)
        made = made.model_copy(update={"files": files})
    made = made.sealed()
    write_bytes(folder / manifest.FILE_NAME, made.encode())
    return {file.path: file.path for file in made.files} | {file.path: staged for file, staged in shards}


def _name_shards(selection: Selection, outcome: Outcome, folder: Path) -> list[tuple[manifest.File, str]]:
    """``data/<split>-00000-of-000NN.parquet``, and where it lies: the number of files is known only now."""
    named = []
    by_split: dict[str, list[manifest.File]] = {}
    for shard in selection.shards:
        by_split.setdefault(Path(shard.path).name.rsplit("-", 2)[0], []).append(shard)
    for split, shards in by_split.items():
        for number, shard in enumerate(sorted(shards, key=lambda one: one.path)):
            path = f"data/{split}-{number:05d}-of-{len(shards):05d}.parquet"
            if not is_remote(folder):
                os.rename(folder / shard.path, folder / path)
            tokens = {} if outcome.counts_tokens else {"tokens": None, "answer_tokens": None}
            named.append((shard.model_copy(update={"path": path, **tokens}), shard.path if is_remote(folder) else path))
    return named


def _write_quarantine(ingested: Ingested, folder: Path) -> list[manifest.File]:
    """Quarantined rows with their bytes, and their rows of the ledger."""
    bad, rows = folder / "quarantine" / "rows.parquet", 0
    ledger = folder / "ledger" / "quarantined.parquet"
    digests = {}
    with (
        replacing(bad) as bad_file,
        replacing(ledger) as ledger_file,
        closing(pq.ParquetWriter(bad_file, QUARANTINE, compression="zstd")) as bad_writer,
        closing(pq.ParquetWriter(ledger_file, LEDGER, compression="zstd")) as ledger_writer,
    ):
        for table in _row_groups(_quarantined(ingested)):
            count = table.num_rows
            rows += count
            bad_writer.write_table(table)
            columns = {name: table[name] for name in ("source", "file", "index")}
            columns |= {
                "verdict": pa.array([QUARANTINED] * count),
                "stage": pa.array(["ingest"] * count),
                "rule": table["reason"],
                "copies": pa.array([0] * count, pa.int32()),
            }
            columns = {f.name: columns.get(f.name, pa.nulls(count, f.type)) for f in LEDGER}
            ledger_writer.write_table(pa.table(columns, schema=LEDGER))
        bad_writer.close()
        ledger_writer.close()
        digests = {ledger: file_digest(ledger_file), bad: file_digest(bad_file)}
    check_conservation(
        "quarantine", sum(one.quarantined for one in ingested.accounts.values()), {"in the quarantine": rows}
    )
    made = []
    for path, (size, digest) in digests.items():
        made.append(manifest.File(path=f"{path.parent.name}/{path.name}", bytes=size, sha256=digest, rows=rows))
    return made


def _quarantined(ingested: Ingested) -> Iterator[pa.Table]:
    """QUARANTINE rows, split after split."""
    for source, file, first_row, split in ingested.quarantines:
        batch = read_batch(f"{split}/quarantine.arrow")
        columns = {
            "source": pa.array([source] * batch.num_rows),
            "file": pa.array([file] * batch.num_rows),
            "index": pc.add(batch["index"], first_row),
            "reason": batch["reason"],
            "raw": batch["raw"],
        }
        yield pa.table(columns, schema=QUARANTINE)


def _row_groups(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in tables of QUARANTINE_ROWS: row groups must not show how files were split."""
    waiting = QUARANTINE.empty_table()
    for table in tables:
        waiting = pa.concat_tables([waiting, table])
        while waiting.num_rows >= QUARANTINE_ROWS:
            yield waiting.slice(0, QUARANTINE_ROWS).combine_chunks()
            waiting = waiting.slice(QUARANTINE_ROWS)
    if waiting.num_rows:
        yield waiting.combine_chunks()


def _manifest(
    job: Job,
    inputs: list[Input],
    ingested: Ingested,
    outcome: Outcome,
    found: manifest.SelectionReport,
    targets: dict[str, Target] | None,
    selection: Selection,
    files: list[manifest.File],
) -> manifest.Manifest:
    recipe = job.recipe
    tokens = outcome.counts_tokens
    unit = recipe.mix.unit if recipe.mix else None
    canonical = recipe.canonical()
    return manifest.Manifest(
        format=manifest.FORMAT,
        name=recipe.name,
        version=recipe.version,
        description=recipe.description,
        gristmill=__version__,
        recipe=orjson.loads(canonical),
        recipe_digest=recipe.digest(),
        sources={name: _account(name, recipe, inputs, ingested, outcome, selection) for name in job.names},
        mix_unit=unit,
        mix=[
            manifest.MixRow(
                source=name, share=one.share, asked=one.asked, available=one.available, target=one.target,
                got=getattr(selection.measures(name, tokens=tokens), unit or "rows") or 0,
            )
            for name, one in (targets or {}).items()
        ],
        splits={split: selection.measures(split=split, tokens=tokens) for split in ("train", *recipe.release.splits)},
        selection=found,
        near_dedup=outcome.scheme(job.settings),
        tokenizer_digest=job.settings.tokenizer,
        functions={
            one.filter: hashlib.sha256(one.source.encode()).hexdigest()
            for one in job.annotations
            if isinstance(one, UserFunction)
        },
        dependencies={name: version(name) for name in sorted(DEPENDENCIES)},
        files=files,
    )  # fmt: skip


def _account(
    name: str, recipe: Recipe, inputs: list[Input], ingested: Ingested, outcome: Outcome, selection: Selection
) -> manifest.SourceAccount:
    source = recipe.sources[name]
    files = []
    for one in inputs:
        if one.source == name:
            facts = {
                "name": one.file.name,
                "bytes": one.file.size,
                "sha256": one.digest,
                "container": one.kind.container,
            }
            files.append(manifest.InputFile.model_validate(facts | asdict(ingested.accounts[name, one.file.name])))
    rules = [(outcome.plan.rules[rule], count.rows) for (owner, rule), count in sorted(outcome.tally.items())
             if owner == name and rule >= 0]  # fmt: skip
    kept = sum(one["unique"] for (owner, _), one in selection.selected.items() if owner == name)
    left = outcome.rows_at(name, range(-1, 0))
    dropped = dict(rules) | ({"mix.target": left - kept} if left != kept else {})
    records = sum(file.records for file in files)
    check_conservation(f"source {name!r}", records, {"kept": kept, "dropped": sum(dropped.values())})
    return manifest.SourceAccount(
        origin=source.origin,
        license=source.license,
        generator=source.generator,
        language=source.language,
        files=files,
        quarantined=sum(file.quarantined for file in files),
        records=records,
        dropped=dropped,
        kept=kept,
        stages=outcome.stages(name) | {"released": selection.measures(name, tokens=outcome.counts_tokens)},
    )
