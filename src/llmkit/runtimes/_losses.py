"""Losses of an objective of training on blocks, each block's by itself, and how many of its targets are hit."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch

from llmkit.modeling.companions import Models
from llmkit.modeling.finite import NotFiniteError
from llmkit.runtimes import Losses, LossesFound

if TYPE_CHECKING:
    from llmkit.modeling.head_loss import Judged
    from llmkit.runtimes._in_memory import InMemory
    from llmkit.runtimes._requests import Judge

Tensors = Mapping[str, torch.Tensor]
ALIKE = 1e-3
"""As a share: targets one by one add up to the loss but for rounding, or they are those of another one."""


def losses(running: InMemory, requests: Sequence[Losses]) -> list[LossesFound]:
    """Return the losses of blocks; those of one shape and objective are computed together.

    Raises:
        NotFiniteError: One is not finite.
    """
    found: dict[int, LossesFound] = {}
    alike: dict[object, list[int]] = defaultdict(list)
    for number, one in enumerate(requests):
        shapes = tuple((name, value.shape) for name, value in one.inputs.items())
        alike[_name(one.judge), tuple(one.targets), shapes].append(number)
    for numbers in alike.values():
        found |= zip(numbers, _together(running, [requests[number] for number in numbers]), strict=True)
    for sums in found.values():
        for name, nats in zip(sums.parts, sums.nats, strict=True):
            if not math.isfinite(nats):
                raise NotFiniteError(f"the model in '{running.where}' gives a block the loss {nats} ({name})")
    return [found[number] for number in range(len(requests))]


def _together(running: InMemory, requests: Sequence[Losses]) -> list[LossesFound]:
    judge, models = requests[0].judge, Models(running.model)
    assert judge is not None
    batches = [_batch([one], running.model.device) for one in requests]
    if not _judges(running, judge, models, batches[0]):
        return [_whole(judge, models, batch, one) for batch, one in zip(batches, requests, strict=True)]
    parts = judge.judge(models, _batch(requests, running.model.device))
    sums = {name: _by_row(part, len(requests)) for name, part in parts.items()}
    weights = tuple(part.weight for part in parts.values())
    return [
        LossesFound(
            tuple(parts),
            tuple(nats[row] for nats, _ in sums.values()),
            tuple(None if hits is None else hits[row] for _, hits in sums.values()),
            weights,
        )
        for row in range(len(requests))
    ]


def _judges(running: InMemory, judge: Judge, models: Models, batch: Tensors) -> bool:
    """Tell whether the targets one by one add up to the loss, found out on the first block that is asked about.

    An objective of the user's own may have another loss than that of the class that it derives from.
    """
    known, name = running.judges, _name(judge)
    if name not in known:
        try:
            parts = judge.judge(models, batch)
        except NotImplementedError:
            known[name] = False
        else:
            added = {name: (float(part.losses.double().sum()), part.weight) for name, part in parts.items()}
            whole = {name: (float(total), weight) for name, (total, weight) in judge.loss(models, batch).items()}
            one, other = (sum(nats * weight for nats, weight in loss.values()) for loss in (added, whole))
            known[name] = math.isclose(one, other, rel_tol=ALIKE)
    return known[name]


def _name(judge: Judge | None) -> str:
    return "" if judge is None else str(judge.spec(mode="json", identity=True))


def _batch(requests: Sequence[Losses], device: torch.device) -> dict[str, torch.Tensor]:
    return {
        name: torch.stack([torch.as_tensor(one.inputs[name]) for one in requests]).to(device)
        for name in requests[0].inputs
    }


def _by_row(part: Judged, count: int) -> tuple[list[float], list[int] | None]:
    rows = part.rows
    nats = torch.zeros(count, dtype=torch.double, device=rows.device).index_add_(0, rows, part.losses.double())
    if part.hits is None:
        return nats.tolist(), None
    return nats.tolist(), torch.zeros(count, dtype=torch.long, device=rows.device).index_add_(
        0, rows, part.hits.long()
    ).tolist()


def _whole(judge: Judge, models: Models, batch: Tensors, request: Losses) -> LossesFound:
    """Return the loss of a block whose targets cannot be told apart."""
    found = judge.loss(models, batch)
    names = tuple(name for name in found if name in request.targets)
    return LossesFound(
        names,
        tuple(float(found[name][0].double()) for name in names),
        (None,) * len(names),
        tuple(float(found[name][1]) for name in names),
    )
