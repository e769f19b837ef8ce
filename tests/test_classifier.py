"""Classifiers: any local transformers model, named by its content, with scores that no other record changes."""

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pytest

from schemas.errors import GristmillError
from schemas.strict import validate
from transforms.annotate.annotation import key
from transforms.annotate.classifier import LENGTHS, Classifier
from transforms.annotate.model_files import digest, labels, model_folder, settings_of
from transforms.assemble import assemble
from transforms.filters.classified import FILTER
from transforms.records import Records

WORDS = ("the mill grinds corn by river and water turns a wheel of stone all day long while miller sleeps " * 2).split()


def records(*answers: str) -> Records:
    made = [
        {"messages": [{"role": "user", "content": "What of it?"}, {"role": "assistant", "content": answer}]}
        for answer in answers
    ]
    return Records(assemble(made, range(len(made)), [0] * len(made)))


def texts(count: int) -> list[str]:
    """Of lengths from 0 to about 90 words."""
    return [" ".join(WORDS[(7 * row + place) % len(WORDS)] for place in range((row * 13) % 91)) for row in range(count)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random BERT of two layers with three classes."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    where = tmp_path_factory.mktemp("models") / "tiny"
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sorted(set(WORDS)), "what", "it", "?"]
    where.mkdir()
    (where / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    transformers.BertTokenizerFast(str(where / "vocab.txt")).save_pretrained(where)
    torch.manual_seed(1)
    config = transformers.BertConfig(
        vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=128, initializer_range=0.5,
        id2label={0: "Poor", 1: "Fair enough", 2: "Good"}, label2id={"Poor": 0, "Fair enough": 1, "Good": 2},
    )  # fmt: skip
    transformers.BertForSequenceClassification(config).save_pretrained(where)
    return where


def changed(folder: Path, target: Path, **settings: Any) -> Path:
    """A copy of the model with other settings."""
    shutil.copytree(folder, target)
    config = orjson.loads((target / "config.json").read_bytes())
    (target / "config.json").write_bytes(orjson.dumps(config | settings))
    return target


def test_columns_are_a_label_and_a_score_for_each(folder: Path):
    classifier = Classifier(str(folder), name="worth")
    classifier.check()
    assert classifier.labels() == ("Poor", "Fair enough", "Good")
    found = classifier(records(*texts(40)))
    assert found.schema == classifier.schema
    assert found.schema.names == ["worth_label", "worth_score_poor", "worth_score_fair_enough", "worth_score_good"]
    scores = np.column_stack([found.column(name).to_numpy() for name in found.schema.names[1:]])
    assert np.allclose(scores.sum(axis=1), 1, atol=2e-4)
    assert found["worth_label"].to_pylist() == scores.argmax(axis=1).tolist()
    assert len(set(found["worth_label"].to_pylist())) > 1
    assert np.array_equal(scores, np.round(scores, 4))


def test_scores_are_the_models_own(folder: Path):
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    some = texts(12)
    found = Classifier(str(folder))(records(*some))
    for row, text in enumerate(some):
        with torch.no_grad():
            plain = model(**tokenizer(text, return_tensors="pt")).logits.softmax(-1)[0].tolist()
        assert [found.column(place + 1)[row].as_py() for place in range(3)] == pytest.approx(plain, abs=1.5e-4)


def test_a_record_has_the_same_scores_in_any_block(folder: Path):
    classifier = Classifier(str(folder), batch_size=4)
    some = texts(60)
    together = classifier(records(*some))
    for size in (1, 3, 7, 59):
        parts = [classifier(records(*some[start : start + size])) for start in range(0, len(some), size)]
        assert together.equals(pa.Table.from_batches(parts).combine_chunks().to_batches()[0])
    backwards = classifier(records(*some[::-1]))
    assert together.equals(backwards.take(pa.array(range(len(some) - 1, -1, -1))))


def test_what_is_read(folder: Path):
    one = records("mill river")
    scores = [Classifier(str(folder), text=text)(one).to_pylist()[0] for text in ("prompt", "response", "whole")]
    assert len({orjson.dumps(score) for score in scores}) == 3
    alone = Classifier(str(folder))(records("mill river")).to_pylist()
    assert alone == [scores[1]]
    long = "mill " * 100_000
    assert Classifier(str(folder))(records(long)).num_rows == 1  # cut to the positions that the model has
    assert Classifier(str(folder), max_tokens=4)(records("mill river stone wheel", "mill river corn")).column(
        1
    ).to_pylist() == 2 * [Classifier(str(folder), max_tokens=4)(records("mill river")).column(1)[0].as_py()]
    assert Classifier(str(folder))(records()).num_rows == 0


def test_identity_is_of_the_content_and_not_of_the_place(folder: Path, tmp_path: Path):
    copy = changed(folder, tmp_path / "elsewhere")
    (copy / "config.json").write_bytes((folder / "config.json").read_bytes())
    other = changed(folder, tmp_path / "other", id2label={"0": "a", "1": "b", "2": "c"})
    assert Classifier(str(folder)).identity() == Classifier(str(copy)).identity()
    assert key(Classifier(str(folder))) == key(Classifier(str(copy)))
    keys = {key(Classifier(str(folder))), key(Classifier(str(other))), key(Classifier(str(folder), text="whole"))}
    assert len(keys) == 3
    assert str(folder) not in str(Classifier(str(folder)).identity())


def test_multi_label_and_regression(folder: Path, tmp_path: Path):
    several = changed(folder, tmp_path / "several", problem_type="multi_label_classification")
    bare = changed(folder, tmp_path / "bare", problem_type="regression")
    soft, sigmoid, plain = (
        np.array(
            [row[1:] for row in (list(one.values()) for one in Classifier(str(where))(records(*texts(9))).to_pylist())]
        )
        for where in (folder, several, bare)
    )
    assert np.allclose(1 / (1 + np.exp(-plain)), sigmoid, atol=2e-4)
    exponents = np.exp(plain)
    assert np.allclose(exponents / exponents.sum(axis=1, keepdims=True), soft, atol=2e-4)


def test_what_cannot_be_a_classifier_is_said_before_work_starts(folder: Path, tmp_path: Path):
    with pytest.raises(GristmillError, match="max_tokens is 0; choose from 1 to 32768"):
        Classifier(str(folder), max_tokens=0).check()
    with pytest.raises(GristmillError, match="batch_size is 0; it must be at least 1"):
        Classifier(str(folder), batch_size=0).check()
    masked = changed(folder, tmp_path / "masked", architectures=["BertForMaskedLM"])
    with pytest.raises(GristmillError, match="names BertForMaskedLM, and a model ForSequenceClassification is needed"):
        Classifier(str(masked)).check()
    untold = changed(folder, tmp_path / "untold")
    for file in untold.glob("*vocab*"), untold.glob("tokenizer*"):
        for one in file:
            one.unlink()
    with pytest.raises(GristmillError, match="there is no tokenizer"):
        Classifier(str(untold)).check()
    broken = changed(folder, tmp_path / "broken", model_type="no such type")
    with pytest.raises(GristmillError, match="cannot be loaded"):
        Classifier(str(broken)).check()
    headless = changed(folder, tmp_path / "headless")
    from safetensors.torch import load_file, save_file

    weights = load_file(headless / "model.safetensors")
    del weights["classifier.weight"]
    save_file(weights, headless / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(GristmillError, match=r"the weights lack classifier\.weight"):
        Classifier(str(headless)).check()


def test_absent_models_need_no_torch_to_be_told(tmp_path: Path):
    with pytest.raises(GristmillError, match="there is no such folder; name a saved model or a hub id"):
        Classifier(str(tmp_path / "nothing")).check()
    (tmp_path / "empty").mkdir()
    with pytest.raises(GristmillError, match=r"the folder has no config\.json"):
        Classifier(str(tmp_path / "empty")).identity()
    weightless = tmp_path / "weightless"
    weightless.mkdir()
    (weightless / "config.json").write_text('{"architectures": ["BertForSequenceClassification"]}')
    with pytest.raises(GristmillError, match=r"there are no \.safetensors weights"):
        Classifier(str(weightless)).check()
    assert labels(str(weightless)) == ("LABEL_0", "LABEL_1")
    assert Classifier(str(weightless)).schema.names == [
        "classifier_label",
        "classifier_score_label_0",
        "classifier_score_label_1",
    ]
    for text, message in (("[1]", "holds a list, no object"), ("{", "cannot be read")):
        broken = tmp_path / f"broken{len(text)}"
        broken.mkdir()
        (broken / "config.json").write_text(text)
        with pytest.raises(GristmillError, match=message):
            settings_of(str(broken))


def test_without_torch_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    (tmp_path / "config.json").write_text('{"architectures": ["BertForSequenceClassification"]}')
    (tmp_path / "model.safetensors").write_bytes(b"")
    (tmp_path / "vocab.txt").write_text("[UNK]")
    with pytest.raises(GristmillError, match=r"needs torch and transformers, .* pip install 'gristmill\[train\]'"):
        Classifier(str(tmp_path)).check()


def test_files_beside_the_model_do_not_count(tmp_path: Path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "vocab.txt").write_text("[UNK]")
    before = digest(str(tmp_path))
    digest.cache_clear()
    (tmp_path / "README.md").write_text("hello")
    assert digest(str(tmp_path)) == before
    digest.cache_clear()
    (tmp_path / "model.safetensors").write_bytes(b"Weights")
    assert digest(str(tmp_path)) != before
    assert model_folder(str(tmp_path), None) == str(tmp_path)
    assert list(LENGTHS) == sorted(LENGTHS)


def filtered(folder: Path, answers: list[str], **settings: Any) -> list[list[str]]:
    typed = validate(FILTER.settings, {"model": str(folder), **settings}, "filters.classified")
    (classifier,) = FILTER.needs(typed)
    features = classifier(records(*answers))
    dropped: list[list[str]] = [[] for _ in answers]
    for finding in FILTER.decide(features, typed):
        for row in np.flatnonzero(finding.failed).tolist():
            dropped[row].append(finding.rule)
    return dropped


def test_filter_by_label_and_score(folder: Path):
    some = texts(20)
    found = Classifier(str(folder))(records(*some))
    best = [("poor", "fair_enough", "good")[code] for code in found["classifier_label"].to_pylist()]
    gone = [[f"classified.classifier.{name}"] if name != "good" else [] for name in best]
    assert filtered(folder, some, labels={"allow": ["Good"]}) == gone
    assert filtered(folder, some, labels={"drop": ["Poor", "Fair enough"]}) == gone
    poor = found["classifier_score_poor"].to_pylist()
    low = [["classified.classifier.poor.max"] if score > 0.3 else [] for score in poor]
    assert filtered(folder, some, scores={"Poor": {"max": 0.3}}) == low
    assert any(low)
    assert filtered(folder, [], labels={"allow": []}, scores={"Good": {"min": 0.5}}) == []


def test_filter_names_the_nearest_label(tmp_path: Path):
    (tmp_path / "config.json").write_text('{"id2label": {"0": "Poor", "1": "Good"}}')
    with pytest.raises(GristmillError, match=r"'classifier' has no label 'good'; did you mean 'Good'\?"):
        filtered(tmp_path, [], labels={"drop": ["good"]})
    with pytest.raises(GristmillError, match="has no label 'xyz'; it has Poor, Good"):
        filtered(tmp_path, [], scores={"xyz": {"min": 0.5}})
    with pytest.raises(GristmillError, match=r"min 0\.9 is above max 0\.1"):
        filtered(tmp_path, [], scores={"Good": {"min": 0.9, "max": 0.1}})
    with pytest.raises(GristmillError, match="name"):
        filtered(tmp_path, [], name="Über")
