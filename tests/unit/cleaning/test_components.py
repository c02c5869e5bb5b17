from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from llmkit.cleaning.components import count_steps, lead_to_roots, shorten, unite


def forest(edges, ranks, weights=None):
    """The arrays that `unite` fills, their trees led to the components' roots and shortened, and the steps to them."""
    size = len(ranks)
    a, b = (np.array([edge[end] for edge in edges], np.int64) for end in (0, 1))
    rank = np.array(ranks, np.uint64)
    weight = np.array(weights or [1.0] * len(edges), np.float32)
    parent, known, sizes = np.full(size, -1, np.int64), np.zeros(size, np.uint64), np.zeros(size, np.int64)
    via, found, steps = np.arange(size), np.zeros(size, np.float32), np.full(size, -1, np.int32)
    unite(a, b, rank[a], rank[b], weight, parent, known, sizes, via, found)
    lead_to_roots(parent, via, found)
    shorten(a, b, weight, parent, via, found)
    count_steps(via, steps)
    return parent, via, found, steps


def united(edges, ranks):
    """Roots per node, -1 for nodes without an edge."""
    parent, via, _, steps = forest(edges, ranks)
    roots = []
    for node in range(len(ranks)):
        root, way, length = node, node, 0
        while parent[root] not in (root, -1):
            root = int(parent[root])
        while via[way] != way:
            assert (way, via[way]) in edges or (via[way], way) in edges
            way, length = via[way], length + 1
        assert (way, length) == (root, steps[node])  # the trees lead to the roots, over edges that are there
        roots.append(root if parent[node] >= 0 else -1)
    return roots


def test_a_chain_is_one_component_whose_root_has_the_smallest_rank():
    assert united([(0, 1), (1, 2), (4, 5)], [30, 20, 10, 5, 7, 7]) == [2, 2, 2, -1, 4, 4]


def test_a_nodes_weight_is_that_of_the_edge_it_takes():
    _, via, weights, steps = forest([(1, 2), (2, 3), (0, 1)], [1, 2, 3, 4], [0.75, 0.875, 0.5])
    assert via.tolist() == [0, 0, 1, 2]
    assert weights.tolist() == [0.0, 0.5, 0.75, 0.875]
    assert steps.tolist() == [0, 1, 2, 3]


def test_an_edge_to_the_root_is_taken_although_others_came_first():
    _, via, weights, steps = forest([(1, 2), (0, 1), (0, 2)], [1, 2, 3], [0.75, 0.875, 0.5])
    assert via.tolist() == [0, 0, 0]
    assert weights.tolist() == [0.0, 0.875, 0.5]
    assert steps.tolist() == [0, 1, 1]


def test_ranks_above_the_signed_range():
    assert united([(0, 1)], [2**64 - 1, 2**63]) == [1, 1]


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
    assert united(edges, ranks) == expected
    assert united([(b, a) for a, b in edges[::-1]], ranks) == expected


def test_a_star_and_a_path_of_many_nodes_take_linear_time_and_no_recursion():
    size = 200_000
    ranks = np.arange(size, dtype=np.uint64)[::-1].tolist()
    for edges in ([(i, i + 1) for i in range(size - 1)], [(i, i + 1) for i in range(size - 2, -1, -1)]):
        parent, via, _, steps = forest(edges, ranks)
        roots = parent
        while not np.array_equal(roots, roots[roots]):  # twice as far each time
            roots = roots[roots]
        assert set(roots.tolist()) == {size - 1}
        assert np.array_equal(via, [*range(1, size), size - 1])
        assert np.array_equal(steps, np.arange(size)[::-1])
    _, via, _, steps = forest([(size - 1, i) for i in range(size - 1)], ranks)
    assert set(via.tolist()) == {size - 1}
    assert steps.sum() == size - 1
