"""Connected components by union-find over arrays, so that it needs no objects and may be mapped from disk.

Beside the components stands a forest of the edges that united them (Nieuwenhuis and Oliveras 2005, "Proof-Producing
Congruence Closure"): what belongs together only by way of others can be shown with the edges of that way.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call"
from __future__ import annotations

from llmkit.work.kernel import kernel


@kernel
def _find(parent, node):
    root = node
    while parent[root] != root:
        root = parent[root]
    while parent[node] != root:
        parent[node], node = root, parent[node]
    return root


@kernel
def _turn(via, weights, node):
    """Make a node the root of its tree, by turning the edges on its way up around."""
    below, above, weight = node, via[node], weights[node]
    via[node], weights[node] = node, 0.0
    while above != below:
        next_above, next_weight = via[above], weights[above]
        via[above], weights[above] = below, weight
        if next_above == above:
            return
        below, above, weight = above, next_above, next_weight


@kernel
def unite(a, b, a_rank, b_rank, weight, parent, ranks, sizes, via, weights):
    """Unite the nodes of each edge; the root of a component is its node of the smallest rank, then position.

    Args:
        a: `[edges]` one end, a position in the arrays below.
        b: `[edges]` the other end.
        a_rank: `[edges]` uint64 rank of `a`.
        b_rank: `[edges]` uint64 rank of `b`.
        weight: `[edges]` float32.
        parent: `[nodes]` int64; -1 where a node has no edge yet.
        ranks: `[nodes]` uint64, filled where a node has an edge.
        sizes: `[nodes]` int64, of a root the nodes of its component.
        via: `[nodes]` int64, the next node on the way to the root of a tree of edges, which may be any node.
        weights: `[nodes]` float32, of the edge to that node.
    """
    for i in range(a.shape[0]):
        for node, rank in ((a[i], a_rank[i]), (b[i], b_rank[i])):
            if parent[node] < 0:
                parent[node], ranks[node], sizes[node] = node, rank, 1
                via[node], weights[node] = node, 0.0
        x, y = _find(parent, a[i]), _find(parent, b[i])
        if x == y:
            continue
        # The smaller tree is turned, so that a node's edge turns at most log2(nodes) times.
        below, above = (a[i], b[i]) if sizes[x] < sizes[y] else (b[i], a[i])
        _turn(via, weights, below)
        via[below], weights[below] = above, weight[i]
        if ranks[x] < ranks[y] or (ranks[x] == ranks[y] and x < y):
            x, y = y, x
        parent[x] = y
        sizes[y] += sizes[x]


@kernel
def lead_to_roots(parent, via, weights):
    """Make the root of each component the root of its tree of edges."""
    for node in range(parent.shape[0]):
        if parent[node] == node:
            _turn(via, weights, node)


@kernel
def shorten(a, b, weight, parent, via, weights):
    """Let nodes with an edge to the root of their component take it, once the trees lead there."""
    for i in range(a.shape[0]):
        for node, other in ((a[i], b[i]), (b[i], a[i])):
            if parent[other] == other and node != other:
                via[node], weights[node] = other, weight[i]


@kernel
def count_steps(via, steps):
    """Fill in how many edges lie between each node and its root; `steps` is -1 where that is asked for."""
    for start in range(via.shape[0]):
        node, count = start, 0
        while steps[node] < 0 and via[node] != node:
            node, count = via[node], count + 1
        count += max(steps[node], 0)
        node = start
        while steps[node] < 0:
            steps[node] = count
            node, count = via[node], count - 1
