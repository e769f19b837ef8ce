"""What ``--plan`` prints, and a run at its start: how much there is to train on, in how many steps, and what is lost of
each source."""

from trainer.outcome import Preflight
from trainer.plan.plan import Plan

MANY = 0.05  # share of a source's rows that are left out as too long, from which on it is said apart


def too_long(checked: Preflight) -> list[str]:
    """A line for each source that loses many rows because a sequence is too short for them."""
    return [
        f"warning: {one.dropped:,} of {one.rows:,} rows of {one.source} ({one.dropped / one.rows:.0%}) are longer than "
        f"{checked.capacity:,} tokens and left out; a larger data.sequence_length keeps them"
        for one in checked.accounts()
        if one.dropped > MANY * one.rows
    ]


def plan_report(plan: Plan, checked: Preflight) -> str:
    """Text of a few lines."""
    found = plan.summary()
    accounts = {one.source: one for one in checked.accounts()}
    head = (
        f"{found.steps:,} steps of {found.packs_per_step} packs of {found.capacity:,} tokens; {found.packs:,} packs, "
        f"{found.efficiency:.2%} full\n"
        f"{found.rows:,} rows, {found.tokens:,} tokens, {found.supervised:,} supervised "
        f"({found.supervised / max(found.tokens, 1):.1%}); "
        f"{found.dropped:,} rows dropped, {found.truncated:,} truncated\n"
        f"plan {plan.digest}\n"
    )
    width = max([6, *(len(one.source) for one in found.sources)])
    lines = [
        f"{'source':{width}} {'rows':>9} {'trained':>9} {'epochs':>6} {'share':>6} {'dropped':>8} {'truncated':>9}  why"
    ]
    for one in found.sources:
        account = accounts[one.source]
        reasons = {"too long": account.dropped, **account.refused, "nothing learned": account.masked}
        reasons |= {"straddle": account.straddle, "broken": account.broken}
        why = ", ".join(f"{count:,} {reason}" for reason, count in reasons.items() if count)
        lines.append(
            f"{one.source:{width}} {one.rows:9,} {one.trained:9,} {one.epochs:6.2f} {one.share:6.1%} "
            f"{one.dropped:8,} {one.truncated:9,}  {why}"
        )
    return head + "\n" + "\n".join(lines)
