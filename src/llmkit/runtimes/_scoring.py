"""Log-probabilities of given tokens by a causal model: the output layer runs where there is a target, nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from llmkit.modeling.finite import NotFiniteError
from llmkit.modeling.plain_head import uses_plain_head
from llmkit.runtimes import Score, ScoreParts
from llmkit.runtimes._prefixes import Tree
from llmkit.runtimes._sharing import hidden_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from llmkit.runtimes._in_memory import InMemory

ALL_LOGITS = 2**27
"""Logits held at a time at most where all are computed, 512 MB in float32."""
CHUNK_LOGITS = 2**22
"""The same where only those of targets are: 16 MB stay in a cache, and are not taken anew from the system each time."""
LEAST_SAVED = 0.2
"""Share of a batch's tokens that must be saved for what it costs to tell which token sees which."""


def scores(running: InMemory, requests: Sequence[Score]) -> list[float]:
    """Return the summed log-probability of each target behind its context, in nats.

    Raises:
        NotFiniteError: One is not finite.
    """
    return [float(each) for each in sums(running, requests, [np.zeros(len(one.target), int) for one in requests])]


def score_parts(running: InMemory, requests: Sequence[ScoreParts]) -> list[NDArray[np.float64]]:
    """Return the sums of each part of a target, float64 `[parts]`."""
    parts = [np.repeat(np.arange(len(one.parts)), one.parts) for one in requests]
    return np.split(sums(running, requests, parts), np.cumsum([len(one.parts) for one in requests])[:-1])


def sums(running: InMemory, requests: Sequence[Score], parts: Sequence[NDArray[np.int64]]) -> NDArray[np.float64]:
    """Return sums of the log-probabilities of targets, in nats, one request's behind those of the one before.

    Args:
        running: The model.
        requests: Any number.
        parts: Of each request the part, from 0 on, that each id of its target belongs to: each part has a sum.

    Raises:
        NotFiniteError: One is not finite.
    """
    if running.alone(Score) and len(requests) > 1:
        return np.concatenate([sums(running, [one], [part]) for one, part in zip(requests, parts, strict=True)])
    firsts = np.cumsum([0, *(part[-1] + 1 for part in parts[:-1])])
    bins = np.concatenate([first + part for first, part in zip(firsts, parts, strict=True)])
    found = _shared(running, requests, bins)
    found = _scored(running.model, requests, bins) if found is None else found
    if not running.trained and not np.isfinite(found).all():
        value = found[~np.isfinite(found)][0]
        raise NotFiniteError(f"the model in '{running.where}' gives a text the log-likelihood {value}")
    return found


def _shared(running: InMemory, requests: Sequence[Score], bins: NDArray[np.int64]) -> NDArray[np.float64] | None:
    """Return the sums of rows that share their beginnings; None if sharing saves too little."""
    rows = [(*one.context, *one.target[:-1]) for one in requests]
    if len(rows) < 2 or not running.shares_prefixes:
        return None
    tree = Tree.of(rows)
    if len(tree.ids) > (1 - LEAST_SAVED) * sum(map(len, rows)):
        return None
    # The last id of a context is the first that a logit is needed for.
    root = min(tree.root, min(len(one.context) for one in requests) - 1)
    hidden, begin, _ = hidden_of(running.model, tree, root=root, beginnings=running.beginnings, cached=False)
    wanted = [path[len(one.context) - 1 :] - begin for one, path in zip(requests, tree.paths, strict=True)]
    # Targets that follow the same ids need the same logits.
    places, at = np.unique(np.concatenate(wanted), return_inverse=True)
    return _summed(running.model, hidden[torch.from_numpy(places).to(hidden.device)], _Targets.of(requests, at, bins))


