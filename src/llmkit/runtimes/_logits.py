"""All numbers that a model gives for rows of ids, whatever its head."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from llmkit.runtimes import Logits
    from llmkit.runtimes._in_memory import InMemory

MOST = 2**27
"""Logits computed at a time at most, 512 MB in float32: a large vocabulary makes the batches smaller."""


def logits(running: InMemory, requests: Sequence[Logits]) -> list[NDArray[np.float32]]:
    """Return the numbers of each row; only rows of one length are computed together, so that nothing is padded."""
    found: list[Any] = [None] * len(requests)
    alike: dict[tuple[int, int], list[int]] = defaultdict(list)
    for place, request in enumerate(requests):
        alike[len(request.ids), place if request.inputs else -1].append(place)
    width = getattr(running.model.config.get_text_config(), "vocab_size", 1)
    for (length, _), places in alike.items():
        size = max(1, MOST // (length * width))
        for start in range(0, len(places), size):
            part = places[start : start + size]
            rows = numbers(running, [requests[i].ids for i in part], requests[part[0]].inputs)
            for place, row in zip(part, rows, strict=True):
                found[place] = row
    return found


def numbers(running: InMemory, rows: Sequence[Sequence[int]], inputs: Mapping[str, Any]) -> list[NDArray[np.float32]]:
    """Run rows of one length."""
    device = running.model.device
    ids = torch.tensor([list(row) for row in rows], device=device)
    more: dict[str, Any] = {name: torch.as_tensor(value, device=device)[None] for name, value in inputs.items()}
    if running.head.answer == "tokens":
        more |= {"decoder_input_ids": ids} if running.model.config.is_encoder_decoder else {}
        more["use_cache"] = False
    outputs = running.model(input_ids=ids, attention_mask=torch.ones_like(ids), **more)
    tensors = {name: value.float().cpu() for name, value in outputs.items() if torch.is_tensor(value)}
    # Where there are none, as in a body alone, everything that it returns is its answer.
    kept = [value for name, value in tensors.items() if name.endswith("logits")] or list(tensors.values())
    return [joined([value[i].numpy() for value in kept]) for i in range(len(rows))]


def joined(parts: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return one output as it is, several of one shape stacked, others (of two heads) one behind the other."""
    if len(parts) == 1:
        return parts[0]
    if len({part.shape for part in parts}) == 1:
        return np.stack(parts)
    return np.concatenate([part.ravel() for part in parts])
