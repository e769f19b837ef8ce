"""What came out of the decisions and of the release: summaries read back, plans made from them."""

from collections import Counter
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from pipelines.accounts import Ingested
from pipelines.job import Job
from schemas.features import FEATURES
from schemas.manifest import File, Measures
from schemas.recipe import Recipe
from transforms.annotate.annotation import key
from transforms.census import Grouping
from transforms.collect import collected
from transforms.corpus import Block, read_batch
from transforms.decontaminate.match import Contamination
from transforms.filters import needed, rule_names
from transforms.keys import hex_ids
from transforms.lsh import curve, solve_bands
from transforms.release import ReleasePlan, stage_of
from transforms.signals import SignalSettings
from transforms.spill import Spill
from transforms.standing import MICRO
from transforms.units import Plan, SourceRules
from transforms.words import UNICODE_VERSION, WORDS_VERSION

PART_ROWS, PART_ROWS_HERE, MOST_PARTS = 16_000, 50_000, 512
"""Records per part of a decision shuffle: a few megabytes of features, which a cluster sends to a worker as one
message, several at a time. A local run maps files, and has fewer and larger parts for its speed. Parts are at most so
many, because every unit sends a batch to each (0.6 ms): on a cluster they grow from 8 million records on."""

_MEASURES = ("rows", "turns", "words", "characters", "tokens")


def decide_plan(
    job: Job,
    total: int,
    corpus: Path,
    folder: Path,
    spill: Spill | None,
    local: bool,
    later_rules: tuple[str, ...],
    grouping: Grouping,
) -> Plan:
    """The decision stages' shared settings; ``spill``: where large batches lie meanwhile."""
    recipe, names = job.recipe, job.names
    exact, near = recipe.dedup.exact, recipe.dedup.near
    bands = solve_bands(near.similarity, float(near.recall), near.permutations) if near else None
    return Plan(
        folder=str(folder),
        blocks_file=str(folder / "blocks.arrow"),
        total=total,
        sources=tuple(
            SourceRules(one.origin, one.priority, one.license) for one in (recipe.sources[name] for name in names)
        ),
        filters=job.filters,
        filter_rules=rule_names(job.filters),
        annotations=tuple((str(corpus / "annotations" / key(one)), tuple(one.schema.names)) for one in job.annotations),
        filter_columns=(*FEATURES.names, *(name for one in needed(job.filters) for name in one.schema.names)),
        keep=tuple(recipe.dedup.keep),
        exact=exact.compare if exact else None,
        near=near.compare if near else None,
        similarity=near.similarity if near else 1.0,
        answers=near.answer_similarity if near else 0.0,
        bands=bands.bands if bands else 0,
        rows=bands.rows if bands else 0,
        parts=min(max(8, ceil(total / (PART_ROWS_HERE if local else PART_ROWS))), MOST_PARTS),
        seed=recipe.seed,
        mix_unit=recipe.mix.unit if recipe.mix else "rows",
        spill=spill,
        later_rules=later_rules,
        weights=job.weights,
        curriculum=bool(recipe.release.curriculum),
        benchmarks=next(
            ((one.index_path, one.index_digest) for one in job.annotations if isinstance(one, Contamination)), None
        ),
        grouping=grouping,
    )


@dataclass(frozen=True)
class Outcome:
    """How things stand after a stage: tallies by (source, rule number; -1 is still in), and the census of what is still
    in by the groups of the stage to come."""

    plan: Plan
    names: list[str]
    tally: dict[tuple[str, int], Measures]
    census: list[dict[str, int]]
    quality: dict[tuple[str, int], tuple[float, int]]  # sums of the quality score and how many have one, as the tally

    def entered(self, name: str) -> int:
        return sum(one.rows for (owner, _), one in self.tally.items() if owner == name)

    def available(self) -> dict[str, int]:
        """What is still in, per source, in the mix's unit."""
        return {name: self.held(number, "weight") for number, name in enumerate(self.names)}

    def held(self, group: int, field: str = "rows") -> int:
        """What is still in of a group of the census."""
        return sum(row[field] for row in self.census if row["group"] == group)

    @property
    def left(self) -> int:
        """Rows still in."""
        return sum(one.rows for (_, rule), one in self.tally.items() if rule < 0)

    def hardest(self) -> str:
        """The rules that drop most, for a sentence."""
        rules: Counter[int] = Counter()
        for (_, rule), one in self.tally.items():
            if rule >= 0:
                rules[rule] += one.rows
        return ", ".join(f"{self.plan.rules[rule]} drops {rows:,}" for rule, rows in rules.most_common(3))

    def total(self) -> Measures:
        """What is still in, of all sources."""
        return _total([one for (_, rule), one in self.tally.items() if rule < 0], self.counts_tokens)

    def mean_quality(self) -> float | None:
        """Mean quality score of what is still in and has one, to four decimals; None where it was not asked for."""
        left = [one for (_, rule), one in self.quality.items() if rule < 0]
        scored = sum(count for _, count in left)
        return round(sum(score for score, _ in left) / scored, 4) if self.plan.weights and scored else None

    def rows_at(self, name: str, rules: range) -> int:
        return sum(one.rows for (owner, rule), one in self.tally.items() if owner == name and rule in rules)

    def lost_to_dedup(self) -> dict[str, int]:
        rules = range(self.plan.exact_rule, self.plan.near_rule + 1)
        return {name: self.rows_at(name, rules) for name in self.names}

    def left_by_filters(self) -> dict[str, int]:
        return {name: self.entered(name) - self.rows_at(name, range(self.plan.exact_rule)) for name in self.names}

    @property
    def counts_tokens(self) -> bool:
        return any(one.tokens is not None for one in self.tally.values())

    def stages(self, name: str) -> dict[str, Measures]:
        """What was left of a source after each stage."""
        stages = {"ingest": range(0), "filter": range(self.plan.exact_rule)}
        stages |= {
            stage_of(rule): range(number + 1)
            for number, rule in enumerate(self.plan.rules)
            if stage_of(rule) != "filter"
        }
        return {stage: self._left(name, dropped) for stage, dropped in stages.items()}

    def _left(self, name: str, dropped: range) -> Measures:
        left = [one for (owner, rule), one in self.tally.items() if owner == name and rule not in dropped]
        return _total(left, self.counts_tokens)

    def scheme(self, settings: SignalSettings) -> dict[str, Any] | None:
        """How signatures were made and compared; two releases can be compared when these are equal."""
        if self.plan.near is None:
            return None
        return {
            "compare": self.plan.near,
            "similarity": self.plan.similarity,
            "answers": self.plan.answers,
            "bands": self.plan.bands,
            "rows": self.plan.rows,
            "candidate_probability": {
                f"{at:g}": round(p, 6) for at, p in curve(self.plan.bands, self.plan.rows).items()
            },
            "shingle_words": settings.shingle,
            "permutations": settings.permutations,
            "seed": settings.hash_seed,
            "scheme": "datasketch affine32",
            "words_version": WORDS_VERSION,
            "unicode": UNICODE_VERSION,
        }

    def sentence(self) -> str:
        stages: Counter[str] = Counter()
        for (_, rule), one in self.tally.items():
            stages[stage_of(self.plan.rules[rule]) if rule >= 0 else "left"] += one.rows
        parts = [f"{stages[name]:,} {name}" for name in ("filter", "exact_dedup", "near_dedup")]
        return f"dropped {', '.join(parts)}; {stages['left']:,} left"


