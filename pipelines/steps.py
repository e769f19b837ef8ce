"""The steps of selection that a recipe asks for, in their order; what each does between two censuses."""

from collections.abc import Mapping
from fractions import Fraction
from functools import partial
from itertools import count

import numpy as np
import pyarrow as pa

from pipelines.balancing import cluster_targets, held_and_asked, quotas_of, settle_lengths, whole_bins
from pipelines.benchmarks import decontaminate
from pipelines.outcome import Outcome
from pipelines.selecting import Run, Step
from schemas.manifest import ClusterRow
from schemas.recipe import Recipe
from schemas.selection import Best, Diversity
from schemas.units import Amount, Share
from transforms.annotate.annotation import Annotation
from transforms.annotate.tags import TASKS
from transforms.appoint import AssignClusters
from transforms.best import Best as BestPlan
from transforms.best import KeepBest, lowest_kept
from transforms.cap import Cap
from transforms.census import SOURCES, Grouping, by_group
from transforms.clean import RULES
from transforms.clusters import fit
from transforms.corpus import read_batch, write_batch
from transforms.cut import Take
from transforms.decontaminate.match import Contamination
from transforms.distance import MOST, Distance, EmitSample, in_order
from transforms.keys import halves
from transforms.mix import fill
from transforms.storage import files_in
from transforms.units import Plan

BIN_BEST = 4
"""Candidates looked at per record wanted, at first; four times as many when the walk ran out."""


def steps_of(recipe: Recipe, names: list[str], annotations: tuple[Annotation, ...]) -> list[Step]:
    """The recipe's selection, step by step."""
    steps: list[Step] = []
    if recipe.decontaminate is not None:
        index = next(one for one in annotations if isinstance(one, Contamination))
        act = partial(decontaminate, settings=recipe.decontaminate, found=index)
        steps.append(Step("decontaminate", RULES, SOURCES, act))
    if recipe.balance is not None:
        balance = recipe.balance
        lengths = Grouping("length", balance.per, measure=balance.by, edges=tuple(balance.edges))
        steps.append(Step("balance", ("balance.length",), lengths, partial(_balance, recipe=recipe, names=names)))
    if recipe.clustered:
        steps.append(Step("clusters", (), SOURCES, partial(_assign, recipe=recipe)))
    if recipe.diversity is not None:
        steps += _diversity(recipe.diversity)
    if recipe.best is not None:
        best = recipe.best
        owners = Grouping("owner", best.per, best.by)
        steps.append(Step("best", ("best.similarity", "best.size"), owners, partial(_best, best=best, names=names)))
    return steps


def _diversity(diversity: Diversity) -> list[Step]:
    steps = []
    for column, most in (("opening", diversity.max_opening), ("verb_noun", diversity.max_verb_noun)):
        if most is not None:
            rule = f"diversity.{column}"
            act = partial(_cap, column=column, most=most, order=diversity.order)
            steps.append(Step(f"cap {column.replace('_', ' ')}", (rule,), SOURCES, act))
    clusters = Grouping("cluster", order=diversity.order)
    if diversity.similarity is not None:
        act = partial(_apart, similarity=diversity.similarity, order=diversity.order)
        steps.append(Step("distance", ("diversity.similarity",), clusters, act))
    if diversity.quota is not None:
        steps.append(Step("cluster quotas", ("diversity.cluster",), clusters, partial(_quota, diversity=diversity)))
    return steps


def owners_of(per: str, names: list[str], clusters: int) -> dict[int, str]:
    """Names of the owners that lengths and budgets are counted for."""
    if per == "all":
        return {0: "all"}
    if per == "task":
        return dict(enumerate(TASKS))
    return dict(enumerate(names)) if per == "source" else {number: str(number) for number in range(clusters)}


def _balance(run: Run, before: Outcome, after: Plan, recipe: Recipe, names: list[str]) -> None:
    from pipelines import graphs

    assert recipe.balance is not None
    grouping = before.plan.grouping
    rows = settle_lengths(before, grouping, recipe.balance, owners_of(recipe.balance.per, names, 0))
    run.note(lengths=list(rows.values()))
    targets = {group: row.target for group, row in rows.items()}
    quotas = quotas_of(before, grouping, targets)
    run.pipeline(graphs.take, step=Take(before.plan, after, quotas, "balance.length", held_and_asked(before, targets)))


