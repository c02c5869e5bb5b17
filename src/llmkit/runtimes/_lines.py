"""One continuation as it grows: when it has ended, and what it is then."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import torch

from llmkit.runtimes import Generate, Written
from llmkit.runtimes._sampling import chances, leaves_out

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

TAIL = 16
"""Tokens looked at for a stop text beside one for each of its bytes: it may begin and end within a token."""


class Line:
    """The new tokens of a request.

    Args:
        request: What is written.
        tokenizer: Of the model.
        ends: Ids at which the model stops.
        device: Where draws are made.
    """

    def __init__(
        self, request: Generate, tokenizer: PreTrainedTokenizerFast, ends: Collection[int], device: torch.device
    ) -> None:
        self.request, self.tokenizer = request, tokenizer
        self.ends = frozenset() if request.exact else frozenset(ends)
        self.draws = torch.Generator(device).manual_seed(request.seed)
        self.new: list[int] = []
        self.ended = request.budget < 1
        self._tail = max((len(stop.encode()) for stop in request.stop), default=0) + TAIL

    def add(self, newest: int) -> None:
        """Take the next token in, and note whether it is the last."""
        self.new.append(newest)
        self.ended = newest in self.ends or len(self.new) >= self.request.budget or self._stops()

    def _stops(self) -> bool:
        if not self.request.stop:
            return False
        tail = self.tokenizer.decode(self.new[-self._tail :])
        return any(stop in tail for stop in self.request.stop)

    def draw(self, logits: torch.Tensor) -> torch.Tensor:
        """Return one id `[1]` of `[vocabulary]` logits, as the request has it drawn."""
        if not self.request.temperature:
            return logits.argmax(-1, keepdim=True)
        if leaves_out(self.request):
            left = torch.from_numpy(chances(logits.float().cpu().numpy(), self.request)).to(logits.device)
            return torch.multinomial(left, 1, generator=self.draws)
        return torch.multinomial(torch.softmax(logits / self.request.temperature, -1), 1, generator=self.draws)

    def written(self) -> Written:
        """Return what has been written, without what ended it."""
        new, stops = self.new, self.request.stop
        # By ids: the token that ends a turn may not be marked special, and would stand in the text.
        at_end = bool(new) and new[-1] in self.ends
        ids = new[:-1] if at_end else new
        text = self.tokenizer.decode(ids, skip_special_tokens=True)
        places = [place for stop in stops if (place := text.find(stop)) >= 0]
        if not places:
            return self._up_to_special(ids, text, at_end=at_end)
        while ids and len(self.tokenizer.decode(ids, skip_special_tokens=True)) > min(places):
            ids = ids[:-1]
        return Written(tuple(ids), text[: min(places)], ended=True)

    def _up_to_special(self, ids: list[int], text: str, *, at_end: bool) -> Written:
        """Return what stands before a stop text that is a special token, which a text does not show; else all."""
        whole = self.tokenizer.decode(ids) if self.request.stop and not at_end else ""
        places = [place for stop in self.request.stop if (place := whole.find(stop)) >= 0]
        if not places:
            return Written(tuple(ids), text, at_end)
        while ids and len(self.tokenizer.decode(ids)) > min(places):
            ids = ids[:-1]
        return Written(tuple(ids), self.tokenizer.decode(ids, skip_special_tokens=True), ended=True)
