"""``gristmill signals``: what the corpus holds in numbers, and what filters would drop, without deciding anything.

The corpus is brought up to date as ``curate`` does it; after that only cached columns are read, so another threshold
costs a second. Text is opened for examples alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from pipelines.accounts import Ingested, check_budget, take_stock
from pipelines.engine import Engine
from pipelines.inputs import Input, drop_damaged, find_inputs, works_of
from pipelines.job import Job, prepare
from pipelines.report import Report
from pipelines.rule_drops import Compared, Curve, Drops, compare, curve_of, findings
from pipelines.rule_examples import Edge, Example, read_examples
from pipelines.rule_setting import Inspected, inspect, measured
from pipelines.signal_measures import Measures, Signal, signals_of
from pipelines.signal_units import SAMPLE_ROWS, Corpus, Sample, draw
from schemas.errors import GristmillError
from schemas.strict import nearest
from transforms.storage import replacing


@dataclass(frozen=True)
class Asked:
    """What the command line asks for; nothing named means everything."""

    sources: Sequence[str] = ()
    signals: Sequence[str] = ()
    rule: str | None = None
    threshold: float | None = None
    examples: int = 3


@dataclass(frozen=True)
class RuleFacts:
    """One rule, as it is looked at."""

    inspected: Inspected
    drops: Compared
    curve: Curve
    falls: bool | None  # whether what lies above the threshold goes
    spared: int
    examples: dict[str, list[Example]]


@dataclass(frozen=True)
class Facts:
    """All that is shown and written; sources are numbers into the recipe's names."""

    job: Job
    sources: list[int]
    sample: Sample
    measures: Measures
    drops: Drops
    rule: RuleFacts | None
    narrowed: bool = field(default=False)  # to some signals

    @property
    def records(self) -> int:
        return sum(self.sample.rows[one] for one in self.sources)

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        names = self.job.names
        signals = {
            name: {
                "all": self.measures.of(name, self.sources).plain(),
                "sources": {names[one]: self.measures.of(name, [one]).plain() for one in self.sources},
            }
            for name in self.measures.signals
        }
        return {
            "recipe": {"name": self.job.recipe.name, "version": self.job.recipe.version},
            "records": self.records,
            "sources": {names[one]: self.sample.rows[one] for one in self.sources},
            "quantiles_of_rows": self.sample.size,
            "signals": signals,
            "rules": self.drops.plain(names, self.sources),
            "dropped_by_filters": self.drops.all(self.sources),
            "rule": _plain_rule(self.rule, names, self.sources) if self.rule else None,
        }


def signals(recipe_path: Path, work_dir: Path, workers: int, asked: Asked, report: Report) -> Facts:
    """Look at a recipe's records.

    Raises:
        GristmillError: a mistake in the recipe or the data as ``curate`` tells it, or a name that is not known.
    """
    if asked.threshold is not None and asked.rule is None:
        raise GristmillError(f"--threshold {asked.threshold:g} is of no rule; name one with --rule FILTER.RULE")
    if asked.threshold is not None and not np.isfinite(asked.threshold):
        raise GristmillError(f"--threshold {asked.threshold} is no number to compare with; give a finite one")
    if asked.examples < 0:
        raise GristmillError(f"--examples {asked.examples} is less than none; give 0 or more")
    job = prepare(recipe_path, work_dir)
    for name in asked.sources:
        if name not in job.names:
            raise GristmillError(f"--source: the recipe has no source {name!r}; {nearest(name, job.names)}")
    inspected = inspect(job, asked.rule, asked.threshold) if asked.rule is not None else None
    signals = _named(job, asked)
    wider = measured(job, inspected) if inspected else job
    inputs = find_inputs(job.recipe, job.base, work_dir, report.warn)
    ingested = up_to_date(wider, inputs, work_dir, workers, report)
    sources = sorted(set(asked.sources) or set(job.names))
    return look(Corpus.of(wider, ingested, work_dir / "corpus", sources), job, signals, inspected, asked)


