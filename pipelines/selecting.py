"""Selection after deduplication: decontaminate → balance → diversity → best, each step a stage with its own verdicts.

A step reads the verdicts of the one before and writes its own; between two of them the command settles quotas from
totals. Only the steps that the recipe names exist.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from pipelines.accounts import check_conservation
from pipelines.engine import Engine
from pipelines.job import Job
from pipelines.outcome import Outcome, read_outcome
from pipelines.report import Report
from schemas.errors import GristmillError
from schemas.manifest import SelectionReport, StepCost
from transforms.census import SOURCES, Grouping
from transforms.units import Plan


@dataclass
class Run:
    """What every step is given."""

    job: Job
    folder: Path
    engine: Engine
    report: Report
    units: int
    alone: bool  # decisions run in the command's own process
    found: SelectionReport = field(default_factory=SelectionReport)

    def pipeline(self, build: Callable[..., None], **arguments: object) -> None:
        self.engine.run(partial(build, units=self.units, **arguments), alone=self.alone)

    def note(self, **facts: object) -> None:
        """Add to what the manifest says of the selection."""
        self.found = self.found.model_copy(update=facts)


@dataclass(frozen=True)
class Step:
    """One stage: the rules that it may drop by, and the census that it settles its quotas from.

    ``act(run, before, after)`` has every unit write its verdicts under the plan ``after``.
    """

    name: str
    rules: tuple[str, ...]
    grouping: Grouping
    act: Callable[[Run, Outcome, Plan], None]


def select(run: Run, steps: list[Step], outcome: Outcome) -> Outcome:
    """All steps in their order; returns how things stand after the last.

    Raises:
        GristmillError: a step cannot do what the recipe asks, or leaves nothing.
    """
    if steps and not outcome.left:
        raise GristmillError(f"filters and deduplication left no record to release; loosen them: {outcome.hardest()}")
    records = {name: outcome.entered(name) for name in outcome.names}
    costs = []
    for number, step in enumerate(steps):
        following = steps[number + 1].grouping if number + 1 < len(steps) else SOURCES
        after = replace(outcome.plan, stage=number + 1, grouping=following)
        with run.report.stage(step.name) as say:
            step.act(run, outcome, after)
            before, outcome = outcome, read_outcome(after, outcome.names, run.folder, outcome.counts_tokens)
            say(f"{before.left:,} → {outcome.left:,}")
        for name, count in records.items():
            check_conservation(f"{step.name}, source {name!r}", count, {"in and dropped": outcome.entered(name)})
        if not outcome.left:
            raise GristmillError(
                f"{step.name}: none of {before.left:,} records is left to release; ask for more in the recipe"
            )
        if step.rules:
            costs.append(_cost(step.name, before, outcome))
    run.note(steps=costs)
    return outcome


def _cost(stage: str, before: Outcome, after: Outcome) -> StepCost:
    was, now = before.total(), after.total()
    return StepCost(
        stage=stage,
        rows_before=was.rows,
        rows_after=now.rows,
        words_before=was.words,
        words_after=now.words,
        tokens_before=was.tokens,
        tokens_after=now.tokens,
        quality_before=before.mean_quality(),
        quality_after=after.mean_quality(),
    )
