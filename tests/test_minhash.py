"""Shingle sets, Jaccard and signatures against Python sets and datasketch."""

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms import minhash, shingles
from transforms.minhash import EMPTY, SCHEME, signatures
from transforms.shingles import Ragged, jaccard_pairs, shingle_hash, shingle_sets
from transforms.words import tokenise, words_of

TEXTS = [
    "the quick brown fox jumps over the lazy dog and the quick brown fox jumps over it again",
    "",
    "too short to shingle",
    "exactly five words are here",
    "the quick brown fox jumps over the lazy dog and runs away",
    "a a a a a a a a a a",
    "日本語の文章はひと文字ずつ単語になる",
    "x",
]


def sets_of(texts, k=5):
    split = [[word.encode() for word in words_of(text)] for text in texts]
    return [{shingle_hash(w[i : i + k]) for i in range(len(w) - k + 1)} for w in split]


def ragged(sets):
    values = [sorted(s) for s in sets]
    offsets = np.concatenate([[0], np.cumsum([len(v) for v in values], dtype=np.int64)]).astype(np.int64)
    return Ragged(np.array([v for part in values for v in part], np.uint32), offsets)


def signed(sets, **settings):
    values, offsets = ragged(sets)
    return signatures(values, offsets, **settings)


def rows_of(sets):
    return [sets.values[a:b].tolist() for a, b in zip(sets.offsets[:-1], sets.offsets[1:])]


set_lists = st.lists(st.frozensets(st.integers(0, 2**32 - 1), max_size=12), max_size=12)
near_sets = st.lists(st.frozensets(st.integers(0, 12), max_size=12), min_size=1, max_size=12)


@pytest.mark.parametrize("k", [1, 2, 5, 8])
def test_shingle_sets_are_the_sets_of_windows(k):
    found = shingle_sets(*tokenise(pa.array(TEXTS)), k=k)
    assert found.values.dtype == np.uint32
    assert found.offsets.dtype == np.int64
    assert rows_of(found) == [sorted(s) for s in sets_of(TEXTS, k)]


def test_a_record_of_fewer_words_has_no_shingles():
    found = shingle_sets(*tokenise(pa.array(["one two three four", "a b c d", ""])))
    assert found.offsets.tolist() == [0, 0, 0, 0]
    assert len(shingle_sets(np.zeros(0, np.uint64), np.zeros(1, np.int64)).values) == 0


def test_shingle_hashes_never_change():
    """Cached shingles and signatures depend on them."""
    assert shingle_hash([b"the", b"quick", b"brown", b"fox", b"jumps"]) == 0xFC688A09


def test_order_of_words_counts():
    assert shingle_hash([b"a", b"b"]) != shingle_hash([b"b", b"a"])


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from("abcdé漢"), max_size=25).map(" ".join), max_size=10),
    st.sampled_from([1, 6, 1 << 16]),
    st.integers(1, 6),
)
def test_shingle_sets_do_not_depend_on_the_blocks(texts, block, k):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shingles, "_SORT_BLOCK", block)
        found = shingle_sets(*tokenise(pa.array(texts, pa.string())), k=k)
    assert rows_of(found) == [sorted(s) for s in sets_of(texts, k)]


@settings(max_examples=100, deadline=None)
@given(near_sets, st.data(), st.sampled_from([1, 9, 1 << 18]))
def test_jaccard_is_that_of_the_sets(sets, data, block):
    index = st.lists(st.integers(0, len(sets) - 1), max_size=20)
    left = data.draw(index)
    right = data.draw(st.lists(st.integers(0, len(sets) - 1), min_size=len(left), max_size=len(left)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shingles, "_PAIR_BLOCK", block)
        found = jaccard_pairs(ragged(sets), np.array(left, np.int64), np.array(right, np.int64))
    pairs = [(sets[a], sets[b]) for a, b in zip(left, right)]
    assert found.tolist() == [len(a & b) / len(a | b) if a | b else 0.0 for a, b in pairs]


@pytest.mark.parametrize(("num_perm", "seed"), [(1, 1), (16, 7), (128, 1), (128, 42), (256, 2**31)])
def test_signatures_are_datasketch_s(num_perm, seed):
    datasketch = pytest.importorskip("datasketch")
    rng = np.random.default_rng(seed)
    sets = [set(rng.integers(0, 2**32, size).tolist()) for size in (0, 1, 2, 3, 0, 50, 700, 0)]
    for values, row in zip(sets, signed(sets, num_perm=num_perm, seed=seed)):
        reference = datasketch.MinHash(num_perm=num_perm, seed=seed, scheme="affine32", hashfunc=int)
        for value in values:
            reference.update(value)
        assert np.array_equal(row, reference.hashvalues)


@settings(max_examples=60, deadline=None)
@given(set_lists, st.sampled_from([1, 5, 1 << 16]), st.integers(0, 12))
def test_signatures_do_not_depend_on_the_batch(sets, block, cut):
    whole = signed(sets, num_perm=8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(minhash, "_BLOCK", block)
        parts = [signed(part, num_perm=8) for part in (sets[:cut], sets[cut:])]
    assert np.array_equal(whole, np.concatenate(parts))
    assert whole.shape == (len(sets), 8)
    assert whole.dtype == np.uint32


def test_an_offset_view_gives_the_same_rows():
    sets = ragged(sets_of(TEXTS))
    part = signatures(sets.values, sets.offsets[3:7])
    assert np.array_equal(part, signatures(*sets)[3:6])


def test_an_empty_set_has_the_largest_signature():
    assert (signed([set(), {1}, set()])[[0, 2]] == EMPTY).all()
    assert signatures(np.zeros(0, np.uint32), np.zeros(1, np.int64)).shape == (0, 128)


def test_signatures_estimate_jaccard():
    rng = np.random.default_rng(3)
    pool = rng.integers(0, 2**32, 4000, dtype=np.uint32)
    sets = [set(pool[:3000].tolist()), set(pool[1000:].tolist())]  # J = 0.5
    a, b = signed(sets, num_perm=2048)
    assert abs(np.mean(a == b) - 0.5) < 4 * 0.5 / 2048**0.5


def test_scheme_names_what_a_signature_depends_on():
    assert set(SCHEME) >= {"scheme", "seed", "num_perm", "bits", "shingle_words", "words_version", "unicode"}


def test_the_kernel_does_not_import_datasketch():
    code = "import sys, transforms.minhash; sys.exit('datasketch' in sys.modules or 'scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
