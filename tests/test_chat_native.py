"""Native templates: the whole text and what is learned of it, letter by letter, for every template and kind of turn."""

from typing import Any

import pytest

from schemas.chat.exchanges import Alpaca, Format, split_input
from schemas.chat.markup import JSON, XML
from schemas.chat.template import Conversation, Refusal, State, Template, text_of, weight_of
from schemas.chat.turns import ChatML, Llama2, Llama3
from schemas.errors import GristmillError

USER_FORMAT = "USER: {instruction}\n{input}\nASSISTANT: {output}"
TEMPLATES: dict[str, Template] = {
    "chatml": ChatML(),
    "llama2": Llama2(),
    "llama3": Llama3(),
    "alpaca": Alpaca("</s>", "<s>"),
    "xml": XML("</s>"),
    "json": JSON("</s>"),
    "format": Format("{system}\n" + USER_FORMAT + "\n", "</s>"),
}

Messages = list[dict[str, Any]]

SINGLE: Messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]
SYSTEM: Messages = [{"role": "system", "content": "Be kind."}, *SINGLE]
MULTI: Messages = [*SINGLE, {"role": "user", "content": "Bye"}, {"role": "assistant", "content": "See you."}]
THOUGHT: Messages = [SINGLE[0], {"role": "assistant", "content": "Hello!", "reasoning_content": "A greeting."}]
EMPTY: Messages = [SINGLE[0], {"role": "assistant", "content": ""}]
CALL: dict[str, Any] = {
    "id": "c1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city": "Köln"}'},
}
TOOLS: Messages = [
    {"role": "user", "content": "Rain?"},
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "content": "dry", "tool_call_id": "c1"},
    {"role": "tool", "content": "warm", "tool_call_id": "c1"},
    {"role": "assistant", "content": "No."},
]
OFFER = '[{"type": "function", "function": {"name": "weather"}}]'
CHATML_OFFER = (
    "# Tools\n\nYou may call one or more functions to assist with the user query.\n\nYou are provided with function "
    'signatures within <tools></tools> XML tags:\n<tools>\n{"type": "function", "function": {"name": "weather"}}\n'
    "</tools>\n\nFor each function call, return a json object with function name and arguments within "
    '<tool_call></tool_call> XML tags:\n<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n'
    "</tool_call>"
)
PREAMBLE = Alpaca.WITHOUT_INPUT


def marked(template: Template, messages: Messages, tools: str | None = None, reasoning: Any = "train") -> str:
    """The text with ⟦…⟧ around what is learned."""
    text, learned = "", False
    for segment in template.render(Conversation(messages, tools), reasoning):
        if segment.text and segment.supervised != learned:
            text += "⟦" if segment.supervised else "⟧"
            learned = segment.supervised
        text += segment.text
    return text + ("⟧" if learned else "")


