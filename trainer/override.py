"""``section.key=value`` from the command line, put over the settings that a file holds."""

from typing import Any

import yaml

from schemas.errors import GristmillError


def overridden(data: dict[str, Any], override: str) -> dict[str, Any]:
    """A copy of the settings with one of them changed; the value is YAML.

    Raises:
        GristmillError: it is no override, or goes through a setting that is no section.
    """
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise GristmillError(f"{override!r} is no override; write section.key=value, for example data.epochs=3")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        raise GristmillError(f"override {override!r}: its value is no YAML: {problem}") from None
    made = dict(data)
    place = made
    for depth, part in enumerate(parts[:-1]):
        inner = place.get(part)
        if part == "template" and depth == 0 and isinstance(inner, str):
            inner = {"name": inner}  # the short form of the same
        if inner is not None and not isinstance(inner, dict):
            section = ".".join(parts[: depth + 1])
            raise GristmillError(f"override {override!r}: {section} is {inner!r} and no section; set it as a whole")
        place[part] = dict(inner or {})
        place = place[part]
    place[parts[-1]] = value
    return made
