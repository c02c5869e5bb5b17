"""Continuations of any number of prompts: as one ends, another begins in its place."""

from __future__ import annotations

import math
import mmap
from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

from llmkit.modeling.finite import NotFiniteError
from llmkit.runtimes import Generate, Written
from llmkit.runtimes._in_memory import CORE_TOKENS
from llmkit.runtimes._lines import Line
from llmkit.runtimes._prefixes import Tree
from llmkit.runtimes._sharing import cache_name, hidden_of

if TYPE_CHECKING:
    from llmkit.runtimes._in_memory import InMemory

PROMPT_TOKENS = 1024
"""Tokens of prompts that a GPU reads together at most; a CPU reads as many as stay in its cache."""
FREE = 8
"""New prompts are read as soon as one of so many places is free."""


class _Table:
    """Which places are taken: the first `count`, by rows of `lengths` tokens."""

    def __init__(self, places: int, capacity: int, device: torch.device) -> None:
        self.places, self.capacity, self.count = places, capacity, 0
        self.lengths = torch.zeros(places, dtype=torch.long, device=device)
        self.rows = torch.arange(places, device=device)

    def mask(self, dtype: torch.dtype) -> Tensor:
        """Return `[count, 1, 1, longest + 1]` what each row's next token sees: all before it and itself."""
        lengths = self.lengths[: self.count]
        seen = torch.arange(int(lengths.max()) + 1, device=lengths.device) <= lengths[:, None]
        return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(~seen, -torch.inf)[:, None, None]


class _Layer(CacheLayerMixin):  # type: ignore[misc]
    """Keys and values `[places, heads, capacity, size]` of a layer; each row's begin at 0, and nothing pads them."""

    is_sliding = False

    def __init__(self, table: _Table, keys: Tensor, values: Tensor) -> None:
        super().__init__()
        self.table = table
        # What is not there yet is seen by none, but must be a number: nothing times NaN is NaN.
        self.keys, self.values = (
            _zeros(one, (table.places, one.shape[1], table.capacity, one.shape[3])) for one in (keys, values)
        )
        self.is_initialized = True

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Do nothing: it is there from the start."""

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Take in one token of each row, and return what there is."""
        rows, lengths = self.table.rows[: self.table.count], self.table.lengths[: self.table.count]
        self.keys[rows, :, lengths], self.values[rows, :, lengths] = key_states[:, :, 0], value_states[:, :, 0]
        longest = int(lengths.max()) + 1
        return self.keys[: len(rows), :, :longest], self.values[: len(rows), :, :longest]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Return how many keys there are, and the first."""
        return self.get_seq_length() + query_length, 0

    def get_seq_length(self) -> int:
        """Return the tokens of the longest row."""
        return int(self.table.lengths[: self.table.count].max()) if self.table.count else 0

    def get_max_length(self) -> int:
        """Return how many a row may have."""
        return self.table.capacity

    def put(self, place: int, keys: Tensor, values: Tensor) -> None:
        """Put a row's `[heads, tokens, size]` into a place."""
        self.keys[place, :, : keys.shape[1]], self.values[place, :, : values.shape[1]] = keys, values


