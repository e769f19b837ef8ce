"""The chat template that a checkpoint carries: Jinja that renders what was trained, so that a server sends that.

A template that was Jinja is saved as it was read. Native ones have their twin in ``trainer/templates``, and a user's
format string is translated here; the tests hold every twin against the native renderer, letter by letter.
"""

from pathlib import Path

from schemas.chat.exchanges import Alpaca, Format
from schemas.chat.jinja import JinjaTemplate
from schemas.chat.markup import JSON, XML
from schemas.chat.render import Renderer
from schemas.chat.turns import ChatML, Llama2, Llama3

_FOLDER = Path(__file__).parent / "templates"
_PAIRS = (Llama2, Alpaca, Format)  # user and assistant in turn, no tools


def served_template(renderer: Renderer) -> str | None:
    """Jinja text that gives the texts of ``renderer.render`` and, asked for a prompt, ``renderer.prompt``.

    None for a template that is none of ours and no Jinja: the checkpoint's README then says so.
    """
    template = renderer.template
    if isinstance(template, JinjaTemplate):
        given = [(name, value) for name, value in template.variables if not name.endswith("_token")]
        return "".join(_default(name, value) for name, value in given) + template.text
    if not isinstance(template, ChatML | Llama2 | Llama3 | Alpaca | XML | JSON | Format):
        return None
    keep = "false" if renderer.reasoning == "drop" else "true"
    head = f"{{%- set keep_reasoning = {keep} %}}\n"
    if isinstance(template, Alpaca | XML | JSON | Format):
        head += f"{{%- set start = {_quoted(template.start)} %}}\n{{%- set stop = {_quoted(template.stop)} %}}\n"
    if isinstance(template, Alpaca):
        head += f"{{%- set split_input = {str(template.split).lower()} %}}\n"
    if isinstance(template, _PAIRS):
        head += _read("pairs")
    if isinstance(template, Format):
        return head + _format(template)
    return head + _read("alpaca" if isinstance(template, Alpaca) else template.name)


def _read(name: str) -> str:
    return (_FOLDER / f"{name}.jinja").read_text(encoding="utf-8")


def _quoted(text: str) -> str:
    """A Jinja string literal."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\r", "\\r")
    return f"'{escaped}'"


def _default(name: str, value: str) -> str:
    """A variable of the configuration, unless the server sets its own."""
    return f"{{%- if {name} is not defined %}}{{%- set {name} = {_quoted(value)} %}}{{%- endif %}}"


def _format(template: Format) -> str:
    """The format string as Jinja; the rules for empty fields are those of ``Format.render``."""
    pieces = template._pieces()
    fields = [field for _, field in pieces]
    last = fields.index("output")
    lines = ["{{- start }}"]
    if "system" not in fields:
        lines += [
            "{%- if system is not none %}",
            "    {{- raise_exception('this model was trained without system prompts') }}",
            "{%- endif %}",
        ]
    lines += [
        "{%- for message in talk %}",
        "    {%- set content = message.content or '' %}",
        "    {%- if message.role == 'user' %}",
        "        {%- set parts = content.split('\\n\\n', 1) %}",
        "        {%- set given = parts[1] if "
        + ("parts | length == 2 and parts[0].strip() and parts[1].strip()" if "input" in fields else "false")
        + " else '' %}",
        "        {%- set instruction = parts[0] if given else content %}",
        "        {%- set prompt = system.content or '' if loop.first and system is not none else '' %}",
    ]
    values = {"system": "prompt", "instruction": "instruction", "input": "given"}
    for at, (literal, field) in enumerate(pieces[: last + 1]):
        if field == "output":
            literal = literal.rstrip(" ")
        before = values[str(fields[at - 1])] if at else ""
        if at and literal.startswith("\n") and _alone(pieces, at - 1):
            lines.append(f"        {{{{- {_quoted(literal)} if {before} else {_quoted(literal[1:])} }}}}")
        else:
            lines.append(f"        {{{{- {_quoted(literal)} }}}}")
        if field != "output":
            lines.append(f"        {{{{- {values[str(field)]} }}}}")
    before = pieces[last][0]
    lead = before[len(before.rstrip(" ")) :]
    after = "".join(literal for literal, _ in pieces[last + 1 :]).removeprefix(template.stop)
    lines += [
        "    {%- else %}",
        f"        {{{{- {_quoted(lead)} }}}}",
        "        {%- if keep_reasoning and message.reasoning_content %}",
        "            {{- '<think>\\n' + message.reasoning_content.strip('\\n') + '\\n</think>\\n\\n' }}",
        "        {%- endif %}",
        f"        {{{{- content + stop + {_quoted(after)} }}}}",
        "    {%- endif %}",
        "{%- endfor %}",
    ]
    return "\n".join(lines) + "\n"


def _alone(pieces: list[tuple[str, str | None]], at: int) -> bool:
    """Whether only a line's start is before this field."""
    literal = pieces[at][0]
    return literal.endswith("\n") or (at == 0 and not literal)
