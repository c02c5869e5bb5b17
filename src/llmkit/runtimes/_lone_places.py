"""Places of any model of transformers that writes: each text has a cache of its own, and steps by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from llmkit.runtimes import Ids
from llmkit.runtimes._places import Places, shares
from llmkit.runtimes._sharing import cache_of, turns_otherwise

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from llmkit.runtimes._in_memory import InMemory

IN_PIECES = (DynamicLayer, DynamicSlidingWindowLayer)
"""Layers behind whose cache a prompt may go on with any number of tokens; a state takes one token at a time."""


class LonePlaces(Places):
    """See the module.

    Args:
        running: The model; of an encoder-decoder the prompts are what its encoder reads.
        most: Texts at once.
        tokens: Positions of all of them together.
    """

    def __init__(self, running: InMemory, most: int, tokens: int) -> None:
        self.running, self.model, self.most, self.tokens = running, running.model, most, tokens
        self.longest = tokens
        self.taken = []
        self.in_pieces = not (self.two_sided or turns_otherwise(self.model.config.get_text_config(decoder=True)))
        """Whether prompts are read in pieces; until a cache says otherwise."""
        self._known: dict[int, dict[str, Any]] = {}
        """By key, what the model is given beside the newest token."""
        self._left: dict[int, Ids] = {}
        """What is not read yet of a prompt."""

    @property
    def two_sided(self) -> bool:
        """Whether an encoder reads the prompt."""
        return bool(self.model.config.is_encoder_decoder)

    @property
    def reading(self) -> list[int]:
        """Keys, the first that came first."""
        return [*self._left]

    def begin(self, keys: Sequence[int], prompts: Sequence[Ids], lengths: Sequence[int]) -> None:  # noqa: ARG002
        """Take prompts in."""
        self._left |= dict(zip(keys, prompts, strict=True))
        self._known |= {key: {} for key in keys}

    def read(self, budget: int) -> tuple[list[int], NDArray[np.float32]]:
        """Read on, text by text."""
        found, logits = [], []
        now = shares([len(left) for left in self._left.values()], budget)
        for (key, left), size in zip([*self._left.items()], now, strict=True):
            if not size or budget <= 0:  # one that is read as a whole may have taken it all
                continue
            last, known = self._piece(key, left, size)
            budget -= known
            if known < len(left):
                self._left[key] = left[known:]
                continue
            del self._left[key]
            self.taken.append(key)
            found.append(key)
            logits.append(last.cpu().numpy())
        return found, np.stack(logits) if found else np.zeros((0, 1), np.float32)

    def step(self, newest: Sequence[int]) -> NDArray[np.float32]:
        """Write one token more in every place."""
        return torch.stack([self._one(key, [one]) for key, one in zip(self.taken, newest, strict=True)]).cpu().numpy()

    def leave(self, key: int) -> None:
        """Let go of a text."""
        if self._left.pop(key, None) is None:
            self.taken.remove(key)
        del self._known[key]

    def close(self) -> None:
        """Give the memory back."""
        self.taken, self._known, self._left = [], {}, {}

    @property
    def _start(self) -> int:
        config = self.model.generation_config
        found = config.decoder_start_token_id
        return int(found if found is not None else self.model.config.decoder_start_token_id or 0)

    def _piece(self, key: int, left: Ids, size: int) -> tuple[Tensor, int]:
        """Read so many tokens of a prompt, or all of it; return the logits behind them, and how many they were."""
        if self.two_sided:
            ids = torch.tensor([left], device=self.model.device)
            with self.running.computing():
                self._known[key] = {"encoder_outputs": self.model.get_encoder()(input_ids=ids)}
            return self._one(key, [self._start]), len(left)
        if size == len(left) or not self.in_pieces:
            return self._one(key, left), len(left)
        last = self._one(key, left[:size])
        if _goes_on(self._known[key]):
            return last, size
        self.in_pieces, self._known[key] = False, {}
        return self._one(key, left), len(left)

    def _one(self, key: int, ids: Sequence[int]) -> Tensor:
        """Return the logits `[vocabulary]` behind tokens."""
        known = self._known[key]
        given = torch.tensor([ids], device=self.model.device)
        with self.running.computing():
            output = self.model(
                **{"decoder_input_ids" if self.two_sided else "input_ids": given}, use_cache=True, **known
            )
        name, cache = cache_of(output)
        if name:
            known[name] = cache
        return output.logits[0, -1].float()  # type: ignore[no-any-return]


def _goes_on(known: dict[str, Any]) -> bool:
    """Tell whether more than one token may follow what a model has handed on."""
    layers = getattr(next(iter(known.values()), None), "layers", None) or ()
    return bool(layers) and all(type(layer) in IN_PIECES for layer in layers)
