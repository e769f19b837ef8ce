"""``template:`` in a recipe or a training configuration: which chat template, and what ends an answer."""

import difflib
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from schemas.chat.exchanges import Alpaca, Format
from schemas.chat.jinja import JinjaTemplate
from schemas.chat.markup import JSON, XML
from schemas.chat.render import Renderer
from schemas.chat.spans import encoder_of
from schemas.chat.template import Reasoning, Template
from schemas.chat.tokenizer import ChatTokenizer
from schemas.chat.turns import ChatML, Llama2, Llama3
from schemas.errors import GristmillError
from schemas.strict import Strict

TURNS: dict[str, type[ChatML] | type[Llama2] | type[Llama3]] = {"chatml": ChatML, "llama2": Llama2, "llama3": Llama3}
PLAIN = ("alpaca", "alpaca_no_input", "xml", "json")
OWN = "tokenizer"
NAMES = tuple(sorted((*TURNS, *PLAIN, OWN)))


class TemplateChoice(Strict):
    """A name, or a mapping: ``chatml``, ``tokenizer``, ``{file: chat.jinja}``, ``{format: "Q: {instruction}\\n…"}``."""

    name: str | None = Field(None, description=f"one of {', '.join(NAMES)}; tokenizer: the one that it carries")
    file: str | None = Field(None, description="a Jinja chat template, relative to this file")
    format: str | None = Field(None, description="text with {instruction}, {output} and perhaps {input} and {system}")
    stop: str | None = Field(
        None, description="the control token that ends an answer; default: the template's, or the tokenizer's end token"
    )
    variables: dict[str, str] = Field(
        default_factory=dict, description="what a Jinja template sees besides, for example date_string"
    )
    reasoning: Reasoning = Field(
        "train", description="reasoning_content: train on it, mask it (read, not learned) or drop it"
    )

    @model_validator(mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one(self) -> "TemplateChoice":
        given = [key for key in ("name", "file", "format") if getattr(self, key) is not None]
        if len(given) != 1:
            raise ValueError(f"give one of name, file and format, got {' and '.join(given) or 'none'}")
        if self.name is not None and self.name not in NAMES:
            near = difflib.get_close_matches(self.name, NAMES, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(NAMES)}"
            raise ValueError(f"there is no template {self.name!r}; {hint}")
        jinja = self.file is not None or self.name == OWN
        if self.variables and not jinja:
            raise ValueError("variables are for Jinja templates (file, or name: tokenizer)")
        if self.stop is not None and self.name in TURNS:
            raise ValueError(f"{self.name} has a stop token of its own, {TURNS[self.name].controls[-1]}; remove stop")
        return self


def resolve(choice: TemplateChoice, tokenizer: ChatTokenizer, base: Path) -> Renderer:
    """The renderer that a choice means with a tokenizer; ``base`` is the folder that ``file`` is relative to.

    Raises:
        GristmillError: a file is absent or no Jinja, the template reads the clock, the tokenizer has no such token,
            no end token, or no chat template of its own.
    """
    template = _template(choice, tokenizer, base)
    renderer = Renderer(tokenizer, template, choice.reasoning)
    _ = renderer.encoder  # the tokenizer has all control tokens
    return renderer


def _template(choice: TemplateChoice, tokenizer: ChatTokenizer, base: Path) -> Template:
    if choice.name in TURNS:
        return TURNS[choice.name]()
    if choice.file is not None or choice.name == OWN:
        return _jinja(choice, tokenizer, base)
    label = choice.name or "format"
    stop = choice.stop or tokenizer.special("eos_token")
    if stop is None:
        known = ", ".join(encoder_of(tokenizer.definition, ()).specials) or "none"
        raise GristmillError(
            f"template {label} ends an answer with the tokenizer's end token, and the tokenizer names none; set "
            f"template.stop to one of its special tokens ({known})"
        )
    if choice.format is not None:
        return Format(choice.format, stop, tokenizer.start)
    if choice.name == "xml":
        return XML(stop, tokenizer.start)
    if choice.name == "json":
        return JSON(stop, tokenizer.start)
    return Alpaca(stop, tokenizer.start, split=choice.name == "alpaca")


def _jinja(choice: TemplateChoice, tokenizer: ChatTokenizer, base: Path) -> JinjaTemplate:
    if choice.file is None:
        if tokenizer.chat_template is None:
            others = ", ".join(name for name in NAMES if name != OWN)
            raise GristmillError(f"the tokenizer carries no chat template; name one ({others}) or a file")
        text, label = tokenizer.chat_template, OWN
    else:
        path = (base / choice.file).expanduser()
        try:
            text, label = path.read_bytes().decode("utf-8"), path.name
        except OSError as error:
            raise GristmillError(f"template.file {path}: {error.strerror}; give a Jinja chat template") from None
        except UnicodeDecodeError as error:
            raise GristmillError(f"template.file {path}: byte {error.start} is not UTF-8; save it as UTF-8") from None
    variables = dict(tokenizer.specials) | choice.variables
    specials = tuple(encoder_of(tokenizer.definition, (choice.stop,) if choice.stop else ()).specials)
    template = JinjaTemplate(text, specials, tuple(sorted(variables.items())), choice.stop, label)
    template.probe()
    return template
