from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from llmkit.cleaning.components import unite


def united(edges, ranks, weights=None):
    """Roots per node, -1 for nodes without an edge, and the largest weight of each node's edges."""
    size = len(ranks)
    a, b = (np.array([edge[end] for edge in edges], np.int64) for end in (0, 1))
    rank = np.array(ranks, np.uint64)
    weight = np.array(weights or [1.0] * len(edges), np.float32)
    parent, known, best = np.full(size, -1, np.int64), np.zeros(size, np.uint64), np.zeros(size, np.float32)
    unite(a, b, rank[a], rank[b], weight, parent, known, best)
    roots = []
    for node in range(size):
        root = node
        while parent[root] not in (root, -1):
            root = int(parent[root])
        roots.append(root if parent[node] >= 0 else -1)
    return roots, best.tolist()


def test_a_chain_is_one_component_whose_root_has_the_smallest_rank():
    assert united([(0, 1), (1, 2), (4, 5)], [30, 20, 10, 5, 7, 7])[0] == [2, 2, 2, -1, 4, 4]


def test_weights_are_the_largest_of_a_nodes_edges():
    assert united([(0, 1), (1, 2)], [1, 2, 3], [0.75, 0.875])[1] == [0.75, 0.875, 0.875]


def test_ranks_above_the_signed_range():
    assert united([(0, 1)], [2**64 - 1, 2**63])[0] == [1, 1]


@given(st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=30), st.permutations(range(12)))
def test_like_a_flood_fill_whatever_the_order_of_the_edges(edges, ranks):
    expected = [-1] * 12
    touched = {node for edge in edges for node in edge}
    for node in touched:
        group, grown = {node}, True
        while grown:
            more = group | {y for x, y in edges if x in group} | {x for x, y in edges if y in group}
            grown, group = more != group, more
        expected[node] = min(group, key=lambda n: ranks[n])
    assert united(edges, ranks)[0] == expected
    assert united([(b, a) for a, b in edges[::-1]], ranks)[0] == expected


def test_a_star_and_a_path_of_many_nodes_take_no_recursion():
    size = 200_000
    ranks = np.arange(size, dtype=np.uint64)[::-1].copy()
    path = np.arange(size - 1)
    parent, known, best = np.full(size, -1, np.int64), np.zeros(size, np.uint64), np.zeros(size, np.float32)
    unite(path, path + 1, ranks[:-1], ranks[1:], np.ones(size - 1, np.float32), parent, known, best)
    roots = parent
    while not np.array_equal(roots, roots[roots]):  # twice as far each time
        roots = roots[roots]
    assert set(roots.tolist()) == {size - 1}
