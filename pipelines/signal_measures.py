"""Signals in numbers: counts, means and quantiles of every cached column, by source and over all."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.job import Job
from pipelines.signal_units import Sample, Unit
from schemas.features import FEATURES
from schemas.record import ORIGINS
from transforms.annotate.annotation import Annotation
from transforms.annotate.classifier import Classifier
from transforms.annotate.json_answers import STATES
from transforms.annotate.scores.missing import Missing
from transforms.annotate.tags import FORMATS, TASKS, TONES

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
MOST_VALUES = 10_000
"""Different values of a categorical signal that are counted apart: a licence may be any text."""
NO_VALUE, OTHER_VALUES = "(none)", "(other values)"

_PLACES = ("index", "part")  # where a record stood says nothing about it
_CODES = {"origin": ORIGINS, "task": TASKS, "format": FORMATS, "tone": TONES, "json_state": STATES}


@dataclass(frozen=True)
class Signal:
    """A column to be shown. ``codes`` names the values of a categorical one, empty where a value is its own name."""

    name: str
    categorical: bool = False
    codes: tuple[str, ...] = ()


def signals_of(job: Job) -> dict[str, Signal]:
    """All that can be shown of a recipe's records, in order: the score, the features, the annotations by name."""
    found = [Signal("quality")] if job.weights else []
    found += _signals(FEATURES, job.tokenizer is not None, None)
    for one in sorted(job.annotations, key=lambda one: one.name):
        found += _signals(one.schema, True, one)
    return {one.name: one for one in found}


def _signals(schema: pa.Schema, tokens: bool, annotation: Annotation | None) -> list[Signal]:
    found = []
    for column in schema:
        name, kind = column.name, column.type
        if name in _PLACES or (not tokens and name.endswith("tokens")):
            continue
        if pa.types.is_string(kind) or pa.types.is_boolean(kind) or pa.types.is_int8(kind) or pa.types.is_int16(kind):
            found.append(Signal(name, True, _codes(name, annotation)))
        elif pa.types.is_signed_integer(kind) or pa.types.is_floating(kind):  # unsigned ones are hashes
            found.append(Signal(name))
    return found


def _codes(name: str, annotation: Annotation | None) -> tuple[str, ...]:
    if isinstance(annotation, Classifier) and name == f"{annotation.name}_label":
        return annotation.labels()
    if name == "render_state":
        from schemas.chat.template import State

        return tuple(one.name.lower() for one in State)
    if name.endswith("_missing"):
        return tuple(one.name.lower() for one in Missing)
    return _CODES.get(name, ())


@dataclass(frozen=True)
class Number:
    """A numeric signal over some rows. Quantiles are values that occur: the least that the share does not exceed."""

    rows: int  # with a value
    of: int
    mean: float
    quantiles: tuple[float, ...]
    least: float
    most: float

    def plain(self) -> dict[str, Any]:
        shares = {f"{100 * at:g} %": _plain(value) for at, value in zip(QUANTILES, self.quantiles)}
        ends = {"mean": _plain(self.mean), "min": _plain(self.least), "max": _plain(self.most)}
        return {"rows": self.rows, "of": self.of, "quantiles": shares, **ends}


@dataclass(frozen=True)
class Categories:
    """A categorical signal over some rows: counts by value, the most frequent first."""

    counts: dict[str, int]
    of: int

    @property
    def rows(self) -> int:
        return self.of - self.counts.get(NO_VALUE, 0)

    def plain(self) -> dict[str, Any]:
        return {"rows": self.rows, "of": self.of, "counts": self.counts}


@dataclass
class _Numbers:
    rows: int = 0
    total: float = 0.0
    least: float = np.inf
    most: float = -np.inf
    drawn: list[npt.NDArray[Any]] = field(default_factory=list)