GOLDEN = {
    ("chatml", "single"): "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n⟦Hello!<|im_end|>⟧\n",
    ("chatml", "system"): "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
    "<|im_start|>assistant\n⟦Hello!<|im_end|>⟧\n",
    ("chatml", "multi"): "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n⟦Hello!<|im_end|>⟧\n"
    "<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n⟦See you.<|im_end|>⟧\n",
    ("chatml", "thought"): "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    "⟦<think>\nA greeting.\n</think>\n\nHello!<|im_end|>⟧\n",
    ("chatml", "empty"): "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n⟦<|im_end|>⟧\n",
    ("chatml", "tools"): f"<|im_start|>system\n{CHATML_OFFER}<|im_end|>\n<|im_start|>user\nRain?<|im_end|>\n"
    '<|im_start|>assistant\n⟦<tool_call>\n{"name": "weather", "arguments": {"city": "Köln"}}\n</tool_call><|im_end|>⟧\n'
    "<|im_start|>user\n<tool_response>\ndry\n</tool_response>\n<tool_response>\nwarm\n</tool_response><|im_end|>\n"
    "<|im_start|>assistant\n⟦No.<|im_end|>⟧\n",
    ("llama2", "single"): "<s>[INST] Hi [/INST]⟦ Hello! </s>⟧",
    ("llama2", "system"): "<s>[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\nHi [/INST]⟦ Hello! </s>⟧",
    ("llama2", "multi"): "<s>[INST] Hi [/INST]⟦ Hello! </s>⟧<s>[INST] Bye [/INST]⟦ See you. </s>⟧",
    ("llama2", "thought"): "<s>[INST] Hi [/INST]⟦ <think>\nA greeting.\n</think>\n\nHello! </s>⟧",
    ("llama2", "empty"): "<s>[INST] Hi [/INST]⟦  </s>⟧",
    ("llama3", "single"): "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n⟦Hello!<|eot_id|>⟧",
    ("llama3", "system"): "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe kind.<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n⟦Hello!<|eot_id|>⟧",
    ("llama3", "multi"): "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n⟦Hello!<|eot_id|>⟧"
    "<|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n⟦See you.<|eot_id|>⟧",
    ("llama3", "thought"): "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n⟦<think>\nA greeting.\n</think>\n\nHello!<|eot_id|>⟧",
    ("llama3", "empty"): "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n⟦<|eot_id|>⟧",
    ("llama3", "tools"): "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nEnvironment: ipython\n"
    "You have access to the following functions. To call a function, please respond with JSON for a function call."
    'Respond in the format {"name": function name, "parameters": dictionary of argument name and its value}.'
    'Do not use variables.\n\n{\n    "type": "function",\n    "function": {\n        "name": "weather"\n    }\n}'
    "<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nRain?<|eot_id|>"
    '<|start_header_id|>assistant<|end_header_id|>\n\n⟦{"name": "weather", "parameters": {"city": "Köln"}}<|eot_id|>⟧'
    "<|start_header_id|>ipython<|end_header_id|>\n\ndry<|eot_id|>"
    "<|start_header_id|>ipython<|end_header_id|>\n\nwarm<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n⟦No.<|eot_id|>⟧",
    ("alpaca", "single"): f"<s>{PREAMBLE}\n\n### Instruction:\nHi\n\n### Response:\n⟦Hello!</s>⟧",
    ("alpaca", "system"): "<s>Be kind.\n\n### Instruction:\nHi\n\n### Response:\n⟦Hello!</s>⟧",
    ("alpaca", "multi"): f"<s>{PREAMBLE}\n\n### Instruction:\nHi\n\n### Response:\n⟦Hello!</s>⟧"
    "\n\n### Instruction:\nBye\n\n### Response:\n⟦See you.</s>⟧",
    ("alpaca", "thought"): f"<s>{PREAMBLE}\n\n### Instruction:\nHi\n\n### Response:\n"
    "⟦<think>\nA greeting.\n</think>\n\nHello!</s>⟧",
    ("alpaca", "empty"): f"<s>{PREAMBLE}\n\n### Instruction:\nHi\n\n### Response:\n⟦</s>⟧",
    ("xml", "single"): "<user>\nHi\n</user>\n<assistant>\n⟦Hello!\n</assistant></s>⟧\n",
    ("xml", "system"): "<system>\nBe kind.\n</system>\n<user>\nHi\n</user>\n<assistant>\n⟦Hello!\n</assistant></s>⟧\n",
    ("xml", "multi"): "<user>\nHi\n</user>\n<assistant>\n⟦Hello!\n</assistant></s>⟧\n"
    "<user>\nBye\n</user>\n<assistant>\n⟦See you.\n</assistant></s>⟧\n",
    ("xml", "thought"): "<user>\nHi\n</user>\n<assistant>\n"
    "⟦<think>\nA greeting.\n</think>\n\nHello!\n</assistant></s>⟧\n",
    ("xml", "empty"): "<user>\nHi\n</user>\n<assistant>\n⟦</assistant></s>⟧\n",
    (
        "xml",
        "tools",
    ): '<tools>\n{"type": "function", "function": {"name": "weather"}}\n</tools>\n<user>\nRain?\n</user>\n'
    '<assistant>\n⟦<tool_call>\n{"name": "weather", "arguments": {"city": "Köln"}}\n</tool_call>\n</assistant></s>⟧\n'
    "<tool>\ndry\n</tool>\n<tool>\nwarm\n</tool>\n<assistant>\n⟦No.\n</assistant></s>⟧\n",
    ("json", "single"): '{"role": "user", "content": "Hi"}\n{"role": "assistant",⟦ "content": "Hello!"}</s>⟧\n',
    ("json", "system"): '{"role": "system", "content": "Be kind."}\n{"role": "user", "content": "Hi"}\n'
    '{"role": "assistant",⟦ "content": "Hello!"}</s>⟧\n',
    ("json", "multi"): '{"role": "user", "content": "Hi"}\n{"role": "assistant",⟦ "content": "Hello!"}</s>⟧\n'
    '{"role": "user", "content": "Bye"}\n{"role": "assistant",⟦ "content": "See you."}</s>⟧\n',
    ("json", "thought"): '{"role": "user", "content": "Hi"}\n'
    '{"role": "assistant",⟦ "reasoning_content": "A greeting.", "content": "Hello!"}</s>⟧\n',
    ("json", "empty"): '{"role": "user", "content": "Hi"}\n{"role": "assistant",⟦ "content": ""}</s>⟧\n',
    ("json", "tools"): '{"tools": [{"type": "function", "function": {"name": "weather"}}]}\n'
    '{"role": "user", "content": "Rain?"}\n{"role": "assistant",⟦ "content": "", "tool_calls": '
    '[{"name": "weather", "arguments": {"city": "Köln"}}]}</s>⟧\n{"role": "tool", "content": "dry"}\n'
    '{"role": "tool", "content": "warm"}\n{"role": "assistant",⟦ "content": "No."}</s>⟧\n',
    ("format", "single"): "USER: Hi\nASSISTANT:⟦ Hello!</s>⟧\n",
    ("format", "system"): "Be kind.\nUSER: Hi\nASSISTANT:⟦ Hello!</s>⟧\n",
    ("format", "multi"): "USER: Hi\nASSISTANT:⟦ Hello!</s>⟧\nUSER: Bye\nASSISTANT:⟦ See you.</s>⟧\n",
    ("format", "thought"): "USER: Hi\nASSISTANT:⟦ <think>\nA greeting.\n</think>\n\nHello!</s>⟧\n",
    ("format", "empty"): "USER: Hi\nASSISTANT:⟦ </s>⟧\n",
}
KINDS: dict[str, Messages] = {
    "single": SINGLE,
    "system": SYSTEM,
    "multi": MULTI,
    "thought": THOUGHT,
    "empty": EMPTY,
    "tools": TOOLS,
}


