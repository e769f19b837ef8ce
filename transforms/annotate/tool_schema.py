"""Whether the arguments of a call fit a tool's parameters: the part of JSON Schema that tool lists use.

A validator of all of JSON Schema refuses whole lists for one odd schema, and these are written by models and
generators: ``required`` beside ``properties``, Python's names of types, schemas without a type. So only what is
certainly said is checked (type, required, enum, const, properties, items, anyOf, additionalProperties: false); an
unknown keyword, a ``$ref`` or a schema of a wrong form allows everything.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import orjson

_DEPTH = 16  # of schemas; deeper is not checked
_ITEMS = 1000  # of a list; later ones are not checked

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,), "str": (str,), "integer": (int,), "int": (int,), "number": (int, float), "float": (int, float),
    "boolean": (bool,), "bool": (bool,), "array": (list,), "list": (list,), "tuple": (list,),
    "object": (dict,), "dict": (dict,),
    "null": (type(None),),
}  # fmt: skip


@dataclass(frozen=True)
class Tool:
    """Of one tool: names of required parameters, and the schema of each parameter that has one."""

    required: tuple[str, ...] = ()
    properties: dict[str, Any] = field(default_factory=dict)
    closed: bool = False  # no other parameters are allowed


@lru_cache(maxsize=512)  # files repeat a handful of tool lists over thousands of rows
def read_tools(text: str) -> dict[str, Tool] | None:
    """Tools by name, from the JSON text of a record's ``tools``; None where it cannot be read as a list of tools."""
    try:
        listed = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    tools: dict[str, Tool] = {}
    for one in listed if isinstance(listed, list) else [listed]:
        function = one.get("function", one) if isinstance(one, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            return None
        tools[function["name"]] = _tool(function)
    return tools or None


def _tool(function: dict[str, Any]) -> Tool:
    parameters = function.get("parameters", function.get("input_schema"))
    if not isinstance(parameters, dict):
        return Tool()
    properties = parameters.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    required = parameters.get("required", function.get("required"))
    names = tuple(name for name in required if isinstance(name, str)) if isinstance(required, list) else ()
    return Tool(names, properties, bool(properties) and parameters.get("additionalProperties") is False)


def missing(tool: Tool, arguments: dict[str, Any]) -> int:
    """Required parameters that the call does not give."""
    return sum(name not in arguments for name in tool.required)


def misfits(tool: Tool, arguments: dict[str, Any]) -> int:
    """Arguments of a wrong type, outside their enum, or not allowed at all."""
    wrong = 0
    for name, value in arguments.items():
        if name in tool.properties:
            wrong += not fits(value, tool.properties[name])
        else:
            wrong += tool.closed
    return wrong


def fits(value: Any, schema: Any, depth: int = 0) -> bool:
    """Whether nothing in the schema certainly forbids the value."""
    if not isinstance(schema, dict) or depth > _DEPTH or "$ref" in schema:
        return True
    if not _right_type(value, schema):
        return False
    options = schema.get("enum")
    if isinstance(options, list) and options and value is not None and not _among(value, options):
        return False
    if "const" in schema and not _among(value, [schema["const"]]):
        return False
    for key in ("anyOf", "oneOf"):
        choices = schema.get(key)
        if isinstance(choices, list) and choices and not any(fits(value, one, depth + 1) for one in choices[:_DEPTH]):
            return False
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        return all(fits(one, schema["items"], depth + 1) for one in value[:_ITEMS])
    if isinstance(value, dict):
        return _object(value, schema, depth)
    return True


def _object(value: dict[str, Any], schema: dict[str, Any], depth: int) -> bool:
    required, properties = schema.get("required"), schema.get("properties")
    if isinstance(required, list) and any(isinstance(name, str) and name not in value for name in required):
        return False
    if not isinstance(properties, dict):
        return True
    return all(fits(value[name], inner, depth + 1) for name, inner in properties.items() if name in value)


def _right_type(value: Any, schema: dict[str, Any]) -> bool:
    kinds = schema.get("type")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if not isinstance(kinds, list) or (schema.get("nullable") is True and value is None):
        return True
    known = [_TYPES.get(kind.lower()) if isinstance(kind, str) else None for kind in kinds]
    if not known or None in known:
        return True  # "date", "any", {"type": {…}}: no type that JSON Schema has
    allowed = {one for kind in known if kind for one in kind}
    if isinstance(value, bool):
        return bool in allowed
    if isinstance(value, float) and value.is_integer():
        return int in allowed or float in allowed
    return type(value) in allowed


def _among(value: Any, options: list[Any]) -> bool:
    """Equal to one of them; 1 and true are not equal, an option written as text is ("5" for 5)."""
    return any(
        (one == value and isinstance(one, bool) == isinstance(value, bool))
        or (isinstance(one, str) and not isinstance(value, str) and one == str(value))
        for one in options
    )
