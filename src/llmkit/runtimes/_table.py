"""Keys and values of texts that are written side by side: a table of rows for each layer of a model."""

from __future__ import annotations

import math
import mmap
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import CacheLayerMixin


class Table:
    """Which places are taken: the first `count`, by rows of `lengths` tokens."""

    def __init__(self, places: int, device: torch.device) -> None:
        self.count = 0
        self.lengths = torch.zeros(places, dtype=torch.long, device=device)
        self.rows = torch.arange(places, device=device)
        self.longest = 0
        """Of the rows, in tokens."""

    def mask(self, dtype: torch.dtype) -> Tensor:
        """Return `[count, 1, 1, longest + 1]` what each row's next token sees: all before it and itself."""
        lengths = self.lengths[: self.count]
        seen = torch.arange(self.longest + 1, device=lengths.device) <= lengths[:, None]
        return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(~seen, -torch.inf)[:, None, None]

    def measure(self) -> None:
        """Look up the longest row; once a step, since it waits for the device."""
        self.longest = int(self.lengths[: self.count].max()) if self.count else 0


class Layer(CacheLayerMixin):  # type: ignore[misc]
    """Keys and values `[places, heads, capacity, size]` of a layer; each row's begin at 0, and nothing pads them."""

    is_sliding = False

    def __init__(self, table: Table, keys: Tensor, values: Tensor) -> None:
        super().__init__()
        self.table = table
        self.keys, self.values = (one.new_zeros((0, one.shape[1], 0, one.shape[3])) for one in (keys, values))
        self.is_initialized = True

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Do nothing: it is there from the start."""

    def make_room(self, places: int, capacity: int) -> None:
        """Become another size; what is taken stays."""
        count, length = self.table.count, self.table.longest
        for name in ("keys", "values"):
            old = getattr(self, name)
            # What is not there yet is seen by none, but must be a number: nothing times NaN is NaN.
            new = _zeros(old, (places, old.shape[1], capacity, old.shape[3]))
            new[:count, :, :length] = old[:count, :, :length]
            setattr(self, name, new)

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Take in one token of each row, and return what there is."""
        rows, lengths = self.table.rows[: self.table.count], self.table.lengths[: self.table.count]
        self.keys[rows, :, lengths], self.values[rows, :, lengths] = key_states[:, :, 0], value_states[:, :, 0]
        longest = self.table.longest + 1
        return self.keys[: len(rows), :, :longest], self.values[: len(rows), :, :longest]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Return how many keys there are, and the first."""
        return self.get_seq_length() + query_length, 0

    def get_seq_length(self) -> int:
        """Return the tokens of the longest row."""
        return self.table.longest

    def get_max_length(self) -> int:
        """Return how many a row may have."""
        return int(self.keys.shape[2])

    def put(self, place: int, keys: Tensor, values: Tensor) -> None:
        """Put a row's `[heads, tokens, size]` into a place."""
        self.keys[place, :, : keys.shape[1]], self.values[place, :, : values.shape[1]] = keys, values


def _zeros(like: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return zeros; on a CPU they take memory once they are written over, and most answers end before their budget."""
    if like.device.type != "cpu" or not hasattr(mmap, "MAP_PRIVATE"):  # Windows has no such memory
        return like.new_zeros(shape)
    memory = mmap.mmap(-1, math.prod(shape) * like.itemsize, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return torch.frombuffer(memory, dtype=like.dtype).view(shape)