@pytest.mark.parametrize(("name", "kind"), GOLDEN, ids="-".join)
def test_golden_text_and_what_is_learned(name: str, kind: str):
    assert marked(TEMPLATES[name], KINDS[kind], OFFER if kind == "tools" else None) == GOLDEN[name, kind]


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_every_kind_of_turn_is_golden_or_refused(name: str):
    for kind, messages in KINDS.items():
        if (name, kind) not in GOLDEN:
            with pytest.raises(Refusal, match="no form for tools") as refused:
                TEMPLATES[name].render(Conversation(messages, OFFER), "train")
            assert refused.value.state is State.REFUSED


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_prompts_are_starts_of_the_text(name: str):
    for kind in KINDS:
        if (name, kind) not in GOLDEN:
            continue
        conversation = Conversation(KINDS[kind], OFFER if kind == "tools" else None)
        whole = GOLDEN[name, kind]
        learned_from = [at for at, message in enumerate(conversation.messages) if message["role"] == "assistant"]
        starts = [at for at, letter in enumerate(whole) if letter == "⟦"]
        assert len(starts) == len(learned_from)
        for turn, start in zip(learned_from, starts):
            prompt = text_of(TEMPLATES[name].prompt(conversation.before(turn), "train"))
            assert prompt == whole[:start].replace("⟦", "").replace("⟧", ""), kind


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_reasoning_is_learned_masked_or_dropped(name: str):
    template = TEMPLATES[name]
    plain = marked(template, SINGLE)
    whole = marked(template, THOUGHT).replace("⟦", "").replace("⟧", "")
    assert marked(template, THOUGHT, reasoning="drop") == plain
    masked = marked(template, THOUGHT, reasoning="mask")
    assert masked.replace("⟦", "").replace("⟧", "") == whole
    learned = "".join(piece.split("⟧")[0] for piece in masked.split("⟦")[1:])
    assert "Hello!" in learned
    assert "greeting" not in learned
    assert "think" not in learned


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_turns_with_train_false_and_weights(name: str):
    messages = [MULTI[0], MULTI[1] | {"train": False}, MULTI[2], MULTI[3] | {"weight": 0.25}]
    segments = TEMPLATES[name].render(Conversation(messages), "train")
    assert text_of(segments) == GOLDEN[name, "multi"].replace("⟦", "").replace("⟧", "")
    assert {segment.weight for segment in segments} == {0.0, 0.25}
    learned = "".join(segment.text for segment in segments if segment.supervised)
    assert "See you." in learned
    assert "Hello!" not in learned
    stops = [segment for segment in segments if segment.kind == "stop" and segment.supervised]
    assert [stop.weight for stop in stops] == [0.25]


@pytest.mark.parametrize(
    ("message", "weight"),
    [
        ({"role": "assistant"}, 1.0),
        ({"role": "assistant", "train": None, "weight": None}, 1.0),
        ({"role": "assistant", "train": False, "weight": 2.0}, 0.0),
        ({"role": "assistant", "weight": 0.0}, 0.0),
        ({"role": "user"}, 0.0),
        ({"role": "user", "train": True}, 1.0),
        ({"role": "tool", "weight": 0.5}, 0.5),
        ({"role": "system", "train": False}, 0.0),
    ],
)
def test_weights_of_messages(message: dict[str, Any], weight: float):
    assert weight_of(message) == weight


