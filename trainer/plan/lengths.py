"""What the plan knows of each row: its sizes, and where it stands."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from schemas.errors import GristmillError

Int16s = npt.NDArray[np.int16]
Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]
Float64s = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Lengths:
    """The n rows of one split, in file order; a row's id is its place here.

    Raises:
        GristmillError: arrays of different lengths, a negative size, a source without a name, groups out of order.
    """

    tokens: Int32s  # [n] rendered tokens after truncation; 0: the row is out (dropped or refused)
    supervised: Int32s  # [n] tokens with weight > 0 among shifted targets (a document's first is never a target)
    weight: Float64s  # [n] sum of target weights: what the loss divides by
    source: Int16s  # [n] index into ``sources``
    sources: tuple[str, ...]
    stage: Int16s  # [n] curriculum stage of the release, 0 without
    group: Int32s  # [n] row group, counted over all files of the split
    truncated: Bools | None = None  # [n] rows that lost turns; only reported

    def __post_init__(self) -> None:
        arrays = {name: getattr(self, name) for name in ("tokens", "supervised", "weight", "source", "stage", "group")}
        if self.truncated is not None:
            arrays["truncated"] = self.truncated
        for name, array in arrays.items():
            if array.shape != self.tokens.shape or array.ndim != 1:
                raise GristmillError(f"lengths: {name} has shape {array.shape}, tokens has {self.tokens.shape}")
            if name != "truncated" and array.size and not array.min() >= 0:  # also refuses NaN
                raise GristmillError(f"lengths: {name} holds {array.min()}; it must not be negative")
        if self.source.size and int(self.source.max()) >= len(self.sources):
            raise GristmillError(f"lengths: source {int(self.source.max())} of {len(self.sources)} named ones")
        if self.group.size and bool((np.diff(self.group) < 0).any()):
            raise GristmillError("lengths: rows do not stand in the order of their row groups")

    def __len__(self) -> int:
        return len(self.tokens)
