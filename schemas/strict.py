"""Strict reading of typed settings: an unknown key is an error that names the nearest known one."""

import difflib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from schemas.errors import GristmillError


class Strict(BaseModel):
    """Base of every settings model: frozen, no unknown keys, no silent type changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, validate_default=True)


Model = TypeVar("Model", bound=BaseModel)


class _UniqueKeys(yaml.SafeLoader):
    """SafeLoader that refuses a key written twice: YAML would silently keep the last one."""


def _mapping(loader: _UniqueKeys, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
    own: set[Any] = set()
    for key_node, _ in node.value:
        if key_node.tag == "tag:yaml.org,2002:merge":
            continue
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str | int | float | bool | type(None)):
            raise yaml.constructor.ConstructorError(None, None, "a key must be a plain value", key_node.start_mark)
        if key in own:
            raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is written twice", key_node.start_mark)
        own.add(key)
    loader.flatten_mapping(node)  # merged keys ("<<") come first, so that the mapping's own overrule them
    return {
        loader.construct_object(key_node, deep=True): loader.construct_object(value_node, deep=True)
        for key_node, value_node in node.value
    }


_UniqueKeys.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def read_yaml(path: Path) -> Any:
    """Parse a YAML file.

    Raises:
        GristmillError: the file is absent, is no UTF-8, or is no YAML.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError) as error:
        raise GristmillError(f"{path}: {error.strerror}; give the path of a YAML file") from None
    except UnicodeDecodeError as error:
        raise GristmillError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from None
    try:
        return yaml.load(text, Loader=_UniqueKeys)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}, column {mark.column + 1}:" if mark else ""
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        raise GristmillError(f"{path}:{where} {problem}") from None
    except RecursionError:
        raise GristmillError(f"{path}: the YAML is nested too deeply to be read") from None


def validate(model: type[Model], data: object, where: str) -> Model:
    """Build ``model`` from plain data.

    Raises:
        GristmillError: the first problem, as one sentence with its place, both values and a hint.
    """
    if not isinstance(data, dict):
        raise GristmillError(f"{where}: expected a mapping of settings, got {type(data).__name__}")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        # Of a union every branch has its say; the one that got furthest knows what is wrong.
        telling = ("extra_forbidden", "value_error", "missing")
        problems.sort(key=lambda one: telling.index(one["type"]) if one["type"] in telling else len(telling))
        first = _sentence(model, problems[0])
        more = f" ({len(problems) - 1} more)" if len(problems) > 1 else ""
        raise GristmillError(f"{where}: {first}{more}") from None


_BRANCH = re.compile(r"str$|bool$|list\[|literal\[|function-|[A-Z]\w*$")


def nearest(name: str, known: Iterable[str]) -> str:
    """The hint after an unknown name: the nearest known one, or all of them."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(names)}"


def _sentence(model: type[BaseModel], problem: Any) -> str:
    # pydantic names the branch of a union that it tried; that is no place in the file
    place = ".".join(str(part) for part in problem["loc"] if not _BRANCH.match(str(part))) or "top level"
    if problem["type"] == "extra_forbidden":
        key = str(problem["loc"][-1])
        known = _known_keys(model, problem["loc"][:-1])
        if key in known:  # of another branch of a union
            return f"{place}: {key!r} does not go with the other keys here; give one kind alone"
        return f"{place}: unknown key; {nearest(key, known)}"
    if problem["type"] == "missing":
        return f"{place}: this setting is required"
    value = problem.get("input")
    message = problem["msg"].removeprefix("Value error, ")
    if isinstance(value, dict | list) or repr(value) in message:
        return f"{place}: {message}"
    return f"{place}: {message}, got {value!r}"


def _known_keys(model: type[BaseModel], path: tuple[Any, ...]) -> list[str]:
    """Field names of the model that stands at ``path`` inside ``model``."""
    kinds: list[Any] = [model]
    for step in path:
        following: list[Any] = []
        for kind in kinds:
            for leaf in _models_in(kind):
                field = leaf.model_fields.get(str(step)) if isinstance(step, str) else None
                if field is not None:
                    following.append(field.annotation)
            following.extend(_values_of(kind))
        kinds = following or kinds
    names = [name for kind in kinds for leaf in _models_in(kind) for name in leaf.model_fields]
    return sorted(set(names))


def _values_of(kind: Any) -> list[Any]:
    """What a dict or list annotation holds."""
    arguments: tuple[Any, ...] = getattr(kind, "__args__", ())
    origin = getattr(kind, "__origin__", None)
    if origin is dict:
        return [arguments[1]]
    if origin in (list, tuple):
        return [argument for argument in arguments if argument is not Ellipsis]
    return [value for argument in arguments for value in _values_of(argument)]


def _models_in(kind: Any) -> list[type[BaseModel]]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return [kind]
    if getattr(kind, "__origin__", None) in (dict, list, tuple):
        return []
    return [model for argument in getattr(kind, "__args__", ()) for model in _models_in(argument)]
