"""Mix by ratio: what each source is asked for, what it can give, and which of its records are taken.

Targets are settled from totals alone. Which records fill them is decided by a seeded hash of the id (``cut``).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from schemas.errors import GristmillError
from schemas.recipe import Mix


@dataclass(frozen=True)
class Target:
    """One source in the mix, in the mix's unit: share asked for, what is there, what the release shall hold."""

    share: float
    asked: int
    available: int
    target: int


def settle(available: Mapping[str, int], mix: Mix) -> dict[str, Target]:
    """Targets per source.

    Without a size the mix is as large as the shares allow with every source repeated at most ``max_epochs`` times;
    without shares and temperature it is in proportion to what is there. ``renormalise`` fills each source up to its
    capacity and gives the rest to the others in proportion to their shares; ``shrink`` lowers the total until every
    share holds; ``stop`` refuses.

    Raises:
        GristmillError: a named source has nothing left, or ``stop`` and a source falls short.
    """
    shares = _shares(available, mix)
    capacity = {name: available[name] * mix.max_epochs for name in available}
    wanted = [name for name in available if shares[name] > 0]
    for name in wanted:
        if available[name] == 0:
            raise GristmillError(
                f"mix: source {name!r} shall give {float(shares[name] * 100):g} % but has no {mix.unit} left; "
                "loosen the filters or take it out of the shares"
            )
    fitting = min(int(capacity[name] / shares[name]) for name in wanted)
    total = fitting if mix.size is None else mix.size.number
    asked = whole_numbers({name: shares[name] * total for name in available}, total)
    short = [name for name in wanted if asked[name] > capacity[name]]
    if short and mix.shortfall == "stop":
        name = short[0]
        raise GristmillError(
            f"mix: source {name!r} is asked for {asked[name]:,} {mix.unit} and can give {capacity[name]:,} "
            f"({available[name]:,} × max_epochs {mix.max_epochs}); lower size, raise max_epochs or set shortfall"
        )
    if short and mix.shortfall == "shrink":
        target = whole_numbers({name: shares[name] * fitting for name in available}, fitting)
    else:
        target = fill(shares, capacity, total)
    return {
        name: Target(float(shares[name]), asked[name], available[name], min(target[name], capacity[name]))
        for name in available
    }


def _shares(available: Mapping[str, int], mix: Mix) -> dict[str, Fraction]:
    if mix.shares is not None:
        return {name: mix.shares[name].value if name in mix.shares else Fraction(0) for name in available}
    if not any(available.values()):
        raise GristmillError("mix: no source has anything left; loosen the filters")
    # Decimal powers are the same on every machine; those of the C library may differ in the last bit.
    exponent = 1 / Decimal(str(mix.temperature or 1))
    weight = {name: Fraction(Decimal(count) ** exponent) if count else Fraction(0) for name, count in available.items()}
    total = sum(weight.values())
    return {name: one / total for name, one in weight.items()}


def fill(shares: Mapping[str, Fraction], capacity: Mapping[str, int], total: int) -> dict[str, int]:
    """Water-filling: sources that cannot fill their share give all they have, the others share the rest."""
    filled: dict[str, Fraction] = {name: Fraction(0) for name in shares}
    open_names = [name for name in shares if shares[name] > 0]
    rest = Fraction(total)
    while open_names:
        scale = rest / sum(shares[name] for name in open_names)
        full = [name for name in open_names if shares[name] * scale >= capacity[name]]
        for name in full or open_names:
            filled[name] = Fraction(capacity[name]) if full else shares[name] * scale
        if not full:
            break
        rest -= sum(capacity[name] for name in full)
        open_names = [name for name in open_names if name not in full]
    return whole_numbers(filled, min(total, sum(capacity[name] for name in shares if shares[name] > 0)))


def whole_numbers(parts: Mapping[str, Fraction], total: int) -> dict[str, int]:
    """Whole numbers that add up to ``total``, by largest remainder; ties by name."""
    whole = {name: int(part) for name, part in parts.items()}
    by_remainder = sorted(parts, key=lambda name: (whole[name] - parts[name], name))
    for name in by_remainder[: max(0, total - sum(whole.values()))]:
        whole[name] += 1
    return whole
