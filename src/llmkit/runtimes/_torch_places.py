"""Places of a model of transformers: keys and values of all texts in one tensor, or each with a cache of its own."""

from __future__ import annotations

import math
import mmap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

from llmkit.runtimes import Ids
from llmkit.runtimes._places import Places
from llmkit.runtimes._prefixes import Tree
from llmkit.runtimes._sharing import cache_name, cache_of, hidden_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from transformers import PreTrainedModel

    from llmkit.runtimes._in_memory import InMemory

ROOM, ROWS = 64, 8
"""Positions that a place has at least, and rows that there are."""


class _Table:
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


class _Layer(CacheLayerMixin):  # type: ignore[misc]
    """Keys and values `[places, heads, capacity, size]` of a layer; each row's begin at 0, and nothing pads them."""

    is_sliding = False

    def __init__(self, table: _Table, keys: Tensor, values: Tensor) -> None:
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


class SharedPlaces(Places):
    """Places of a model whose hidden states may be computed in trees, see `shares_alike`: all step in one pass.

    Args:
        running: The model; its logits are its output layer's, unchanged.
        most: Texts at once.
        tokens: Positions of all places together: each has those of the longest text.
    """

    def __init__(self, running: InMemory, most: int, tokens: int) -> None:
        self.running, self.model, self.most, self.tokens = running, running.model, most, tokens
        self.longest = tokens
        self.table = _Table(most, self.model.device)
        self.layers: list[_Layer] = []
        self.taken = []
        self._lengths: dict[int, int] = {}

    def cost(self, lengths: Sequence[int]) -> int:
        """Return the positions of a table: all rows are as long as the longest."""
        return len(lengths) * max(lengths, default=0)

    def begin(self, keys: Sequence[int], prompts: Sequence[Ids], lengths: Sequence[int]) -> NDArray[np.float32]:
        """Read prompts, those that begin alike once."""
        return self.logits(self.read(keys, prompts, lengths)).cpu().numpy()

    def step(self, newest: Sequence[int]) -> NDArray[np.float32]:
        """Write one token more in every place."""
        return self.logits(self.go_on(newest)).cpu().numpy()

    def logits(self, hidden: Tensor) -> Tensor:
        """Return float32 `[rows, vocabulary]` of `[rows, hidden]`."""
        with self.running.computing():
            return self.model.get_output_embeddings()(hidden).float()  # type: ignore[no-any-return]

    def read(self, keys: Sequence[int], prompts: Sequence[Ids], lengths: Sequence[int]) -> Tensor:
        """Return `[prompts, hidden]` of the last token of each prompt; see `begin`."""
        with self.running.computing():
            tree = Tree.of(prompts)
            root = min(tree.root, min(map(len, prompts)) - 1)
            hidden, begin, layers = hidden_of(self.model, tree, root=root, beginnings=self.running.beginnings)
            if not self.layers:
                self.layers = [_Layer(self.table, *layer) for layer in layers]
            self._lengths |= dict(zip(keys, lengths, strict=True))
            self._make_room()
            for key, each in zip(keys, tree.paths, strict=True):
                path = torch.from_numpy(each).to(hidden.device)
                place = len(self.taken)
                for layer, (own_keys, values) in zip(self.layers, layers, strict=True):
                    layer.put(place, own_keys[0][:, path], values[0][:, path])
                self.table.lengths[place] = len(path)
                self.taken.append(key)
            self.table.count = len(self.taken)
            self.table.measure()
            last = torch.tensor([int(path[-1]) - begin for path in tree.paths], device=hidden.device)
            return hidden[last]

    def go_on(self, newest: Sequence[int]) -> Tensor:
        """Return `[taken, hidden]`; see `step`."""
        with self.running.computing():
            lengths = self.table.lengths[: self.table.count]
            ids = torch.tensor(newest, device=self.model.device)[:, None]
            known: dict[str, Any] = {cache_name(self.model): Cache(layers=list(self.layers))}
            output = self.model.get_decoder()(
                input_ids=ids, attention_mask=self.table.mask(self.model.dtype), position_ids=lengths[:, None].clone(),
                use_cache=True, **known,
            )  # fmt: skip
            lengths += 1
            self.table.longest += 1
            return output.last_hidden_state[:, 0]  # type: ignore[no-any-return]

    def leave(self, key: int) -> None:
        """Let go of a text; the last row takes its place."""
        with self.running.computing():
            place, last = self.taken.index(key), len(self.taken) - 1
            if place < last:
                length = int(self.table.lengths[last])
                for layer in self.layers:
                    layer.put(place, layer.keys[last, :, :length], layer.values[last, :, :length])
                self.table.lengths[place] = length
                self.taken[place] = self.taken[last]
            self.taken.pop()
            del self._lengths[key]
            self.table.count = len(self.taken)
            self.table.measure()

    def close(self) -> None:
        """Give the memory back."""
        self.layers, self.taken, self._lengths, self.table.count = [], [], {}, 0

    def _make_room(self) -> None:
        """Grow by doubling, and shrink where the longest is gone or the rows are few: both are memory."""
        places, capacity = self.layers[0].keys.shape[0], self.layers[0].keys.shape[2]
        rows, longest = len(self._lengths), max(self._lengths.values())
        if rows <= places and longest <= capacity and places * capacity <= self.tokens:
            return
        capacity = min(_doubled(longest, ROOM), max(longest, self.tokens // rows))
        places = min(self.most, max(rows, min(_doubled(rows, ROWS), self.tokens // capacity)))
        for layer in self.layers:
            layer.make_room(places, capacity)


class LonePlaces(Places):
    """Places of any model that writes: each text has a cache of its own, as the model makes it, and steps by itself.

    Args:
        running: The model; of an encoder-decoder the prompts are what its encoder reads.
        most: Texts at once.
        tokens: Positions of all of them together.
    """

    def __init__(self, running: InMemory, most: int, tokens: int) -> None:
        self.running, self.model, self.most, self.tokens = running, running.model, most, tokens
        self.longest = tokens
        self.taken = []
        self._known: dict[int, dict[str, Any]] = {}
        """By key, what the model is given beside the newest token."""

    def begin(self, keys: Sequence[int], prompts: Sequence[Ids], lengths: Sequence[int]) -> NDArray[np.float32]:  # noqa: ARG002
        """Read each prompt."""
        found = []
        for key, prompt in zip(keys, prompts, strict=True):
            ids = torch.tensor([prompt], device=self.model.device)
            self._known[key] = {}
            if self.model.config.is_encoder_decoder:
                with self.running.computing():
                    self._known[key] = {"encoder_outputs": self.model.get_encoder()(input_ids=ids)}
                ids = ids.new_tensor([[self._start]])
            found.append(self._one(key, ids))
            self.taken.append(key)
        return torch.stack(found).cpu().numpy()

    def step(self, newest: Sequence[int]) -> NDArray[np.float32]:
        """Write one token more in every place."""
        ids = torch.tensor(newest, device=self.model.device)[:, None, None]
        return torch.stack([self._one(key, one) for key, one in zip(self.taken, ids, strict=True)]).cpu().numpy()

    def leave(self, key: int) -> None:
        """Let go of a text."""
        self.taken.remove(key)
        del self._known[key]

    def close(self) -> None:
        """Give the memory back."""
        self.taken, self._known = [], {}

    @property
    def _start(self) -> int:
        config = self.model.generation_config
        found = config.decoder_start_token_id
        return int(found if found is not None else self.model.config.decoder_start_token_id or 0)

    def _one(self, key: int, ids: Tensor) -> Tensor:
        two_sided, known = self.model.config.is_encoder_decoder, self._known[key]
        with self.running.computing():
            output = self.model(**{"decoder_input_ids" if two_sided else "input_ids": ids}, use_cache=True, **known)
        name, cache = cache_of(output)
        if name:
            known[name] = cache
        return output.logits[0, -1].float()  # type: ignore[no-any-return]


def places_of(running: InMemory, most: int, tokens: int) -> Places | None:
    """Return places of a model that writes."""
    if running.head.answer != "tokens":
        return None
    return (SharedPlaces if running.refills else LonePlaces)(running, most, tokens)


def token_bytes(model: PreTrainedModel) -> int:
    """Return the bytes of a token's keys and values in all layers; those with a window or a state take less."""
    config: Any = model.config.get_text_config(decoder=True)  # its fields are those of any architecture
    heads = getattr(config, "num_attention_heads", 1)
    size = getattr(config, "head_dim", None) or getattr(config, "hidden_size", 64) // heads
    layers = getattr(config, "num_decoder_layers", None) or getattr(config, "num_hidden_layers", 1)
    both: int = 2 * (getattr(config, "num_key_value_heads", None) or heads) * size
    return int((layers or 1) * both * model.dtype.itemsize)


def _doubled(size: int, least: int) -> int:
    return max(least, 1 << (size - 1).bit_length())
