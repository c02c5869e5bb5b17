"""What embeddings are measured by: whether a text is found among all held-out ones, and whether scores are met."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from llmkit.metrics._regression import regression_scores
from llmkit.metrics._retrieval import ranks, retrieval_scores
from llmkit.objectives.rows._report import WORST, worst

if TYPE_CHECKING:
    from llmkit.core.page import Page
    from llmkit.objectives import Tensors


class Pair(NamedTuple):
    """What the model makes of a row.

    Attributes:
        query: The vector, `[dimensions]`.
        positive: That of the text that belongs to it.
        keys: Of both texts; equal texts share one.
    """

    query: NDArray[np.float32]
    positive: NDArray[np.float32]
    keys: tuple[int, int]


class Scored(NamedTuple):
    """A pair with a score: that, and the cosines of the whole vectors and of shorter ones."""

    score: float
    cosines: tuple[float, ...]


def answers_of(outputs: Tensors, dimensions: Sequence[int]) -> list[Any]:
    """Return what is to be known of each row."""
    import torch

    left, right = outputs["query"].float(), outputs["positive"].float()
    if "score" in outputs:
        sizes = (None, *dimensions)
        cosines = [torch.cosine_similarity(left[:, :size], right[:, :size], dim=1).tolist() for size in sizes]
        rows = zip(outputs["score"].tolist(), zip(*cosines, strict=True), strict=True)
        return [Scored(score, found) for score, found in rows]
    keys = zip(outputs["query_key"].tolist(), outputs["positive_key"].tolist(), strict=True)
    vectors = zip(left.cpu().numpy(), right.cpu().numpy(), strict=True)
    return [Pair(query, positive, key) for (query, positive), key in zip(vectors, keys, strict=True)]


def measures_of(answers: Sequence[Any], dimensions: Sequence[int]) -> dict[str, float]:
    """Return the measures of whole vectors, and the first of them of shorter ones."""
    found: dict[str, float] = {}
    for place, size in enumerate((None, *dimensions)):
        if isinstance(answers[0], Scored):
            every = regression_scores([row.score for row in answers], [row.cosines[place] for row in answers])
            scores = {name: every[name] for name in ("spearman", "pearson")}
        else:
            scores = retrieval_scores(_searched(answers, size)[0])
        first = dict(list(scores.items())[:1])
        found |= scores if size is None else {f"{name}_dimensions_{size}": value for name, value in first.items()}
    return found


def describe(answers: Sequence[Any], page: Page, max_score: float) -> list[tuple[int, str]]:
    """Pick the rows that are worst, each with why; after a query the row whose text was taken for its own."""
    if isinstance(answers[0], Scored):
        page.heading("Pairs whose cosine is farthest from their score")
        score = np.array([row.score for row in answers])
        cosine = np.array([row.cosines[0] for row in answers])
        errors = np.abs(cosine - score / max_score)
        return [(row, f"score {score[row]:.4g}, cosine {cosine[row]:.4g}") for row in worst(errors, errors > 0)]
    page.heading("Wrong neighbours")
    found, nearest, cosines = _searched(answers, None)
    wrong = found > 1
    page.text(f"{int(wrong.sum()):,} of {len(found):,} queries have another text nearer than their own.")
    behind = cosines[:, 1] - cosines[:, 0]
    shown: list[tuple[int, str]] = []
    for row in worst(behind, wrong)[: WORST // 2]:
        shown.append((row, f"its own text is number {found[row]:,}, with the cosine {cosines[row, 0]:.3f}"))
        shown.append((int(nearest[row]), f"this row's text was taken for it, with {cosines[row, 1]:.3f}"))
    return shown


def _searched(
    answers: Sequence[Pair], size: int | None
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Search all different texts for each query's own.

    Returns:
        The ranks of the own texts; the rows whose texts are the nearest others; and the cosines of both, `[rows, 2]`.
    """
    queries = _unit(np.stack([row.query for row in answers])[:, :size])
    every = _unit(np.stack([row.positive for row in answers])[:, :size])
    first: dict[int, int] = {}  # of each text, the row it is first in
    places: dict[int, int] = {}
    belongs: dict[int, list[int]] = {}
    for row, answer in enumerate(answers):
        if answer.keys[1] not in first:
            first[answer.keys[1]] = row
            places[answer.keys[1]] = len(places)
        belongs.setdefault(answer.keys[0], []).append(places[answer.keys[1]])
    rows = np.array(list(first.values()))
    own = np.array([places[answer.keys[1]] for answer in answers])
    known = {row: belongs[answer.keys[0]] for row, answer in enumerate(answers) if len(belongs[answer.keys[0]]) > 1}
    found, nearest = ranks(queries, every[rows], own, known)
    others = rows[nearest]
    cosines = np.stack([(queries * every[rows[own]]).sum(1), (queries * every[others]).sum(1)], 1)
    return found, others, cosines.astype(np.float64)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return unit
