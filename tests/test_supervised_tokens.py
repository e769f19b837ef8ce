"""The annotation that counts supervised tokens: the same numbers in any block, and null where a row has none."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pytest

from schemas.chat.jinja import JinjaTemplate
from schemas.chat.render import Renderer
from schemas.chat.settings import TemplateChoice, resolve
from schemas.chat.template import Conversation, Refusal, State, Template
from schemas.chat.tokenizer import ChatTokenizer, load_tokenizer
from schemas.chat.turns import ChatML, Llama2
from schemas.chat.verify import Verifier
from tests.test_chat_native import MULTI, OFFER, SINGLE, THOUGHT, TOOLS
from tests.test_chat_published import CHATML
from tests.tiny_tokenizers import SPECIALS, byte_level, gpt2
from transforms.annotate.annotation import Annotation, key
from transforms.annotate.supervised import SupervisedTokens, conversations
from transforms.assemble import assemble
from transforms.records import Records

ROWS: list[dict[str, Any]] = [
    {"messages": SINGLE},
    {"messages": TOOLS, "tools": OFFER},
    {"messages": THOUGHT},
    {"messages": [SINGLE[0], SINGLE[1] | {"weight": 0.0}]},
    {"messages": [*MULTI, MULTI[0] | {"train": True}]},
    {"messages": [SINGLE[0], {"role": "assistant", "content": "\ufdd0"}]},
    {"messages": [SINGLE[0], {"role": "assistant", "content": "世界 🙂"}]},
]


def block(rows: list[dict[str, Any]]) -> pa.RecordBatch:
    return assemble(rows, range(len(rows)), [0] * len(rows))


def annotation(template: Template, tokenizer: ChatTokenizer | None = None) -> SupervisedTokens:
    return SupervisedTokens(Renderer(tokenizer or byte_level(), template))


def columns(batch: pa.RecordBatch, made: SupervisedTokens) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = made(Records(batch)).to_pylist()
    return rows


def test_counts_are_those_of_the_encoded_rows():
    made = annotation(ChatML())
    rows = columns(block(ROWS), made)
    for row, encoded in zip(rows, made.renderer.encode(conversations(Records(block(ROWS))))):
        if isinstance(encoded, Refusal):
            assert row == {"supervised_tokens": None, "rendered_tokens": None, "render_state": encoded.state}
        else:
            assert row["supervised_tokens"] == (encoded.weights > 0).sum()
            assert row["rendered_tokens"] == len(encoded.ids)
    states = [State(row["render_state"]).name for row in rows]
    assert states == ["OK", "OK", "OK", "NOTHING", "OK", "RESERVED", "OK"]
    assert rows[3]["supervised_tokens"] == 0


def test_records_come_back_as_they_were():
    got = conversations(Records(block(ROWS)))
    for row, conversation in zip(ROWS, got):
        made = [
            {name: value for name, value in message.items() if value is not None} for message in conversation.messages
        ]
        assert [message | {"tool_calls": None} for message in made] == [
            message | {"tool_calls": None} for message in row["messages"]
        ]
        assert conversation.tools == row.get("tools")
    assert got[1].messages[1]["tool_calls"][0]["function"]["name"] == "weather"


def test_a_template_without_tools_leaves_nulls():
    rows = columns(block(ROWS), annotation(Llama2()))
    assert [row["render_state"] for row in rows] == [0, State.REFUSED, 0, State.NOTHING, 0, State.RESERVED, 0]
    assert rows[1]["supervised_tokens"] is None


@pytest.mark.parametrize("template", [ChatML(), Llama2()])
def test_any_division_into_blocks_gives_the_same(template: Template):
    made = annotation(template)
    whole = columns(block(ROWS), made)
    assert [columns(block([row]), made)[0] for row in ROWS] == whole
    batch = block(ROWS)
    assert columns(batch.slice(2, 4), made) == whole[2:6]
    assert columns(batch.slice(0, 0), made) == []
    assert made(Records(batch.slice(0, 0))).schema == made.schema


def test_it_is_an_annotation_that_travels():
    made: Annotation = annotation(ChatML())
    _ = made(Records(block(ROWS)))  # with its tokenizer built, it must still be sent as text
    sent = pickle.loads(pickle.dumps(made))
    assert sent(Records(block(ROWS))).equals(made(Records(block(ROWS))))
    assert sent(Records(block(ROWS))).schema == made.schema
    assert key(sent) == key(made)


def test_identity_holds_what_decides():
    made = [
        annotation(ChatML()),
        annotation(Llama2()),
        annotation(ChatML(), gpt2()),
        SupervisedTokens(Renderer(byte_level(), ChatML(), "mask")),
        SupervisedTokens(Renderer(byte_level(), ChatML(), "drop")),
    ]
    assert len({key(one) for one in made}) == len(made)
    assert orjson.dumps(made[0].identity()) == orjson.dumps(annotation(ChatML()).identity())


def test_long_and_hostile_texts():
    made = annotation(ChatML())
    texts = ["", "\n" * 50_000, "<|im_end|>" * 5_000, "🙂" * 20_000, "a" * 200_000, "\x00\x0b\u2028\ufeff"]
    rows = columns(block([{"messages": [SINGLE[0], {"role": "assistant", "content": text}]} for text in texts]), made)
    assert all(row["render_state"] in (State.OK, State.STRADDLE) for row in rows)
    half = '{"half": "\\ud83d"}'  # JSON may name half a pair
    for template in (ChatML(), JinjaTemplate("{{ tools | tojson }}" + CHATML, SPECIALS)):
        row = {"messages": SINGLE, "tools": f"[{half}]"}
        assert columns(block([row]), annotation(template))[0]["render_state"] == State.OK
    printed = JinjaTemplate("{{ tools[0].half }}" + CHATML, SPECIALS)
    assert columns(block([row]), annotation(printed))[0]["render_state"] == State.FAILED
    deep = "[" * 5_000 + "]" * 5_000
    call = {"id": None, "type": "function", "function": {"name": "f", "arguments": deep}}
    row = {"messages": [SINGLE[0], {"role": "assistant", "content": "", "tool_calls": [call]}], "tools": deep}
    assert columns(block([row]), made)[0]["render_state"] in (State.REFUSED, State.FAILED, State.OK)


@pytest.mark.needs_shared
@pytest.mark.parametrize("name", ["xml", "json", "alpaca"])
def test_a_real_word_piece_tokenizer(shared: Path, name: str):
    file = shared / "models" / "potion-base-4m-int8" / "tokenizer.json"
    if not file.is_file():
        pytest.skip("the tokenizer is absent")
    renderer = resolve(TemplateChoice(name=name, stop="[SEP]"), load_tokenizer(str(file), Path()), Path())
    assert Verifier(renderer).problems(Conversation(MULTI)) == []
    rows = columns(block([{"messages": SINGLE}, {"messages": MULTI}]), SupervisedTokens(renderer))
    assert rows[1]["supervised_tokens"] > rows[0]["supervised_tokens"] > 2


def test_counts_do_not_depend_on_windows(monkeypatch: pytest.MonkeyPatch):
    made = annotation(ChatML())
    rows = [row for row in ROWS for _ in range(3)]
    whole = columns(block(rows), made)
    monkeypatch.setattr("schemas.chat.spans._WINDOW_ROWS", 2)
    assert columns(block(rows), made) == whole
    monkeypatch.setattr("schemas.chat.spans._WINDOW_CHARACTERS", 1)
    assert columns(block(rows), made) == whole
    assert np.array([row["render_state"] for row in whole]).max() == State.RESERVED
