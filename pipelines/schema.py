"""JSON Schemas of what users write and read, made from the same models that check it."""

from typing import Any

import orjson

from schemas.errors import GristmillError


def schema(what: str) -> str:
    """The JSON Schema of ``recipe``, ``record`` or ``manifest``, indented.

    Raises:
        GristmillError: another name.
    """
    makers = {"recipe": _recipe, "record": _record, "manifest": _manifest}
    if what not in makers:
        raise GristmillError(f"there is no schema called {what!r}; known: {', '.join(makers)}")
    return orjson.dumps(makers[what](), option=orjson.OPT_INDENT_2).decode()


def _recipe() -> dict[str, Any]:
    from schemas.recipe import Recipe
    from transforms.filters import FILTERS, function

    made = Recipe.model_json_schema()
    definitions, properties = made["$defs"], {}
    for name, one in FILTERS.items():
        settings = one.settings.model_json_schema(ref_template=f"#/$defs/filters.{name}.{{model}}")
        for key, definition in settings.pop("$defs", {}).items():
            definitions[f"filters.{name}.{key}"] = definition  # two filters may each have a Range of their own
        properties[name] = settings
    own = function.Settings.model_json_schema()  # any other name is a user's own filter
    filters = {"type": "object", "properties": properties, "additionalProperties": own}
    described = {key: made["properties"]["filters"][key] for key in ("description", "default")}
    made["properties"]["filters"] = {"anyOf": [filters, {"type": "null"}]} | described
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | made


def _record() -> dict[str, Any]:
    from schemas.record import json_schema

    return json_schema()


def _manifest() -> dict[str, Any]:
    from schemas.manifest import Manifest

    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | Manifest.model_json_schema()
