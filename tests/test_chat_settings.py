"""``template:`` in a configuration: every way to name one, and a sentence for every way to go wrong."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from schemas.chat.exchanges import Alpaca, Format
from schemas.chat.jinja import JinjaTemplate
from schemas.chat.markup import JSON, XML
from schemas.chat.settings import NAMES, TemplateChoice, resolve
from schemas.chat.tokenizer import ChatTokenizer, load_tokenizer
from schemas.chat.turns import ChatML, Llama2, Llama3
from schemas.errors import GristmillError
from schemas.strict import Strict, validate
from tests.test_chat_published import CHATML
from tests.tiny_tokenizers import byte_level, gpt2, sentence_piece, word_piece


class Config(Strict):
    """As a recipe will hold it."""

    template: TemplateChoice | None = None


def choice(value: Any) -> TemplateChoice:
    made = validate(Config, {"template": value}, "config.yaml").template
    assert made is not None
    return made


def resolved(value: Any, tokenizer: ChatTokenizer | None = None, base: Path = Path()) -> Any:
    return resolve(choice(value), tokenizer or byte_level(), base).template


def test_every_name_and_form(tmp_path: Path):
    (tmp_path / "chat.jinja").write_text(CHATML, encoding="utf-8")
    assert resolved("chatml") == ChatML()
    assert resolved({"name": "llama2"}) == Llama2()
    assert resolved("llama3") == Llama3()
    assert resolved("alpaca") == Alpaca("</s>")
    assert resolved("alpaca_no_input") == Alpaca("</s>", split=False)
    assert resolved("alpaca", sentence_piece()) == Alpaca("</s>", "<s>")  # this tokenizer starts every text with <s>
    assert resolved({"name": "xml", "stop": "<|endoftext|>"}) == XML("<|endoftext|>")
    assert resolved({"name": "json", "stop": "[SEP]"}, word_piece()) == JSON("[SEP]")
    assert resolved({"format": "Q: {instruction} A: {output}"}) == Format("Q: {instruction} A: {output}", "</s>")
    from_file = resolved({"file": "chat.jinja"}, base=tmp_path)
    assert isinstance(from_file, JinjaTemplate)
    own = ChatTokenizer(byte_level().definition, byte_level().specials, CHATML)
    assert resolved("tokenizer", own).identity() == from_file.identity()
    assert set(NAMES) == {"alpaca", "alpaca_no_input", "chatml", "json", "llama2", "llama3", "tokenizer", "xml"}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("chatlm", "there is no template 'chatlm'; did you mean 'chatml'?"),
        ("qqqq", "known: alpaca, alpaca_no_input, chatml"),
        ({}, "give one of name, file and format, got none"),
        ({"name": "chatml", "file": "x"}, "got name and file"),
        ({"nmae": "chatml"}, "unknown key; did you mean 'name'?"),
        ({"name": "chatml", "stop": "</s>"}, "chatml has a stop token of its own, <|im_end|>"),
        ({"name": "xml", "variables": {"a": "b"}}, "variables are for Jinja templates"),
        ({"name": "chatml", "reasoning": "keep"}, "template.reasoning"),
        (7, "template"),
    ],
)
def test_mistakes_in_the_settings(value: Any, said: str):
    with pytest.raises(GristmillError) as error:
        choice(value)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("chatml", "needs the control token '<|im_start|>'"),
        ("alpaca", "set template.stop to one of its special tokens ([UNK], [CLS], [SEP])"),
        ({"name": "alpaca", "stop": "</s>"}, "needs the control token '</s>'"),
        ({"format": "{instruction}", "stop": "[SEP]"}, "{output} stands in it 0 times"),
        ("tokenizer", "carries no chat template; name one (alpaca, alpaca_no_input, chatml"),
        ({"file": "absent.jinja"}, "absent.jinja: No such file or directory"),
    ],
)
def test_mistakes_that_the_tokenizer_shows(value: Any, said: str, tmp_path: Path):
    with pytest.raises(GristmillError) as error:
        resolved(value, word_piece(), tmp_path)
    assert said in str(error.value)


def test_bad_files(tmp_path: Path):
    for name, content, said in (
        ("latin.jinja", "ä".encode("latin-1"), "byte 0 is not UTF-8"),
        ("broken.jinja", b"{% for %}", "no Jinja: line 1"),
        ("clock.jinja", b"{{ strftime_now('%Y') }}", "strftime_now"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(GristmillError, match=said):
            resolved({"file": name}, base=tmp_path)


def test_a_tokenizers_folder_is_read_whole(tmp_path: Path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "tokenizer.json").write_text(byte_level().definition, encoding="utf-8")
    plain = load_tokenizer("model", tmp_path)
    assert plain == ChatTokenizer(byte_level().definition)
    settings = {"eos_token": {"content": "</s>", "special": True}, "bos_token": "<s>", "pad_token": None}
    (folder / "tokenizer_config.json").write_bytes(orjson.dumps(settings | {"chat_template": "old"}))
    assert load_tokenizer("model/tokenizer.json", tmp_path) == ChatTokenizer(
        byte_level().definition, (("bos_token", "<s>"), ("eos_token", "</s>")), "old"
    )
    (folder / "chat_template.jinja").write_text(CHATML, encoding="utf-8")
    assert load_tokenizer("model", tmp_path).chat_template == CHATML
    assert plain.digest == load_tokenizer("model", tmp_path).digest == byte_level().digest != gpt2().digest
    assert [one.start for one in (plain, sentence_piece(), word_piece())] == ["", "<s>", ""]


def test_several_named_templates(tmp_path: Path):
    (tmp_path / "tokenizer.json").write_text(byte_level().definition, encoding="utf-8")
    named = [{"name": "default", "template": "a"}, {"name": "tool_use", "template": "b"}]
    (tmp_path / "tokenizer_config.json").write_bytes(orjson.dumps({"chat_template": named}))
    assert load_tokenizer("tokenizer.json", tmp_path).chat_template == "a"
    (tmp_path / "tokenizer_config.json").write_bytes(orjson.dumps({"chat_template": named[1:]}))
    with pytest.raises(GristmillError, match="tool_use and none called default"):
        load_tokenizer("tokenizer.json", tmp_path)


def test_no_tokenizer(tmp_path: Path):
    (tmp_path / "tokenizer.json").write_text("{}", encoding="utf-8")
    with pytest.raises(GristmillError, match=r"no tokenizer\.json"):
        load_tokenizer(".", tmp_path)
    (tmp_path / "tokenizer.json").write_text(byte_level().definition, encoding="utf-8")
    (tmp_path / "tokenizer_config.json").write_text("{", encoding="utf-8")
    with pytest.raises(GristmillError, match="repair the file"):
        load_tokenizer(".", tmp_path)
