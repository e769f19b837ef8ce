"""What a plan is made with."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from schemas.errors import GristmillError


@dataclass(frozen=True)
class PlanSettings:
    """All that decides order and packs besides the lengths and the identity.

    Raises:
        GristmillError: ``streams`` does not divide ``packs_per_step``, shares are no shares, a number is out of range.
    """

    seed: int
    capacity: int  # T: tokens of a pack
    packs_per_step: int  # G: packs of an optimiser step, over all ranks
    streams: int = 1  # C: sequences of row groups that are read side by side, at most; divides G
    window: int = 4096  # rows that are packed together, at most
    block: int = 2**15  # rows that are shuffled together, at most
    epochs: int = 1
    mixture: tuple[tuple[str, float], ...] | None = None  # source and its share of the supervised tokens
    max_epochs: int = 4  # how often a mixture may repeat a source
    curriculum: bool = False
    documents: int = 256  # rows of a pack, at most
    steps: int | None = None  # instead of epochs: stop after so many steps
    exhausted: Literal["renormalise", "stop"] = "renormalise"  # a source has been repeated max_epochs times

    def __post_init__(self) -> None:
        for name in ("capacity", "packs_per_step", "streams", "window", "block", "epochs", "max_epochs", "documents"):
            if getattr(self, name) < 1:
                raise GristmillError(f"plan: {name} is {getattr(self, name)}; it must be at least 1")
        if self.steps is not None and self.steps < 1:
            raise GristmillError(f"plan: steps is {self.steps}; it must be at least 1")
        if self.packs_per_step % self.streams:
            raise GristmillError(
                f"plan: streams is {self.streams}, which does not divide packs_per_step, {self.packs_per_step}; set a "
                "divisor"
            )
        shares = [share for _, share in self.mixture or ()]
        if self.mixture is not None and (
            min(shares, default=-1.0) < 0 or not math.isclose(sum(shares), 1, abs_tol=1e-9)
        ):
            raise GristmillError(f"plan: shares of the mixture are {shares}; they must not be negative and add up to 1")

    def plain(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self)
