"""Groups against networkx, by one merge and by rounds over parts, and the check that no round is missing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import GristmillError
from transforms import components
from transforms.blocks import hash_parts
from transforms.components import bucket_edges, check_stars, contract, finish_stars, large_star, small_star
from transforms.keys import mix

EDGES = st.integers(2, 60).flatmap(lambda n: st.lists(st.tuples(st.integers(0, n), st.integers(0, n)), max_size=80))
networkx = pytest.importorskip("networkx", reason="needs networkx, which gristmill[dev] brings")
NONE = np.empty(0, np.int64)


def ints(values):
    return np.array(list(values), np.int64)


def ends(edges):
    return ints(a for a, b in edges if a != b), ints(b for a, b in edges if a != b)


def expected_stars(left, right):
    """{member: root} of networkx's components, roots left out."""
    graph = networkx.Graph(zip(left.tolist(), right.tolist(), strict=True))
    return {node: min(one) for one in networkx.connected_components(graph) for node in one if node != min(one)}


def stars(members, roots):
    assert len(set(members.tolist())) == len(members)
    return dict(zip(members.tolist(), roots.tolist(), strict=True))


def in_parts(function, edges, parts):
    """``function`` on the edges of each part of the nodes, as the shuffle deals them out."""
    node, neighbour = edges
    part = hash_parts(mix(node.astype(np.uint64)), parts)
    found = [function(node[part == number], neighbour[part == number]) for number in range(parts)]
    return tuple(np.concatenate(one) for one in zip(*found, strict=True))


def both_ways(edges):
    left, right = edges
    return np.concatenate([left, right]), np.concatenate([right, left])


def by_rounds(left, right, parts, rounds=components.ROUNDS):
    """What ``pipelines.graphs`` does with edges beyond ONE_WORKER: {member: root}, and the roots it names."""
    edges = np.maximum(left, right), np.minimum(left, right)
    for _ in range(rounds):
        edges = in_parts(large_star, both_ways(edges), parts)
        edges = in_parts(small_star, edges, parts)
    members, roots, own = in_parts(finish_stars, both_ways(edges), parts)
    assert sorted(set(roots.tolist())) == sorted(own.tolist())
    return stars(members, roots)


def spread(ids):
    """Numbers in an order that has nothing to do with theirs, as addresses of near duplicates are."""
    return (mix(ints(ids).astype(np.uint64)) >> np.uint64(2)).astype(np.int64)


@given(EDGES)
def test_contract_finds_the_components(edges):
    left, right = ends(edges)
    assert stars(*contract(left, right)) == expected_stars(left, right)


@given(EDGES, st.integers(1, 5))
def test_contract_of_contracted_parts_is_contract_of_all(edges, parts):
    left, right = ends(edges)
    pieces = [contract(left[number::parts], right[number::parts]) for number in range(parts)]
    merged = contract(*(np.concatenate(one) for one in zip(*pieces, strict=True)))
    assert stars(*merged) == expected_stars(left, right)


@pytest.mark.parametrize("number", [1, 2, 1000, 20_000])
def test_contract_of_a_long_path(number):
    path = spread(range(number))
    members, roots = contract(path[1:], path[:-1])
    assert len(members) == number - 1
    assert (roots == path.min()).all()


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 30)), max_size=60, unique=True))
def test_buckets_become_edges_to_their_smallest_address(rows):
    keys, addresses = np.array([key for key, _ in rows], np.uint64), ints(address for _, address in rows)
    members, roots = bucket_edges(keys, addresses)
    buckets = {key: sorted(address for other, address in rows if other == key) for key, _ in rows}
    expected = sorted((member, one[0]) for one in buckets.values() for member in one[1:])
    assert sorted(zip(members.tolist(), roots.tolist(), strict=True)) == expected


@given(EDGES, st.integers(1, 5))
def test_rounds_find_the_components_in_any_number_of_parts(edges, parts):
    left, right = ends(edges)
    left, right = spread(left), spread(right)
    assert by_rounds(left, right, parts) == expected_stars(left, right)


@pytest.mark.parametrize("number", [2, 100, 1000])
def test_rounds_on_clusters_and_paths(number):
    ids = spread(range(number))
    near = np.arange(1, number)
    for other in (near - 1, near // 2, near // 7, near * 0):  # a path, trees, one bucket
        left, right = ids[near], ids[other]
        assert by_rounds(left, right, 4, rounds=12) == expected_stars(left, right)


@given(EDGES, st.integers(1, 4), st.integers(0, 2))
def test_too_few_rounds_are_always_noticed(edges, parts, rounds):
    left, right = ends(edges)
    left, right = spread(left), spread(right)
    try:
        found = by_rounds(left, right, parts, rounds)
    except GristmillError:
        return
    assert found == expected_stars(left, right)


@pytest.mark.parametrize("parts", [1, 3, 16])
def test_a_path_that_is_too_long_for_the_rounds_stops_the_run(parts):
    path = spread(range(20_000))
    with pytest.raises(GristmillError, match=r"\d+ records are not yet grouped .* raise components.ROUNDS"):
        by_rounds(path[1:], path[:-1], parts, rounds=4)


def test_an_edge_that_comes_twice_is_no_second_root():
    # Two nodes send the edge (5, 1) in the last round: 7 with the neighbours 5 and 1, and 8 with the same.
    edges = in_parts(small_star, (ints([7, 7, 8, 8]), ints([5, 1, 5, 1])), 16)
    assert list(zip(*(one.tolist() for one in edges), strict=True)).count((5, 1)) == 2, "take another number of parts"
    members, roots, own = finish_stars(*both_ways(edges))
    assert stars(members, roots) == {5: 1, 7: 1, 8: 1}
    assert own.tolist() == [1]


def test_check_stars_names_what_is_loose():
    check_stars(NONE, NONE)
    check_stars(ints([4, 5, 9]), ints([1, 1, 2]))
    with pytest.raises(GristmillError, match="2 records"):  # 5 has two roots, and 4 is a root and a member
        check_stars(ints([4, 5, 5]), ints([1, 1, 4]))


def test_nothing_comes_of_nothing():
    for function in (contract, large_star, small_star, finish_stars):
        assert all(len(one) == 0 for one in function(NONE, NONE))
    assert all(len(one) == 0 for one in bucket_edges(np.empty(0, np.uint64), NONE))
