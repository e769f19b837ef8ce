"""Personal data: counted over the whole record, dropped by kind."""

import pytest

from schemas.errors import GristmillError
from schemas.strict import validate
from tests.annotated import alone, answers, failed, features, hostile, pair, records
from transforms.filters.pii import FILTER, Settings

MAIL = "joe.smith@uni-koeln.de"


def test_all_messages_are_looked_at_and_each_find_counts():
    call = {"id": None, "type": "function", "function": {"name": "mail", "arguments": f'{{"to": "{MAIL}"}}'}}
    block = records(
        pair(f"Write to {MAIL}", "Done, and to a.b@uni-koeln.de."),
        [("user", "Write"), {"role": "assistant", "content": "", "tool_calls": [call]}],
        pair("Card?", "4539 1488 0343 6467"),
        pair("Who?", "alice@example.com or 555-1234"),
    )
    found = features(FILTER, block, Settings())
    assert found["pii_email"].to_pylist() == [2, 1, 0, 0]
    assert found["pii_card"].to_pylist() == [0, 0, 1, 0]
    assert failed(FILTER, block, max={"email": 1}) == [{"email"}, set(), set(), set()]
    assert failed(FILTER, block) == [set(), set(), {"card"}, set()]


def test_any_text_is_measured_and_a_record_alone_as_among_others():
    assert alone(FILTER, hostile())
    assert alone(FILTER, answers(MAIL, "7", f"{MAIL} {MAIL}"))


def test_mistakes_are_named():
    with pytest.raises(GristmillError, match="no kind of personal data; known kinds: key, iban"):
        validate(Settings, {"max": {"mail": 0}}, "filters.pii")
