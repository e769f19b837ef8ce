"""The Beam graphs: the data's way as transforms, top to bottom. What each step does is in ``transforms/``."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import apache_beam as beam
import pyarrow as pa

from transforms.best import Best, EmitCandidates, WalkBest
from transforms.blocks import MapBlocks, Repartition, Start, key_kind, number_key
from transforms.cap import Cap, Claim, Enforce, Settle
from transforms.clean import AddOverlaps, Clean, Cleaning, CountGrams
from transforms.collect import Keep
from transforms.components import ONE_WORKER, ROUNDS
from transforms.cut import EmitCut, FindCut, Quotas, Take
from transforms.decide import (
    AddUp,
    Conclude,
    EmitBands,
    FindCopies,
    FindNear,
    FinishStars,
    GatherMembers,
    LinkBuckets,
    MergeStars,
    SpreadEdges,
    Star,
    Survey,
)
from transforms.distance import Distance, EmitSample, EmitVectors, KeepApart, WalkClusters
from transforms.ingest import IngestSplits
from transforms.release import Bind, ReleasePlan, Select, Write
from transforms.spill import Spill
from transforms.standing import CENSUS_ROWS, TALLY_ROWS
from transforms.units import Plan


def ingest(pipeline: Any, work: IngestSplits, pending: list[int]) -> None:
    """Splits that the corpus lacks → corpus."""
    # The runner deals blocks out in turn: the largest first, so that no worker ends with two of them.
    order = sorted(pending, key=lambda number: (-work.works[number].cost, number))
    blocks = [(number_key(place), pa.record_batch({"work": [number]})) for place, number in enumerate(order)]
    _ = pipeline | "splits" >> Start(blocks) | "read" >> MapBlocks(work, "read")


def decide(pipeline: Any, plan: Plan, units: int) -> None:
    """Features → one verdict per record, histograms and tallies for the command."""
    map_blocks, repartition = _moves(plan.spill)
    survey = _start(pipeline, units) | "survey" >> map_blocks(Survey(plan), "survey", ("candidates", "present"))
    dropped = [survey["present"]]
    if plan.exact is not None:
        exact = survey["candidates"] | "exact" >> repartition(FindCopies(plan), "exact")
        dropped.append(exact)
    if plan.near is not None:
        links = (
            dropped
            | "left" >> beam.Flatten()
            | "bands" >> repartition(EmitBands(plan), "bands")
            | "link" >> repartition(LinkBuckets(plan, meet=plan.total <= ONE_WORKER), "link")
        )
        near = (
            _grouped(links, plan)
            | "gather" >> repartition(GatherMembers(plan), "gather")
            | "near" >> repartition(FindNear(plan), "near")
        )
        dropped.append(near)
    _ = (
        dropped
        | "verdicts" >> beam.Flatten()
        | "conclude" >> repartition(Conclude(plan), "conclude")
        | "add up" >> repartition(AddUp(plan), "add")
    )


def _grouped(links: Any, plan: Plan) -> Any:
    """Stars of the parts → labels by block: one merge, or rounds where one worker would hold too much."""
    map_blocks, repartition = _moves(plan.spill)
    if plan.total <= ONE_WORKER:
        return links | "merge" >> repartition(MergeStars(plan), "merge")
    for number in range(ROUNDS):
        for large in (True, False):
            name = f"{'large' if large else 'small'} star {number}"
            links = (
                links
                | f"{name} spread" >> map_blocks(SpreadEdges(plan, both=large), "star")
                | name >> repartition(Star(plan, large), "star")
            )
    return (
        links
        | "finish spread" >> map_blocks(SpreadEdges(plan, both=True), "star")
        | "finish" >> repartition(FinishStars(plan), "star")
    )


def take(pipeline: Any, step: Take, units: int) -> None:
    """Verdicts → verdicts with exact quotas by group."""
    map_blocks, repartition = _moves(step.before.spill)
    start = _start(pipeline, units)
    cuts = _cuts(start, step.before, step.quotas)
    _ = start | "take" >> map_blocks(step, "take", extra=cuts) | "add up" >> repartition(AddUp(step.after), "add")


def enforce(pipeline: Any, cap: Cap, units: int) -> None:
    """Verdicts → verdicts with at most so many records of one key."""
    map_blocks, repartition = _moves(cap.before.spill)
    claims = _start(pipeline, units) | "claim" >> map_blocks(Claim(cap), "claim", ("claims", "present"))
    limits = claims["claims"] | "settle" >> repartition(Settle(cap), "settle")
    _ = (
        [claims["present"], limits]
        | "limits" >> beam.Flatten()
        | "enforce" >> repartition(Enforce(cap), "enforce")
        | "add up" >> repartition(AddUp(cap.after), "add")
    )


def keep_apart(pipeline: Any, distance: Distance, units: int) -> None:
    """Verdicts → verdicts without records that are too near to one of their cluster that stays."""
    map_blocks, repartition = _moves(distance.before.spill)
    rows = _start(pipeline, units) | "vectors" >> map_blocks(EmitVectors(distance), "vectors", ("vectors", "present"))
    near = rows["vectors"] | "walk" >> repartition(WalkClusters(distance), "walk")
    _ = (
        [rows["present"], near]
        | "drops" >> beam.Flatten()
        | "keep apart" >> repartition(KeepApart(distance), "apart")
        | "add up" >> repartition(AddUp(distance.after), "add")
    )


def walk_best(pipeline: Any, best: Best, units: int) -> None:
    """Verdicts → what became of the candidates, left for the command."""
    map_blocks, repartition = _moves(best.before.spill)
    _ = (
        _start(pipeline, units)
        | "candidates" >> map_blocks(EmitCandidates(best), "candidates")
        | "walk best" >> repartition(WalkBest(best), "walk")
    )


def sample(pipeline: Any, step: EmitSample, folder: str, units: int) -> None:
    """A seeded sample of rows with their vectors, left for the command."""
    map_blocks, repartition = _moves(step.plan.spill)
    rows = _start(pipeline, units) | "sample" >> map_blocks(step, "sample")
    _ = rows | "gather sample" >> repartition(Keep("sample", folder), "gather")


def count_grams(pipeline: Any, cleaning: Cleaning, units: int) -> None:
    """Annotations → how common each of the benchmarks' grams is, left for the command."""
    map_blocks, repartition = _moves(cleaning.before.spill)
    counts = _start(pipeline, units) | "count" >> map_blocks(CountGrams(cleaning), "count")
    _ = counts | "add grams" >> repartition(AddOverlaps(cleaning), "add")


