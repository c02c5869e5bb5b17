"""Log-probabilities of given tokens by a causal model: the output layer runs where there is a target, nowhere else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F  # noqa: N812 - the name everybody knows it by

from llmkit.modeling.finite import NotFiniteError
from llmkit.modeling.losses import uses_plain_head
from llmkit.runtimes import Score
from llmkit.runtimes._prefixes import hidden_behind, shared_prefixes

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from llmkit.runtimes.transformers import InMemory

ALL_LOGITS = 2**27
"""Logits held at a time at most where all are computed, 512 MB in float32."""
CHUNK_LOGITS = 2**22
"""The same where only those of targets are: 16 MB stay in a cache, and are not taken anew from the system each time."""
LEAST_SAVED = 0.2
"""Share of a batch's tokens that prefixes must save for a second pass to pay."""


def scores(running: InMemory, requests: Sequence[Score]) -> list[float]:
    """Return the summed log-probability of each target behind its context, in nats.

    Raises:
        NotFiniteError: One is not finite.
    """
    if running.alone(Score) and len(requests) > 1:
        return [value for request in requests for value in scores(running, [request])]
    found = _shared(running, requests)
    rest = [number for number in range(len(requests)) if number not in found]
    if rest:
        found |= dict(zip(rest, _scored(running.model, [requests[number] for number in rest]), strict=True))
    for value in found.values():
        if not math.isfinite(value) and not running.trained:
            raise NotFiniteError(f"the model in '{running.where}' gives a text the log-likelihood {value}")
    return [found[number] for number in range(len(requests))]


def _shared(running: InMemory, requests: Sequence[Score]) -> dict[int, float]:
    """Return the scores of the rows that share prefixes, by their number; none if sharing saves too little."""
    # The last id of a context is the first that a logit is needed for.
    prefixes = shared_prefixes([one.context[:-1] for one in requests])
    saved = sum(prefix.length * (len(prefix.members) - 1) for prefix in prefixes)
    if saved < LEAST_SAVED * sum(map(running.tokens, requests)) or not saved or not running.shares_prefixes:
        return {}
    rows = [(*one.context, *one.target[:-1]) for one in requests]
    hidden, members = hidden_behind(running.model, prefixes, rows)
    starts = [len(requests[n].context) - 1 - prefix.length for prefix in prefixes for n in prefix.members]
    labels = _labels([requests[number] for number in members], starts, hidden.shape[1]).to(hidden.device)
    return dict(zip(members, _summed(running.model, hidden, labels), strict=True))


def _scored(model: PreTrainedModel, requests: Sequence[Score]) -> list[float]:
    width = max(len(one.context) + len(one.target) for one in requests) - 1
    ids = torch.zeros((len(requests), width), dtype=torch.long)
    for i, one in enumerate(requests):
        # Padding stands on the right, where causal attention never looks: no mask is needed.
        row = (*one.context, *one.target[:-1])
        ids[i, : len(row)] = torch.tensor(row)
    labels = _labels(requests, [len(one.context) - 1 for one in requests], width)
    ids, labels = ids.to(model.device), labels.to(model.device)
    if uses_plain_head(model):
        return _summed(model, model.get_decoder()(input_ids=ids, use_cache=False).last_hidden_state, labels)
    size = max(1, ALL_LOGITS // (width * model.config.get_text_config().vocab_size))
    return [
        value
        for start in range(0, len(ids), size)
        for value in _by_all_logits(model, ids[start : start + size], labels[start : start + size])
    ]


def _labels(requests: Sequence[Score], starts: Sequence[int], width: int) -> torch.Tensor:
    """Return `[rows, width]` the target at each position, or -100."""
    labels = torch.full((len(requests), width), -100)
    for row, one, start in zip(labels, requests, starts, strict=True):
        row[start : start + len(one.target)] = torch.tensor(one.target, dtype=torch.long)
    return labels


def _summed(model: PreTrainedModel, hidden: torch.Tensor, labels: torch.Tensor) -> list[float]:
    """Return the log-probability of each row's targets, by the output layer at their positions alone."""
    rows, places = (labels >= 0).nonzero(as_tuple=True)
    picked, targets, head = hidden[rows, places], labels[rows, places], model.get_output_embeddings()
    size = max(1, CHUNK_LOGITS // head.out_features)
    total = torch.zeros(len(labels), dtype=torch.double, device=labels.device)
    for start in range(0, len(targets), size):
        part = slice(start, start + size)
        losses = F.cross_entropy(head(picked[part]).float(), targets[part], reduction="none")
        total.index_add_(0, rows[part], losses.double())
    return (-total).tolist()


def _by_all_logits(model: PreTrainedModel, ids: torch.Tensor, labels: torch.Tensor) -> list[float]:
    """Return the same of a model that does more with its logits: caps or scales them."""
    logits = model(input_ids=ids, use_cache=False).logits.float()
    losses = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none", ignore_index=-100)
    return (-losses.view_as(labels).double().sum(1)).tolist()
