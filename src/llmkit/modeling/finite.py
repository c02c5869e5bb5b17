"""Tell whether the weights of a model are numbers: one that is NaN makes everything the model says NaN."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from llmkit.core.errors import DataError

if TYPE_CHECKING:
    import torch


class NotFiniteError(DataError):
    """What a model computes is no finite number.

    A fault of a model that is read (exit code 3): nothing is trained that could diverge (6), and no check was asked for
    that could fail (7).
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        own = (
            "its weights are finite, but what it computes is not: do the fields of its config.json fit the weights?"
            " did its training diverge?"
        )
        super().__init__(message, hint or own)


def check_finite(model: torch.nn.Module, where: str | Path) -> None:
    """Make sure that every weight is a finite number: one pass over their memory, without a copy of any.

    Buffers may hold infinity: masks do.

    Args:
        model: The model.
        where: The directory that it was loaded from.

    Raises:
        DataError: Some are not; the message has their number and the first.
    """
    broken = not_finite_weights(model)
    if broken:
        raise DataError(
            f"the model in '{where}' holds NaN or infinity in {len(broken)} of its"
            f" {sum(1 for _ in model.parameters())} weight tensors, first in {broken[0]}",
            "its training diverged or its file is damaged: use an earlier checkpoint, or get the file anew",
        )


def not_finite_weights(model: torch.nn.Module) -> list[str]:
    """Return the names of the weights that hold NaN or infinity."""
    return [name for name, weight in model.named_parameters() if not _is_finite(weight)]


def _is_finite(weight: torch.Tensor) -> bool:
    import torch

    if weight.is_meta or not weight.is_floating_point() or not weight.numel():
        return True
    # `isfinite` would make two copies; the extremes pass NaN on and take none.
    least, most = weight.detach().aminmax()
    return bool(torch.isfinite(least) & torch.isfinite(most))
