"""Which tokens may be drawn, and how likely: one definition for all runtimes that draw here.

The order is that of transformers: temperature, `top_k`, `top_p` of what that leaves (Holtzman et al. 2020, "The Curious
Case of Neural Text Degeneration"), `min_p` (Nguyen et al. 2024, "Turning Up the Heat").
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from llmkit.runtimes import Generate


def leaves_out(request: Generate) -> bool:
    """Tell whether a request rules tokens out before it draws."""
    return bool(request.top_k or request.top_p < 1 or request.min_p)


def chances(logits: NDArray[np.float32], request: Generate) -> NDArray[np.float64]:
    """Return the chance of each token `[vocabulary]`; they add up to 1.

    Args:
        logits: `[vocabulary]`, one of them finite at least.
        request: Whose temperature is above 0.
    """
    scaled = logits.astype(np.float64) / request.temperature
    if 0 < request.top_k < scaled.size:
        scaled[scaled < np.partition(scaled, -request.top_k)[-request.top_k]] = -np.inf
    found: NDArray[np.float64] = np.exp(scaled - scaled.max())
    found /= found.sum()
    if request.top_p < 1:
        order = np.argsort(-found, kind="stable")
        likelier = np.cumsum(found[order]) - found[order]  # 0 of the first, which stays whatever `top_p` is
        found[order[likelier >= request.top_p]] = 0.0
    if request.min_p:
        found[found < request.min_p * found.max()] = 0.0
    found /= found.sum()
    return found
