"""Which setting of a filter a rule's threshold is: found by turning settings and seeing which threshold follows.

So every filter's rules can be held against other thresholds, the user's own too, and what is counted is what a run with
that setting drops, exceptions and rounding included.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.job import Job
from schemas.errors import GristmillError
from schemas.features import FEATURES
from schemas.strict import Strict, nearest, validate
from schemas.units import Share
from transforms.annotate.annotation import Checked, key
from transforms.filters import FILTERS, Chosen, choose, filter_of, rule_names

Path = tuple[str, ...]


@dataclass(frozen=True)
class Inspected:
    """A rule and the filters as they would be at another threshold.

    ``setting`` is the place of its threshold in the recipe, None for a rule that only says yes or no; ``own`` what the
    recipe sets, None where it has no such rule; ``threshold`` what is looked at.
    """

    rule: str
    setting: Path | None
    own: float | None
    threshold: float
    chosen: Chosen

    @property
    def filter(self) -> str:
        return self.rule.partition(".")[0]

    @property
    def place(self) -> str:
        """The setting as a recipe writes it."""
        return ".".join(("filters", self.filter, *(self.setting or ())))

    def at(self, threshold: float) -> Strict:
        """The filter's settings with another threshold.

        Raises:
            GristmillError: the setting cannot have this value.
        """
        assert self.setting is not None
        return _turned(self.filter, dict(self.chosen)[self.filter], self.setting, threshold)


def inspect(job: Job, rule: str, threshold: float | None) -> Inspected:
    """Find a rule, of the recipe's filters or of one that it does not have yet.

    Raises:
        GristmillError: there is no such rule, it has no other threshold, or none was given for one that is not set.
    """
    name = rule.partition(".")[0]
    chosen = dict(job.filters)
    if name not in chosen:
        if name not in FILTERS:
            raise GristmillError(f"--rule: no filter has a rule {rule!r}; {_hint(rule, job)}")
        chosen |= dict(choose({name: {}}, job.tokenizer is not None, job.base))
    if name == "length" and "tokens" in rule and job.tokenizer is None:
        raise GristmillError(f"--rule {rule}: it counts in tokens but the recipe names no tokenizer; set tokenizer")
    settings = chosen[name]
    present = rule in _thresholds(name, settings)
    setting = _setting(name, settings, rule)
    if not present and setting is None:
        known = dict.fromkeys((*_thresholds(name, settings), *_possible(name, settings)))
        raise GristmillError(f"--rule: filter {name!r} has no rule {rule!r}; {nearest(rule, known)}")
    own = _thresholds(name, settings)[rule] if present else None
    of_recipe = own if name in dict(job.filters) else None
    if threshold is None:
        if own is None:
            raise GristmillError(f"--rule {rule}: the recipe sets no such bound; give --threshold to try one")
        return Inspected(rule, setting, of_recipe, own, tuple(sorted(chosen.items())))
    if setting is None:
        raise GristmillError(
            f"--rule {rule} has no other threshold, for no setting moves it; leave --threshold {threshold:g} out"
        )
    try:
        chosen[name] = _turned(name, settings, setting, threshold)
    except GristmillError as error:
        raise GristmillError(f"--threshold {threshold:g} is not possible: {error}") from None
    return Inspected(rule, setting, of_recipe, threshold, tuple(sorted(chosen.items())))


def measured(job: Job, inspected: Inspected) -> Job:
    """The job with whatever the rule's filter needs besides."""
    found = {key(one): one for one in job.annotations}
    for one in filter_of(inspected.filter).needs(dict(inspected.chosen)[inspected.filter]):
        if isinstance(one, Checked):
            one.check()
        found[key(one)] = one
    return replace(job, annotations=tuple(found[name] for name in sorted(found)))


def _hint(rule: str, job: Job) -> str:
    """The nearest rule of all filters, or else their names."""
    known = dict.fromkeys(rule_names(job.filters))
    for name, one in FILTERS.items():
        try:
            settings = one.settings()
        except ValueError:  # it cannot do without settings
            continue
        known |= dict.fromkeys((*_thresholds(name, settings), *_possible(name, settings)))
    hint = nearest(rule, known)
    names = {*FILTERS, *dict(job.filters)}
    return (
        hint if hint.startswith("did you mean") else f"a rule begins with its filter's name: {', '.join(sorted(names))}"
    )


def _possible(name: str, settings: Strict) -> list[str]:
    """Rules that the filter would have if something were set that is not."""
    places = (".".join((name, *path)) for path, value in _leaves(settings.model_dump()) if value is None)
    return [
        place for rule in places for place in (rule, f"{rule}.min", f"{rule}.max") if _setting(name, settings, place)
    ]


def _thresholds(name: str, settings: Strict) -> dict[str, float]:
    """Thresholds by rule: what the filter says of no rows."""
    one = filter_of(name)
    columns = {
        column.name: column for schema in (FEATURES, *(a.schema for a in one.needs(settings))) for column in schema
    }
    nothing = pa.RecordBatch.from_pylist([], schema=pa.schema(list(columns.values())))
    return {finding.rule: float(finding.threshold) for finding in one.decide(nothing, settings)}


def _leaves(plain: Any, at: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Settings that could hold a threshold: numbers, shares, and what is not set."""
    if isinstance(plain, dict):
        for name, value in plain.items():
            yield from _leaves(value, (*at, str(name)))
    elif plain is None or (isinstance(plain, int | float) and not isinstance(plain, bool)):
        yield at, plain
    elif isinstance(plain, str) and plain.endswith(" %"):
        yield at, float(Share.parse(plain))


def _setting(name: str, settings: Strict, rule: str) -> Path | None:
    """The place whose value the rule's threshold follows; most rules are called after theirs."""
    parts = tuple(rule.split(".")[1:])
    leaves = dict(_leaves(settings.model_dump()))
    own = _thresholds(name, settings).get(rule)
    for path in dict.fromkeys((parts, parts[::-1], *leaves)):
        value = leaves.get(path)
        near = () if own is None else (own, own + 1, own - 1, own / 2, (own + 1) / 2)
        if own is not None and value is not None and not np.isclose(own, value):
            continue
        followed = {one for one in (*near, 0.0, 1.0, 2.0, 0.5, 0.25, 1e6) if _follows(name, settings, path, rule, one)}
        if len(followed) > 1:
            return path
    return None


def _follows(name: str, settings: Strict, path: Path, rule: str, value: float) -> bool:
    try:
        found = _thresholds(name, _turned(name, settings, path, value)).get(rule)
    except (GristmillError, ValueError):
        return False
    return found is not None and bool(np.isclose(found, value, rtol=1e-12))


def _turned(name: str, settings: Strict, path: Path, value: float) -> Strict:
    """The same settings with one of them changed, checked as a recipe's are.

    Raises:
        GristmillError: the setting cannot have this value.
    """
    plain = settings.model_dump()
    at = plain
    for step in path[:-1]:
        if not isinstance(at.get(step), dict):
            at[step] = {}
        at = at[step]
    forms: list[Any] = [int(value)] if float(value).is_integer() else []
    forms.append(float(value))
    if 0 <= value <= 1:
        forms.append(f"{value * 100:f} %")
    problem: GristmillError | None = None
    for form in forms:
        at[path[-1]] = form
        try:
            made = validate(type(settings), plain, f"filters.{name}")
        except GristmillError as error:
            problem = problem or error
            continue
        # What a recipe does not spell out (the text of a user's function) is not in the dump.
        for hidden in type(settings).__private_attributes__:
            setattr(made, hidden, getattr(settings, hidden))
        return made
    assert problem is not None
    raise problem
