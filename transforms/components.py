"""Groups of records that LSH connects: from band buckets to one root per group.

Each part of the band keys is contracted where it lies: buckets become edges to their smallest address, edges become
stars. Stars of all parts then meet. Up to ``ONE_WORKER`` records one merge finishes the job: it holds two integers
per grouped record, no record. Beyond, rounds of large-star and small-star (Kiveris et al. 2014, "Connected Components
in MapReduce and Beyond") do the same with no worker holding more than its share.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.errors import GristmillError

Ints = npt.NDArray[np.int64]

ONE_WORKER = 20_000_000
"""Records up to which one worker merges all stars: 16 bytes each plus sorting, well under 2 GB."""

ROUNDS = 8
"""Alternations beyond ``ONE_WORKER``: near-duplicate groups need one to three, a path of 20,000 random ids 11."""

EDGE = pa.schema([("member", pa.int64()), ("root", pa.int64())])


def bucket_edges(keys: npt.NDArray[np.uint64], addresses: Ints) -> tuple[Ints, Ints]:
    """Edges (member, smallest address of its bucket) of all buckets with two or more addresses."""
    if len(keys) == 0:
        return addresses[:0], addresses[:0]
    order = np.argsort(keys)
    keys, addresses = keys[order], addresses[order]
    starts = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]])
    sizes = np.diff(np.r_[starts, len(keys)])
    roots = np.repeat(np.minimum.reduceat(addresses, starts), sizes)
    edge = (np.repeat(sizes, sizes) > 1) & (addresses != roots)
    return addresses[edge], roots[edge]


def contract(left: Ints, right: Ints) -> tuple[Ints, Ints]:
    """Connected components as stars: (member, smallest address of its component), the root itself left out."""
    nodes = np.concatenate([left, right])
    nodes.sort()
    nodes = nodes[_changes(nodes)]
    # Looked up, because np.unique's inverse needs five more arrays of this size.
    root = _components(np.searchsorted(nodes, left), np.searchsorted(nodes, right), len(nodes))
    member = np.flatnonzero(root != np.arange(len(nodes)))
    return nodes[member], nodes[root[member]]


def _components(a: Ints, b: Ints, nodes: int) -> npt.NDArray[np.int32]:
    """Smallest node of each node's component, by hooking and pointer jumping (FastSV, Zhang et al. 2020)."""
    parent = np.arange(nodes, dtype=np.int32)
    while True:
        grand = parent[parent]
        before = parent.copy()
        np.minimum.at(parent, before[a], grand[b])
        np.minimum.at(parent, before[b], grand[a])
        np.minimum.at(parent, a, grand[b])
        np.minimum.at(parent, b, grand[a])
        np.minimum(parent, grand, out=parent)
        if np.array_equal(parent, before) and np.array_equal(parent, parent[parent]):
            return parent


def large_star(node: Ints, neighbour: Ints) -> tuple[Ints, Ints]:
    """Connect each node's larger neighbours to its smallest neighbour (or itself). All edges of a node, both ways."""
    node, neighbour, least = _least(node, neighbour)
    keep = neighbour > node
    return neighbour[keep], least[keep]


def small_star(node: Ints, neighbour: Ints) -> tuple[Ints, Ints]:
    """Connect each node and its smaller neighbours to the smallest of them. Edges from the larger end only."""
    node, neighbour, least = _least(node, neighbour)
    members, roots = np.concatenate([neighbour, node]), np.concatenate([least, least])
    keep = members != roots
    return _distinct(members[keep], roots[keep])


def _least(node: Ints, neighbour: Ints) -> tuple[Ints, Ints, Ints]:
    """Edges sorted by node, each with the smallest of the node and its neighbours."""
    order = np.lexsort((neighbour, node))
    node, neighbour = node[order], neighbour[order]
    if len(node) == 0:
        return node, neighbour, node
    starts = np.flatnonzero(np.r_[True, node[1:] != node[:-1]])
    sizes = np.diff(np.r_[starts, len(node)])
    least = np.repeat(np.minimum.reduceat(neighbour, starts), sizes)
    return node, neighbour, np.minimum(least, node)


def finish_stars(node: Ints, neighbour: Ints) -> tuple[Ints, Ints, Ints]:
    """Checked stars from all edges of some nodes, seen from those nodes: (member, root) pairs, and the roots.

    Every edge must have come to both of its ends. Then a graph that is not all stars shows at some node: either it has
    two smaller neighbours, or a smaller and a larger one. Edges may repeat: two nodes can have sent the same one.
    """
    up = neighbour < node
    members, roots = _distinct(node[up], neighbour[up])
    own = np.sort(node[~up])
    own = own[_changes(own)]
    check_stars(members, own)
    return members, roots, own


def check_stars(members: Ints, roots: Ints) -> None:
    """Stop when rounds ended too early: a node with two roots, or a root that is itself a member.

    ``members`` are those of distinct (member, root) pairs; ``roots`` may repeat.

    Raises:
        GristmillError: the number of such nodes and what to do.
    """
    ascending = np.sort(members)
    unique = ascending[_changes(ascending)]
    roots = np.sort(roots)
    loose = len(members) - len(unique) + int(np.isin(roots[_changes(roots)], unique).sum())
    if loose:
        raise GristmillError(
            f"near deduplication: {loose} records are not yet grouped after {ROUNDS} rounds; raise components.ROUNDS"
        )


def _distinct(members: Ints, roots: Ints) -> tuple[Ints, Ints]:
    """The same pairs without repeats, in ascending order."""
    order = np.lexsort((roots, members))
    members, roots = members[order], roots[order]
    keep = _changes(members) | _changes(roots)
    return members[keep], roots[keep]


def _changes(values: Ints) -> npt.NDArray[np.bool_]:
    """Where a value differs from the one before. (np.unique would hash here, at ten times the cost of a sort.)"""
    return np.r_[True, values[1:] != values[:-1]][: len(values)]


def edges(members: Ints, roots: Ints) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array(members, pa.int64()), pa.array(roots, pa.int64())], schema=EDGE)