def _scored(model: PreTrainedModel, requests: Sequence[Score], bins: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the sums of rows, padded to the longest."""
    width = max(len(one.context) + len(one.target) for one in requests) - 1
    ids = torch.zeros((len(requests), width), dtype=torch.long)
    for i, one in enumerate(requests):
        # Padding stands on the right, where causal attention never looks: no mask is needed.
        row = (*one.context, *one.target[:-1])
        ids[i, : len(row)] = torch.tensor(row)
    starts = [i * width + len(one.context) - 1 for i, one in enumerate(requests)]
    places = np.concatenate(
        [np.arange(start, start + len(one.target)) for start, one in zip(starts, requests, strict=True)]
    )
    ids = ids.to(model.device)
    if uses_plain_head(model):
        hidden = model.get_decoder()(input_ids=ids, use_cache=False).last_hidden_state.flatten(0, 1)
        targets = _Targets.of(requests, np.arange(len(places)), bins)
        return _summed(model, hidden[torch.from_numpy(places).to(hidden.device)], targets)
    return _by_all_logits(model, ids, _Targets.of(requests, places, bins))


@dataclass(frozen=True)
class _Targets:
    """Ids whose log-probabilities are wanted, sorted by the place whose logits they need.

    Attributes:
        at: `[targets]` int64 places.
        ids: `[targets]` int64.
        bins: `[targets]` int64 number of the sum that each belongs to.
        count: Sums.
    """

    at: NDArray[np.int64]
    ids: NDArray[np.int64]
    bins: NDArray[np.int64]
    count: int

    @classmethod
    def of(cls, requests: Sequence[Score], at: NDArray[np.int64], bins: NDArray[np.int64]) -> _Targets:
        """Return the targets of requests."""
        order = np.argsort(at, kind="stable")
        ids = np.concatenate([np.asarray(one.target, np.int64) for one in requests])
        return cls(at[order], ids[order], bins[order], int(bins[-1]) + 1)

    def add(self, chances: torch.Tensor, start: int, total: torch.Tensor) -> None:
        """Add the log-probabilities of the targets of the places from `start` on to their sums.

        Args:
            chances: `[places, vocabulary]` log-probabilities.
            start: The first place.
            total: `[sums]` float64.
        """
        part = slice(*np.searchsorted(self.at, [start, start + len(chances)]).tolist())
        at, ids, bins = (torch.from_numpy(each[part]).to(total.device) for each in (self.at, self.ids, self.bins))
        total.index_add_(0, bins, chances[at - start, ids].double())


def _summed(model: PreTrainedModel, hidden: torch.Tensor, targets: _Targets) -> NDArray[np.float64]:
    """Return the sums; the output layer runs once for each place.

    Args:
        model: A model whose logits are its output layer's, unchanged.
        hidden: `[places, hidden]`.
        targets: What is wanted.
    """
    head = model.get_output_embeddings()
    size = max(1, CHUNK_LOGITS // head.out_features)
    total = torch.zeros(targets.count, dtype=torch.double, device=hidden.device)
    for start in range(0, len(hidden), size):
        targets.add(head(hidden[start : start + size]).float().log_softmax(-1), start, total)
    return total.cpu().numpy()


def _by_all_logits(model: PreTrainedModel, ids: torch.Tensor, targets: _Targets) -> NDArray[np.float64]:
    """Return the same of a model that does more with its logits: caps or scales them."""
    width, vocabulary = ids.shape[1], model.config.get_text_config().vocab_size
    size, part = max(1, ALL_LOGITS // (width * vocabulary)), max(1, CHUNK_LOGITS // vocabulary)
    total = torch.zeros(targets.count, dtype=torch.double, device=ids.device)
    for start in range(0, len(ids), size):
        logits = model(input_ids=ids[start : start + size], use_cache=False).logits.flatten(0, 1)
        # A long row with a large vocabulary takes gigabytes: there is no second copy of it.
        for place in range(0, len(logits), part):
            chances = logits[place : place + part].float().log_softmax(-1)
            targets.add(chances, start * width + place, total)
    return total.cpu().numpy()
