"""``gristmill filters``: what filters there are and what can be set, read off the registry that decides.

Nothing is written by hand here but the head of the page: names, types, defaults and descriptions come from the settings
models, columns from the annotations that a filter names.
"""

import re
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import orjson
import pyarrow as pa
from pydantic_core import to_jsonable_python

from pipelines.filters_head import HEAD
from schemas.errors import GristmillError
from schemas.features import FEATURES
from schemas.strict import Strict, nearest
from transforms.filters import DEFAULT, FILTERS
from transforms.filters import function as own
from transforms.filters.filter import Filter

OWN = "function"
"""What a filter of the user's own is listed as; in a recipe it has a name of their choice."""

SHARED = "phrases"
"""The annotation that several filters share; of it, only the columns that a filter reads are shown."""

_SWITCHED_ON: dict[str, dict[str, Any]] = {
    "openings": {"drop_boilerplate": True},
    "phrases": {"answers": ["a"], "prompts": ["a"]},
    "placeholders": {"count": 0},
    "refusal": {"partial": 0},
    "scores": {"quality": {"min": 0.5}},
    "self_identification": {"own_names": ["a"], "mentions": 0},
}
"""Settings that make a filter read all it may read, where its defaults do not."""

_COLUMNS_BY_HAND = {
    "classified": [("annotation `classifier`", ["<name>_label", "<name>_score_<label>"])],
    OWN: [("annotation `function_<name>`", ["function_<name>"])],
}
"""Annotations whose columns depend on a model or a name in the recipe."""

_FROM_RECIPE = {
    "scores": "reward, deita, ifd and judge need the recipe's scores (docs/quality.md), which name the models",
    "length": "bounds in tokens need the recipe's tokenizer",
}


@dataclass(frozen=True)
class Setting:
    """One key; ``default`` in Markdown, None where the key must be given."""

    name: str
    kind: str
    default: str | None
    description: str


@dataclass(frozen=True)
class Listed:
    """A filter as it is shown."""

    name: str
    about: list[str]  # paragraphs, the first sentence is the summary
    default: bool
    settings: list[Setting]
    nested: list[tuple[str, str]]  # what stands inside the mappings among the settings
    needs: list[tuple[str, list[str]]]  # annotations, or else signals, with their columns
    note: str

    @property
    def summary(self) -> str:
        found = re.match(r"(.+?[.!?][\"”]?)(?=\s|$)", self.about[0])
        return found[1] if found else self.about[0]


def listed(name: str) -> Listed:
    """What there is to say of a filter.

    Raises:
        GristmillError: there is none of this name.
    """
    if name not in (*FILTERS, OWN):
        raise GristmillError(f"there is no filter {name!r}; {nearest(name, [*FILTERS, OWN])}")
    model = own.Settings if name == OWN else FILTERS[name].settings
    about = [*_paragraphs(sys.modules[model.__module__].__doc__), *_paragraphs(model.__doc__)]
    schema = model.model_json_schema()
    settings = [
        Setting(key, kind_of(schema["properties"][key], schema), _default(model, key), field.description or "")
        for key, field in model.model_fields.items()
        if not field.exclude
    ]
    nested = [(_keys(inside), _inside(inside)) for inside in schema.get("$defs", {}).values()]
    return Listed(name, about, name in DEFAULT, settings, nested, _needs(name), _FROM_RECIPE.get(name, ""))


def _needs(name: str) -> list[tuple[str, list[str]]]:
    if name in _COLUMNS_BY_HAND:
        return _COLUMNS_BY_HAND[name]
    one = FILTERS[name]
    settings = one.settings.model_validate(_SWITCHED_ON.get(name, {}))
    found = []
    for annotation in one.needs(settings):
        columns = list(annotation.schema.names)
        if annotation.name == SHARED:
            read = _read(one, settings)
            columns = [column for column in columns if column in read]
        found.append((f"annotation `{annotation.name}`", columns))
    return found or [
        ("signals that every record has", [name for name in FEATURES.names if name in _read(one, settings)])
    ]


