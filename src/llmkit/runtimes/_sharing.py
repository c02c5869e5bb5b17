"""Hidden states of a tree of rows: one pass over what they share and what each has of its own.

The keys and values of what all rows of a batch begin with, such as the shots of a few-shot prompt, are kept for the
batches after it.
"""

from __future__ import annotations

import inspect
from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from llmkit.core.machine import raise_limit
from llmkit.runtimes import Ids
from llmkit.runtimes._prefixes import Tree, common

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

MAX_DIFFERENCE = 1e-4
"""As a share of the hidden states: what sums in another order round is 1e-6."""
LEAST = 32
"""Tokens that are worth keeping."""
APART = 512
"""A beginning of so many tokens is computed by itself, since what follows need not be compared with each of them."""
KEPT, KEPT_BYTES = 4, 2**28
"""Beginnings whose keys and values are kept, and their bytes, at most."""

Layers = tuple[tuple[Tensor, Tensor], ...]
"""Keys and values `[1, heads, tokens, size]` of each layer."""


class Beginnings:
    """Keys and values of what batches begin with: the latest, within bounds; several threads use one.

    Args:
        most: Bytes.
    """

    def __init__(self, most: int = KEPT_BYTES) -> None:
        self.most = most
        self._kept: OrderedDict[Ids, Layers] = OrderedDict()
        self._lock = Lock()

    def find(self, ids: Ids) -> tuple[int, Layers]:
        """Return how many of the ids are there, and their keys and values."""
        with self._lock:
            length, name = max(((common(kept, ids), kept) for kept in self._kept), default=(0, ()))
            if length < LEAST:
                return 0, ()
            self._kept.move_to_end(name)
            return length, tuple((keys[:, :, :length], values[:, :, :length]) for keys, values in self._kept[name])

    def keep(self, ids: Ids, layers: Layers) -> None:
        """Keep copies of the first tokens of keys and values, where that is worth it."""
        size = sum(keys[:, :, : len(ids)].nbytes + values[:, :, : len(ids)].nbytes for keys, values in layers)
        if len(ids) < LEAST or size > self.most:
            return
        with self._lock:
            if any(kept[: len(ids)] == ids for kept in self._kept):
                return
            count = len(ids)
            self._kept[ids] = tuple(
                (keys[:, :, :count].clone(), values[:, :, :count].clone()) for keys, values in layers
            )
            while len(self._kept) > KEPT or self._bytes() > self.most:
                self._kept.popitem(last=False)

    def _bytes(self) -> int:
        return sum(keys.nbytes + values.nbytes for kept in self._kept.values() for keys, values in kept)


def cache_of(output: Any) -> tuple[str, Any]:
    """Return the keys and values that a model hands on, and by which name it takes them; "" where it has none."""
    for name in ("cache", "past_key_values"):  # its name has changed in transformers 5
        if output.get(name) is not None:
            return name, output[name]
    return "", None


def hidden_of(
    model: PreTrainedModel, tree: Tree, *, root: int, beginnings: Beginnings | None = None, cached: bool = True
) -> tuple[Tensor, int, Layers]:
    """Run the body over a tree.

    Args:
        model: A causal model, see `shares_alike`.
        tree: The rows.
        root: Tokens at the beginning of the tree that all see and of which no hidden states are wanted.
        beginnings: What is kept of other trees; None if the weights may have changed since.
        cached: Keys and values are wanted; those of a root are kept in any case.

    Returns:
        Hidden states `[tokens - begin, hidden]`, `begin`, which is `root` at most, and all keys and values, if wanted.
    """
    first = tuple(tree.ids[:root].tolist())
    begin, layers = (0, ()) if beginnings is None else beginnings.find(first)
    is_new = beginnings is not None and begin < root
    if root - begin >= APART:
        _, layers = pass_of(model, tree.ids[None, begin:root], np.arange(begin, root)[None], layers)
        begin = root
    hidden, found = _behind(model, tree, begin, layers, cached=cached or (is_new and begin < root))
    if beginnings is not None and is_new:
        beginnings.keep(first, found or layers)
    return hidden, begin, found


def _behind(
    model: PreTrainedModel, tree: Tree, begin: int = 0, layers: Layers = (), *, cached: bool = True
) -> tuple[Tensor, Layers]:
    """Run the body over what is in a tree behind its first tokens, whose keys and values are given."""
    rows = tree.side_by_side(begin)
    if rows is not None:
        return _side_by_side(model, tree, begin, layers, rows, cached=cached)
    ids, places = tree.ids[None, begin:], tree.places[None, begin:]
    hidden, layers = pass_of(model, ids, places, layers, seen=tree.seen(begin)[None], cached=cached)
    return hidden[0], layers


def _side_by_side(
    model: PreTrainedModel, tree: Tree, begin: int, layers: Layers, rows: NDArray[np.int64], *, cached: bool
) -> tuple[Tensor, Layers]:
    """Do the same in rows of whole branches, see `Tree.side_by_side`."""
    count = len(tree.ids)
    padding = ((tree.ids, 0), (tree.places, 0), (tree.ends, count + 1))
    ids, places, ends = (np.append(each, value) for each, value in padding)
    own, other = rows[:, :, None], rows[:, None, :]
    known = np.ones((*rows.shape, begin), bool)
    # Padding is seen by padding alone, and sees it: a token that sees nothing would be NaN.
    seen = np.concatenate([known, (other <= own) & (own < ends[other])], 2)
    spread = tuple(
        (keys.expand(len(rows), -1, -1, -1), values.expand(len(rows), -1, -1, -1)) for keys, values in layers
    )
    hidden, found = pass_of(model, ids[rows], places[rows], spread, seen=seen, cached=cached)
    # What all rows begin with is taken from the first.
    first = np.unique(rows, return_index=True)[1][: count - begin]
    at = torch.from_numpy(first).to(hidden.device)

    def in_order(before: Tensor, now: Tensor) -> Tensor:
        behind = now[:, :, begin:].transpose(1, 2).flatten(0, 1)[at].transpose(0, 1)[None]
        return torch.cat([before, behind], 2) if begin else behind

    empty = layers or ((hidden, hidden),) * len(found)
    ordered = (tuple(map(in_order, *each)) for each in zip(empty, found, strict=False))
    return hidden.flatten(0, 1)[at], tuple((keys, values) for keys, values in ordered)