def _total(parts: list[Measures], tokens: bool) -> Measures:
    """The sum of measures, of none of them too; ``tokens`` says whether they were counted."""
    sums = {name: sum(getattr(one, name) for one in parts) for name in _MEASURES[:-1]}
    return Measures(**sums, tokens=sum(one.tokens or 0 for one in parts) if tokens else None)


def read_outcome(plan: Plan, names: list[str], folder: Path, tokens: bool) -> Outcome:
    """Summaries that the decision stages left in ``folder``; ``tokens`` says whether they were counted."""
    tally, quality = {}, {}
    for row in collected(folder, f"tally-{plan.stage}"):
        owner = names[row["source"]], row["rule"]
        counts = {name: row[name] for name in _MEASURES}
        tally[owner] = Measures(**counts | {"tokens": row["tokens"] if tokens else None})
        quality[owner] = row["quality"] / MICRO, row["scored"]
    return Outcome(plan, names, tally, collected(folder, f"census-{plan.stage}"), quality)


def quarantine_reasons(ingested: Ingested) -> dict[str, str]:
    """The first quarantined row of each source, as a sentence part."""
    reasons: dict[str, str] = {}
    for source, file, first_row, folder in ingested.quarantines:
        if source not in reasons:
            row = read_batch(f"{folder}/quarantine.arrow").slice(0, 1).to_pylist()[0]
            reasons[source] = f"{file}:{first_row + row['index']}: {row['reason']}"
    return reasons


def loss_examples(recipe: Recipe, outcome: Outcome, blocks: list[Block], names: list[str]) -> dict[str, str]:
    """For the guard's sentence: the record that took most of each source's losses."""
    found: dict[str, Counter[str]] = {name: Counter() for name in names}
    plan = outcome.plan
    entered = outcome.left_by_filters()
    allowed = {name: recipe.sources[name].max_loss or recipe.dedup.max_source_loss for name in names}
    heavy = {name for name, lost in outcome.lost_to_dedup().items() if lost > allowed[name].value * entered[name]}
    for unit, source in sorted({(block.unit, block.source) for block in blocks}):
        name = names[source]
        if name in heavy:
            verdicts = read_batch(plan.verdict_path(unit))
            hit = pc.greater_equal(verdicts["rule"], plan.exact_rule)
            found[name].update(hex_ids(verdicts["representative"].filter(hit)).to_pylist())
    return {
        name: f", {count:,} of them to record {record}"
        for name, counts in found.items()
        for record, count in counts.most_common(1)
    }


@dataclass(frozen=True)
class Selection:
    """What the release stages wrote."""

    shards: list[File]
    ledger: list[File]
    # by (source, split): unique records and released measures
    selected: dict[tuple[str, str], dict[str, int]]
    supervised: bool  # whether supervised tokens were counted

    @property
    def rows(self) -> int:
        return sum(one["rows"] for one in self.selected.values())

    def measures(self, source: str | None = None, split: str | None = None, tokens: bool = False) -> Measures:
        chosen = [
            one for (owner, part), one in self.selected.items() if source in (None, owner) and split in (None, part)
        ]
        sums = {name: sum(one[name] for one in chosen) for name in _MEASURES}
        supervised = sum(one["supervised_tokens"] for one in chosen) if self.supervised else None
        return Measures.model_validate(
            sums | {"tokens": sums["tokens"] if tokens else None, "supervised_tokens": supervised}
        )

    @staticmethod
    def read(plan: ReleasePlan, names: list[str], folder: Path, supervised: bool) -> "Selection":
        def files(name: str, place: str) -> list[File]:
            rows = sorted(collected(folder, name), key=lambda row: str(row["name"]))
            return [File(path=f"{place}/{row.pop('name')}", **row) for row in rows]

        selected = {
            (names[row["source"]], plan.splits[row["split"]]): {
                key: value for key, value in row.items() if key not in ("source", "split")
            }
            for row in collected(folder, "selected")
        }
        return Selection(files("shard", "data"), files("ledger", "ledger"), selected, supervised)
