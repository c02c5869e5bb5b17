"""Measures of retrieval: how often, and how near to the top, a query's own text is found in a pool."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

AT_ONCE = 1024
"""Queries whose scores are in memory at a time."""


def ranks(
    queries: NDArray[np.float32],
    pool: NDArray[np.float32],
    own: NDArray[np.int64],
    known: dict[int, list[int]] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return each query's rank of its own text, from 1, and the nearest text of the pool that is not its own.

    Args:
        queries: `[queries, dimensions]`, of length one.
        pool: `[texts, dimensions]`, of length one.
        own: `[queries]`: which text of the pool is the query's.
        known: Further texts that belong to a query, by its number: they count neither for nor against it.

    Returns:
        `[queries]` each; a text that is just as near does not come before the own. The nearest is the own text where
        the pool has no other.
    """
    found, nearest = np.empty(len(queries), np.int64), np.empty(len(queries), np.int64)
    for start in range(0, len(queries), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        scores = queries[part] @ pool.T
        rows = np.arange(len(scores))
        truth = scores[rows, own[part]].copy()
        for row in rows.tolist():
            scores[row, (known or {}).get(start + row, [])] = -np.inf
        scores[rows, own[part]] = -np.inf
        found[part] = 1 + (scores > truth[:, None]).sum(1)
        nearest[part] = np.where(np.isfinite(scores.max(1)), scores.argmax(1), own[part])
    return found, nearest


def retrieval_scores(found: NDArray[np.int64]) -> dict[str, float]:
    """Return the shares of ranks that are 1 and at most 10, and the mean of 1 / rank."""
    return {
        "recall_at_1": float((found == 1).mean()),
        "recall_at_10": float((found <= 10).mean()),
        "mrr": float((1 / found).mean()),
    }
