"""Packs: what follows what, what is asked, where a document ends."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import GristmillError
from trainer.pack import PADDING_TOKENS, collate, to_torch


@dataclass(frozen=True)
class Row:
    ids: Any
    weights: Any


def row(ids, weights=None) -> Row:
    return Row(
        np.asarray(ids, np.int32),
        np.asarray([0.0] + [1.0] * (len(ids) - 1) if weights is None else weights, np.float32),
    )


def test_a_position_predicts_the_next_token_of_its_own_document():
    pack = collate([row([5, 6, 7], [0, 0, 1]), row([8, 9], [0, 0.5])], 8, pad_id=3)
    assert pack.input_ids.tolist() == [5, 6, 7, 8, 9, 3, 3, 3]
    assert pack.position_ids.tolist() == [0, 1, 2, 0, 1, 0, 1, 2]
    assert pack.cu_seqlens.tolist() == [0, 3, 5, 8]
    assert pack.cu_seqlens.dtype == np.int32
    assert pack.weights.tolist() == [0, 1, 0, 0.5, 0, 0, 0, 0]
    assert [(int(at), int(pack.targets[at])) for at in pack.supervised] == [(1, 7), (3, 9)]
    assert (pack.documents, pack.tokens, pack.weight, pack.max_length) == (2, 5, 1.5, 4)


def test_a_first_token_with_a_weight_is_not_asked_of_the_document_before():
    pack = collate([row([5, 6]), row([8, 9], [1, 1])], 4, pad_id=0)
    assert pack.weights.tolist() == [1, 0, 1, 0]
    assert pack.cu_seqlens.tolist() == [0, 2, 4]


def test_padding_is_known_by_position_also_where_its_id_is_the_stop_token():
    pack = collate([row([5, 2, 2])], 6, pad_id=2)
    assert pack.supervised.tolist() == [0, 1]
    assert pack.targets[pack.supervised].tolist() == [2, 2]


def test_a_dummy_pack_asks_nothing():
    pack = collate([], 1300, pad_id=0)
    assert pack.supervised.tolist() == []
    assert pack.weight == 0.0
    assert pack.lengths.tolist() == [PADDING_TOKENS, PADDING_TOKENS, 1300 - 2 * PADDING_TOKENS]
    assert pack.position_ids.max() < PADDING_TOKENS


@pytest.mark.parametrize("documents", [[row([1, 2, 3])], [row([1]), row([])]])
def test_what_does_not_fit_is_an_error(documents):
    with pytest.raises(GristmillError):
        collate(documents, 2, pad_id=0)


@given(st.lists(st.integers(1, 40), max_size=12), st.integers(0, 700))
def test_each_token_stands_once_and_no_segment_is_empty(lengths, spare):
    documents = [row(np.arange(length) + 100 * number) for number, length in enumerate(lengths)]
    capacity = max(1, sum(lengths) + spare)
    pack = collate(documents, capacity, pad_id=7)
    assert (np.diff(pack.cu_seqlens) > 0).all()
    assert pack.cu_seqlens[-1] == capacity
    assert pack.max_length >= pack.lengths.max()
    assert pack.weight == sum(length - 1 for length in lengths)
    for number, (start, end) in enumerate(zip(pack.cu_seqlens, pack.cu_seqlens[1:])):
        assert pack.position_ids[start:end].tolist() == list(range(end - start))
        assert pack.weights[end - 1] == 0
        if number < len(lengths):
            assert pack.input_ids[start:end].tolist() == documents[number].ids.tolist()
            assert pack.targets[start : end - 1].tolist() == documents[number].ids[1:].tolist()


def test_tensors_are_one_row():
    torch = pytest.importorskip("torch")
    batch = to_torch(collate([row([5, 6, 7])], 4, pad_id=0))
    assert batch.input_ids.shape == batch.position_ids.shape == (1, 4)
    assert (batch.targets.dtype, batch.weights.dtype, batch.cu_seqlens.dtype) == (
        torch.int64,
        torch.float32,
        torch.int32,
    )
    assert batch.lengths == (3, 1)
