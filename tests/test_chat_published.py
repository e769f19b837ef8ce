"""Native templates against the Jinja that models were published with, both rendered by transformers."""

from typing import Any

import pytest

from schemas.chat.template import Conversation, Template, parsed, text_of
from schemas.chat.turns import ChatML, Llama2, Llama3

# The common ChatML template (TRL, axolotl).
CHATML = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# Qwen3, Qwen2.5: tools. Thoughts stay in every turn here, where Qwen3 drops those before the last question.
QWEN = """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}
        {{- messages[0].content + '\\n\\n' }}
    {%- endif %}
    {{- "# Tools\\n\\nYou may call one or more functions to assist with the user query.\\n\\nYou are provided with function signatures within <tools></tools> XML tags:\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools>\\n\\nFor each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:\\n<tool_call>\\n{\\"name\\": <function-name>, \\"arguments\\": <args-json-object>}\\n</tool_call><|im_end|>\\n" }}
{%- else %}
    {%- if messages[0].role == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set content = message.content %}
        {%- if message.reasoning_content is defined and message.reasoning_content is not none %}
            {{- '<|im_start|>' + message.role + '\\n<think>\\n' + message.reasoning_content.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {%- if message.tool_calls %}
            {%- for tool_call in message.tool_calls %}
                {%- if (loop.first and content) or (not loop.first) %}
                    {{- '\\n' }}
                {%- endif %}
                {%- if tool_call.function %}
                    {%- set tool_call = tool_call.function %}
                {%- endif %}
                {{- '<tool_call>\\n{"name": "' }}
                {{- tool_call.name }}
                {{- '", "arguments": ' }}
                {%- if tool_call.arguments is string %}
                    {{- tool_call.arguments }}
                {%- else %}
                    {{- tool_call.arguments | tojson }}
                {%- endif %}
                {{- '}\\n</tool_call>' }}
            {%- endfor %}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "tool" %}
        {%- if loop.first or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\\n<tool_response>\\n' }}
        {{- message.content }}
        {{- '\\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}
            {{- '<|im_end|>\\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}"""
# Llama-2-chat.
LLAMA2 = (
    "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}"
    "{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}"
    "{% set system_message = false %}{% endif %}{% for message in loop_messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% if loop.index0 == 0 and system_message != false %}"
    "{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}"
    "{% else %}{% set content = message['content'] %}{% endif %}"
    "{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)
# Meta-Llama-3-Instruct.
LLAMA3 = (
    "{% set loop_messages = messages %}{% for message in loop_messages %}"
    "{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim "
    "+ '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}"
    "{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)

TEXTS = ["Hi", "  spaced \n", "", "\n\nlines\n", "世界 🙂 {{ x }} {% if %} <b>&amp;</b>", "[/INST] <|im_end|> </s>"]
OFFER = '[{"type": "function", "function": {"name": "wetter", "description": "für <Köln>"}}]'
CALL = {"type": "function", "function": {"name": "wetter", "arguments": '{"ort": "Köln", "n": [1, 2.5, null]}'}}


def published(source: str, conversation: Conversation, prompt: bool = False) -> str:
    from transformers.utils.chat_template_utils import render_jinja_template

    messages = [dict(message) for message in conversation.messages]
    for message in messages:
        if "tool_calls" in message:
            calls = [call["function"] for call in message["tool_calls"]]
            message["tool_calls"] = [
                {"type": "function", "function": call | {"arguments": parsed(call["arguments"])}} for call in calls
            ]
    begin = "<|begin_of_text|>" if "start_header" in source else "<s>"
    rendered: Any = render_jinja_template(
        [messages],
        tools=parsed(conversation.tools) if conversation.tools else None,
        chat_template=source,
        add_generation_prompt=prompt,
        bos_token=begin,
        eos_token="</s>",
    )
    return str(rendered[0][0])


def talks() -> list[list[dict[str, Any]]]:
    made = []
    for first in TEXTS:
        for second in TEXTS:
            turns = [{"role": "user", "content": first}, {"role": "assistant", "content": second}]
            made += [turns, turns[:1], [{"role": "system", "content": second}, *turns, *turns], turns * 3]
    return made


@pytest.mark.parametrize(
    ("template", "source"),
    [(ChatML(), CHATML), (ChatML(), QWEN), (Llama2(), LLAMA2), (Llama3(), LLAMA3)],
    ids=["chatml", "qwen", "llama2", "llama3"],
)
def test_texts_and_prompts_are_the_published_ones(template: Template, source: str):
    for messages in talks():
        conversation = Conversation(messages)
        assert text_of(template.render(conversation, "train")) == published(source, conversation)
        for at, message in enumerate(messages):
            if message["role"] == "assistant":
                before = conversation.before(at)
                assert text_of(template.prompt(before, "train")) == published(source, before, prompt=True)


@pytest.mark.parametrize("content", TEXTS)
@pytest.mark.parametrize("thought", [None, "Hmm.\n", "\nlet me see"])
@pytest.mark.parametrize("system", [None, "Be brief."])
def test_tools_calls_and_thoughts_are_those_of_qwen(content: str, thought: str | None, system: str | None):
    rich: dict[str, Any] = {"role": "assistant", "content": content, "tool_calls": [CALL, CALL]}
    if thought:
        rich["reasoning_content"] = thought
    messages = [
        *([{"role": "system", "content": system}] if system else []),
        {"role": "user", "content": "Rain?"},
        rich,
        {"role": "tool", "content": "dry"},
        {"role": "tool", "content": content},
        {"role": "assistant", "content": "No.", **({"reasoning_content": thought} if thought else {})},
        {"role": "user", "content": content},
    ]
    for tools in (None, OFFER):
        conversation = Conversation(messages, tools)
        assert text_of(ChatML().render(conversation, "train")) == published(QWEN, conversation)
        assert text_of(ChatML().prompt(conversation, "train")) == published(QWEN, conversation, prompt=True)