def clean(pipeline: Any, step: Clean, units: int) -> None:
    """Verdicts → verdicts without contaminated records; the report's parts, left for the command."""
    map_blocks, repartition = _moves(step.before.spill)
    _ = _start(pipeline, units) | "clean" >> map_blocks(step, "clean") | "add up" >> repartition(_AddBoth(step), "add")


@dataclass(frozen=True)
class _AddBoth:
    """Census and tally as always; what else a clean step gives, its own way."""

    step: Clean

    def __call__(self, key: bytes, table: Any) -> Any:
        standing = key_kind(key) in (CENSUS_ROWS, TALLY_ROWS)
        return (AddUp(self.step.after) if standing else AddOverlaps(self.step.cleaning))(key, table)


def every_unit(pipeline: Any, step: Any, units: int) -> None:
    """Verdicts → verdicts, unit by unit: ``step`` needs to know nothing of the others."""
    map_blocks, repartition = _moves(step.before.spill)
    _ = _start(pipeline, units) | "each" >> map_blocks(step, "each") | "add up" >> repartition(AddUp(step.after), "add")


def release(pipeline: Any, plan: ReleasePlan, units: int) -> None:
    """Verdicts and text → shards and ledger."""
    map_blocks, repartition = _moves(plan.spill)
    start = _start(pipeline, units)
    cuts: tuple[Any, ...] = ()
    if plan.quotas is not None:
        cuts = _cuts(start, plan.decide, plan.quotas)
    pieces = (
        start
        | "select" >> map_blocks(Select(plan), "select", extra=cuts)
        | "write" >> repartition(Write(plan), "write")
    )
    if plan.pieces > 1:
        _ = pieces | "bind" >> repartition(Bind(plan), "bind")


def _cuts(start: Any, plan: Plan, quotas: Quotas) -> tuple[Any, ...]:
    """Units → the cut of every group whose target falls inside a bin, as a side input."""
    map_blocks, repartition = _moves(plan.spill)
    found = (
        start
        | "emit cut" >> map_blocks(EmitCut(plan, quotas), "cut")
        | "find cut" >> repartition(FindCut(quotas), "find")
    )
    return (beam.pvalue.AsList(found),)


def _moves(spill: Spill | None) -> tuple[Any, Any]:
    """The two moves, as the run spills."""
    return partial(MapBlocks, spill=spill), partial(Repartition, spill=spill)


def _start(pipeline: Any, units: int) -> Any:
    place = pa.record_batch({"unit": pa.array([], pa.int64())})  # the key says which unit
    return pipeline | "units" >> Start([(number_key(number), place) for number in range(units)])