def up_to_date(job: Job, inputs: list[Input], work_dir: Path, workers: int, report: Report) -> Ingested:
    """The corpus as ``curate`` would make it. Where nothing is to be done, and nothing to be said, without Beam, whose
    import takes longer than everything else here."""
    works = tuple(works_of(inputs))
    if not any(job.measuring.missing(work) for work in works):
        damaged = drop_damaged(works, job.measuring)
        if damaged:
            report.warn(f"{damaged} pieces of the corpus are damaged, or of an older version, and are read again")
        else:
            ingested = take_stock(inputs, job.names, job.settings)
            if ingested.records and all(one.rows for one in ingested.accounts.values()) and _sound(job, ingested):
                return ingested
    with Engine(workers) as engine:
        from pipelines.curate import ingest

        return ingest(job, inputs, engine, report)


def _sound(job: Job, ingested: Ingested) -> bool:
    try:
        check_budget(job.recipe, ingested, {})
    except GristmillError:
        return False  # to be told with its reason
    return True


def _named(job: Job, asked: Asked) -> list[Signal]:
    """The signals asked for; all of them if none is named and no rule is."""
    known = signals_of(job)
    for name in asked.signals:
        if name not in known:
            raise GristmillError(
                f"--signal: the recipe's records have no signal {name!r}; {nearest(name, known)}"
                + ("" if "quality" not in name or job.weights else " (a recipe with quality: {} has the scores)")
            )
    if asked.signals:
        return [known[name] for name in dict.fromkeys(asked.signals)]
    return [] if asked.rule is not None else list(known.values())


def look(corpus: Corpus, job: Job, signals: list[Signal], inspected: Inspected | None, asked: Asked) -> Facts:
    """Measure and count, one unit in memory at a time. ``job`` has the recipe's own filters."""
    sample = draw(corpus, SAMPLE_ROWS)
    measures = Measures(signals, sample)
    drops = Drops()
    rule = None
    if inspected is None:
        for unit in corpus.units():
            measures.add(unit)
            drops.add(unit.source, findings(unit, job.filters))
    else:
        compared = Compared(drops, Drops())
        curve = curve_of(corpus, sample, inspected)
        edge = Edge(asked.examples, job.recipe.seed, inspected.threshold)
        for unit in corpus.units():
            measures.add(unit)
            edge.add(unit, compare(unit, job, inspected, compared))
            curve.add(unit, inspected.rule)
        falls = edge.falls(curve.falls) if inspected.setting is not None else None
        groups = edge.groups(falls)
        if inspected.setting is None:
            groups = {"drawn": edge.heaps["drawn"].rows()[: asked.examples]}  # a yes or no has no edge
        examples = {name: read_examples(corpus, found) for name, found in groups.items()}
        rule = RuleFacts(inspected, compared, curve, falls, edge.spared(falls), examples)
    return Facts(job, list(corpus.rows), sample, measures, drops, rule, bool(asked.signals))


def _plain_rule(facts: RuleFacts, names: list[str], sources: list[int]) -> dict[str, Any]:
    inspected, drops = facts.inspected, facts.drops
    return {
        "rule": inspected.rule,
        "setting": inspected.place if inspected.setting is not None else None,
        "threshold": inspected.threshold if np.isfinite(inspected.threshold) else None,
        "threshold_of_recipe": inspected.own,
        "drops": drops.looked.plain(names, sources)[inspected.rule],
        "drops_of_recipe": drops.recipe.plain(names, sources).get(inspected.rule),
        "dropped_by_filters": drops.looked.all(sources),
        "beyond_but_kept": facts.spared,
        "curve": [{"threshold": at, "dropped": facts.curve.dropped[at]} for at in facts.curve.settings],
        "examples": {name: [one.plain() for one in found] for name, found in facts.examples.items()},
    }


def write_json(facts: Facts, path: Path) -> None:
    """The facts as JSON: sorted keys, the same bytes for the same corpus."""
    options = orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as staging:
            staging.write_bytes(orjson.dumps(facts.plain(), option=options))
    except OSError as error:
        raise GristmillError(f"--json {path}: {error.strerror}; name a file that can be written") from None
