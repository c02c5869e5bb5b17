"""Contexts that begin alike, as those of one question's choices or one system prompt: computed once, then copied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llmkit.core.machine import raise_limit

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel

    from llmkit.runtimes import Ids

LEAST = 32
"""Tokens in common that are worth a second pass."""
MAX_DIFFERENCE = 1e-4
"""As a share of the hidden states: what sums in another order round is 1e-6."""


@dataclass(frozen=True)
class Prefix:
    """Rows that begin alike.

    Attributes:
        length: Ids in common.
        members: Numbers of the rows, two at least, sorted by their ids.
    """

    length: int
    members: tuple[int, ...]


def shared_prefixes(rows: Sequence[Ids], *, least: int = LEAST) -> list[Prefix]:
    """Group rows by what they have in common at their beginning; rows that share too little are in no group."""
    order = sorted(range(len(rows)), key=lambda i: rows[i])
    found: list[Prefix] = []
    members: list[int] = []
    length = 0
    for number in order:
        if members:
            common = _common(rows[members[-1]], rows[number], length)
            # One more member is worth it as long as what the others lose of their prefix is less than what it saves.
            if common >= least and common * len(members) >= length * (len(members) - 1):
                members.append(number)
                length = common
                continue
        if len(members) > 1:
            found.append(Prefix(length, tuple(members)))
        members, length = [number], len(rows[number])
    if len(members) > 1:
        found.append(Prefix(length, tuple(members)))
    return found


def _common(one: Ids, other: Ids, most: int) -> int:
    """Return how many ids two rows have in common, `most` at most."""
    low, high = 0, min(len(one), len(other), most)
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def cache_of(output: Any) -> tuple[str, Any]:
    """Return the keys and values that a model hands on, and by which name it takes them; "" where it has none."""
    for name in ("cache", "past_key_values"):  # its name has changed in transformers 5
        if output.get(name) is not None:
            return name, output[name]
    return "", None


def hidden_behind(
    model: PreTrainedModel, prefixes: Sequence[Prefix], rows: Sequence[Sequence[int]]
) -> tuple[torch.Tensor, list[int]]:
    """Run the body over rows, each prefix once.

    Args:
        model: A causal model.
        prefixes: Of `rows`; every member is longer than its prefix.
        rows: The ids.

    Returns:
        Hidden states `[members, time, hidden]` of what comes behind the prefixes, padded on the right, and the rows'
        numbers in that order.
    """
    import torch

    members = [number for prefix in prefixes for number in prefix.members]
    lengths = [prefix.length for prefix in prefixes for _ in prefix.members]
    firsts = [rows[prefix.members[0]][: prefix.length] for prefix in prefixes]
    body, device = model.get_decoder(), model.device
    first = body(input_ids=_padded(firsts, device), use_cache=True)
    name, cache = cache_of(first)
    owners = [number for number, prefix in enumerate(prefixes) for _ in prefix.members]
    cache.batch_select_indices(torch.tensor(owners, device=device))
    ids = _padded([rows[number][length:] for number, length in zip(members, lengths, strict=True)], device)
    behind, widest = torch.tensor(lengths, device=device)[:, None], max(lengths)
    # What pads a shorter prefix lies between it and what follows: hidden by the mask, and skipped by the positions.
    mask = torch.arange(widest, device=device)[None] < behind
    mask = torch.cat([mask, mask.new_ones(ids.shape)], 1).long()
    places = behind + torch.arange(ids.shape[1], device=device)[None]
    output = body(input_ids=ids, attention_mask=mask, position_ids=places, use_cache=True, **{name: cache})
    return output.last_hidden_state, members


def shares_alike(model: PreTrainedModel, max_length: int) -> bool:
    """Tell whether hidden states behind a shared prefix are what they are without sharing; measured on the model.

    What short rows would not show is not measured but refused: caches that keep less than all keys and values, windows
    that a model applies to all of them itself, and rotations that change with the longest row.
    """
    import torch
    from transformers.cache_utils import DynamicLayer

    if max_length < 8 or _changes_with_length(model.config.get_text_config(decoder=True), max_length):
        return False
    generator = torch.Generator().manual_seed(0)
    size = model.get_input_embeddings().weight.shape[0]  # new rows may be wrapped: they have no num_embeddings
    one, two = (torch.randint(size, (length,), generator=generator).tolist() for length in (3, 5))
    rows = [[*one, 1 % size], [*one, 2 % size, 0, 1 % size], [*two, 3 % size, 0], [*two, 0]]
    body = model.get_decoder()
    try:
        _, cache = cache_of(body(input_ids=_padded(rows[:1], model.device), use_cache=True))
        if cache is None or any(type(layer) is not DynamicLayer for layer in cache.layers):
            return False
        hidden, members = hidden_behind(model, [Prefix(3, (0, 1)), Prefix(5, (2, 3))], rows)
        for states, number in zip(hidden, members, strict=True):
            alone = body(input_ids=_padded([rows[number]], model.device), use_cache=False).last_hidden_state[0]
            alone = alone[3 if number < 2 else 5 :]
            if not bool((states[: len(alone)] - alone).abs().max() <= MAX_DIFFERENCE * alone.abs().max()):
                return False
    except (AttributeError, IndexError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        raise_limit(error)
        return False  # a body that takes no positions, or no cache
    return True


def _changes_with_length(config: PreTrainedConfig, max_length: int) -> bool:
    """Tell whether a long row is computed otherwise than a short one.

    GPT-Neo counts its window in places of the cache, padding included; Phi-3 turns all keys of a row by other angles
    once the row is longer than in its first training, and those of a prefix have been turned before.
    """
    for name, value in vars(config).items():
        if name.endswith(("window", "window_size")) and type(value) is int and value < max_length:
            return True
    rope = getattr(config, "rope_parameters", None) or {}
    kinds = [each.get("rope_type") for each in (rope, *rope.values()) if isinstance(each, dict)]
    return any(kind in ("dynamic", "longrope") for kind in kinds)


def _padded(rows: Sequence[Sequence[int]], device: torch.device) -> torch.Tensor:
    import torch

    width = max(map(len, rows))
    return torch.tensor([[*row, *[0] * (width - len(row))] for row in rows], device=device)
