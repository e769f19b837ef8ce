"""The Jinja environment of chat templates: transformers', without its clock."""

import json
from functools import lru_cache
from typing import Any

from schemas.chat.template import Refusal, State, encodable
from schemas.errors import GristmillError

ESCAPE = "\ufdd1"  # stands inside a control token that a text holds
OPEN, CLOSE = "\ufdd2", "\ufdd3"  # around what a {% generation %} block renders
MARKS = ("\ufdd0", ESCAPE, OPEN, CLOSE)


def _raise_exception(message: str) -> None:
    raise Refusal(State.REFUSED, f"the template says: {message}")


def _no_clock(layout: str) -> str:
    raise GristmillError(
        f"the chat template calls strftime_now({layout!r}), and what is rendered must not depend on the day; give the "
        "date it would ask for in template.variables (for Llama 3: date_string), or name another template"
    )


def _tojson(
    value: Any, ensure_ascii: bool = False, indent: int | None = None, separators: Any = None, sort_keys: bool = False
) -> str:
    # Jinja's own filter escapes HTML.
    text = json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
    return encodable(text)


@lru_cache(maxsize=2)
def _environment(blocks: bool) -> Any:
    """``blocks``: whether {% generation %} marks what it renders."""
    import jinja2
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        tags = {"generation"}  # noqa: RUF012 - Jinja's interface

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            call = self.call_method("_marked")
            return jinja2.nodes.CallBlock(call, [], [], body).set_lineno(line)

        def _marked(self, caller: Any) -> str:
            return f"{OPEN}{caller()}{CLOSE}" if blocks else str(caller())

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _no_clock
    return environment


@lru_cache(maxsize=16)
def compiled(text: str, blocks: bool = True) -> Any:
    """The template ready to render.

    Raises:
        GristmillError: it is no Jinja.
    """
    import jinja2

    try:
        return _environment(blocks).from_string(text)
    except jinja2.TemplateSyntaxError as error:
        raise GristmillError(f"the chat template is no Jinja: line {error.lineno}: {error.message}") from None


def run(text: str, seen: dict[str, Any], blocks: bool = True) -> str:
    """Render a template.

    Raises:
        Refusal: the template refuses the conversation, or ends with an error.
        GristmillError: the template reads the clock.
    """
    template = compiled(text, blocks)
    try:
        return str(template.render(seen))
    except (Refusal, GristmillError):
        raise
    except Exception as error:  # templates are programs of others: any exception is theirs
        raise Refusal(State.FAILED, f"the template fails: {type(error).__name__}: {error}") from None
