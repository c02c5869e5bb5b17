"""Log-probabilities of tokens at places of rows that a model reads from both sides: what masked language models say."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from llmkit.modeling.finite import NotFiniteError
from llmkit.modeling.head_loss import target_losses
from llmkit.runtimes import Fill

if TYPE_CHECKING:
    from llmkit.runtimes._in_memory import InMemory


def fills(running: InMemory, requests: Sequence[Fill]) -> list[float]:
    """Return the summed log-probability of the targets of each row at their places, in nats.

    Only rows of one length are computed together, so that nothing is padded; those of one window have it anyway.

    Raises:
        NotFiniteError: One is not finite.
    """
    found: dict[int, float] = {}
    alike: dict[int, list[int]] = defaultdict(list)
    for number, one in enumerate(requests):
        alike[len(one.ids)].append(number)
    for numbers in alike.values():
        found |= zip(numbers, _filled(running, [requests[number] for number in numbers]), strict=True)
    for value in found.values():
        if not math.isfinite(value):
            raise NotFiniteError(f"the model in '{running.where}' gives a text the log-likelihood {value}")
    return [found[number] for number in range(len(requests))]


def _filled(running: InMemory, requests: Sequence[Fill]) -> list[float]:
    ids = torch.tensor([one.ids for one in requests])
    labels = torch.full_like(ids, -100)
    for row, one in zip(labels, requests, strict=True):
        row[list(one.places)] = torch.tensor(one.target)
    ids, labels = ids.to(running.model.device), labels.to(running.model.device)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    losses, _, _ = target_losses(running.model, inputs, labels, gather=True)
    rows, _ = (labels >= 0).nonzero(as_tuple=True)
    total = torch.zeros(len(requests), dtype=torch.double, device=losses.device)
    found: list[float] = (-total.index_add_(0, rows, losses.double())).tolist()
    return found
