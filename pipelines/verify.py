"""``gristmill verify``: every checksum, count and law of a release, from its files alone."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.ledger_laws import SELECTION, STAGES, check_ledger, check_quarantine, stages_are_known
from pipelines.open_release import open_manifest
from pipelines.publish_store import CLAIM
from schemas.ledger import LEDGER, QUARANTINE
from schemas.manifest import FILE_NAME, File, Manifest
from schemas.record import RELEASE
from schemas.units import Share
from transforms.assemble import conversation_of, record_id
from transforms.keys import halves, seeded
from transforms.parquet import Parquet
from transforms.shards import file_digest
from transforms.storage import all_files, is_remote

RUN_FILE = "run.json"
EXAMPLES = 3
MEASURES = ("turns", "words", "characters", "tokens", "supervised_tokens")


def verify(release: Path) -> list[str]:
    """All that is wrong with a release, a sentence each; empty when nothing is.

    Raises:
        GristmillError: it has no manifest that can be read.
    """
    manifest = open_manifest(release)
    problems = list(_check_manifest(manifest))
    problems += _check_files(release, manifest)
    if problems:
        return problems  # counts of damaged files would only repeat it
    shards = _read_shards(release, manifest)
    ledger, unreadable = _read_tables(release, manifest, "ledger/", LEDGER)
    quarantine, more = _read_tables(release, manifest, "quarantine/", QUARANTINE)
    problems = shards.problems + unreadable + more
    if problems:
        return problems
    problems += _check_released(manifest, shards)
    problems += check_ledger(ledger, manifest, shards.copies)
    problems += check_quarantine(ledger, quarantine)
    return problems


def _check_manifest(manifest: Manifest) -> Iterator[str]:
    if manifest.digest() != manifest.release_digest:
        yield f"manifest: release_digest is {manifest.release_digest}, its content gives {manifest.digest()}"
    recipe = hashlib.sha256(orjson.dumps(manifest.recipe, option=orjson.OPT_SORT_KEYS)).hexdigest()
    if recipe != manifest.recipe_digest:
        yield f"manifest: recipe_digest is {manifest.recipe_digest}, its recipe gives {recipe}"
    try:
        _split_bounds(manifest)
    except (LookupError, TypeError, ValueError, ArithmeticError):
        yield "manifest: its recipe does not give seed and shares of its splits"
    for name, one in manifest.sources.items():
        for file in one.files:
            if file.records < file.rows - file.quarantined - file.consumed:
                yield (
                    f"manifest: {name}/{file.name}: {file.rows} rows cannot be {file.records} records, "
                    f"{file.quarantined} quarantined and {file.consumed} consumed"
                )
        if one.records != one.kept + sum(one.dropped.values()):
            dropped = sum(one.dropped.values())
            yield f"manifest: {name}: {one.records} records are not {one.kept} kept + {dropped} dropped"
        if one.records != sum(file.records for file in one.files):
            yield f"manifest: {name}: {one.records} records, its files gave {sum(file.records for file in one.files)}"
        if one.quarantined != sum(file.quarantined for file in one.files):
            bad = sum(file.quarantined for file in one.files)
            yield f"manifest: {name}: {one.quarantined} quarantined, its files gave {bad}"
        if not stages_are_known(list(one.stages)):
            known = ", ".join((*STAGES, *SELECTION, "released"))
            yield f"manifest: {name}: its stages are {', '.join(one.stages)}, not of {known}"
        elif one.stages["ingest"].rows != one.records:
            yield f"manifest: {name}: {one.records} records, {one.stages['ingest'].rows} entered the stages"
    twice = [path for path, count in Counter(file.path for file in manifest.files).items() if count > 1]
    if twice:
        yield f"manifest: lists {twice[0]} twice"


def _check_files(release: Path, manifest: Manifest) -> Iterator[str]:
    listed = {file.path: file for file in manifest.files}
    there = set(all_files(release))
    known = {FILE_NAME, RUN_FILE} | ({CLAIM} if is_remote(release) else set())
    for path in sorted(there - set(listed) - known):
        yield f"{path}: is in the release but not in the manifest"
    for path, file in listed.items():
        place = release / path
        try:
            # A store has no links and no "..": a name that is there is inside.
            inside = is_remote(place) or place.resolve().is_relative_to(release.resolve())
            size, digest = file_digest(place) if inside and path in there else (0, "")
        except (OSError, RuntimeError, ValueError) as error:  # no rights, a link to nothing or to itself, a null byte
            yield f"{path}: cannot be read: {_first_line(error)}"
            continue
        if not inside:
            yield f"{path}: points out of the release"
        elif path not in there:
            yield f"{path}: is missing"
        else:
            if (size, digest) != (file.bytes, file.sha256):
                yield (
                    f"{path}: has {size} bytes and sha256 {digest[:16]}…, "
                    f"the manifest says {file.bytes} and {file.sha256[:16]}…"
                )


@dataclass
class Shards:
    """What the shards hold: copies of each id, rows by source, and what is wrong in them."""

    copies: Counter[tuple[str, str, str]] = field(default_factory=Counter)  # (id, source, split)
    sources: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    problems: list[str] = field(default_factory=list)


def _read_shards(release: Path, manifest: Manifest) -> Shards:
    shards = Shards()
    seed, bounds = _split_bounds(manifest)
    for split, measures in manifest.splits.items():
        sums: Counter[str] = Counter()
        for file in manifest.files:
            if not file.path.startswith(f"data/{split}-"):
                continue
            try:
                shard = _read_shard(release, file, split, bounds, seed, shards)
            except Exception as error:  # a file made by anyone: whatever Arrow says of it is a finding, no accident
                shards.problems.append(f"{file.path}: cannot be read: {_first_line(error)}")
                continue
            for name in ("rows", "characters", "words", "tokens", "answer_tokens"):
                said = getattr(file, name)
                if said is not None and said != shard[name]:
                    shards.problems.append(f"{file.path}: holds {shard[name]} {name}, the manifest says {said}")
            sums.update(shard)
        for name in ("rows", *MEASURES):
            said = getattr(measures, name)
            if said is not None and said != sums[name]:
                shards.problems.append(f"split {split}: holds {sums[name]} {name}, the manifest says {said}")
    return shards


def _read_shard(
    release: Path, file: File, split: str, bounds: list[tuple[str, int]], seed: int, shards: Shards
) -> Counter[str]:
    """Check a shard's rows; returns its sums."""
    shard: Counter[str] = Counter()
    parquet = Parquet(release / file.path)
    if parquet.schema.remove_metadata() != RELEASE:
        shards.problems.append(f"{file.path}: its columns are not those of a release")
        return shard
    for rows in parquet.groups():
        rows.validate(full=True)
        _check_rows(rows, file.path, split, bounds, seed, shards)
        for name in (*MEASURES, "answer_tokens"):
            shard[name] += pc.sum(rows[name]).as_py() or 0
        shard["rows"] += rows.num_rows
        by_source = rows.group_by("source").aggregate([([], "count_all"), *((name, "sum") for name in MEASURES)])
        for row in by_source.to_pylist():
            shards.sources[row["source"]].update({name: row[f"{name}_sum"] or 0 for name in MEASURES})
            shards.sources[row["source"]]["rows"] += row["count_all"]
    return shard