def _zeros(like: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return zeros; on a CPU they take memory once they are written over, and most answers end before their budget."""
    if like.device.type != "cpu" or not hasattr(mmap, "MAP_PRIVATE"):  # Windows has no such memory
        return like.new_zeros(shape)
    memory = mmap.mmap(-1, math.prod(shape) * like.itemsize, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return torch.frombuffer(memory, dtype=like.dtype).view(shape)


class Refilling:
    """Writes with a model whose hidden states may be computed in trees, see `shares_alike`.

    Args:
        running: The model; its logits are its output layer's, unchanged.
        requests: Any number.
        tokens: Prompts and what is written behind them are held of at most so many tokens, or of one row.
    """

    def __init__(self, running: InMemory, requests: Sequence[Generate], tokens: int) -> None:
        self.running, self.model = running, running.model
        self.lines = [Line(one, running.tokenizer, running.ends, self.model.device) for one in requests]
        order = sorted(range(len(requests)), key=lambda number: -running.tokens(requests[number]))
        self.waiting = deque(number for number in order if not self.lines[number].ended)
        longest = max(map(running.tokens, requests))
        self.table = _Table(min(max(1, tokens // longest), len(requests)), longest, self.model.device)
        self.prompt_tokens = CORE_TOKENS if self.model.device.type == "cpu" else PROMPT_TOKENS
        self.layers: list[_Layer] = []
        self.taken: list[int] = []
        """Numbers of the lines, by their places."""

    def run(self) -> Iterator[list[tuple[int, Written]]]:
        """Yield numbers of requests and what was written, as they end.

        Raises:
            NotFiniteError: Logits are not finite, so that none is the greatest.
        """
        if nothing := [(number, line.written()) for number, line in enumerate(self.lines) if line.ended]:
            yield nothing
        while self.waiting or self.taken:
            with self.running.computing():
                free = self.table.places - len(self.taken)
                if self.waiting and (not self.taken or free * FREE >= self.table.places):
                    self._begin(free)
                ended = self._leave()
                if self.taken and not ended:
                    self._step()
                    ended = self._leave()
                found = [(number, self.lines[number].written()) for number in ended]
            if found:
                yield found

    def _begin(self, free: int) -> None:
        """Read the next prompts, those that begin alike once, and write the first token behind each."""
        numbers: list[int] = []
        tokens = 0
        while self.waiting and len(numbers) < free:
            size = len(self.lines[self.waiting[0]].request.prompt)
            if numbers and tokens + size > self.prompt_tokens:
                break
            tokens += size
            numbers.append(self.waiting.popleft())
        prompts: list[Any] = [self.lines[number].request.prompt for number in numbers]
        tree = Tree.of(prompts)
        root = min(tree.root, min(map(len, prompts)) - 1)
        hidden, begin, layers = hidden_of(self.model, tree, root=root, beginnings=self.running.beginnings)
        if not self.layers:
            self.layers = [_Layer(self.table, *layer) for layer in layers]
        for number, each in zip(numbers, tree.paths, strict=True):
            path = torch.from_numpy(each).to(hidden.device)
            place = len(self.taken)
            for layer, (keys, values) in zip(self.layers, layers, strict=True):
                layer.put(place, keys[0][:, path], values[0][:, path])
            self.table.lengths[place] = len(path)
            self.taken.append(number)
        self.table.count = len(self.taken)
        last = torch.tensor([int(path[-1]) - begin for path in tree.paths], device=hidden.device)
        self._choose(hidden[last], numbers)

    def _step(self) -> None:
        """Write one token more in every place."""
        lengths = self.table.lengths[: self.table.count]
        newest = torch.tensor([[self.lines[number].new[-1]] for number in self.taken], device=self.model.device)
        known: dict[str, Any] = {cache_name(self.model): Cache(layers=list(self.layers))}
        output = self.model.get_decoder()(
            input_ids=newest, attention_mask=self.table.mask(self.model.dtype), position_ids=lengths[:, None].clone(),
            use_cache=True, **known,
        )  # fmt: skip
        lengths += 1
        self._choose(output.last_hidden_state[:, 0], self.taken)

    def _choose(self, hidden: Tensor, numbers: Sequence[int]) -> None:
        """Add to each line the token that `[rows, hidden]` speaks for."""
        logits = self.model.get_output_embeddings()(hidden).float()
        greatest, chosen = logits.max(-1)
        # NaN where any is; some models set the logits of unused ids to minus infinity.
        if not self.running.trained and not greatest.isfinite().all():
            raise NotFiniteError(f"the model in '{self.running.where}' gives logits that are NaN or infinite")
        for row, (number, greedy) in enumerate(zip(numbers, chosen.tolist(), strict=True)):
            line = self.lines[number]
            line.add(int(line.draw(logits[row])) if line.request.temperature else greedy)

    def _leave(self) -> list[int]:
        """Let go of what has ended, the last row taking its place, and return the numbers."""
        ended = [number for number in self.taken if self.lines[number].ended]
        for number in ended:
            place, last = self.taken.index(number), len(self.taken) - 1
            if place < last:
                length = int(self.table.lengths[last])
                for layer in self.layers:
                    layer.put(place, layer.keys[last, :, :length], layer.values[last, :, :length])
                self.table.lengths[place] = length
                self.taken[place] = self.taken[last]
            self.taken.pop()
        self.table.count = len(self.taken)
        return ended
