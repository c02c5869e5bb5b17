"""Log-probabilities of given tokens by a causal model: the output layer runs where there is a target, nowhere else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F  # noqa: N812 - the name everybody knows it by

from llmkit.modeling.finite import NotFiniteError
from llmkit.modeling.losses import uses_plain_head
from llmkit.runtimes import Score, ScoreParts
from llmkit.runtimes._prefixes import hidden_behind, shared_prefixes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
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
    return [parts[0] for parts in _found(running, requests)]


def score_parts(running: InMemory, requests: Sequence[ScoreParts]) -> list[NDArray[np.float64]]:
    """Return the same of each part of a target, float64 `[parts]`."""
    import numpy as np

    return [np.array(parts) for parts in _found(running, requests)]


def _found(running: InMemory, requests: Sequence[Score]) -> list[list[float]]:
    if running.alone(Score) and len(requests) > 1:
        return [parts for request in requests for parts in _found(running, [request])]
    found = _shared(running, requests)
    rest = [number for number in range(len(requests)) if number not in found]
    if rest:
        found |= dict(zip(rest, _scored(running.model, [requests[number] for number in rest]), strict=True))
    for value in map(sum, found.values()):
        if not math.isfinite(value) and not running.trained:
            raise NotFiniteError(f"the model in '{running.where}' gives a text the log-likelihood {value}")
    return [found[number] for number in range(len(requests))]


def _parts(request: Score) -> Sequence[int]:
    """Return the tokens of each part of a target; it is whole where nobody asks for parts."""
    return request.parts if isinstance(request, ScoreParts) else (len(request.target),)


def _shared(running: InMemory, requests: Sequence[Score]) -> dict[int, list[float]]:
    """Return the scores of the rows that share prefixes, by their number; none if sharing saves too little."""
    # The last id of a context is the first that a logit is needed for.
    prefixes = shared_prefixes([one.context[:-1] for one in requests])
    saved = sum(prefix.length * (len(prefix.members) - 1) for prefix in prefixes)
    if saved < LEAST_SAVED * sum(map(running.tokens, requests)) or not saved or not running.shares_prefixes:
        return {}
    rows = [(*one.context, *one.target[:-1]) for one in requests]
    hidden, members = hidden_behind(running.model, prefixes, rows)
    starts = [len(requests[n].context) - 1 - prefix.length for prefix in prefixes for n in prefix.members]
    asked = [requests[number] for number in members]
    return dict(zip(members, _summed(running.model, hidden, asked, starts), strict=True))


def _scored(model: PreTrainedModel, requests: Sequence[Score]) -> list[list[float]]:
    width = max(len(one.context) + len(one.target) for one in requests) - 1
    ids = torch.zeros((len(requests), width), dtype=torch.long)
    for i, one in enumerate(requests):
        # Padding stands on the right, where causal attention never looks: no mask is needed.
        row = (*one.context, *one.target[:-1])
        ids[i, : len(row)] = torch.tensor(row)
    ids, starts = ids.to(model.device), [len(one.context) - 1 for one in requests]
    if uses_plain_head(model):
        hidden = model.get_decoder()(input_ids=ids, use_cache=False).last_hidden_state
        return _summed(model, hidden, requests, starts)
    size = max(1, ALL_LOGITS // (width * model.config.get_text_config().vocab_size))
    return [
        value
        for start in range(0, len(ids), size)
        for value in _by_all_logits(
            model, ids[start : start + size], requests[start : start + size], starts[start : start + size]
        )
    ]


def _labels(requests: Sequence[Score], starts: Sequence[int], width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return, both `[rows, width]`, the target at each position, or -100, and which part of all parts it belongs to."""
    labels, owners = torch.full((len(requests), width), -100), torch.zeros((len(requests), width), dtype=torch.long)
    first = 0
    for row, one, start in zip(range(len(requests)), requests, starts, strict=True):
        place, parts = slice(start, start + len(one.target)), _parts(one)
        labels[row, place] = torch.tensor(one.target, dtype=torch.long)
        owners[row, place] = torch.arange(first, first + len(parts)).repeat_interleave(torch.tensor(parts))
        first += len(parts)
    return labels, owners


def _summed(
    model: PreTrainedModel, hidden: torch.Tensor, requests: Sequence[Score], starts: Sequence[int]
) -> list[list[float]]:
    """Return the log-probability of the parts of each row's target, by the output layer at their positions alone."""
    labels, owners = (one.to(hidden.device) for one in _labels(requests, starts, hidden.shape[1]))
    rows, places = (labels >= 0).nonzero(as_tuple=True)
    picked, targets, owner = hidden[rows, places], labels[rows, places], owners[rows, places]
    head = model.get_output_embeddings()
    size = max(1, CHUNK_LOGITS // head.out_features)
    total = torch.zeros(sum(len(_parts(one)) for one in requests), dtype=torch.double, device=labels.device)
    for start in range(0, len(targets), size):
        part = slice(start, start + size)
        losses = F.cross_entropy(head(picked[part]).float(), targets[part], reduction="none")
        total.index_add_(0, owner[part], losses.double())
    return _by_request(-total, requests)


def _by_all_logits(
    model: PreTrainedModel, ids: torch.Tensor, requests: Sequence[Score], starts: Sequence[int]
) -> list[list[float]]:
    """Return the same of a model that does more with its logits: caps or scales them."""
    labels, owners = (one.to(ids.device) for one in _labels(requests, starts, ids.shape[1]))
    logits = model(input_ids=ids, use_cache=False).logits.float()
    losses = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none", ignore_index=-100)
    total = torch.zeros(sum(len(_parts(one)) for one in requests), dtype=torch.double, device=ids.device)
    total.index_add_(0, owners.flatten(), losses.double())  # 0 where there is no target
    return _by_request(-total, requests)


def _by_request(values: torch.Tensor, requests: Sequence[Score]) -> list[list[float]]:
    return [part.tolist() for part in torch.split(values, [len(_parts(one)) for one in requests])]
