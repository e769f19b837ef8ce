"""The release stages' settings: quotas of the mix, splits, stages of the curriculum, and how many shards that makes."""

from math import ceil
from pathlib import Path

from pipelines.outcome import Outcome
from schemas.recipe import Recipe
from transforms.annotate.tags import TASKS
from transforms.census import SOURCES, by_group
from transforms.cut import Quotas, quota
from transforms.mix import Target
from transforms.release import ReleasePlan
from transforms.released import CurriculumStage, SourceFacts

FACTOR = 1.2
"""Arrow needs about a fifth more than the text: measured columns, ids, offsets."""
SHARDS, LEAST_SHARD = 8, 8 << 20
"""A release of 64 MiB or more has at least eight shards, so that as many readers each have one; smaller ones have
fewer, of about 8 MiB."""
PIECE, MOST_PIECES = 16 << 20, 512
"""Bytes of a shard that a worker sorts at a time; and how many such pieces a release has at most, because every unit
sends a batch to each. From 7 GiB of text on pieces grow."""


def release_plan(
    recipe: Recipe,
    names: list[str],
    outcome: Outcome,
    targets: dict[str, Target] | None,
    samples: tuple[int, int] | None,
    staging: Path,
) -> ReleasePlan:
    """The release stages' shared settings: quotas from targets, shard counts from the bytes that they bring."""
    quotas = None
    if targets is not None:
        weights, rows = by_group(outcome.census, "weight"), by_group(outcome.census, "rows")
        quotas = Quotas(
            SOURCES,
            {
                group: quota(weights[group], targets[name].target, rows[group])
                for group, name in enumerate(names)
                if group in weights
            },
        )
    size = 0.0
    for group, name in enumerate(names):
        there, weight = outcome.held(group, "bytes"), outcome.held(group, "weight")
        part = targets[name].target / weight if targets is not None and weight else 1.0
        size += there * part
    shares = [share.value for share in recipe.release.splits.values()]
    bounds = tuple(int(sum(shares[: number + 1]) * 2**64) for number in range(len(shares)))
    of_splits = [1 - sum(shares), *shares]
    stages = max(1, len(recipe.release.curriculum))
    partitions = tuple(
        stages * ceil(_partitions(size * float(share), int(recipe.release.shard)) / stages) for share in of_splits
    )
    return ReleasePlan(
        decide=outcome.plan,
        sources=tuple(
            SourceFacts(name, one.origin, one.license, one.generator, one.language, one.task)
            for name, one in ((name, recipe.sources[name]) for name in names)
        ),
        quotas=quotas,
        splits=("train", *recipe.release.splits),
        split_bounds=bounds,
        partitions=partitions,
        pieces=max(1, min(ceil(FACTOR * size / sum(partitions) / PIECE), MOST_PIECES // sum(partitions))),
        curriculum=tuple(
            CurriculumStage(
                None if one.sources is None else tuple(names.index(name) for name in one.sources),
                None if one.tasks is None else tuple(TASKS.index(name) for name in one.tasks),
                one.difficulty,
                one.answer_words,
            )
            for one in recipe.release.curriculum
        ),
        samples=samples,
        shard_bytes=int(recipe.release.shard),
        row_group_bytes=int(recipe.release.row_group),
        staging=str(staging),
    )


def _partitions(text_bytes: float, shard_bytes: int) -> int:
    """Shards of a split."""
    size = FACTOR * text_bytes
    return max(1, ceil(size / (0.9 * shard_bytes)), min(SHARDS, ceil(size / LEAST_SHARD)))
