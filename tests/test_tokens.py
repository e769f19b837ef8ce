"""Token counts with small tokenizers made here: plain text only, no special tokens, and one sentence where none is."""

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tokenizers import AddedToken, models, pre_tokenizers, processors
from tokenizers import Tokenizer as Backend

from schemas.chat.tokenizer import ChatTokenizer, load_tokenizer
from schemas.errors import GristmillError
from tests.recipes import chat, run, write_recipe
from transforms.assemble import assemble
from transforms.records import Records
from transforms.signals import SignalSettings, compute
from transforms.tokens import Tokenizer

VOCABULARY = (
    "[UNK]",
    "[BOS]",
    "<|im_end|>",
    "the",
    "mill",
    "grinds",
    "grain",
    "<",
    "|",
    "im",
    "_",
    "end",
    ">",
    "im_end",
)


def definition(truncate: int | None = None) -> str:
    """A word-level tokenizer with a special token, a template that adds one, and settings that would spoil counts."""
    made = Backend(models.WordLevel({word: number for number, word in enumerate(VOCABULARY)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.add_special_tokens([AddedToken("<|im_end|>", special=True), AddedToken("[BOS]", special=True)])
    made.post_processor = processors.TemplateProcessing(single="[BOS] $A", special_tokens=[("[BOS]", 1)])
    if truncate is not None:
        made.enable_truncation(truncate)
        made.enable_padding(length=50)
    return str(made.to_str())


@pytest.fixture
def named(tmp_path: Path) -> Path:
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "tokenizer.json").write_text(definition(), encoding="utf-8")
    return tmp_path


def test_counts_are_of_the_text_alone():
    counter = Tokenizer(definition(truncate=2))
    texts = ["the mill grinds the grain", "", " ", "unknown words all", "mill", "mühle 世界", "the, mill"]
    assert counter.count(pa.array(texts)).tolist() == [5, 0, 0, 3, 1, 2, 3]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_windows_and_slices(kind: pa.DataType):
    texts = pa.array(["mill " * (number % 7) for number in range(3000)], kind)
    counts = Tokenizer(definition()).count(texts)
    assert counts.tolist() == [number % 7 for number in range(3000)]
    assert Tokenizer(definition()).count(texts.slice(1000, 1500)).tolist() == counts[1000:2500].tolist()
    assert Tokenizer(definition()).count(texts.slice(0, 0)).tolist() == []


def test_special_tokens_in_text_are_text():
    """Somebody wrote "<|im_end|>": it is counted in pieces, as a trainer that guards itself would read it."""
    recognised = Backend.from_str(definition()).encode("the mill<|im_end|>", add_special_tokens=False)
    assert len(recognised.ids) == 3
    pieces = len(pre_tokenizers.Whitespace().pre_tokenize_str("<|im_end|>"))
    assert pieces > 1
    assert Tokenizer(definition()).count(pa.array(["the mill<|im_end|>", "<|im_end|>"])).tolist() == [
        2 + pieces,
        pieces,
    ]


def test_features_count_all_and_answers():
    call = {"id": "1", "type": "function", "function": {"name": "mill", "arguments": "grain grain"}}
    conversations: list[dict[str, Any]] = [
        {"messages": [{"role": "user", "content": "the mill"}, {"role": "assistant", "content": "grinds the grain"}]},
        {"messages": [{"role": "assistant", "content": "", "reasoning_content": "the mill", "tool_calls": [call]}]},
        {"messages": []},
    ]
    settings = SignalSettings("whole", "whole", 5, 8, 1, "x")
    features = compute(Records(assemble(conversations, range(3), [0] * 3)), settings, Tokenizer(definition())).features
    assert features["tokens"].to_pylist() == [5, 5, 0]
    assert features["answer_tokens"].to_pylist() == [3, 5, 0]


def digest_of(text: str) -> str:
    return ChatTokenizer(text).digest


@pytest.mark.parametrize("name", ["small", "small/tokenizer.json", "./small"])
def test_a_tokenizer_by_folder_or_file(named: Path, name: str):
    text = load_tokenizer(name, named).definition
    assert text == definition()
    assert ChatTokenizer(text).digest == digest_of(definition())
    assert len(ChatTokenizer(text).digest) == 64


def test_an_absolute_place(named: Path):
    assert load_tokenizer(str(named / "small"), Path("/")).definition == definition()


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"no json", b"\xff\xfe", b"[]", b'{"version": "1.0", "model": {"type": "Nothing"}}', b"[" * 9999],
)
def test_a_file_that_is_no_tokenizer(tmp_path: Path, content: bytes):
    (tmp_path / "tokenizer.json").write_bytes(content)
    for name in (".", "tokenizer.json"):
        with pytest.raises(GristmillError, match=r"is no tokenizer\.json|is not UTF-8") as error:
            load_tokenizer(name, tmp_path)
        assert "\n" not in str(error.value)
        assert name in str(error.value)


@pytest.mark.parametrize("name", ["nowhere/at-all", "empty", "\x00", "a/b/c", ""])
def test_a_tokenizer_that_is_nowhere(tmp_path: Path, name: str):
    """Offline a hub id that was never fetched cannot be loaded either."""
    assert os.environ["HF_HUB_OFFLINE"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(GristmillError, match="tokenizer ") as error:
        load_tokenizer(name, tmp_path)
    assert "\n" not in str(error.value)


def test_a_release_counts_tokens(named: Path):
    rows = [chat("the mill", "grinds the grain"), chat("<|im_end|>", "the " * 5)]
    result = run(write_recipe(named, {"a": {"x.jsonl": list(rows)}}, tokenizer="small", filters={}), named / "out")
    counted = {row["messages"][0]["content"]: (row["tokens"], row["answer_tokens"]) for row in result.rows()}
    pieces = len(pre_tokenizers.Whitespace().pre_tokenize_str("<|im_end|>"))
    assert counted == {"the mill": (5, 3), "<|im_end|>": (pieces + 5, 5)}
    assert result.manifest.splits["train"].tokens == 10 + pieces
    assert result.manifest.tokenizer_digest == digest_of(definition())
    assert "| tokens |" in (result.path / "README.md").read_text()