def _read_tables(release: Path, manifest: Manifest, folder: str, schema: pa.Schema) -> tuple[pa.Table, list[str]]:
    """All rows of the files of a folder, and what is wrong with those files."""
    tables, problems = [schema.empty_table()], []
    for file in manifest.files:
        if file.path.startswith(folder):
            try:
                table = Parquet(release / file.path).read()
                table.validate(full=True)
                if table.schema.remove_metadata() != schema:
                    problems.append(f"{file.path}: its columns are not those of a release")
                    continue
            except Exception as error:  # as with shards
                problems.append(f"{file.path}: cannot be read: {_first_line(error)}")
                continue
            if file.rows is not None and file.rows != table.num_rows:
                problems.append(f"{file.path}: holds {table.num_rows} rows, the manifest says {file.rows}")
            tables.append(table.replace_schema_metadata())
    return pa.concat_tables(tables), problems


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _split_bounds(manifest: Manifest) -> tuple[int, list[tuple[str, int]]]:
    """The seed, and the upper bound of each split but train in the 64-bit hash space."""
    seed, shares = int(manifest.recipe["seed"]), manifest.recipe["release"]["splits"]
    total, bounds = Fraction(0), []
    for split in manifest.splits:
        if split != "train":
            total += Share.parse(shares[split]).value
            bounds.append((split, int(total * 2**64)))
    np.array([bound for _, bound in bounds], np.uint64)  # raises where a share is more than all
    return seed, bounds


def _check_rows(
    rows: pa.Table, path: str, split: str, bounds: list[tuple[str, int]], seed: int, shards: Shards
) -> None:
    """Ids are the hash of the content, and every row is in the split that its id belongs to."""
    ids = rows["id"].to_pylist()
    content = rows.select(["messages", "tools", "chosen", "rejected", "label"]).to_pylist()
    wrong = [said for said, row in zip(ids, content, strict=True) if record_id(conversation_of(row)).hex() != said]
    if wrong:
        shards.problems.append(f"{path}: {len(wrong)} rows do not match their id, for example {wrong[:EXAMPLES]}")
        return
    packed = pa.array([bytes.fromhex(one) for one in ids], pa.binary(16))
    place = np.searchsorted(
        np.array([bound for _, bound in bounds], np.uint64), seeded(halves(packed), seed, "split"), side="right"
    )
    names = np.array([*(name for name, _ in bounds), "train"])[place]
    if (names != split).any():
        shards.problems.append(f"{path}: {int((names != split).sum())} rows belong to another split by their id")
    shards.copies.update((one, source, split) for one, source in zip(ids, rows["source"].to_pylist(), strict=True))


def _check_released(manifest: Manifest, shards: Shards) -> Iterator[str]:
    """What the manifest says of each source's rows in the release, and of the mix."""
    for name in shards.sources.keys() - manifest.sources.keys():
        yield f"shards: have rows of {name!r}, which the manifest does not know"
    for name, one in manifest.sources.items():
        for measure in ("rows", *MEASURES):
            said, found = getattr(one.stages["released"], measure), shards.sources[name][measure]
            if said is not None and said != found:
                yield f"source {name}: {found} {measure} in the shards, the manifest says {said}"
    for row in manifest.mix:
        found = shards.sources[row.source][manifest.mix_unit or "rows"]
        if row.got != found:
            yield f"mix: {row.source} got {found} {manifest.mix_unit}, the manifest says {row.got}"
