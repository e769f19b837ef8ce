"""What rules drop: counts by rule and source, of the recipe's filters and of one rule at other thresholds."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.job import Job
from pipelines.rule_setting import Inspected
from pipelines.signal_measures import quantiles
from pipelines.signal_units import Corpus, Sample, Unit
from schemas.errors import GristmillError
from schemas.strict import Strict
from transforms.filters import Chosen, filter_of
from transforms.filters.filter import Finding

Bools = npt.NDArray[np.bool_]
DECILES = tuple(number / 10 for number in range(1, 10))
TAILS = (0.01, *DECILES, 0.99)


def findings(unit: Unit, chosen: Chosen) -> dict[str, list[Finding]]:
    """What every filter finds in a unit, in their order."""
    return {name: list(filter_of(name).decide(unit.columns, settings)) for name, settings in chosen}


@dataclass
class Drops:
    """Records by (rule, source): what each rule finds by itself, and where it is the first that does."""

    thresholds: dict[str, float] = field(default_factory=dict)
    alone: Counter[tuple[str, int]] = field(default_factory=Counter)
    first: Counter[tuple[str, int]] = field(default_factory=Counter)

    def add(self, source: int, found: dict[str, list[Finding]]) -> None:
        gone: Bools | None = None
        for finding in (one for findings in found.values() for one in findings):
            self.thresholds.setdefault(finding.rule, float(finding.threshold))
            gone = np.zeros(len(finding.failed), bool) if gone is None else gone
            self.alone[finding.rule, source] += int(finding.failed.sum())
            self.first[finding.rule, source] += int((finding.failed & ~gone).sum())
            gone |= finding.failed

    def by_itself(self, rule: str, sources: Sequence[int]) -> int:
        return sum(self.alone[rule, source] for source in sources)

    def decides(self, rule: str, sources: Sequence[int]) -> int:
        return sum(self.first[rule, source] for source in sources)

    def all(self, sources: Sequence[int]) -> int:
        """Records that any rule drops."""
        return sum(self.decides(rule, sources) for rule in self.thresholds)

    def plain(self, names: list[str], sources: Sequence[int]) -> dict[str, Any]:
        return {
            rule: {
                "threshold": threshold if np.isfinite(threshold) else None,
                "alone": self.by_itself(rule, sources),
                "first": self.decides(rule, sources),
                "sources": {
                    names[one]: {"alone": self.alone[rule, one], "first": self.first[rule, one]} for one in sources
                },
            }
            for rule, threshold in self.thresholds.items()
        }


@dataclass
class Curve:
    """How many records a rule drops at each of some thresholds; exact, whatever the thresholds were drawn from."""

    settings: dict[float, Strict]
    dropped: Counter[float] = field(default_factory=Counter)

    def add(self, unit: Unit, rule: str) -> None:
        name = rule.partition(".")[0]
        for threshold, settings in self.settings.items():
            for finding in filter_of(name).decide(unit.columns, settings):
                if finding.rule == rule:
                    self.dropped[threshold] += int(finding.failed.sum())

    @property
    def falls(self) -> bool | None:
        """Whether a higher threshold drops less; None where nothing tells."""
        first, last = min(self.settings, default=0.0), max(self.settings, default=0.0)
        return None if self.dropped[first] == self.dropped[last] else self.dropped[first] > self.dropped[last]


def curve_of(corpus: Corpus, sample: Sample, inspected: Inspected) -> Curve:
    """Thresholds at the deciles of what the rule measures, and the one that is looked at.

    Where one value is more than half of all (0 links, 0 repeated lines), the deciles are those of the others.
    """
    if inspected.setting is None:
        return Curve({})
    settings = dict(inspected.chosen)[inspected.filter]
    values: list[npt.NDArray[np.float64]] = []
    weights: list[npt.NDArray[np.float64]] = []
    for unit in corpus.units():
        drawn = sample.chosen(unit)
        for finding in filter_of(inspected.filter).decide(unit.columns, settings):
            if finding.rule == inspected.rule:
                found = finding.value if drawn is None else finding.value[drawn]
                found = found[np.isfinite(found)]
                values.append(found)
                weights.append(np.full(len(found), sample.weight(unit.source)))
    found, weight = np.concatenate(values or [np.empty(0)]), np.concatenate(weights or [np.empty(0)])
    distinct, of = np.unique(found, return_inverse=True)
    if len(distinct) > 1:
        held = np.bincount(of, weight)
        if held.max() > weight.sum() / 2:
            others = of != held.argmax()
            found, weight = found[others], weight[others]
    made = {inspected.threshold: settings}
    for value in quantiles(found, weight, TAILS) if len(found) else ():
        try:
            made.setdefault(_short(value), inspected.at(_short(value)))
        except GristmillError:  # beyond what the setting allows, or past the rule's other bound
            continue
    return Curve(dict(sorted(made.items())))


def _short(value: float) -> float:
    """A threshold that a person would write: whole numbers as they are, others to three digits."""
    return value if value.is_integer() else float(f"{value:.3g}")


@dataclass(frozen=True)
class Compared:
    """The filters with the inspected rule as it is looked at, and as the recipe has them."""

    recipe: Drops
    looked: Drops


def compare(unit: Unit, job: Job, inspected: Inspected, into: Compared) -> Finding:
    """Count a unit both ways; returns what the inspected rule finds.

    Only the inspected filter is asked twice.
    """
    found = findings(unit, job.filters)
    into.recipe.add(unit.source, found)
    settings = dict(inspected.chosen)[inspected.filter]
    changed = list(filter_of(inspected.filter).decide(unit.columns, settings))
    looked = {name: changed if name == inspected.filter else found[name] for name, _ in inspected.chosen}
    into.looked.add(unit.source, looked)
    return next(one for one in changed if one.rule == inspected.rule)