class Measures:
    """Gathers signals unit by unit. Counts, means and extremes are of all rows, quantiles of the sample."""

    def __init__(self, signals: Iterable[Signal], sample: Sample):
        self.signals = {one.name: one for one in signals}
        self._sample = sample
        self._numbers: dict[tuple[str, int], _Numbers] = {}
        self._counts: dict[tuple[str, int], Counter[str]] = {}
        self._told: dict[tuple[str, tuple[int, ...]], Number | Categories] = {}

    def add(self, unit: Unit) -> None:
        chosen = self._sample.chosen(unit)
        for signal in self.signals.values():
            if signal.categorical:
                self._count(signal, unit)
                continue
            if signal.name == "quality":
                values: npt.NDArray[Any] = unit.quality().astype(np.float32)
            else:
                values = _values(unit.columns[signal.name])
            self._measure(self._numbers.setdefault((signal.name, unit.source), _Numbers()), values, chosen)

    def _measure(self, into: _Numbers, values: npt.NDArray[Any], chosen: npt.NDArray[np.int64] | None) -> None:
        drawn = values if chosen is None else values[chosen]
        if values.dtype.kind == "f":
            drawn, values = drawn[np.isfinite(drawn)], values[np.isfinite(values)]
        into.drawn.append(drawn)
        if len(values):
            into.rows += len(values)
            into.total += float(values.sum(dtype=np.float64))
            into.least, into.most = min(into.least, float(values.min())), max(into.most, float(values.max()))

    def _count(self, signal: Signal, unit: Unit) -> None:
        into = self._counts.setdefault((signal.name, unit.source), Counter())
        for pair in pc.value_counts(unit.columns[signal.name]).to_pylist():
            name = _name(pair["values"], signal.codes)
            into[name if name in into or len(into) < MOST_VALUES else OTHER_VALUES] += pair["counts"]

    def of(self, name: str, sources: Sequence[int]) -> Number | Categories:
        """A signal over the records of some sources, once all units are added."""
        asked = (name, tuple(sources))
        if asked not in self._told:
            self._told[asked] = self._sum(name, sources)
        return self._told[asked]

    def _sum(self, name: str, sources: Sequence[int]) -> Number | Categories:
        of = sum(self._sample.rows[source] for source in sources)
        if self.signals[name].categorical:
            counts: Counter[str] = Counter()
            for source in sources:
                counts.update(self._counts.get((name, source), Counter()))
            return Categories(dict(sorted(counts.items(), key=lambda one: (-one[1], one[0]))), of)
        parts = [(source, self._numbers.get((name, source), _Numbers())) for source in sources]
        rows = sum(one.rows for _, one in parts)
        values = [np.concatenate(one.drawn) if one.drawn else np.empty(0) for _, one in parts]
        weights = [np.full(len(found), self._sample.weight(source)) for (source, _), found in zip(parts, values)]
        return Number(
            rows,
            of,
            sum(one.total for _, one in parts) / rows if rows else np.nan,
            quantiles(np.concatenate(values), np.concatenate(weights), QUANTILES),
            min(one.least for _, one in parts) if rows else np.nan,
            max(one.most for _, one in parts) if rows else np.nan,
        )


def quantiles(values: npt.NDArray[Any], weights: npt.NDArray[Any], shares: Sequence[float]) -> tuple[float, ...]:
    """By each share, the least of ``values`` [n] that so much of the weight [n] does not exceed; NaN of no values."""
    if not len(values):
        return tuple(np.nan for _ in shares)
    order = np.argsort(values, kind="stable")
    running = np.cumsum(weights[order])
    # A hair less, for sums of weights are not exact: of 100 equal rows the 1 % quantile is the first.
    at = np.searchsorted(running, np.array(shares) * running[-1] * (1 - 1e-12))
    return tuple(float(value) for value in values[order[np.minimum(at, len(values) - 1)]])


def _values(column: pa.Array) -> npt.NDArray[Any]:
    """A column as NumPy, nulls left NaN."""
    if column.null_count:
        return np.asarray(column.cast(pa.float64()).fill_null(np.nan))
    return np.asarray(column)


def _name(value: Any, codes: tuple[str, ...]) -> str:
    if value is None:
        return NO_VALUE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and codes:
        return codes[value] if 0 <= value < len(codes) else str(value)
    return str(value)[:200]


def _plain(value: float) -> float | int | None:
    """For JSON: six digits, whole numbers as such; sums of floats differ beyond, by how blocks were cut."""
    if not np.isfinite(value):
        return None
    rounded = float(f"{value:.6g}") if value != int(value) else value
    return int(rounded) if rounded == int(rounded) and abs(rounded) < 2**53 else rounded
