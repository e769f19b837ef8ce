"""The Jinja that goes into a checkpoint renders, letter by letter, what was trained."""

import itertools
from pathlib import Path
from typing import Any

import pytest

from schemas.chat.environment import run
from schemas.chat.render import Renderer
from schemas.chat.settings import TemplateChoice, resolve
from schemas.chat.template import Conversation, Refusal, parsed, text_of
from tests.tiny_tokenizers import byte_level, sentence_piece
from trainer.served import served_template

TEXTS = ["Hi", "  spaced \n", "", "\n\nlines\n", "One.\n\nTwo: '\\' {{ x }} {% if %} <b>", "[/INST] 世界 🙂 </s>"]
OFFER = '[{"type": "function", "function": {"name": "wetter", "description": "für <Köln>"}}]'
CALL = {"type": "function", "function": {"name": "wetter", "arguments": '{"ort": "Köln", "n": [1, 2.5, null]}'}}
NAMES = ["chatml", "llama2", "llama3", "alpaca", "alpaca_no_input", "xml", "json"]
FORMATS = [
    "USER: {instruction}\n{input}\nASSISTANT: {output}",
    "{system}\nQ: {instruction}\n\nA:  {output}</s>\n",
    "{{{instruction}}} it's \\n {output} end",
    "{system}\n{instruction}\n{input}\n{output}",
]


def choices() -> list[TemplateChoice]:
    named = [TemplateChoice(name=name) for name in NAMES] + [TemplateChoice(format=text) for text in FORMATS]
    return [*named, TemplateChoice(name="chatml", reasoning="drop"), TemplateChoice(name="json", reasoning="drop")]


def talks() -> list[Conversation]:
    made: list[list[dict[str, Any]]] = []
    for first, second in itertools.product(TEXTS, TEXTS):
        turns: list[dict[str, Any]] = [{"role": "user", "content": first}, {"role": "assistant", "content": second}]
        thinking = [turns[0], turns[1] | {"reasoning_content": "\nHmm.\n"}]
        made += [turns, turns[:1], turns * 2, thinking, [{"role": "system", "content": second}, *turns, *turns]]
    found = [Conversation(messages) for messages in made]
    for content in TEXTS:
        called: dict[str, Any] = {"role": "assistant", "content": content, "tool_calls": [CALL, CALL]}
        messages: list[dict[str, Any]] = [
            {"role": "user", "content": "Rain?"},
            called,
            {"role": "tool", "content": "dry"},
            {"role": "tool", "content": content},
            {"role": "assistant", "content": "No."},
        ]
        found += [Conversation(messages), Conversation(messages, OFFER)]
        found.append(Conversation([{"role": "system", "content": content}, *messages], OFFER))
    return found


def served(renderer: Renderer, conversation: Conversation, prompt: bool = False) -> str:
    messages = [dict(message) for message in conversation.messages]
    for message in messages:
        if "tool_calls" in message:
            calls = [call["function"] for call in message["tool_calls"]]
            message["tool_calls"] = [
                {"type": "function", "function": call | {"arguments": parsed(call["arguments"])}} for call in calls
            ]
    seen = {
        **dict(renderer.tokenizer.specials),
        "messages": messages,
        "tools": parsed(conversation.tools) if conversation.tools else None,
        "add_generation_prompt": prompt,
    }
    return run(str(served_template(renderer)), seen)


@pytest.mark.parametrize("choice", choices(), ids=lambda choice: f"{choice.name or choice.format}-{choice.reasoning}")
def test_text_and_prompt_are_those_of_training(choice: TemplateChoice):
    tokenizer = sentence_piece() if choice.name == "llama2" else byte_level()
    renderer, compared = resolve(choice, tokenizer, Path()), 0
    for conversation in talks():
        try:
            text = text_of(renderer.render(conversation))
        except Refusal:
            with pytest.raises(Refusal):
                served(renderer, conversation)
            continue
        assert served(renderer, conversation) == text
        compared += 1
        for at, message in enumerate(conversation.messages):
            if message["role"] == "assistant":
                before = conversation.before(at)
                assert served(renderer, before, prompt=True) == text_of(renderer.prompt(before))
    assert compared > 50


def test_transformers_renders_the_same():
    from transformers.utils.chat_template_utils import render_jinja_template

    renderer = resolve(TemplateChoice(name="alpaca"), byte_level(), Path())
    conversation = Conversation([{"role": "user", "content": "One.\n\nTwo"}, {"role": "assistant", "content": "3"}])
    rendered: Any = render_jinja_template([conversation.messages], chat_template=served_template(renderer))
    assert rendered[0][0] == text_of(renderer.render(conversation))


def test_a_template_of_the_tokenizer_is_kept_with_its_variables(tmp_path: Any):
    (tmp_path / "own.jinja").write_text(
        "{% for m in messages %}<|im_start|>{{ m.role }} {{ day }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant {{ day }}\n{% endif %}"
    )
    choice = TemplateChoice(file="own.jinja", variables={"day": "it's Monday"})
    renderer = resolve(choice, byte_level(), tmp_path)
    conversation = Conversation([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes."}])
    assert served(renderer, conversation) == text_of(renderer.render(conversation))
    assert "it's Monday" in served(renderer, conversation)
