"""The Beam graphs: the data's way as transforms, top to bottom. What each step does is in ``transforms/``."""

from typing import Any

import apache_beam as beam
import pyarrow as pa

from transforms.blocks import MapBlocks, Repartition, Start, number_key
from transforms.collect import AddUp, Collect
from transforms.components import ONE_WORKER, ROUNDS
from transforms.decide import (
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
from transforms.release import EmitCut, FindCut, ReleasePlan, Select, WriteLedger, WriteShard


def ingest(pipeline: Any, work: IngestSplits, pending: list[int]) -> None:
    """Splits that the corpus lacks → corpus."""
    # The runner deals blocks out in turn: the largest first, so that no worker ends with two of them.
    order = sorted(pending, key=lambda number: (-work.works[number].cost, number))
    blocks = [(number_key(place), pa.record_batch({"work": [number]})) for place, number in enumerate(order)]
    _ = pipeline | "splits" >> Start(blocks) | "read" >> MapBlocks(work, "read")


def decide(pipeline: Any, plan: Plan, blocks: int, summary: str) -> None:
    """Features → one verdict per record, with histograms and tallies for the command."""
    survey = _start(pipeline, blocks) | "survey" >> MapBlocks(Survey(plan), "survey", ("candidates", "present"))
    dropped = [survey["present"]]
    if plan.exact is not None:
        exact = survey["candidates"] | "exact" >> Repartition(FindCopies(plan), "exact")
        dropped.append(exact)
    if plan.near is not None:
        links = (
            dropped
            | "left" >> beam.Flatten()
            | "bands" >> Repartition(EmitBands(plan), "bands")
            | "link" >> Repartition(LinkBuckets(plan), "link")
        )
        near = (
            _grouped(links, plan)
            | "gather" >> Repartition(GatherMembers(plan), "gather")
            | "near" >> Repartition(FindNear(plan), "near")
        )
        dropped.append(near)
    concluded = (
        dropped
        | "verdicts" >> beam.Flatten()
        | "conclude" >> Repartition(Conclude(plan), "conclude", ("histogram", "tally"))
    )
    for name, by in (("histogram", ("source", "bin")), ("tally", ("source", "rule"))):
        _ = concluded[name] | f"add {name}" >> Repartition(AddUp(summary, name, by), name)


def _grouped(links: Any, plan: Plan) -> Any:
    """Stars of the parts → labels by block: one merge, or rounds where one worker would hold too much."""
    if plan.total <= ONE_WORKER:
        return links | "merge" >> Repartition(MergeStars(plan), "merge")
    for number in range(ROUNDS):
        for large in (True, False):
            name = f"{'large' if large else 'small'} star {number}"
            links = (
                links
                | f"{name} spread" >> MapBlocks(SpreadEdges(plan, both=large), "star")
                | name >> Repartition(Star(plan, large), "star")
            )
    return (
        links
        | "finish spread" >> MapBlocks(SpreadEdges(plan, both=True), "star")
        | "finish" >> Repartition(FinishStars(plan), "star")
    )


def release(pipeline: Any, plan: ReleasePlan, blocks: int, summary: str) -> None:
    """Verdicts and text → shards and ledger, with a row per file for the command."""
    start = _start(pipeline, blocks)
    cuts = (
        start
        | "emit cut" >> MapBlocks(EmitCut(plan), "cut")
        | "find cut" >> Repartition(FindCut(plan), "cut")
    )
    selected = start | "select" >> MapBlocks(
        Select(plan), "select", ("shards", "ledger", "selected"), extra=(beam.pvalue.AsList(cuts),)
    )
    _ = (
        selected["shards"]
        | "shard" >> Repartition(WriteShard(plan), "shard")
        | "shard files" >> MapBlocks(Collect(summary, "shard"), "shard")
    )
    _ = (
        selected["ledger"]
        | "ledger" >> Repartition(WriteLedger(plan), "ledger")
        | "ledger files" >> MapBlocks(Collect(summary, "ledger"), "ledger")
    )
    _ = selected["selected"] | "add selected" >> Repartition(AddUp(summary, "selected", ("source", "split")), "selected")


def _start(pipeline: Any, blocks: int) -> Any:
    place = pa.record_batch({"block": pa.array([], pa.int64())})  # the key says which block
    return pipeline | "blocks" >> Start([(number_key(number), place) for number in range(blocks)])
