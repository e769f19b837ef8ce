"""Filters by name. To add one: a module with ``FILTER`` and a line here."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.errors import GristmillError
from schemas.features import FEATURES
from schemas.strict import Strict, nearest, validate
from transforms.annotate.annotation import Annotation, key
from transforms.filters import (
    attachments,
    characters,
    classified,
    echo,
    empty,
    function,
    json_answers,
    knowledge_cutoff,
    language,
    length,
    licence,
    mojibake,
    openings,
    phrases,
    pii,
    placeholders,
    python_code,
    refusal,
    repetition,
    roles,
    scores,
    script,
    self_identification,
    tags,
    template_tokens,
    tool_calls,
    truncated,
    undesirable,
    urls,
)
from transforms.filters.filter import Filter

FILTERS: dict[str, Filter] = {
    one.FILTER.name: one.FILTER
    for one in (
        attachments,
        characters,
        classified,
        echo,
        empty,
        json_answers,
        knowledge_cutoff,
        language,
        length,
        licence,
        mojibake,
        openings,
        phrases,
        pii,
        placeholders,
        python_code,
        refusal,
        repetition,
        roles,
        scores,
        script,
        self_identification,
        tags,
        template_tokens,
        tool_calls,
        truncated,
        undesirable,
        urls,
    )
}
DEFAULT = ("empty", "undesirable", "roles", "repetition", "template_tokens")
"""Defects alone, with nothing a matter of taste: of 78,931 real records they drop eight besides what is labelled
undesirable or empty, all eight read and broken."""

RESERVED = ("exact", "near", "decontaminate", "balance", "diversity", "best", "mix", "release", "ingest")
"""Heads of other stages' rules: a rule's head says which stage it belongs to."""

Chosen = tuple[tuple[str, Strict], ...]


def choose(settings: dict[str, dict[str, Any]] | None, has_tokenizer: bool, base: Path | None = None) -> Chosen:
    """The recipe's filters with typed settings, by name: the order in which a recipe lists them means nothing.

    A filter with a ``function`` is the user's own, under a name of their choice; its file lies relative to ``base``.

    Raises:
        GristmillError: an unknown filter or setting, with the nearest known name.
    """
    chosen = []
    for name, plain in sorted((settings if settings is not None else {name: {} for name in DEFAULT}).items()):
        if isinstance(plain, dict) and "function" in plain:
            chosen.append((name, _users_own(name, plain, base or Path())))
            continue
        if name not in FILTERS:
            raise GristmillError(f"filters.{name}: unknown filter; {nearest(name, FILTERS)}")
        typed = validate(FILTERS[name].settings, plain, f"filters.{name}")
        if not has_tokenizer and any("tokens" in key for key in plain):
            raise GristmillError(
                f"filters.{name}: a bound is in tokens but the recipe names no tokenizer; set tokenizer"
            )
        chosen.append((name, _found(typed, base or Path())))
    return tuple(chosen)


def _found(settings: Strict, base: Path) -> Strict:
    """The same settings with a model's folder looked up from the recipe's; what is no folder there is a hub id."""
    model = getattr(settings, "model", None)
    if isinstance(model, str) and (base / model).exists():
        return settings.model_copy(update={"model": str((base / model).resolve())})
    return settings


def _users_own(name: str, plain: dict[str, Any], base: Path) -> Strict:
    if name in FILTERS:
        raise GristmillError(f"filters.{name}: there is a filter of this name already; call your function's another")
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,31}", name) or name in RESERVED:
        raise GristmillError(f"filters.{name}: the name is not usable; use small letters, digits and underscores")
    return function.loaded(name, validate(function.Settings, plain, f"filters.{name}"), base)


def filter_of(name: str) -> Filter:
    """A known filter, or the user's own."""
    return FILTERS.get(name) or function.user_filter(name)


def needed(chosen: Chosen) -> tuple[Annotation, ...]:
    """The annotations that the chosen filters read, each once, by key."""
    found = {key(one): one for name, settings in chosen for one in filter_of(name).needs(settings)}
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
        for finding in filter_of(name).decide(features, settings):
            hit = finding.failed & (rule < 0)
            rule[hit] = len(names)
            value[hit] = finding.value[hit]
            threshold[hit] = finding.threshold
            names.append(finding.rule)
    return rule, names, value, threshold