class _Watched:
    """A batch without rows that notes which columns are asked for."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        self.batch = batch
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> pa.Array:
        self.read.add(name)
        return self.batch[name]


def _read(one: Filter, settings: Strict) -> set[str]:
    fields = [field for schema in (FEATURES, *(need.schema for need in one.needs(settings))) for field in schema]
    watched = _Watched(pa.RecordBatch.from_pylist([], schema=pa.schema(fields)))
    for _ in one.decide(cast(pa.RecordBatch, watched), settings):
        pass
    return watched.read


def _paragraphs(doc: str | None) -> list[str]:
    return [" ".join(part.split()) for part in re.split(r"\n\s*\n", doc or "") if part.strip()]


def _default(model: type[Strict], key: str) -> str | None:
    field = model.model_fields[key]
    if field.is_required():
        return None
    plain = to_jsonable_python(field.get_default(call_default_factory=True))
    if isinstance(plain, dict) and all(value is None for value in plain.values()):
        return "none" if not plain else "open"
    if plain in ([], ""):
        return "none"
    return f"`{orjson.dumps(plain).decode().replace(',', ', ').replace(':', ': ')}`"


def kind_of(rule: dict[str, Any], root: dict[str, Any]) -> str:
    """The type of a JSON Schema in words, with its bounds; ``root`` is the schema that it refers to."""
    if "anyOf" in rule:
        return " or ".join(kind_of(one, root) for one in rule["anyOf"])
    if "$ref" in rule:
        return _keys(root["$defs"][rule["$ref"].removeprefix("#/$defs/")])
    if "enum" in rule or "const" in rule:
        return ", ".join(f"`{one}`" for one in rule.get("enum", [rule.get("const")]))
    if rule["type"] == "array":
        return f"list of {kind_of(rule.get('items', {'type': 'string'}), root)}"
    if rule["type"] == "object":
        inside = rule.get("additionalProperties")
        return f"mapping of names to {kind_of(inside, root)}" if isinstance(inside, dict) else "mapping"
    if rule["type"] == "string":
        # A share is text with its sign; other patterns are names.
        return f"share such as `{rule['examples'][0]}`" if "examples" in rule else "text"
    kinds = {"integer": "whole number", "number": "number", "boolean": "true or false", "null": "null"}
    return kinds[rule["type"]] + _bounds(rule)


def _bounds(rule: dict[str, Any]) -> str:
    least, above, most = rule.get("minimum"), rule.get("exclusiveMinimum"), rule.get("maximum")
    if above is not None:
        return f" above {above:g}" + (f", at most {most:g}" if most is not None else "")
    if least is not None:
        return f" {least:g} to {most:g}" if most is not None else f" ≥ {least:g}"
    return ""


def _keys(rule: dict[str, Any]) -> str:
    return f"`{{{', '.join(rule['properties'])}}}`"


def _inside(rule: dict[str, Any]) -> str:
    """What stands in a mapping among the settings."""
    keys = []
    for key, one in rule["properties"].items():
        description = f", default `{one['default']}`: {one['description']}" if "description" in one else ""
        keys.append(f"`{key}`: {kind_of(one, rule)}{description}")
    return f"{' '.join(_paragraphs(rule.get('description')))} {'; '.join(keys)}."


def overview() -> Iterator[str]:
    """One line a filter."""
    every = [listed(name) for name in (*FILTERS, OWN)]
    width = max(len(one.name) for one in every)
    for one in every:
        yield f"{'*' if one.default else ' '} {one.name:<{width}}  {one.summary}"
    yield "* on by default, in a recipe without filters. gristmill filters NAME shows settings."


def details(name: str, width: int) -> Iterator[str]:
    """Everything about one filter, in lines of at most ``width``."""
    one = listed(name)
    yield f"{one.name}{' (on by default)' if one.default else ''}"
    for paragraph in one.about:
        yield ""
        yield from textwrap.wrap(paragraph, width)
    if one.settings:
        yield from ("", "settings")
    for setting in one.settings:
        yield f"  {setting.name}: {setting.kind}; {_said(setting)}"
        yield from textwrap.wrap(setting.description, width, initial_indent="      ", subsequent_indent="      ")
    for keys, text in one.nested:
        yield from ("", *textwrap.wrap(f"{keys}: {text}", width))
    yield from ("", "reads")
    for annotation, columns in one.needs:
        line = f"{annotation}: {', '.join(columns)}"
        yield from textwrap.wrap(line, width, initial_indent="  ", subsequent_indent="      ")
    if one.note:
        yield f"  {one.note}"


def _said(setting: Setting) -> str:
    return "must be given" if setting.default is None else f"default {setting.default}"


def markdown() -> str:
    """docs/filters.md."""
    lines = [HEAD.strip(), "", "## All filters", ""]
    every = [listed(name) for name in (*FILTERS, OWN)]
    for one in every:
        lines.append(f"- [`{one.name}`](#{one.name}){' (default)' if one.default else ''}: {_safe(one.summary)}")
    for one in every:
        lines += ["", f"## {one.name}", ""]
        for paragraph in one.about:
            lines += [*_wrapped(_safe(paragraph)), ""]
        for setting in one.settings:
            text = f"- **`{setting.name}`** ({setting.kind}; {_said(setting)}): {_safe(setting.description)}"
            lines += _wrapped(text, "  ")
        if one.settings:
            lines.append("")
        for keys, text in one.nested:
            lines += [*_wrapped(f"{keys}: {_safe(text)}"), ""]
        needs = "; ".join(
            f"{annotation} ({', '.join(f'`{column}`' for column in columns)})" for annotation, columns in one.needs
        )
        note = f" {_safe(one.note[0].upper() + one.note[1:])}." if one.note else ""
        lines += _wrapped(f"Reads: {needs}.{note}")
    return "\n".join(lines) + "\n"


def _safe(text: str) -> str:
    """Text outside code spans in which nothing is taken for HTML or emphasis."""
    parts = re.split(r"(`+[^`]*`+)", text)
    return "".join(part if part.startswith("`") else re.sub(r"([<*])", r"\\\1", part) for part in parts)


def _wrapped(text: str, indent: str = "") -> list[str]:
    kept = re.sub(r"(\d) %", "\\1\u00a0%", text)  # a share is not torn apart
    lines = textwrap.wrap(kept, 120, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return [line.replace("\u00a0", " ") for line in lines]


def show(name: str | None, as_markdown: bool) -> str:
    """What the command prints.

    Raises:
        GristmillError: there is no filter ``name``, or a name was given for the page, which holds all.
    """
    from pipelines.report import stdout_console

    if as_markdown:
        if name is not None:
            raise GristmillError(f"--markdown prints the page of all filters, but {name!r} was named; leave one out")
        return markdown().rstrip("\n")
    lines = overview() if name is None else details(name, min(120, stdout_console().width))
    return "\n".join(lines).replace("`", "")  # marks of Markdown
