"""Losses of vectors: of texts that belong together among all others of a step, and of pairs with a score."""

from __future__ import annotations

import torch
from torch.nn.functional import normalize


def contrastive_loss(
    queries: torch.Tensor,
    positives: torch.Tensor,
    negatives: torch.Tensor,
    known: tuple[torch.Tensor, torch.Tensor],
    temperature: float,
    *,
    symmetric: bool,
) -> torch.Tensor:
    """Return the cross-entropy of each query's own text among those of all rows (van den Oord et al. 2018, InfoNCE).

    Args:
        queries: `[rows, dimensions]`.
        positives: Each query's own text, the same shape.
        negatives: Further texts that all queries are held against, `[texts, dimensions]`.
        known: What is no negative of a query, as the same text as its own is none: `[rows, rows]` among the positives,
            the diagonal left out, and `[rows, texts]`.
        temperature: Cosines are divided by it.
        symmetric: Half of the loss is that of each text's own query among all queries.

    Returns:
        The sum over the rows, in nats.
    """
    queries, positives = normalize(queries, dim=-1), normalize(positives, dim=-1)
    scores = (queries @ positives.T / temperature).masked_fill(known[0], -torch.inf)
    own = scores.diagonal()
    others = (queries @ normalize(negatives, dim=-1).T / temperature).masked_fill(known[1], -torch.inf)
    forward = torch.cat([scores, others], dim=1).logsumexp(1) - own
    if not symmetric:
        return forward.sum()
    return (forward.sum() + (scores.logsumexp(0) - own).sum()) / 2


def known_texts(
    queries: torch.Tensor, positives: torch.Tensor, negatives: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what is no wrong text of a query: copies of its own, and what belongs to the same query in another row.

    Args:
        queries: Keys that equal texts share, `[rows]`.
        positives: Those of each query's own text, `[rows]`.
        negatives: Those of further texts, `[texts]`.

    Returns:
        `[rows, rows]`, the diagonal left out, and `[rows, texts]`.
    """
    asked = (queries[:, None] == queries).float()
    belong, further = (
        asked @ (positives[:, None] == texts).float() > 0  # to any row with the same query
        for texts in (positives, negatives)
    )
    own = torch.eye(len(queries), dtype=torch.bool, device=queries.device)
    return belong & ~own, further


def cosine_loss(left: torch.Tensor, right: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Return the summed squared error of the cosines of pairs, `[rows, dimensions]` each, against `[rows]`."""
    return (torch.cosine_similarity(left, right, dim=-1) - truth).square().sum()


def order_loss(left: torch.Tensor, right: torch.Tensor, truth: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return how far cosines are from the order of the true scores (Huang et al. 2024, "CoSENT").

    log(1 + sum over all (a, b) with truth a < truth b of exp((cosine a - cosine b) / temperature)), times the rows.
    """
    cosines = torch.cosine_similarity(left, right, dim=-1) / temperature
    wrong = cosines[:, None] - cosines[None, :]
    wrong = wrong.masked_fill(truth[:, None] >= truth[None, :], -torch.inf)
    return torch.cat([wrong.new_zeros(1), wrong.flatten()]).logsumexp(0) * len(truth)
