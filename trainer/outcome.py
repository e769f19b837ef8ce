"""What became of a split's rows in preflight, by source, and what of it a run tolerates."""

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from schemas.chat.template import State
from schemas.errors import GristmillError
from trainer.plan.lengths import Lengths
from trainer.truncate import Overlong
from trainer.weights import Weighting


class Fate(IntEnum):
    """What becomes of a row; the codes are stored in the cache."""

    WHOLE = 0
    TRUNCATED = 1  # cut after a whole turn
    DROPPED = 2  # longer than the capacity
    REFUSED = 3  # the template does not take it; ``Preflight.state`` says why
    MASKED = 4  # nothing in it is learned
    STRADDLE = 5  # a token lies across the border between what is read and what is learned
    BROKEN = 6  # something else that masks promise does not hold


TRAINED = (Fate.WHOLE, Fate.TRUNCATED)


class First(NamedTuple):
    """The first row of a source with a fate: what a person looks at."""

    row: int
    id: str
    reason: str


@dataclass(frozen=True)
class Account:
    """What became of one source's rows; ``refused`` by the name of its state. Tokens are of the trained rows."""

    source: str
    rows: int
    trained: int
    truncated: int
    dropped: int
    refused: dict[str, int]
    masked: int
    straddle: int
    broken: int
    tokens: int
    supervised: int

    @property
    def failed(self) -> int:
        """Rows that were left out, not counting over-long ones."""
        return sum(self.refused.values()) + self.masked + self.straddle + self.broken


@dataclass(frozen=True)
class Preflight:
    """Of n rows in file order: ``lengths``; ``kept`` int32 [n], messages that are trained on, 0 where the row is out;
    ``fate`` and ``state`` int8 [n], codes of ``Fate`` and ``State``; ``firsts`` by (source, fate)."""

    lengths: Lengths
    kept: npt.NDArray[np.int32]
    fate: npt.NDArray[np.int8]
    state: npt.NDArray[np.int8]
    firsts: dict[tuple[str, Fate], First]
    capacity: int
    overlong: Overlong
    weighting: Weighting
    verified: int  # rows that the slow judge looked at because of their ids

    def accounts(self) -> list[Account]:
        """One per source, by name."""
        found = []
        for code, source in enumerate(self.lengths.sources):
            mine = self.lengths.source == code
            fates = np.bincount(self.fate[mine], minlength=len(Fate)).tolist()
            states = np.bincount(self.state[mine & (self.fate == Fate.REFUSED)], minlength=len(State))
            refused = {State(at).name.lower(): int(states[at]) for at in np.flatnonzero(states).tolist()}
            found.append(
                Account(
                    source,
                    int(mine.sum()),
                    fates[Fate.WHOLE] + fates[Fate.TRUNCATED],
                    fates[Fate.TRUNCATED],
                    fates[Fate.DROPPED],
                    refused,
                    fates[Fate.MASKED],
                    fates[Fate.STRADDLE],
                    fates[Fate.BROKEN],
                    int(self.lengths.tokens[mine].sum(dtype=np.int64)),
                    int(self.lengths.supervised[mine].sum(dtype=np.int64)),
                )
            )
        return found

    def require(self, max_failed: float) -> None:
        """``max_failed``: share of a source's rows, 0 to 1, that may be refused, teach nothing or fail verification.

        Raises:
            GristmillError: a source lost more, over-long rows are to stop the run, or nothing is left to train on.
        """
        for account in self.accounts():
            if account.dropped and self.overlong == "raise":
                raise GristmillError(
                    f"source {account.source}: {account.dropped} of {account.rows} rows are longer than a sequence of "
                    f"{self.capacity} tokens, and overlong is raise; {self._example(account, Fate.DROPPED)}; take "
                    "longer sequences, or set overlong to truncate_at_turn or drop"
                )
            if account.failed > max_failed * account.rows:
                raise GristmillError(self._failure(account, max_failed))
        if not (self.lengths.tokens > 0).any():
            lost = ", ".join(f"{name} {count}" for name, count in self._fates().items()) or "it has no rows"
            raise GristmillError(f"no row of the split can be trained on: {lost}; look at its rows and at the template")

    def _failure(self, account: Account, max_failed: float) -> str:
        counts = {
            Fate.BROKEN: account.broken,
            Fate.STRADDLE: account.straddle,
            Fate.REFUSED: sum(account.refused.values()),
            Fate.MASKED: account.masked,
        }
        worst = max(counts, key=lambda fate: counts[fate])
        what = {
            Fate.BROKEN: "do not hold what their masks promise",
            Fate.STRADDLE: "have a token across the border of what is learned",
            Fate.REFUSED: "are refused by the template",
            Fate.MASKED: "have no token that is learned",
        }
        listed = ", ".join(f"{count} {what[fate]}" for fate, count in counts.items() if count)
        return (
            f"source {account.source}: {account.failed} of {account.rows} rows ({account.failed / account.rows:.2%}) "
            f"fail preflight ({listed}) and max_failed is {max_failed:.2%}; {self._example(account, worst)}; choose "
            "another template, leave the source out, or raise max_failed"
        )

    def _example(self, account: Account, fate: Fate) -> str:
        first = self.firsts[(account.source, fate)]
        return f"the first is row {first.row}, id {first.id}: {first.reason}"

    def _fates(self) -> dict[str, int]:
        counts = np.bincount(self.fate, minlength=len(Fate)).tolist()
        return {fate.name.lower(): counts[fate] for fate in Fate if counts[fate]}
