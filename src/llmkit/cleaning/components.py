"""Connected components by union-find over arrays, so that it needs no objects and may be mapped from disk."""

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
def unite(a, b, a_rank, b_rank, weight, parent, ranks, best):
    """Unite the nodes of each edge; the root of a component is its node of the smallest rank, then position.

    Args:
        a: `[edges]` one end, a position in the arrays below.
        b: `[edges]` the other end.
        a_rank: `[edges]` uint64 rank of `a`.
        b_rank: `[edges]` uint64 rank of `b`.
        weight: `[edges]` float32.
        parent: `[nodes]` int64; -1 where a node has no edge yet.
        ranks: `[nodes]` uint64, filled where a node has an edge.
        best: `[nodes]` float32, the largest weight of a node's edges.
    """
    for i in range(a.shape[0]):
        x, y = a[i], b[i]
        if parent[x] < 0:
            parent[x], ranks[x], best[x] = x, a_rank[i], 0.0
        if parent[y] < 0:
            parent[y], ranks[y], best[y] = y, b_rank[i], 0.0
        best[x] = max(best[x], weight[i])
        best[y] = max(best[y], weight[i])
        x, y = _find(parent, x), _find(parent, y)
        if x == y:
            continue
        if ranks[x] < ranks[y] or (ranks[x] == ranks[y] and x < y):
            parent[y] = x
        else:
            parent[x] = y
