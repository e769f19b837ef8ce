"""Personal data: what is found, what must not be, what redaction leaves."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.pii import DETECTORS, KINDS, count, find, redact

# A private key's body must be long enough to be one; no real key stands here.
BODY = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7\nVJTUt9Us8cKjMzEfYyjiWA4R4/M2bS1GB4t7NXp98C3SC6dVMvDuictGeurT8jNb"

YES = {
    "email": [
        "Please contact me on iratecustomer@hotmail.com to discuss",
        "Sähköposti: matti.meikäläinen tai joesmith9999@gmail.com.",
        "<j.o+news@mail.uni-koeln.de>",
        "alerts@info6.citi.com",
        "邮箱是wang.fang88@163.com，请联系",
    ],
    "phone": [
        "- Phone: 727-326-0913",
        "Ring (212) 736-5000 tomorrow",
        "mobile phone number: 0410787999",
        "Call +358 40 123 4577 or write",
        "+44 (0)20 7946 0958",
        "+8613812345698",
        "Puh. 040-723 4561",
        "London: 020 7946 0958",
        "Tel. 01 42 68 53 00",
        "联系电话：13812345698",
        "please contact me on 0410787999 or",
        "1-212-736-5000",
    ],
    "ip": [
        "Failed password from 85.214.132.117 port 22",
        "host 2607:f8b0:4005:805::200e answered",
    ],
    "card": ["card 4539 1488 0343 6467", "4539148803436467", "Amex 3782-822463-10013", "5425233430109903"],
    "iban": ["IBAN: FI42 5000 1510 0000 23", "DE75512108001245126199 pay", "NL02ABNA0123456789"],
    "key": [
        "aws_access_key_id = AKIAQ3EGRWXKV7P2ZL5M",
        "token ghp_k3J9dLq0ZsW8xVb2TyU6nRc1MfH5gA4oPeIj",
        "OPENAI_API_KEY=sk-proj-k3J9dLq0ZsW8xVb2TyU6nRc1MfH5g",
        "xoxb-2039483728-k3J9dLq0ZsW8",
        f"-----BEGIN PRIVATE KEY-----\n{BODY}\n-----END PRIVATE KEY-----",
        "Bearer eyJhbGciOiJIUzI1NiJ9.eyJ1aWQiOiJiNzE5Mzg0NyIsImV4cCI6MX0.Xk3J9dLq0ZsW8xVb2TyU6nRc1MfH5g",
    ],
}  # fmt: skip

NO = {
    "email": [
        "alice@example.com, bob@mail.example.org and your-name@company.com",
        "@dataclass(frozen=True)\nclass A: ...",
        "git@github.com:owner/repo.git",
        "pip install package@1.2.3 or app@2.min.js",
        "Follow @nasa.gov on it, 5 apples @ 3.50",
        "user@localhost",
    ],
    "phone": [
        "Order 4021-3345-99 of 2021-03-14 12:30:45",
        "ISBN 978-3-16-148410-0",
        "The population was 1 409 517 397 in 2020",
        "between 1939-1945 and 2001 - 2003",
        "03-14-2021, 14.03.2021 or 2021/03/14",
        "call 1-800-273-8255 or 202-555-0143 or 555-1234",
        "123-456-7890 is made up, as is +1 234 567 8900",
        "pi is 3.1415926535 and 0.0123456789",
        "12345 + 67890 = 80235 and 1+2345678901",
        "8 4 2 1 / 0 1 1 0 1 0 0 1",
        "x = 100-200-3000; y = [415, 223, 1000]",
        "0 10 20 30 40 50 60",
        "SSID 10.20.30.40 15000000000",
        "Answer: 9876543210",
        "He scored 10-12, 6-4, 7-6 and 1234-5678",
        "01 02 03 04 05",
    ],
    "ip": [
        "127.0.0.1, 192.168.1.17, 10.0.0.1, 172.20.1.1, 255.255.255.0 and 0.0.0.0",
        "version 115.0.5790.102, Chrome/115.0.5790.102",
        "see section 1.2.3.4 and v2.10.0.25",
        "192.0.2.44 or 2001:db8::8a2e:370:7334",
        "300.1.2.3 and 01.02.03.104 and 1.2.3.4.5",
        "8.8.8.8 resolves; 34.64.0.0/10 is a network",
        "at 12:30:45, std::vector, 2001: a space odyssey, 2020::",
    ],
    "card": ["4111 1111 1111 1111", "4539148803436468", "1609459200000000", "0.4539148803436467", "12345678901234567", "4539 148803 436467"],
    "iban": ["DE75512108001245126190", "GB82 WEST 1234 5698 7654 32", "AB12 3456 7890 1234", "model XK20ABCD1234"],
    "key": [
        "AKIAIOSFODNN7EXAMPLE", "sk-your-api-key-goes-here-1", "sk-xxxxxxxxxxxxxxxxxxxxxxxx1", "task-oriented-dialogue-systems-2023",
        "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----", "eyJust a word", "ghp_short",
    ],
}  # fmt: skip


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in YES.items() for text in texts])
def test_finds(kind: str, text: str):
    assert [found.kind for found in find(text)] == [kind]
    assert count(pa.array([text, None, ""], pa.large_string()), kind).tolist() == [1, 0, 0]


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in NO.items() for text in texts])
def test_passes_over(kind: str, text: str):
    assert find(text, [kind]) == []
    assert redact(text, [kind])[0] is text


def test_redaction_names_and_counts_each_kind():
    text = "Write to a.b@uni-koeln.de or c@uni-koeln.de, phone: 727-326-0913."
    assert redact(text) == ("Write to [EMAIL] or [EMAIL], phone: [PHONE].", {"email": 2, "phone": 1})
    assert redact(text, ["phone"]) == ("Write to a.b@uni-koeln.de or c@uni-koeln.de, phone: [PHONE].", {"phone": 1})
    key = f"-----BEGIN RSA PRIVATE KEY-----\n{BODY}\n-----END RSA PRIVATE KEY-----"
    assert redact(f"a\n{key}\nb") == ("a\n[KEY]\nb", {"key": 1})
    assert redact(f"a\n{key[:150]}")[1] == {"key": 1}


def test_a_place_is_of_one_kind():
    assert redact("Phone: 4539148803436467")[1] == {"card": 1}


@given(st.text(st.sampled_from("0123456789 -.+()@:/abAKIAskey_\n").filter(bool), max_size=80), st.integers(0, 30))
def test_redacting_again_changes_nothing(text: str, at: int):
    text = text[:at] + " 727-326-0913 a.b@uni-koeln.de " + text[at:]
    once, _ = redact(text)
    assert redact(once) == (once, {})
    for kind in KINDS:
        screened = pa.compute.match_substring_regex(pa.array([text]), DETECTORS[kind].screen)[0].as_py()
        assert screened or not list(DETECTORS[kind].find(text))


@pytest.mark.parametrize(
    "piece",
    ["+" + "1" * 40 + "x", "1" * 60, "a@", "@a.", "@" + "a.", "a" * 70, "0400 12 34 56 ", "sk-" + "a" * 30, "eyJaaaaaaaaa.", "(202) ",
     "1.1.1.", "2001:", "-----BEGIN PRIVATE KEY-----", "AB12 ABCD ", "phone: : : 1 ", "4 ", "1-", "+1(", "é@", "\ud7ff0"],
)  # fmt: skip
def test_hostile_texts_take_linear_time(piece: str):
    for kind in KINDS:
        for _ in DETECTORS[kind].find(piece * (300_000 // len(piece))):
            pass
