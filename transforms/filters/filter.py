"""The contract of a filter: settings with units, and a pure function from features to findings."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.strict import Strict
from transforms.annotate.annotation import Annotation


@dataclass(frozen=True)
class Finding:
    """What one rule of a filter found in a block of n rows.

    ``failed`` [n] bool marks the rows to drop, ``value`` [n] is what was measured, ``threshold`` what it was held
    against; both are in the unit that the rule's name says.
    """

    rule: str
    failed: npt.NDArray[np.bool_]
    value: npt.NDArray[np.float64]
    threshold: float


@dataclass(frozen=True)
class Filter:
    """A filter as the registry knows it.

    ``decide(features, settings)`` sees the FEATURES columns and those of the annotations that ``needs(settings)``
    names, never text. It must work on zero rows: that is how the names of its rules are found.
    """

    name: str
    settings: type[Strict]
    decide: Callable[[pa.RecordBatch, Any], Iterator[Finding]]
    needs: Callable[[Any], tuple[Annotation, ...]] = lambda settings: ()


def outside(name: str, values: npt.NDArray[Any], least: int | None, most: int | None) -> Iterator[Finding]:
    """Findings for a closed range, each bound a rule of its own; None leaves a side open."""
    if least is not None:
        yield Finding(f"{name}.min", values < least, values.astype(np.float64), least)
    if most is not None:
        yield Finding(f"{name}.max", values > most, values.astype(np.float64), most)


def column(features: pa.RecordBatch, name: str) -> npt.NDArray[Any]:
    """A features column as NumPy, null as 0."""
    return np.asarray(features[name].fill_null(0))
