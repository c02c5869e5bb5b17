"""Measures of retrieval: how often, and how near to the top, the texts that belong to a query are found in a pool.

`ranks` and `retrieval_scores` are of one text a query, as training has them; `places` and `place_scores` of any number,
as trec_eval and BEIR define them (Thakur et al. 2021): nDCG with linear gains over log2(1 + rank), MAP over all ranks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

AT_ONCE = 1024
"""Queries whose scores are in memory at a time."""
SCORES_AT_ONCE = 2**24
"""Scores that are in memory at a time, where the pool may be large."""


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


def places(
    queries: NDArray[np.float32], pool: NDArray[np.float32], relevant: Sequence[Sequence[int]]
) -> list[tuple[list[int], int]]:
    """Return, by query, the ranks of the texts that belong to it, in their order, and the text that comes first.

    A text that does not belong and is just as near comes before: a model to which all texts are the same finds none.

    Args:
        queries: `[queries, dimensions]`, of length one.
        pool: `[texts, dimensions]`, of length one.
        relevant: Texts that belong to each query, one at least.
    """
    found = []
    size = max(1, SCORES_AT_ONCE // max(1, len(pool)))
    for start in range(0, len(queries), size):
        scores = queries[start : start + size] @ pool.T
        for row, own in zip(scores, relevant[start : start + size], strict=True):
            worth = row[[*own]].copy()
            row[[*own]] = -np.inf
            best = int(row.argmax())
            order = np.argsort(-worth, kind="stable")
            ranks = np.empty(len(own), np.int64)
            for place, i in enumerate(order.tolist()):
                ranks[i] = 1 + place + np.count_nonzero(row >= worth[i])
            first = best if ranks.min() > 1 else own[int(order[0])]
            found.append((ranks.tolist(), int(first)))
    return found


def place_scores(ranks: Sequence[int], gains: Sequence[float], depths: Sequence[int]) -> dict[str, float]:
    """Return the scores of one query: `ndcg_at_10`, `mrr_at_10`, `map` and `recall_at_K` of each depth.

    Args:
        ranks: Of the texts that belong to it, from 1.
        gains: How much each belongs, over 0.
        depths: Ranks up to which recall counts.
    """
    order = np.argsort(np.asarray(ranks), kind="stable")
    places, worth = np.asarray(ranks)[order], np.asarray(gains, np.float64)[order]
    inside = places <= 10
    ideal = np.sort(worth)[::-1][:10]
    best = (ideal / np.log2(np.arange(2, len(ideal) + 2))).sum()
    return {
        "ndcg_at_10": float((worth[inside] / np.log2(places[inside] + 1)).sum() / best),
        "mrr_at_10": float(1 / places[0]) if inside[0] else 0.0,
        "map": float((np.arange(1, len(places) + 1) / places).mean()),
        **{f"recall_at_{depth}": float((places <= depth).mean()) for depth in depths},
    }
