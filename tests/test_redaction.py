"""Redaction on the way in: every text of a record, ids made of what is left, and nothing silent."""

import json
from typing import Any

import pytest

from pipelines.inputs import reading
from schemas.errors import GristmillError
from schemas.source import Source
from schemas.strict import validate
from transforms.pii import KINDS, PII_VERSION
from transforms.readers import ReadStats, SourceOptions, convert


def read(row: dict[str, Any], *kinds: str) -> dict[str, Any]:
    raw = json.dumps(row).encode()
    (made,) = convert([(0, raw, row)], SourceOptions(redact=kinds), ReadStats())
    assert made.conversation is not None
    return made.conversation


MAIL = "joe.smith@uni-koeln.de"


def test_every_text_of_a_record_is_redacted_and_counted():
    call = {
        "id": None,
        "type": "function",
        "function": {"name": "mail", "arguments": json.dumps({"to": f"é\n{MAIL}", "n": 2})},
    }
    row = {
        "messages": [
            {"role": "user", "content": f"Mail {MAIL}, phone: 0410787999"},
            {"role": "assistant", "content": "", "reasoning_content": f"It is {MAIL}.", "tool_calls": [call]},
            {"role": "tool", "content": f"sent to {MAIL}"},
            {"role": "assistant", "content": "Done."},
        ],
        "tools": json.dumps([{"name": "mail", "description": f"as {MAIL}"}]),
        "contact": {"mail": MAIL},
    }  # fmt: skip
    made = read(row, "email")
    assert MAIL not in json.dumps(made)
    assert made["messages"][0]["content"] == "Mail [EMAIL], phone: 0410787999"
    assert json.loads(made["messages"][1]["tool_calls"][0]["function"]["arguments"]) == {"to": "é\n[EMAIL]", "n": 2}
    assert made["extra"] == {"contact": {"mail": "[EMAIL]"}, "redacted": {"email": 6}}
    assert read(row, "email", "phone")["extra"]["redacted"] == {"email": 6, "phone": 1}
    assert MAIL in json.dumps(read(row))


def test_records_without_finds_stay_as_they_are():
    row = {"instruction": "How far is Paris?", "output": "About 343 km, see https://example.com."}
    assert read(row, *KINDS) == read(row)


def test_preference_pairs_count_the_chosen_answer_once():
    row = {"prompt": "Who?", "chosen": f"Ask {MAIL}", "rejected": f"Ask {MAIL} or {MAIL}"}
    made = read(row, "email")
    assert made["extra"]["redacted"] == {"email": 3}
    assert made["messages"][-1]["content"] == made["chosen"][-1]["content"] == "Ask [EMAIL]"


def test_a_number_in_arguments_goes_by_its_key_and_json_stays_json():
    text = '{"phone_number": 4107879990, "order": 4107879990, "to": {"' + MAIL + '": 1, "y.z@uni-koeln.de": 2}}'
    call = {"id": None, "type": "function", "function": {"name": "f", "arguments": text}}
    row = {
        "messages": [{"role": "user", "content": "Call"}, {"role": "assistant", "content": "", "tool_calls": [call]}]
    }
    made = read(row, "phone", "email")["messages"][1]["tool_calls"][0]["function"]["arguments"]
    assert json.loads(made) == {"phone_number": "[PHONE]", "order": 4107879990, "to": {"[EMAIL]": 1, "[EMAIL] 1": 2}}


@pytest.mark.parametrize("arguments", ["[" * 5000, '{"a": ' * 700 + "1" + "}" * 700, "not json", '{"a": 1e999}'])
def test_odd_arguments_are_read_all_the_same(arguments: str):
    call = {"id": None, "type": "function", "function": {"name": "f", "arguments": f"{arguments}  {MAIL}"}}
    row = {
        "messages": [{"role": "user", "content": "Call"}, {"role": "assistant", "content": "", "tool_calls": [call]}]
    }
    made = read(row, "email")["messages"][1]["tool_calls"][0]["function"]["arguments"]
    assert MAIL not in made


def test_the_corpus_key_of_sources_without_redaction_is_what_it_was():
    assert repr(SourceOptions()) == (
        "SourceOptions(container=None, shape=None, columns=None, trees='all', ftfy=False, placeholders=(), encoding=None)"
    )
    assert repr(SourceOptions(redact=("email",))).endswith(f"encoding=None, redact=('email',), pii={PII_VERSION})")


def test_the_recipe_names_kinds_in_any_order():
    assert reading(validate(Source, {"path": "x", "redact": ["phone", "email", "email"]}, "r")).redact == (
        "email",
        "phone",
    )
    assert set(KINDS) == {"email", "phone", "ip", "card", "iban", "key"}
    with pytest.raises(GristmillError, match="redact"):
        validate(Source, {"path": "x", "redact": ["mail"]}, "r")
