"""The greedy walk against its definition, in small groups and large ones, at thresholds that pairs hit exactly."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from transforms import greedy, terms, walk
from transforms.greedy import pick
from transforms.near import MEMBER, find_near, take_ragged
from transforms.shingles import Ragged, jaccard_pairs
from transforms.terms import find_terms
from transforms.walk import Second

SIMILARITIES = [0.5, 0.6, 2 / 3, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]


def ragged(sets):
    arrays = [np.array(sorted(one), np.uint32) for one in sets]
    return Ragged(np.concatenate([np.empty(0, np.uint32), *arrays]), np.r_[0, np.cumsum([len(one) for one in arrays])])


def jaccard(a, b):
    return len(a & b) / len(a | b) if a | b else 0.0


def by_definition(groups, sets, similarity):
    representative = [-1] * len(sets)
    for x in range(len(sets)):
        for y in range(x):
            if groups[x] == groups[y] and representative[y] < 0 and jaccard(sets[x], sets[y]) >= similarity:
                representative[x] = y
                break
    return representative


def check_both(groups, sets, answers, similarity, least):
    """Two pairs of sets must agree, whichever side leads the walk."""
    expected = [-1] * len(sets)
    for x in range(len(sets)):
        for y in range(x):
            alike = jaccard(sets[x], sets[y]) >= similarity and jaccard(answers[x], answers[y]) >= least
            if groups[x] == groups[y] and expected[y] < 0 and alike:
                expected[x] = y
                break
    found, value = pick(np.array(groups, np.int64), ragged(sets), similarity, Second(ragged(answers), least))
    assert found.tolist() == expected
    for x, y in enumerate(expected):
        assert value[x] == jaccard(sets[x], sets[y]) if y >= 0 else np.isnan(value[x])


def check(groups, sets, similarity):
    expected = by_definition(groups, sets, similarity)
    found, value = pick(np.array(groups, np.int64), ragged(sets), similarity)
    assert found.tolist() == expected
    for x, y in enumerate(expected):
        assert value[x] == jaccard(sets[x], sets[y]) if y >= 0 else np.isnan(value[x])


# Universes of few shingles, so that pairs meet thresholds exactly (4 of 5 at 0.8) and are often tied.
SETS = st.integers(4, 40).flatmap(
    lambda universe: st.lists(st.frozensets(st.integers(0, universe), max_size=25), max_size=60)
)


@pytest.fixture(params=["as it is", "all walk", "tiny blocks"])
def way(request, monkeypatch):
    """Sizes that send even small groups through the index, and through several blocks, slices and pieces of it."""
    if request.param != "as it is":
        monkeypatch.setattr(greedy, "SMALL", 0)
        monkeypatch.setattr(greedy, "HUB_ROUNDS", 1)
        monkeypatch.setattr(greedy, "HUB_SHARE", 0)
    if request.param == "tiny blocks":
        monkeypatch.setattr(greedy, "_WALKED", 50)
        monkeypatch.setattr(walk, "_BLOCK", 5)
        monkeypatch.setattr(walk, "_GROWTH", 2)
        monkeypatch.setattr(walk, "_HUB_SHARE", 2)
        monkeypatch.setattr(walk, "_PAIRS", 7)
        monkeypatch.setattr(terms, "_SLICE", 40)
        monkeypatch.setattr(terms, "_PAIR_BLOCK", 30)


@pytest.mark.usefixtures("way")
class TestDefinition:
    @settings(max_examples=150)
    @given(SETS, st.sampled_from(SIMILARITIES), st.data())
    def test_pick_is_the_walk_of_its_definition(self, sets, similarity, data):
        groups = sorted(data.draw(st.lists(st.integers(0, 3), min_size=len(sets), max_size=len(sets))))
        check(groups, sets, similarity)

    @pytest.mark.parametrize("similarity", SIMILARITIES)
    def test_pairs_exactly_at_the_threshold(self, similarity):
        # Every (shared, own, own) with shared / union equal to the threshold or one shingle off it.
        sets: list[frozenset[int]] = []
        groups: list[int] = []
        for union in range(1, 61):
            for shared in {round(similarity * union) + step for step in (-1, 0, 1)}:
                if not 0 <= shared <= union:
                    continue
                for own in {0, (union - shared) // 2, union - shared}:
                    first = frozenset(range(shared + own))
                    second = frozenset([*range(shared), *range(shared + own, union)])
                    # Two strangers with the rare shingles of both make them common.
                    sets += [first, second, frozenset(range(60, 80)), frozenset(range(shared, 90))]
                    groups += [len(sets)] * 4
        check(groups, sets, similarity)

    @pytest.mark.parametrize("similarity", SIMILARITIES)
    def test_templates_and_clusters(self, similarity):
        generator = np.random.default_rng(5)
        sets: list[frozenset[int]] = []
        for _ in range(180):
            kind = generator.integers(3)
            if kind == 0:  # a template with slots of few values, five shingles each
                slots = generator.integers(0, 4, 6)
                one = {
                    *range(40),
                    *(1000 + 100 * n + 10 * v + k for n, v in enumerate(slots.tolist()) for k in range(5)),
                }
            elif kind == 1:  # one of three texts with some edits
                base = int(generator.integers(3)) * 100
                one = set(range(base, base + 60)) - set(
                    (base + generator.integers(0, 60, generator.integers(12))).tolist()
                )
            else:
                one = set(generator.integers(0, 10_000, generator.integers(1, 80)).tolist())
            sets.append(frozenset(one))
        check([0] * 100 + [1] * 80, sets, similarity)

    @pytest.mark.parametrize("similarity", [0.7, 0.8])
    def test_variants_of_one_text_about_as_similar_as_asked_for(self, similarity, monkeypatch):
        # All pairs meet at many terms, so that looking at all of them costs less than an index.
        looked, of_all = [], walk._Walk._similar_of_all

        def seen(*given):
            looked.append(len(given[1]))
            return of_all(*given)

        monkeypatch.setattr(walk._Walk, "_similar_of_all", seen)
        generator = np.random.default_rng(9)
        sets = []
        for number in range(240):
            text = list(range(100 * (number >= 150), 100 * (number >= 150) + 90))
            for spot in generator.choice(86, generator.integers(1, 6), replace=False).tolist():
                text[spot : spot + 4] = generator.integers(1_000, 1_000_000, 4).tolist()
            sets.append(frozenset(text))
        check([0] * 150 + [1] * 90, sets, similarity)
        assert looked


def test_representative_is_the_first_similar_record_that_stays():
    a, b, c = frozenset(range(10)), frozenset(range(1, 11)), frozenset(range(2, 12))
    # 9/11 between neighbours, 8/12 between a and c: c stays, for b, to which it is similar, does not.
    assert pick(np.zeros(3, np.int64), ragged([a, b, c]), 0.8)[0].tolist() == [-1, 0, -1]
    d = frozenset(range(3, 11))  # similar to b (8/10), not to a (7/11), and to c (8/10)
    assert pick(np.zeros(4, np.int64), ragged([a, b, c, d]), 0.8)[0].tolist() == [-1, 0, -1, 2]


def test_rows_without_shingles_stay():
    sets: list[frozenset[int]] = [frozenset()] * 50 + [frozenset({1})] * 50
    assert pick(np.zeros(100, np.int64), ragged(sets), 0.8)[0].tolist() == [-1] * 51 + [50] * 49


def members(sets, groups, order, addresses, ids):
    lists = pa.LargeListArray.from_arrays(pa.array(ragged(sets).offsets), pa.array(ragged(sets).values))
    columns = [pa.array(groups, pa.int64()), pa.array(order, pa.uint64()), pa.array(ids, pa.binary(16))]
    return pa.Table.from_arrays([*columns, pa.array(addresses, pa.int64()), lists, lists], schema=MEMBER)


@settings(max_examples=100)
@given(SETS.filter(len), st.sampled_from([0.7, 0.8]), st.data())
def test_drops_do_not_depend_on_the_order_of_rows(sets, similarity, data):
    n = len(sets)
    numbers = st.lists(st.integers(0, 3), min_size=n, max_size=n)
    groups, order = data.draw(numbers), data.draw(numbers)
    addresses = np.arange(n) * 7 + 3
    ids = [bytes([data.draw(st.integers(0, 2))]) * 16 for _ in range(n)]
    table = members(sets, groups, order, addresses, ids)
    expected = find_near(table, similarity).sort_by("address")
    shuffled = table.take(pa.array(data.draw(st.permutations(range(n)))))
    cut = data.draw(st.integers(0, n))
    pieces = pa.concat_tables([shuffled.slice(cut), shuffled.slice(0, cut)])
    assert find_near(pieces, similarity).sort_by("address").equals(expected)
    ranked = sorted(range(n), key=lambda i: (groups[i], order[i], ids[i], addresses[i]))
    stays = by_definition([groups[i] for i in ranked], [sets[i] for i in ranked], similarity)
    drops = {int(addresses[ranked[x]]): ids[ranked[y]] for x, y in enumerate(stays) if y >= 0}
    assert dict(zip(expected["address"].to_pylist(), expected["representative"].to_pylist(), strict=True)) == drops


@settings(max_examples=100)
@given(SETS, st.data())
def test_take_ragged(sets, data):
    rows = data.draw(st.lists(st.integers(0, max(len(sets) - 1, 0)), max_size=30 if sets else 0))
    taken = take_ragged(ragged(sets), np.array(rows, np.int64))
    expected = ragged([sets[row] for row in rows])
    assert taken.values.tolist() == expected.values.tolist()
    assert taken.offsets.tolist() == expected.offsets.tolist()


@settings(max_examples=100)
@given(SETS.filter(len), st.data())
def test_terms_keep_overlaps_and_never_overstate_the_difference(sets, data):
    groups = np.array(sorted(data.draw(st.lists(st.integers(0, 2), min_size=len(sets), max_size=len(sets)))))
    found = find_terms(groups, ragged(sets), np.arange(len(sets)))
    left, right = (each.reshape(-1) for each in np.meshgrid(np.arange(len(sets)), np.arange(len(sets))))
    pairs = (groups[left] == groups[right]) & (left != right)
    left, right = left[pairs], right[pairs]
    assert found.shared(left, right).tolist() == [len(sets[a] & sets[b]) for a, b in zip(left, right, strict=True)]
    differ = np.array([float(len(sets[a] ^ sets[b])) for a, b in zip(left, right, strict=True)])
    assert found.may_differ_by(left, right, differ).all()
    for row in range(len(sets)):  # before: shingles ranked before the term
        mine = slice(found.offsets[row], found.offsets[row + 1])
        weight = found.weight[found.term[mine]]
        assert (found.before[mine] + np.cumsum(weight[::-1])[::-1] == len(sets[row])).all()


def test_a_group_of_ten_thousand_template_rows_needs_no_comparison_of_all_pairs(monkeypatch):
    generator = np.random.default_rng(1)
    common = generator.integers(0, 2**32, 107, dtype=np.uint32)
    sets = [np.unique(np.r_[common, generator.integers(0, 2**32, 20, dtype=np.uint32)]) for _ in range(10_000)]
    shingles = Ragged(np.concatenate(sets), np.r_[0, np.cumsum([len(one) for one in sets])])
    compared: list[int] = []

    def counted(function):
        def count(one, left, right):
            compared.append(len(left))
            return function(one, left, right)

        return count

    monkeypatch.setattr(walk._Walk, "score", counted(walk._Walk.score))
    monkeypatch.setattr(greedy, "jaccard_pairs", counted(jaccard_pairs))
    # 107 / 147 = 0.73 between any two.
    assert (pick(np.zeros(10_000, np.int64), shingles, 0.8)[0] == -1).all()
    assert sum(compared) < 10 * 10_000


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), similarity=st.sampled_from(SIMILARITIES), least=st.sampled_from(SIMILARITIES))
def test_both_sides_must_agree(way, data, similarity, least):
    sets = data.draw(SETS)
    answers = data.draw(st.lists(st.frozensets(st.integers(0, 6), max_size=6), min_size=len(sets), max_size=len(sets)))
    groups = sorted(data.draw(st.lists(st.integers(0, 2), min_size=len(sets), max_size=len(sets))))
    check_both(groups, sets, answers, similarity, least)


def test_one_long_context_with_many_answers_is_told_apart_by_the_answers():
    """Ten thousand records share 400 shingles; compared pair by pair that would take minutes."""
    context = set(range(400))
    sets = [context | {1_000 + 4 * number + k for k in range(4)} for number in range(10_000)]
    answers = [{number, 20_000 + number % 7} for number in range(10_000)]
    answers[-1] = answers[17]
    found, value = pick(np.zeros(10_000, np.int64), ragged(sets), 0.8, Second(ragged(answers), 0.8))
    assert found.tolist() == [-1] * 9_999 + [17]
    assert value[-1] == 400 / 408
