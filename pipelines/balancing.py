"""Targets of the quota stages, settled from a census: lengths, clusters and the owners of a budget."""

from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np

from pipelines.outcome import Outcome
from schemas.errors import GristmillError
from schemas.manifest import LengthRow
from schemas.selection import Balance, Like
from transforms.census import Grouping, by_group
from transforms.clusters import quotas as share_out
from transforms.cut import Quota, Quotas, quota
from transforms.mix import fill


def settle_lengths(
    outcome: Outcome, grouping: Grouping, balance: Balance, owners: Mapping[int, str]
) -> dict[int, LengthRow]:
    """What each owner has and shall give in each bin of lengths, by group.

    The shape (flat, a given one, another source's) is scaled to ``remain`` of the owner's rows; bins that cannot give
    their part give all they have, ``max_epochs`` times, and the others the rest.

    Raises:
        GristmillError: the source whose lengths are the target has no rows left.
    """
    bins = len(grouping.edges) + 1
    weights = {group: sum(one) for group, one in by_group(outcome.census, "rows").items()}
    counts = {owner: [weights.get(owner * bins + number, 0) for number in range(bins)] for owner in owners}
    like = balance.target.like if isinstance(balance.target, Like) else None
    model = counts[next(key for key, name in owners.items() if name == like)] if like is not None else []
    if like is not None and weights and not any(model):
        raise GristmillError(
            f"balance.target: the lengths shall be like those of {like!r}, which has no rows left; "
            "name another source or loosen the filters"
        )
    rows = {}
    for owner, name in sorted(owners.items()):
        held = counts[owner]
        if like == name or not any(held):
            targets = held
        else:
            if like is not None:
                shape = [Fraction(one) for one in model]
            elif isinstance(balance.target, list):
                shape = [share.value for share in balance.target]
            else:
                shape = [Fraction(1)] * bins
            total = round(balance.remain.value * sum(held))
            # The names keep the order of the bins where largest remainders tie.
            keys = [f"{number:02d}" for number in range(bins)]
            whole = sum(shape) or Fraction(1)
            capacity = {key: one * balance.max_epochs for key, one in zip(keys, held, strict=True)}
            filled = fill({key: one / whole for key, one in zip(keys, shape, strict=True)}, capacity, total)
            targets = [filled[key] for key in keys]
        for number, (there, target) in enumerate(zip(held, targets, strict=True)):
            if there:
                least = grouping.edges[number - 1] if number else 0
                rows[owner * bins + number] = LengthRow(owner=name, least=least, held=there, target=target)
    return rows


def quotas_of(outcome: Outcome, grouping: Grouping, targets: Mapping[int, int]) -> Quotas:
    """Exact quotas that give each group its target in rows."""
    weights = by_group(outcome.census, "rows")
    return Quotas(
        grouping, {group: quota(weights[group], target) for group, target in targets.items() if group in weights}
    )


def held_and_asked(outcome: Outcome, targets: Mapping[int, int]) -> dict[int, tuple[int, int]]:
    """By group: rows there, rows asked for."""
    there = {group: sum(one) for group, one in by_group(outcome.census, "rows").items()}
    return {group: (rows, targets.get(group, 0)) for group, rows in there.items()}


def cluster_targets(
    outcome: Outcome, rule: str | Sequence[Fraction], remain: Fraction, clusters: int
) -> dict[int, int]:
    """Rows that each cluster gives."""
    there = held_and_asked(outcome, {})
    sizes = np.array([there.get(cluster, (0, 0))[0] for cluster in range(clusters)], np.int64)
    total = round(remain * int(sizes.sum()))
    weights = rule if isinstance(rule, str) else dict(enumerate(rule))
    return dict(enumerate(share_out(sizes, total, weights).tolist()))  # type: ignore[arg-type]


def whole_bins(outcome: Outcome, grouping: Grouping, wanted: Mapping[int, int]) -> Quotas:
    """Quotas of whole bins that hold at least the wanted rows of each group, so that no cut is needed."""
    chosen = {}
    for group, weights in by_group(outcome.census, "rows").items():
        running = np.cumsum(weights)
        target = min(wanted.get(group, 0), int(running[-1]))
        # All bins up to the one that fills it; none of no target.
        chosen[group] = Quota(0, int(np.searchsorted(running, target)) + 1 if target else -1, 0)
    return Quotas(grouping, chosen)
