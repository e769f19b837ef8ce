"""Filters by name. To add one: a module with ``FILTER`` and a line here."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.errors import GristmillError
from schemas.features import FEATURES
from schemas.strict import Strict, nearest, validate
from transforms.annotate.annotation import Annotation, key
from transforms.filters import empty, length, undesirable
from transforms.filters.filter import Filter

FILTERS: dict[str, Filter] = {
    one.FILTER.name: one.FILTER
    for one in (
        empty,
        undesirable,
        length,
    )
}
DEFAULT = ("empty", "undesirable")

Chosen = tuple[tuple[str, Strict], ...]


def choose(settings: dict[str, dict[str, Any]] | None, has_tokenizer: bool) -> Chosen:
    """The recipe's filters with typed settings, by name: the order in which a recipe lists them means nothing.

    Raises:
        GristmillError: an unknown filter or setting, with the nearest known name.
    """
    chosen = []
    for name, plain in (settings if settings is not None else {name: {} for name in DEFAULT}).items():
        if name not in FILTERS:
            raise GristmillError(f"filters.{name}: unknown filter; {nearest(name, FILTERS)}")
        typed = validate(FILTERS[name].settings, plain, f"filters.{name}")
        if not has_tokenizer and any("tokens" in key for key in plain):
            raise GristmillError(
                f"filters.{name}: a bound is in tokens but the recipe names no tokenizer; set tokenizer"
            )
        chosen.append((name, typed))
    return tuple(chosen)


def needed(chosen: Chosen) -> tuple[Annotation, ...]:
    """The annotations that the chosen filters read, each once, by key."""
    found = {key(one): one for name, settings in chosen for one in FILTERS[name].needs(settings)}
    return tuple(found[name] for name in sorted(found))


def rule_names(chosen: Chosen) -> tuple[str, ...]:
    """Names of the chosen filters' rules, by number."""
    fields = {field.name: field for schema in (FEATURES, *(one.schema for one in needed(chosen))) for field in schema}
    _, names, _, _ = apply(pa.RecordBatch.from_pylist([], schema=pa.schema(list(fields.values()))), chosen)
    return tuple(names)


def apply(
    features: pa.RecordBatch, chosen: Chosen
) -> tuple[npt.NDArray[np.int32], list[str], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Rule that drops each row, or -1; names of the rules; measured value and threshold [n]. The first rule decides."""
    rows = features.num_rows
    rule = np.full(rows, -1, np.int32)
    value, threshold = np.full(rows, np.nan), np.full(rows, np.nan)
    names: list[str] = []
    for name, settings in chosen:
        for finding in FILTERS[name].decide(features, settings):
            hit = finding.failed & (rule < 0)
            rule[hit] = len(names)
            value[hit] = finding.value[hit]
            threshold[hit] = finding.threshold
            names.append(finding.rule)
    return rule, names, value, threshold