def test_a_user_turn_is_learned_where_its_row_asks_for_it():
    messages = [SINGLE[0] | {"train": True}, SINGLE[1]]
    assert marked(ChatML(), messages) == (
        "<|im_start|>user\n⟦Hi<|im_end|>⟧\n<|im_start|>assistant\n⟦Hello!<|im_end|>⟧\n"
    )


def test_alpaca_with_input():
    rows: Messages = [
        {"role": "user", "content": "Translate.\n\nGuten Tag\n\nMorgen"},
        {"role": "assistant", "content": "Hello"},
    ]
    assert marked(Alpaca("</s>"), rows) == (
        f"{Alpaca.WITH_INPUT}\n\n### Instruction:\nTranslate.\n\n### Input:\nGuten Tag\n\nMorgen\n\n"
        "### Response:\n⟦Hello</s>⟧"
    )
    assert marked(Alpaca("</s>", split=False), rows) == (
        f"{Alpaca.WITHOUT_INPUT}\n\n### Instruction:\nTranslate.\n\nGuten Tag\n\nMorgen\n\n### Response:\n⟦Hello</s>⟧"
    )


@pytest.mark.parametrize("text", ["", "one line", "line\nline", "\n\nonly input", "only instruction\n\n", "a\n\n \n"])
def test_what_has_no_input_is_all_instruction(text: str):
    assert split_input(text) == (text, "")


def test_format_with_input_and_with_its_own_stop():
    rows: Messages = [{"role": "user", "content": "Add.\n\n1 and 2"}, {"role": "assistant", "content": "3"}]
    assert marked(Format(USER_FORMAT, "</s>"), rows) == "USER: Add.\n1 and 2\nASSISTANT:⟦ 3</s>⟧"
    own = Format("<|user|>\n{instruction}</s>\n<|assistant|>\n{output}</s>\n", "</s>")
    assert marked(own, rows) == "<|user|>\nAdd.\n\n1 and 2</s>\n<|assistant|>\n⟦3</s>⟧\n"
    assert marked(Format("{{{instruction}}} = {output}", "</s>"), SINGLE) == "{Hi} =⟦ Hello!</s>⟧"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Q: {instruction}", "{output} stands in it 0 times"),
        ("{output}", "{instruction} stands in it 0 times"),
        ("{instruction} {output} {output}", "{output} stands in it 2 times"),
        ("{output} {instruction}", "{instruction} comes after {output}"),
        ("{instruction} {context} {output}", "{context} is no field"),
        ("{instruction.__class__} {output}", "is no field"),
        ("{instruction!r} {output}", "is no field"),
        ("{instruction} {output", "write {{"),
        ("{instruction} {input} {input} {output}", "twice"),
    ],
)
def test_formats_that_cannot_be(text: str, said: str):
    with pytest.raises(GristmillError) as error:
        Format(text, "</s>")
    assert said in str(error.value)


@pytest.mark.parametrize("template", [Llama2(), Alpaca("</s>"), Format(USER_FORMAT, "</s>")], ids=lambda one: one.name)
def test_templates_of_exchanges_want_roles_in_turn(template: Template):
    wrong: list[Messages] = [[SINGLE[1]], [SINGLE[0], SINGLE[0], SINGLE[1]], [*SINGLE, SYSTEM[0]]]
    for messages in wrong:
        with pytest.raises(Refusal, match="in turn"):
            template.render(Conversation(messages), "train")


def test_a_format_without_system_refuses_a_system_prompt():
    with pytest.raises(Refusal, match=r"no \{system\}"):
        Format(USER_FORMAT, "</s>").render(Conversation(SYSTEM), "train")


def test_arguments_that_are_no_json_and_deep_ones():
    call = {"function": {"name": 'we"ather', "arguments": "{broken"}}
    rows: Messages = [SINGLE[0], {"role": "assistant", "content": "Look:", "tool_calls": [call, call]}]
    assert '"{broken"' in marked(ChatML(), rows)
    assert "⟦Look:\n<tool_call>\n" in marked(ChatML(), rows)
    assert '{"name": "we\\"ather", "arguments": "{broken"}\n</tool_call>\n<tool_call>' in marked(ChatML(), rows)
    with pytest.raises(Refusal, match="no JSON"):
        ChatML().render(Conversation(SINGLE, "not json"), "train")


def test_identities_differ_between_templates_and_settings():
    made = [
        *TEMPLATES.values(),
        Alpaca("</s>"),
        Alpaca("</s>", split=False),
        Alpaca("<|endoftext|>"),
        XML("</s>", "<s>"),
    ]
    assert len({str(template.identity()) for template in made}) == len(made)
