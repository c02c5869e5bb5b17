"""Measures of predicted numbers, as scikit-learn and SciPy define them, and 0 where those have no answer."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def regression_scores(truth: ArrayLike, prediction: ArrayLike) -> dict[str, float]:
    """Return `mse`, `mae`, `r2`, `pearson` and `spearman`.

    Where all true values are the same, `r2` is 1 if the predictions are exact, else 0. Correlations of what is always
    the same are 0: such predictions tell nothing.

    Args:
        truth: `[rows]` numbers.
        prediction: `[rows]` numbers.

    Raises:
        ValueError: There are no rows, or not as many of both.
    """
    true, found = np.asarray(truth, np.float64), np.asarray(prediction, np.float64)
    if true.shape != found.shape or true.ndim != 1 or not true.size:
        raise ValueError(f"expected as many numbers of both, got {true.shape} and {found.shape}")
    errors = found - true
    return {
        "mse": float((errors**2).mean()),
        "mae": float(np.abs(errors).mean()),
        "r2": _explained(true, errors),
        "pearson": _correlation(true, found),
        "spearman": _correlation(_ranks(true), _ranks(found)),
    }


def _explained(true: NDArray[np.float64], errors: NDArray[np.float64]) -> float:
    if np.all(true == true[0]):
        return float(not errors.any())
    return float(1 - (errors**2).sum() / ((true - true.mean()) ** 2).sum())


def _correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    # Compared, since the mean of equal numbers may differ from them in the last digit.
    if np.all(a == a[0]) or np.all(b == b[0]):
        return 0.0
    a, b = a - a.mean(), b - b.mean()
    # Divided one by one: the product of two small norms may be 0.
    return float(np.clip((a / np.linalg.norm(a)) @ (b / np.linalg.norm(b)), -1, 1))


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rank of each value, `[rows]`, from 1; equal values share the mean of theirs."""
    _, places, repeats = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(repeats) - (repeats - 1) / 2)[places]
