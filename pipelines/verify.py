"""``gristmill verify``: every checksum, count and law of a release, from its files alone."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.open_release import open_manifest
from schemas.ledger import DROPPED, KEPT, LEDGER, QUARANTINED
from schemas.manifest import FILE_NAME, Manifest
from schemas.record import RELEASE
from transforms.assemble import conversation_of, record_id
from transforms.keys import halves, seeded
from transforms.shards import file_digest

RUN_FILE = "run.json"
EXAMPLES = 3


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
    problems += shards.problems
    problems += _check_ledger(release, manifest, shards)
    return problems


def _check_manifest(manifest: Manifest) -> Iterator[str]:
    if manifest.digest() != manifest.release_digest:
        yield f"manifest: release_digest is {manifest.release_digest}, its content gives {manifest.digest()}"
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
        if one.stages["ingest"].rows != one.records:
            yield f"manifest: {name}: {one.records} records, {one.stages['ingest'].rows} entered the stages"
    rows = sum(one.rows for one in manifest.splits.values())
    released = sum(one.stages["released"].rows for one in manifest.sources.values())
    if rows != released:
        yield f"manifest: splits hold {rows} rows, sources {released}"


def _check_files(release: Path, manifest: Manifest) -> Iterator[str]:
    listed = {file.path: file for file in manifest.files}
    there = {path.relative_to(release).as_posix() for path in release.rglob("*") if path.is_file() or path.is_symlink()}
    for path in sorted(there - set(listed) - {FILE_NAME, RUN_FILE}):
        yield f"{path}: is in the release but not in the manifest"
    for path, file in listed.items():
        place = release / path
        if not place.resolve().is_relative_to(release.resolve()):
            yield f"{path}: points out of the release"
        elif path not in there:
            yield f"{path}: is missing"
        else:
            size, digest = file_digest(place)
            if (size, digest) != (file.bytes, file.sha256):
                yield (
                    f"{path}: has {size} bytes and sha256 {digest[:16]}…, "
                    f"the manifest says {file.bytes} and {file.sha256[:16]}…"
                )


@dataclass
class Shards:
    """What the shards hold: copies of each id by split, sums, and what is wrong in them."""

    copies: Counter[tuple[str, str]] = field(default_factory=Counter)  # (id, source)
    splits: dict[str, set[str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def _read_shards(release: Path, manifest: Manifest) -> Shards:
    shards = Shards()
    seed = int(manifest.recipe["seed"])
    bounds = _split_bounds(manifest)
    for split, measures in manifest.splits.items():
        sums: Counter[str] = Counter()
        ids: set[str] = shards.splits.setdefault(split, set())
        for file in manifest.files:
            if not file.path.startswith(f"data/{split}-"):
                continue
            parquet = pq.ParquetFile(release / file.path)
            if parquet.schema_arrow.remove_metadata() != RELEASE:
                shards.problems.append(f"{file.path}: its columns are not those of a release")
                continue
            shard: Counter[str] = Counter()
            for group in range(parquet.num_row_groups):
                rows = parquet.read_row_group(group)
                _check_rows(rows, file.path, split, bounds, seed, shards)
                ids.update(rows["id"].to_pylist())
                for name in ("characters", "words", "turns", "tokens", "answer_tokens"):
                    shard[name] += pc.sum(rows[name]).as_py() or 0
                shard["rows"] += rows.num_rows
            for name in ("rows", "characters", "words", "tokens", "answer_tokens"):
                said = getattr(file, name)
                if said is not None and said != shard[name]:
                    shards.problems.append(f"{file.path}: holds {shard[name]} {name}, the manifest says {said}")
            sums.update(shard)
        for name in ("rows", "turns", "words", "characters", "tokens"):
            said = getattr(measures, name)
            if said is not None and said != sums[name]:
                shards.problems.append(f"split {split}: holds {sums[name]} {name}, the manifest says {said}")
    return shards


def _split_bounds(manifest: Manifest) -> list[tuple[str, int]]:
    shares = manifest.recipe["release"]["splits"]
    total, bounds = Fraction(0), []
    for split in manifest.splits:
        if split != "train":
            total += Fraction(shares[split].removesuffix("%").strip()) / 100
            bounds.append((split, int(total * 2**64)))
    return bounds


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
    shards.copies.update(zip(ids, rows["source"].to_pylist(), strict=True))


def _check_ledger(release: Path, manifest: Manifest, shards: Shards) -> Iterator[str]:
    paths = [release / file.path for file in manifest.files if file.path.startswith("ledger/")]
    ledger = pa.concat_tables([pq.read_table(path, schema=LEDGER) for path in paths])
    yield from _check_ledger_counts(ledger, manifest)
    kept = ledger.filter(pc.equal(ledger["verdict"], KEPT))
    expected: Counter[tuple[str, str]] = Counter()
    for record, source, copies in zip(*(kept[name].to_pylist() for name in ("id", "source", "copies")), strict=True):
        expected[record, source] += copies
    different = [key for key in expected.keys() | shards.copies.keys() if expected[key] != shards.copies[key]]
    if different:
        record, source = min(different)
        yield (
            f"ledger: {len(different)} ids stand in the shards another number of times than it says, for example "
            f"{record} of {source}: {shards.copies[record, source]} instead of {expected[record, source]}"
        )
    yield from _check_representatives(ledger)


def _check_ledger_counts(ledger: pa.Table, manifest: Manifest) -> Iterator[str]:
    counts: dict[tuple[Any, ...], int] = {}
    for row in ledger.group_by(["source", "verdict", "rule"]).aggregate([([], "count_all")]).to_pylist():
        counts[row["source"], row["verdict"], row["rule"]] = row["count_all"]
    unknown = {source for source, _, _ in counts} - set(manifest.sources)
    if unknown:
        yield f"ledger: has rows of {sorted(unknown)}, which the manifest does not know"
    for name, one in manifest.sources.items():
        mine = {(verdict, rule): count for (source, verdict, rule), count in counts.items() if source == name}
        dropped = {rule: count for (verdict, rule), count in mine.items() if verdict == DROPPED}
        if dropped != one.dropped:
            yield f"ledger: {name}: dropped {dropped}, the manifest says {one.dropped}"
        for verdict, said in ((KEPT, one.kept), (QUARANTINED, one.quarantined)):
            count = sum(count for (found, _), count in mine.items() if found == verdict)
            if count != said:
                yield f"ledger: {name}: {count} {verdict}, the manifest says {said}"


def _check_representatives(ledger: pa.Table) -> Iterator[str]:
    """A duplicate names a record that deduplication left in, at a similarity that reaches the threshold."""
    duplicate = pc.is_in(ledger["stage"], value_set=pa.array(["exact_dedup", "near_dedup"]))
    dropped = ledger.filter(duplicate)
    below = pc.sum(pc.less(dropped["value"], dropped["threshold"])).as_py() or 0
    if below:
        yield f"ledger: {below} duplicates are below the threshold"
    if dropped["representative"].null_count:
        yield f"ledger: {dropped['representative'].null_count} duplicates name no representative"
    # An exact copy's representative may itself be a near duplicate of a third record, which its own row names.
    left = pc.is_in(ledger["stage"], value_set=pa.array(["release", "mix"]))
    for stage, allowed in (
        ("near_dedup", left),
        ("exact_dedup", pc.or_(left, pc.equal(ledger["stage"], "near_dedup"))),
    ):
        stays = ledger.filter(allowed)["id"].combine_chunks()
        named = dropped.filter(pc.equal(dropped["stage"], stage))["representative"]
        lost = named.filter(pc.invert(pc.is_in(named, value_set=stays)))
        if len(lost):
            yield f"ledger: {len(lost)} {stage} representatives do not stay, for example {lost[0]}"