def pass_of(
    model: PreTrainedModel,
    ids: NDArray[np.int64],
    places: NDArray[np.int64],
    layers: Layers = (),
    *,
    seen: NDArray[np.bool_] | None = None,
    cached: bool = True,
) -> tuple[Tensor, Layers]:
    """Run the body over rows.

    Args:
        model: The model.
        ids: `[rows, tokens]`.
        places: Their positions.
        layers: Keys and values of what stands before them, of one row.
        seen: `[rows, tokens, all tokens]` what each sees; None for all before it.
        cached: Keys and values are wanted.

    Returns:
        Hidden states `[rows, tokens, hidden]`, and all keys and values, if wanted.
    """
    from transformers import DynamicCache

    body, device = model.get_decoder(), model.device
    more: dict[str, Any] = {}
    if layers:
        more[cache_name(model)] = DynamicCache(layers)
    if seen is not None:
        mask = torch.zeros((len(seen), 1, *seen.shape[1:]), dtype=model.dtype)
        more["attention_mask"] = mask.masked_fill_(~torch.from_numpy(seen)[:, None], -torch.inf).to(device)
    output = body(
        input_ids=torch.from_numpy(ids).to(device), position_ids=torch.from_numpy(places).to(device),
        use_cache=cached, **more,
    )  # fmt: skip
    return output.last_hidden_state, layers_of(cache_of(output)[1]) if cached else ()


def cache_name(model: PreTrainedModel) -> str:
    """Return by which name the body takes keys and values: it has changed in transformers 5."""
    names = inspect.signature(type(model.get_decoder()).forward).parameters
    return "cache" if "cache" in names else "past_key_values"


def layers_of(cache: Any) -> Layers:
    """Return the keys and values of a cache.

    Raises:
        TypeError: It is none that keeps all of them as they are.
    """
    from transformers.cache_utils import DynamicLayer

    if cache is None or any(type(layer) is not DynamicLayer for layer in cache.layers):
        raise TypeError("a cache of something else")
    return tuple((layer.keys, layer.values) for layer in cache.layers)


def shares_alike(model: PreTrainedModel, max_length: int) -> bool:
    """Tell whether hidden states of rows in a tree are what they are of each row alone; measured on the model.

    What short rows would not show is not measured but refused: caches that keep less than all keys and values, windows
    that a model applies to all of them itself, and rotations that change with the longest row.
    """
    if max_length < 8 or _changes_with_length(model.config.get_text_config(decoder=True), max_length):
        return False
    size = model.get_input_embeddings().weight.shape[0]  # new rows may be wrapped: they have no num_embeddings
    root = torch.randint(size, (6,), generator=torch.Generator().manual_seed(0)).tolist()
    end, other = root.pop(), (root[4] + 1) % size
    rows = [(*root, end, 1 % size), (*root, end, 2 % size, 0), (*root[:4], other, 0)]
    apart = ((root[0] + 1) % size, *root[1:], end, *root[1:])  # nearly as long as the others together, in its own row
    tree, both = Tree.of(rows), Tree.of([*rows, apart])
    try:
        beside, layers = _behind(model, both)
        begin = torch.from_numpy(both.paths[0][: tree.root])
        known = tuple((keys[:, :, begin], values[:, :, begin]) for keys, values in layers)
        rest, _ = _behind(model, tree, tree.root, known)
        for number in (1, 2):
            ids = torch.tensor([rows[number]], device=model.device)
            alone = model.get_decoder()(input_ids=ids, use_cache=False).last_hidden_state[0]
            behind = torch.from_numpy(tree.paths[number][tree.root :] - tree.root)
            differences = beside[torch.from_numpy(both.paths[number])] - alone, rest[behind] - alone[tree.root :]
            if not all(bool(each.abs().max() <= MAX_DIFFERENCE * alone.abs().max()) for each in differences):
                return False
    except (AttributeError, IndexError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        raise_limit(error)
        return False  # a body that takes no positions, no such mask, or no cache
    return True


def _changes_with_length(config: PreTrainedConfig, max_length: int) -> bool:
    """Tell whether a long row is computed otherwise than a short one.

    GPT-Neo counts its window in places of the cache; Phi-3 turns all keys of a row by other angles once the row is
    longer than in its first training, and those of a beginning have been turned before.
    """
    for name, value in vars(config).items():
        if name.endswith(("window", "window_size")) and type(value) is int and value < max_length:
            return True
    return turns_otherwise(config)


def turns_otherwise(config: PreTrainedConfig) -> bool:
    """Tell whether the angles that keys are turned by change with the length of the row."""
    rope = getattr(config, "rope_parameters", None) or {}
    kinds = [each.get("rope_type") for each in (rope, *rope.values()) if isinstance(each, dict)]
    return any(kind in ("dynamic", "longrope") for kind in kinds)
