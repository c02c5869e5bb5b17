"""Places of a model of transformers: keys and values of all texts in one tensor, or each with a cache of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from transformers.cache_utils import Cache

from llmkit.runtimes import Ids
from llmkit.runtimes._lone_places import LonePlaces
from llmkit.runtimes._places import Places, shares
from llmkit.runtimes._prefixes import Tree
from llmkit.runtimes._sharing import Layers, cache_name, hidden_of, pass_of
from llmkit.runtimes._table import Layer, Table

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PreTrainedModel

    from llmkit.runtimes._in_memory import InMemory

ROOM, ROWS = 64, 8
"""Positions that a place has at least, and rows that there are."""
GPU_STEP_TOKENS = 2048
"""Tokens between two steps of a GPU, which has read them in the time of a few steps."""


@dataclass
class _Prompt:
    """A prompt that is being read: so many of its ids are `known` by their keys and values."""

    ids: Ids
    known: int = 0
    layers: Layers = ()


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
        if self.model.device.type != "cpu":
            self.step_tokens = GPU_STEP_TOKENS
        self.table = Table(most, self.model.device)
        self.layers: list[Layer] = []
        self.taken = []
        self._lengths: dict[int, int] = {}
        self._prompts: dict[int, _Prompt] = {}
        self._none = np.zeros((0, self.model.get_output_embeddings().weight.shape[0]), np.float32)

    def cost(self, lengths: Sequence[int]) -> int:
        """Return the positions of a table: all rows are as long as the longest."""
        return len(lengths) * max(lengths, default=0)

    @property
    def reading(self) -> list[int]:
        """Keys, the first that came first."""
        return [*self._prompts]

    def begin(self, keys: Sequence[int], prompts: Sequence[Ids], lengths: Sequence[int]) -> None:
        """Take prompts in."""
        for key, prompt, length in zip(keys, prompts, lengths, strict=True):
            self._prompts[key], self._lengths[key] = _Prompt(prompt), length

    def read(self, budget: int) -> tuple[list[int], NDArray[np.float32]]:
        """Read on: prompts that fit together, what they begin with alike once, and long ones piece by piece.

        What stands before a piece is known by its keys and values; a model of which that changed anything would not
        have been measured to share, see `shares_alike`.
        """
        found: list[int] = []
        hidden: list[Tensor] = []
        whole: list[int] = []
        with self.running.computing():
            now = shares([len(one.ids) - one.known for one in self._prompts.values()], budget)
            for (key, prompt), size in zip([*self._prompts.items()], now, strict=True):
                if size == len(prompt.ids):
                    whole.append(key)
                elif size and (last := self._piece(key, prompt, size)) is not None:
                    found.append(key)
                    hidden.append(last[None])
            if whole:
                found += whole
                hidden.append(self._whole(whole, [self._prompts[key].ids for key in whole]))
            for key in found:
                del self._prompts[key]
            return found, self.logits(torch.cat(hidden)).cpu().numpy() if found else self._none

    def step(self, newest: Sequence[int]) -> NDArray[np.float32]:
        """Write one token more in every place."""
        return self.logits(self.go_on(newest)).cpu().numpy()

    def logits(self, hidden: Tensor) -> Tensor:
        """Return float32 `[rows, vocabulary]` of `[rows, hidden]`."""
        with self.running.computing():
            return self.model.get_output_embeddings()(hidden).float()  # type: ignore[no-any-return]

    def read_whole(self, keys: Sequence[int], prompts: Sequence[Ids], lengths: Sequence[int]) -> Tensor:
        """Take prompts in and read them at once; return `[prompts, hidden]` of the last token of each."""
        with self.running.computing():
            self._lengths |= dict(zip(keys, lengths, strict=True))
            return self._whole(keys, prompts)

    def _whole(self, keys: Sequence[int], prompts: Sequence[Ids]) -> Tensor:
        tree = Tree.of(prompts)
        root = min(tree.root, min(map(len, prompts)) - 1)
        hidden, begin, layers = hidden_of(self.model, tree, root=root, beginnings=self.running.beginnings)
        for key, each in zip(keys, tree.paths, strict=True):
            path = torch.from_numpy(each).to(hidden.device)
            self._put(key, tuple((own_keys[0][:, path], values[0][:, path]) for own_keys, values in layers))
        last = torch.tensor([int(path[-1]) - begin for path in tree.paths], device=hidden.device)
        return hidden[last]

    def _piece(self, key: int, prompt: _Prompt, size: int) -> Tensor | None:
        """Read so many tokens of a prompt; return `[hidden]` of its last one, if that is read."""
        ids, beginnings = prompt.ids, self.running.beginnings
        if not prompt.known and beginnings is not None:
            prompt.known, prompt.layers = beginnings.find(ids[:-1])
        end = min(prompt.known + size, len(ids))
        piece = np.arange(prompt.known, end)[None]
        hidden, prompt.layers = pass_of(self.model, np.array(ids)[piece], piece, prompt.layers)
        prompt.known = end
        if end < len(ids):
            return None
        if beginnings is not None:
            beginnings.keep(ids[:-1], prompt.layers)
        self._put(key, tuple((keys[0], values[0]) for keys, values in prompt.layers))
        return hidden[0, -1]

    def _put(self, key: int, layers: Layers) -> None:
        """Write from here on behind keys and values `[heads, tokens, size]`."""
        if not self.layers:
            self.layers = [Layer(self.table, keys[None], values[None]) for keys, values in layers]
        self._make_room()
        place, length = len(self.taken), layers[0][0].shape[1]
        for layer, each in zip(self.layers, layers, strict=True):
            layer.put(place, *each)
        self.table.lengths[place] = length
        self.taken.append(key)
        self.table.count, self.table.longest = len(self.taken), max(self.table.longest, length)

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
        del self._lengths[key]
        if self._prompts.pop(key, None) is not None:
            return
        with self.running.computing():
            place, last = self.taken.index(key), len(self.taken) - 1
            if place < last:
                length = int(self.table.lengths[last])
                for layer in self.layers:
                    layer.put(place, layer.keys[last, :, :length], layer.values[last, :, :length])
                self.table.lengths[place] = length
                self.taken[place] = self.taken[last]
            self.taken.pop()
            self.table.count = len(self.taken)
            self.table.measure()

    def close(self) -> None:
        """Give the memory back."""
        self.layers, self.taken, self._lengths, self._prompts, self.table.count = [], [], {}, {}, 0

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
