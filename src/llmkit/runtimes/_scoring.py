"""Log-probabilities of given tokens by a causal model: the output layer runs where there is a target, nowhere else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F  # noqa: N812 - the name everybody knows it by

from llmkit.modeling.finite import NotFiniteError
from llmkit.modeling.losses import uses_plain_head

if TYPE_CHECKING:
    from llmkit.runtimes import Score
    from llmkit.runtimes.transformers import InMemory

MOST = 2**27
"""Logits held at a time at most, 512 MB in float32."""


def scores(running: InMemory, requests: Sequence[Score]) -> list[float]:
    """Return the summed log-probability of each target behind its context, in nats.

    Raises:
        NotFiniteError: One is not finite.
    """
    from llmkit.runtimes import Score

    if running.alone(Score) and len(requests) > 1:
        return [value for request in requests for value in scores(running, [request])]
    found = _scored(running, requests)
    for value in found:
        if not math.isfinite(value) and not running.trained:
            raise NotFiniteError(f"the model in '{running.where}' gives a text the log-likelihood {value}")
    return found


def _scored(running: InMemory, requests: Sequence[Score]) -> list[float]:
    width = max(len(one.context) + len(one.target) for one in requests) - 1
    ids = torch.zeros((len(requests), width), dtype=torch.long)
    labels = torch.full((len(requests), width), -100)
    for i, one in enumerate(requests):
        # Padding stands on the right, where causal attention never looks: no mask is needed.
        row = [*one.context, *one.target]
        ids[i, : len(row) - 1] = torch.tensor(row[:-1])
        labels[i, len(one.context) - 1 : len(row) - 1] = torch.tensor(one.target, dtype=torch.long)
    device, model = running.model.device, running.model
    ids, labels = ids.to(device), labels.to(device)
    if not uses_plain_head(model):
        size = max(1, MOST // (width * model.config.get_text_config().vocab_size))
        losses = torch.cat(
            [_all_logits(model, ids[i : i + size], labels[i : i + size]) for i in range(0, len(ids), size)]
        )
        return (-losses.double().sum(1)).tolist()
    hidden = model.get_decoder()(input_ids=ids, use_cache=False).last_hidden_state
    rows, places = (labels >= 0).nonzero(as_tuple=True)
    picked, targets, head = hidden[rows, places], labels[rows, places], model.get_output_embeddings()
    size = max(1, 2**22 // head.out_features)
    total = torch.zeros(len(requests), dtype=torch.double, device=device)
    for start in range(0, len(targets), size):
        part = slice(start, start + size)
        losses = F.cross_entropy(head(picked[part]).float(), targets[part], reduction="none")
        total.index_add_(0, rows[part], losses.double())
    return (-total).tolist()


def _all_logits(model: torch.nn.Module, ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    logits = model(input_ids=ids, use_cache=False).logits.float()
    losses = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none", ignore_index=-100)
    return losses.view_as(labels)
