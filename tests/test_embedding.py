"""Embeddings: equal to model2vec's own arithmetic, the same in any block, and clear words when a model is absent."""

import json
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pytest

from schemas.errors import GristmillError
from schemas.record import CORPUS
from transforms.annotate.annotation import key
from transforms.annotate.embedding import HashedTfidf, StaticEmbedding, chosen_texts, matrix, static_embedding
from transforms.records import Records

WORDS = ["[PAD]", "[UNK]", "write", "a", "story", "about", "the", "sea", "what", "is", "rain", "?", "#", "##s"]
PROMPTS = [
    "Write a story about the sea",
    "What is rain?",
    "",
    "\n",
    "zzz qqq",  # unknown words only
    "the the the the sea",
    "What is the sea? " * 300,
    "写一个关于大海的故事",
    "a\x00b \U0001f600 \u202e",
]


def records(prompts, answers=None):
    answers = answers or ["Yes."] * len(prompts)
    rows = [
        {"messages": [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]}
        for prompt, answer in zip(prompts, answers)
    ]
    return Records(pa.RecordBatch.from_pylist(rows, schema=CORPUS))


def vectors(annotation, prompts):
    batch = annotation(records(prompts))
    assert batch.schema == annotation.schema
    return matrix(batch["embedding"])


def model_folder(folder: Path, tensors=None, config=None) -> str:
    """A tiny model2vec folder: a WordPiece tokenizer over ``WORDS`` and a table of whole numbers."""
    from safetensors.numpy import save_file
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    backend = Tokenizer(models.WordPiece({word: at for at, word in enumerate(WORDS)}, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    folder.mkdir(exist_ok=True)
    backend.save(str(folder / "tokenizer.json"))
    save_file(tensors or {"embeddings": table()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config or {"normalize": True}))
    return str(folder)


def table(rows=14, dimensions=8):
    return (np.arange(rows * dimensions).reshape(rows, dimensions) * 37 % 101 - 50).astype(np.int8)


def by_hand(words, rows):
    mean = rows[[WORDS.index(word) for word in words]].astype(np.float64).mean(axis=0)
    return mean / np.linalg.norm(mean)


def test_static_embedding_is_the_normalised_mean_of_its_tokens(tmp_path):
    found = vectors(static_embedding(model_folder(tmp_path)), PROMPTS)
    np.testing.assert_allclose(found[0], by_hand(["write", "a", "story", "about", "the", "sea"], table()), atol=1e-6)
    np.testing.assert_allclose(found[1], by_hand(["what", "is", "rain", "?"], table()), atol=1e-6)
    np.testing.assert_allclose(found[5], by_hand(["the", "the", "the", "the", "sea"], table()), atol=1e-6)


def test_unknown_words_do_not_count_and_empty_texts_are_zeros(tmp_path):
    annotation = static_embedding(model_folder(tmp_path))
    found = vectors(annotation, ["zzz sea", "sea", "zzz", "", "写"])
    np.testing.assert_array_equal(found[0], found[1])
    assert not found[2:].any()


def test_a_quantised_vocabulary_is_mapped_and_weighted(tmp_path):
    mapping = np.arange(len(WORDS)) % 3
    weights = np.linspace(0.5, 2, len(WORDS)).astype(np.float32)
    small = table(3).astype(np.float32)
    folder = model_folder(tmp_path, {"embeddings": small, "mapping": mapping, "weights": weights})
    full = small[mapping] * weights[:, None]
    np.testing.assert_allclose(
        vectors(static_embedding(folder), ["write a story"])[0], by_hand(["write", "a", "story"], full), atol=1e-6
    )


def test_texts_are_cut_where_model2vec_cuts_them(tmp_path):
    folder = model_folder(tmp_path, config={"normalize": True, "max_length": 4})
    found = vectors(static_embedding(folder), ["what is the sea rain rain rain", "what is the sea"])
    np.testing.assert_array_equal(found[0], found[1])


@pytest.mark.parametrize("kind", ["static", "tfidf"])
def test_a_record_has_the_same_vector_in_any_block(tmp_path, kind):
    annotation = static_embedding(model_folder(tmp_path)) if kind == "static" else HashedTfidf(64)
    prompts = PROMPTS * 3 + [f"{word} sea {at}" for at, word in enumerate(WORDS)]
    whole = vectors(annotation, prompts)
    for size in (1, 2, 7):
        parts = [vectors(annotation, prompts[at : at + size]) for at in range(0, len(prompts), size)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
    np.testing.assert_array_equal(vectors(annotation, prompts[::-1]), whole[::-1])


@pytest.mark.parametrize("kind", ["static", "tfidf"])
def test_vectors_are_unit_or_zero(tmp_path, kind):
    annotation = static_embedding(model_folder(tmp_path)) if kind == "static" else HashedTfidf(64)
    length = np.linalg.norm(vectors(annotation, PROMPTS), axis=1)
    assert ((np.abs(length - 1) < 1e-6) | (length == 0)).all()
    assert annotation(records([])).num_rows == 0


@pytest.mark.needs_shared
def test_static_embedding_equals_model2vec(shared):
    folder = shared / "models" / "potion-base-4m-int8"
    if not folder.is_dir():
        pytest.skip("no model there")
    model2vec = pytest.importorskip("model2vec")
    prompts = [*PROMPTS, "Translate 'naïve café' into Finnish.", "x" * 10_000, "word " * 5000]
    theirs = model2vec.StaticModel.from_pretrained(folder).encode(prompts)
    np.testing.assert_allclose(vectors(static_embedding(str(folder)), prompts), theirs, atol=1e-5)


@pytest.mark.needs_shared
def test_a_real_model_finds_the_paraphrase(shared):
    folder = shared / "models" / "potion-base-4m-int8"
    if not folder.is_dir():
        pytest.skip("no model there")
    texts = ["How do I bake bread?", "What is the recipe for a loaf of bread?", "Sort a list of integers in Python"]
    a, b, c = vectors(static_embedding(str(folder)), texts)
    # (a, b) measured 0.6, (a, c) 0.1
    assert a @ b > 0.4 > a @ c


def test_tfidf_sees_shared_content_words_not_shared_function_words():
    a, b, c = vectors(
        HashedTfidf(),
        [
            "What is the deepest volcano lake?",
            "Name a volcano with a deep lake near it",
            "What is the name of the king?",
        ],
    )
    assert a @ b > 0.25 > a @ c


def test_tfidf_knows_word_order_and_repeats_a_little():
    a, b, c = vectors(HashedTfidf(1024), ["dog bites man", "man bites dog", "dog bites man man man man"])
    assert 0.4 < a @ b < 0.99
    assert 0.7 < a @ c < 0.999


def test_which_text_is_embedded():
    rows = [
        {"messages": [{"role": r, "content": c} for r, c in turns]}
        for turns in (
            [("system", "S"), ("user", "first"), ("assistant", "one"), ("user", "second"), ("assistant", "two")],
            [("assistant", "a plain document")],
            [("user", "unanswered")],
            [],
        )
    ]
    found = Records(pa.RecordBatch.from_pylist(rows, schema=CORPUS))
    assert chosen_texts(found, "prompt").to_pylist() == ["first", "a plain document", "unanswered", ""]
    assert chosen_texts(found, "response").to_pylist() == ["two", "a plain document", "", ""]
    assert chosen_texts(found, "whole").to_pylist() == [
        "S\nfirst\none\nsecond\ntwo",
        "a plain document",
        "unanswered",
        "",
    ]


def test_identity_is_of_the_content_not_of_the_path(tmp_path):
    first = static_embedding(model_folder(tmp_path / "a"))
    assert key(first) == key(static_embedding(model_folder(tmp_path / "b")))
    other = static_embedding(model_folder(tmp_path / "c", {"embeddings": table() + np.int8(1)}))
    assert len({key(a) for a in (first, other, HashedTfidf(), HashedTfidf(128), HashedTfidf(text="whole"))}) == 5
    assert str(tmp_path) not in orjson.dumps(first.identity()).decode()


def test_an_absent_or_changed_model_is_told(tmp_path):
    with pytest.raises(GristmillError, match="is no folder"):
        static_embedding(str(tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(GristmillError, match=r"has no model\.safetensors"):
        static_embedding(str(tmp_path / "empty"))
    folder = model_folder(tmp_path / "model")
    annotation = static_embedding(folder)
    annotation.check()
    (tmp_path / "model" / "config.json").write_text('{"max_length": 7}')
    with pytest.raises(GristmillError, match="now has digest"):
        annotation.check()
    (tmp_path / "model" / "tokenizer.json").write_text("{}")
    with pytest.raises(GristmillError, match="cannot be read as a model2vec model"):
        static_embedding(folder)


def test_a_table_that_does_not_fit_its_tokenizer_is_told(tmp_path):
    with pytest.raises(GristmillError, match="14 tokens but a table of 3 x 8"):
        static_embedding(model_folder(tmp_path, {"embeddings": table(3)}))


def test_matrix_reads_sliced_and_chunked_columns():
    column = HashedTfidf(16)(records(PROMPTS))["embedding"]
    whole = matrix(column)
    np.testing.assert_array_equal(matrix(column.slice(2, 3)), whole[2:5])
    np.testing.assert_array_equal(matrix(pa.chunked_array([column.slice(0, 4), column.slice(4)])), whole)
    assert isinstance(StaticEmbedding("x", "y", 4).schema.field(0).type, pa.FixedSizeListType)
