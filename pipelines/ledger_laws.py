"""The laws of a release's ledger: counts, copies, and representatives that stay. Part of ``gristmill verify``."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from schemas.ledger import DROPPED, KEPT, QUARANTINED
from schemas.manifest import Manifest

STAGES = ("ingest", "filter", "exact_dedup", "near_dedup")
"""Stages of every release; then come those that its recipe asks for, in ``SELECTION``'s order, and "released"."""
SELECTION = ("decontaminate", "balance", "diversity", "best")

# Rules that name a representative, and by what else it may have gone afterwards: a stage, or a rule of the same stage.
_STANDS_FOR = {
    "exact_dedup": ("near_dedup", *SELECTION, "mix", "release"),
    "near_dedup": (*SELECTION, "mix", "release"),
    "diversity.similarity": ("diversity.cluster", "best", "mix", "release"),
    "best.similarity": ("mix", "release"),
}


def stages_are_known(stages: list[str]) -> bool:
    """Whether a source's stages are those of every release, then some of selection in their order."""
    middle = stages[len(STAGES) : -1]
    return (
        stages[: len(STAGES)] == list(STAGES)
        and stages[len(STAGES) :][-1:] == ["released"]
        and middle == [stage for stage in SELECTION if stage in middle]
    )


def check_ledger(ledger: pa.Table, manifest: Manifest, shards: Counter[tuple[str, str, str]]) -> Iterator[str]:
    """Laws between ledger, manifest and shards (copies of each (id, source, split))."""
    nulls = [name for name in ("source", "file", "index", "verdict", "stage", "copies") if ledger[name].null_count]
    kept = ledger.filter(pc.equal(ledger["verdict"], KEPT))
    nulls += [f"{name} of kept rows" for name in ("id", "split") if kept[name].null_count]
    if nulls:
        yield f"ledger: misses {', '.join(nulls)}"
        return
    yield from _check_counts(ledger, manifest)
    expected: Counter[tuple[str, str, str]] = Counter()
    for *key, copies in zip(*(kept[name].to_pylist() for name in ("id", "source", "split", "copies")), strict=True):
        expected[key[0], key[1], key[2]] += copies
    different = [key for key in expected.keys() | shards.keys() if expected[key] != shards[key]]
    if different:
        first = min(different, key=str)
        yield (
            f"ledger: {len(different)} ids stand in the shards another number of times than it says, for example "
            f"{first[0]} of {first[1]} in {first[2]}: {shards[first]} instead of {expected[first]}"
        )
    yield from _check_representatives(ledger)


def _check_counts(ledger: pa.Table, manifest: Manifest) -> Iterator[str]:
    counts = _count(ledger, "source", "verdict", "rule")
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
    files, stages = _count(ledger, "source", "file", "verdict"), _count(ledger, "source", "stage")
    for name, one in manifest.sources.items():
        for file in one.files:
            records = files[name, file.name, KEPT] + files[name, file.name, DROPPED]
            if (records, files[name, file.name, QUARANTINED]) != (file.records, file.quarantined):
                yield (
                    f"ledger: {name}/{file.name}: {records} records and {files[name, file.name, QUARANTINED]} "
                    f"quarantined, the manifest says {file.records} and {file.quarantined}"
                )
        left = one.records
        for stage in list(one.stages)[1:-1]:
            left -= stages[name, stage]
            if one.stages[stage].rows != left:
                yield f"ledger: {name}: {left} rows left by {stage}, the manifest says {one.stages[stage].rows}"


def _count(table: pa.Table, *columns: str) -> Counter[tuple[Any, ...]]:
    grouped = table.group_by(list(columns)).aggregate([([], "count_all")]).to_pylist()
    return Counter({tuple(row[name] for name in columns): row["count_all"] for row in grouped})


def check_quarantine(ledger: pa.Table, quarantine: pa.Table) -> Iterator[str]:
    """Every quarantined row of the ledger has its bytes in the quarantine, and the other way round."""
    said = _count(ledger.filter(pc.equal(ledger["verdict"], QUARANTINED)), "source", "file", "index", "rule")
    found = _count(quarantine, "source", "file", "index", "reason")
    different = [key for key in said.keys() | found.keys() if said[key] != found[key]]
    if different:
        source, file, index, _ = min(different, key=str)
        yield (
            f"quarantine: {len(different)} rows are not those that the ledger calls quarantined, for example "
            f"{file}:{index} of {source}"
        )


def _check_representatives(ledger: pa.Table) -> Iterator[str]:
    """Who goes for another names a record that was still in after that, at a similarity that reaches the threshold."""
    by_rule = pc.is_in(ledger["rule"], value_set=pa.array(list(_STANDS_FOR)))
    place = pc.if_else(by_rule, ledger["rule"], ledger["stage"])
    named = ledger.filter(pc.is_in(place, value_set=pa.array(list(_STANDS_FOR))))
    below = named.num_rows - (pc.sum(pc.greater_equal(named["value"], named["threshold"])).as_py() or 0)
    if below:  # or say neither
        yield f"ledger: {below} duplicates are below the threshold"
    if named["representative"].null_count:
        yield f"ledger: {named['representative'].null_count} duplicates name no representative"
    for stage, later in _STANDS_FOR.items():
        allowed = pc.or_(
            pc.is_in(ledger["stage"], value_set=pa.array(later)), pc.is_in(ledger["rule"], value_set=pa.array(later))
        )
        stays = ledger.filter(allowed)["id"].combine_chunks()
        mine = pc.or_(pc.equal(ledger["stage"], stage), pc.equal(ledger["rule"], stage))
        standing = ledger.filter(mine)["representative"].drop_null()
        lost = standing.filter(pc.invert(pc.is_in(standing, value_set=stays)))
        if len(lost):
            yield f"ledger: {len(lost)} {stage} representatives do not stay, for example {lost[0]}"
