"""The texts of some rows, whatever side they are of, in stacks of like length: next to nothing of them is padding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from llmkit.data.feeds import Feed
from llmkit.data.packing.packer import cumulative, ranges

if TYPE_CHECKING:
    import torch

    from llmkit.data.packing import Batch

IDS, MASK, ORDER = "stack_{}_ids", "stack_{}_mask", "order"
LEAST_TOKENS = 1024
"""Tokens of a stack: fewer are not multiplied any faster, and more have more padding."""


class TextFeed(Feed):
    """A feed of rows whose texts are stacked by length: a forward pass is measured by their tokens."""

    def micro_blocks(self, batch: Batch, tokens: int) -> int:
        """Return how many rows one forward pass of about so many tokens takes."""
        return max(1, int(tokens // max(float(batch.num_tokens.mean()), 1.0)))


def stacked(flat: NDArray[np.int64], lengths: NDArray[np.int64], pad: int) -> dict[str, torch.Tensor]:
    """Return texts in stacks, the longest first, and where each lies.

    Args:
        flat: Ids of all texts, one after another.
        lengths: `[texts]`, at least 1.
        pad: What fills up a stack.

    Returns:
        Ids of each stack, `[texts, time]`; masks of those that have padding; and `order`, `[texts]`, the place of each
        text among those of all stacks.
    """
    import torch

    starts = cumulative(lengths)[:-1]
    longest_first = np.argsort(-lengths, kind="stable")
    found: dict[str, torch.Tensor] = {}
    for number, chosen in enumerate(_cut(longest_first, lengths[longest_first])):
        sizes = lengths[chosen]
        mask = np.arange(sizes[0]) < sizes[:, None]
        ids = np.full(mask.shape, pad, np.int64)
        ids[mask] = flat[ranges(starts[chosen], sizes)]
        found[IDS.format(number)] = torch.from_numpy(ids)
        if not mask.all():
            found[MASK.format(number)] = torch.from_numpy(mask.astype(np.int64))
    order = np.empty_like(longest_first)
    order[longest_first] = np.arange(len(order))
    return {**found, ORDER: torch.from_numpy(order)}


def _cut(order: NDArray[np.int64], sizes: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Cut texts, the longest first, where one is shorter than those before and enough are together."""
    cuts, first = [], 0
    for place in range(1, len(order)):
        if sizes[place] < sizes[place - 1] and (place - first) * sizes[first] >= LEAST_TOKENS:
            cuts.append(place)
            first = place
    return np.split(order, cuts)


def stacks(batch: Any) -> list[tuple[torch.Tensor, torch.Tensor | None]]:
    """Return the ids and masks of the stacks in a batch's tensors."""
    numbers = range(sum(name.startswith(IDS[:6]) and name.endswith(IDS[-4:]) for name in batch))
    return [(batch[IDS.format(number)], batch.get(MASK.format(number))) for number in numbers]
