"""Encoders through torch, with a tiny random one made here."""

import json

import numpy as np
import pyarrow as pa
import pytest

from schemas.errors import GristmillError
from schemas.record import CORPUS
from transforms.annotate.embedding import matrix, sentence_embedding
from transforms.annotate.embedding import sentence as module
from transforms.records import Records

PROMPTS = [
    "write a story",
    "what is rain",
    "",
    " \n",
    "the sea " * 90,
    "a",
    "rain is the sea",
    "写一个故事",
    "story a write",
]
WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "write",
    "a",
    "story",
    "about",
    "the",
    "sea",
    "what",
    "is",
    "rain",
    "?",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch = pytest.importorskip("torch")
    from transformers import BertConfig, BertModel, BertTokenizer

    path = tmp_path_factory.mktemp("encoder")
    (path / "vocab.txt").write_text("\n".join(WORDS))
    BertTokenizer(vocab=str(path / "vocab.txt")).save_pretrained(path)
    torch.manual_seed(5)
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
        max_position_embeddings=128, initializer_range=0.3,
    )  # fmt: skip
    BertModel(config).save_pretrained(path)
    return path


def vectors(annotation, prompts):
    rows = [{"messages": [{"role": "user", "content": prompt}]} for prompt in prompts]
    batch = annotation(Records(pa.RecordBatch.from_pylist(rows, schema=CORPUS)))
    assert batch.schema == annotation.schema
    return matrix(batch["embedding"])


def test_it_is_the_mean_of_the_token_states(folder):
    import torch
    from transformers import AutoModel, AutoTokenizer

    annotation = sentence_embedding(str(folder))
    annotation.check()
    found = vectors(annotation, PROMPTS)
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    for row in (0, 1, 4, 6):
        with torch.no_grad():
            ids = tokenizer(PROMPTS[row], return_tensors="pt", truncation=True, max_length=128)
            mean = model(**ids).last_hidden_state[0].mean(dim=0)
        np.testing.assert_allclose(found[row], (mean / mean.norm()).numpy(), atol=5e-4)
    assert not found[2:4].any()
    assert abs(float(found[0] @ found[8])) < 0.999  # positions count


def test_a_record_has_the_same_vector_in_any_block(folder):
    annotation = sentence_embedding(str(folder))
    prompts = PROMPTS * 5
    whole = vectors(annotation, prompts)
    for size in (1, 3, 20):
        parts = [vectors(annotation, prompts[at : at + size]) for at in range(0, len(prompts), size)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
    np.testing.assert_array_equal(vectors(annotation, prompts[::-1]), whole[::-1])


def test_cls_pooling_and_prefix_are_read(folder, tmp_path):
    import shutil

    copy = tmp_path / "cls"
    shutil.copytree(folder, copy)
    (copy / "1_Pooling").mkdir()
    (copy / "1_Pooling" / "config.json").write_text(
        json.dumps({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False})
    )
    cls, mean = sentence_embedding(str(copy)), sentence_embedding(str(folder))
    assert cls.digest != mean.digest
    assert np.abs(vectors(cls, PROMPTS[:1]) - vectors(mean, PROMPTS[:1])).max() > 0.01
    prefixed = sentence_embedding(str(folder), prefix="what is ")
    np.testing.assert_array_equal(vectors(prefixed, ["rain"]), vectors(mean, ["what is rain"]))
    (copy / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_max_tokens": True}))
    with pytest.raises(GristmillError, match="pools by max_tokens"):
        sentence_embedding(str(copy))


def test_an_absent_model_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_need_torch", lambda: None)
    with pytest.raises(GristmillError, match="is no folder"):
        sentence_embedding(str(tmp_path / "nowhere"))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(GristmillError, match="names no hidden_size"):
        sentence_embedding(str(tmp_path))
    (tmp_path / "config.json").write_text('{"hidden_size": 4}')
    (tmp_path / "modules.json").write_text('[{"type": "sentence_transformers.models.Dense"}]')
    with pytest.raises(GristmillError, match="a module Dense"):
        sentence_embedding(str(tmp_path))


def test_an_absent_torch_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(GristmillError, match="needs torch"):
        sentence_embedding(str(tmp_path))