def _assign(run: Run, before: Outcome, after: Plan, recipe: Recipe) -> None:
    """Fit clusters on a seeded sample of what is left, and give every record its cluster."""
    from pipelines import graphs

    wanted = (recipe.diversity or Diversity()).sample.number
    bound = 2**64 - 1 if before.left <= wanted else int(2**64 * wanted / before.left)
    run.pipeline(graphs.sample, step=EmitSample(before.plan, bound), folder=str(run.folder))
    sample = in_order(pa.Table.from_batches([read_batch(str(files_in(run.folder, "sample-*.arrow")[0]))]))
    centres = fit(sample.vectors, halves(sample.ids), (recipe.diversity or Diversity()).clusters, recipe.seed)
    flat = pa.FixedSizeListArray.from_arrays(pa.array(centres.reshape(-1)), sample.vectors.shape[1])
    path = run.folder / "centres.arrow"
    write_batch(path, pa.record_batch({"vector": flat}), compress=False)
    run.pipeline(graphs.every_unit, step=AssignClusters(before.plan, after, str(path)))


def _cap(run: Run, before: Outcome, after: Plan, column: str, most: Share | Amount, order: str) -> None:
    from pipelines import graphs

    rows = most.number if isinstance(most, Amount) else max(1, int(most.value * before.left))
    run.pipeline(graphs.enforce, cap=Cap(before.plan, after, column, rows, order, f"diversity.{column}"))


def _apart(run: Run, before: Outcome, after: Plan, similarity: float, order: str) -> None:
    from pipelines import graphs

    held = {group: sum(one) for group, one in by_group(before.census, "rows").items()}
    slices = {group: -(-rows // MOST) for group, rows in held.items() if rows > MOST}
    distance = Distance(before.plan, after, similarity, order, slices, "diversity.similarity")
    run.pipeline(graphs.keep_apart, distance=distance)


def _quota(run: Run, before: Outcome, after: Plan, diversity: Diversity) -> None:
    from pipelines import graphs

    assert diversity.quota is not None
    rule = diversity.quota if isinstance(diversity.quota, str) else [share.value for share in diversity.quota]
    targets = cluster_targets(before, rule, diversity.remain.value, diversity.clusters)
    held = held_and_asked(before, targets)
    run.note(
        clusters=[
            ClusterRow(cluster=number, words=[], held=there, kept=asked)
            for number, (there, asked) in sorted(held.items())
        ]
    )
    quotas = quotas_of(before, before.plan.grouping, targets)
    run.pipeline(graphs.take, step=Take(before.plan, after, quotas, "diversity.cluster", held))


def _best(run: Run, before: Outcome, after: Plan, best: Best, names: list[str]) -> None:
    """Look at ever more candidates until the budget is full or there are no more."""
    from pipelines import graphs

    held = {group: sum(one) for group, one in by_group(before.census, "rows").items()}
    owners = owners_of(best.per, names, max(held, default=0) + 1)
    room, factor = dict(held), BIN_BEST
    for number in count():
        budget = _budget(best, room, owners)
        wanted = {group: factor * rows for group, rows in budget.items()}
        quotas = whole_bins(before, before.plan.grouping, wanted)
        plan = BestPlan(before.plan, after, best.by, best.similarity, quotas, budget, number)
        run.pipeline(graphs.walk_best, best=plan)
        path = files_in(run.folder, f"walked-{number}-*.arrow")[0]
        walked = read_batch(str(path))
        kept = np.bincount(np.asarray(walked["group"])[np.asarray(walked["kept"])], minlength=max(held, default=0) + 1)
        short = [group for group, rows in budget.items() if kept[group] < rows]
        more = [group for group in short if wanted[group] < held[group]]
        if more:
            factor *= 4
        elif short and any(room[group] > kept[group] for group in short):
            # What these owners cannot give goes to the others.
            room |= {group: int(kept[group]) for group in short}
        else:
            break
    got = int(kept.sum())
    if got < best.size.number:
        run.report.warn(f"best: {best.size.number:,} rows were asked for and {got:,} could be had")
    run.pipeline(graphs.every_unit, step=KeepBest(plan, str(path), lowest_kept(walked)))


def _budget(best: Best, room: Mapping[int, int], owners: Mapping[int, str]) -> dict[int, int]:
    """Rows of the budget for each owner: by shares or evenly; what one cannot give, the others do."""
    if best.shares is not None:
        shares = {
            group: best.shares[name].value if name in best.shares else Fraction(0) for group, name in owners.items()
        }
    else:
        shares = {group: Fraction(1, max(1, len(room))) for group in room}
    keys = {group: f"{group:08d}" for group in room}
    filled = fill(
        {keys[group]: shares.get(group, Fraction(0)) for group in room},
        {keys[group]: rows for group, rows in room.items()},
        best.size.number,
    )
    return {group: filled[keys[group]] for group in room}
