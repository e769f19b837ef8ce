"""The Beam graphs: the data's way as transforms, top to bottom. What each step does is in ``transforms/``."""

from typing import Any

import apache_beam as beam
import pyarrow as pa

from transforms.blocks import MapBlocks, Repartition, Start, number_key
from transforms.components import ONE_WORKER, ROUNDS
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
    Plan,
    SpreadEdges,
    Star,
    Survey,
)
from transforms.ingest import IngestSplits
from transforms.release import EmitCut, FindCut, ReleasePlan, Select, Write


def ingest(pipeline: Any, work: IngestSplits, pending: list[int]) -> None:
    """Splits that the corpus lacks → corpus."""
    # The runner deals blocks out in turn: the largest first, so that no worker ends with two of them.
    order = sorted(pending, key=lambda number: (-work.works[number].cost, number))
    blocks = [(number_key(place), pa.record_batch({"work": [number]})) for place, number in enumerate(order)]
    _ = pipeline | "splits" >> Start(blocks) | "read" >> MapBlocks(work, "read")


def decide(pipeline: Any, plan: Plan, units: int) -> None:
    """Features → one verdict per record, histograms and tallies for the command."""
    survey = _start(pipeline, units) | "survey" >> MapBlocks(
        Survey(plan), "survey", ("candidates", "present"), spill=plan.spill
    )
    dropped = [survey["present"]]
    if plan.exact is not None:
        exact = survey["candidates"] | "exact" >> Repartition(FindCopies(plan), "exact", spill=plan.spill)
        dropped.append(exact)
    if plan.near is not None:
        links = (
            dropped
            | "left" >> beam.Flatten()
            | "bands" >> Repartition(EmitBands(plan), "bands", spill=plan.spill)
            | "link" >> Repartition(LinkBuckets(plan), "link", spill=plan.spill)
        )
        near = (
            _grouped(links, plan)
            | "gather" >> Repartition(GatherMembers(plan), "gather", spill=plan.spill)
            | "near" >> Repartition(FindNear(plan), "near", spill=plan.spill)
        )
        dropped.append(near)
    _ = (
        dropped
        | "verdicts" >> beam.Flatten()
        | "conclude" >> Repartition(Conclude(plan), "conclude", spill=plan.spill)
        | "add up" >> Repartition(AddUp(plan), "add", spill=plan.spill)
    )


def _grouped(links: Any, plan: Plan) -> Any:
    """Stars of the parts → labels by block: one merge, or rounds where one worker would hold too much."""
    if plan.total <= ONE_WORKER:
        return links | "merge" >> Repartition(MergeStars(plan), "merge", spill=plan.spill)
    for number in range(ROUNDS):
        for large in (True, False):
            name = f"{'large' if large else 'small'} star {number}"
            links = (
                links
                | f"{name} spread" >> MapBlocks(SpreadEdges(plan, both=large), "star", spill=plan.spill)
                | name >> Repartition(Star(plan, large), "star", spill=plan.spill)
            )
    return (
        links
        | "finish spread" >> MapBlocks(SpreadEdges(plan, both=True), "star", spill=plan.spill)
        | "finish" >> Repartition(FinishStars(plan), "star", spill=plan.spill)
    )


def release(pipeline: Any, plan: ReleasePlan, units: int) -> None:
    """Verdicts and text → shards and ledger."""
    start = _start(pipeline, units)
    cuts: tuple[Any, ...] = ()
    if plan.quotas is not None:
        found = (
            start
            | "emit cut" >> MapBlocks(EmitCut(plan), "cut", spill=plan.spill)
            | "find cut" >> Repartition(FindCut(plan), "find", spill=plan.spill)
        )
        cuts = (beam.pvalue.AsList(found),)
    _ = (
        start
        | "select" >> MapBlocks(Select(plan), "select", extra=cuts, spill=plan.spill)
        | "write" >> Repartition(Write(plan), "write", spill=plan.spill)
    )


def _start(pipeline: Any, units: int) -> Any:
    place = pa.record_batch({"unit": pa.array([], pa.int64())})  # the key says which unit
    return pipeline | "units" >> Start([(number_key(number), place) for number in range(units)])
