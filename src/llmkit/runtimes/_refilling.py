"""Continuations of any number of prompts: as one ends, another begins in its place."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from llmkit.modeling.finite import NotFiniteError
from llmkit.runtimes import Generate, Written
from llmkit.runtimes._in_memory import CORE_TOKENS
from llmkit.runtimes._lines import Line
from llmkit.runtimes._torch_places import SharedPlaces

if TYPE_CHECKING:
    from llmkit.runtimes._in_memory import InMemory

PROMPT_TOKENS = 1024
"""Tokens of prompts that a GPU reads together at most; a CPU reads as many as stay in its cache."""
FREE = 8
"""New prompts are read as soon as one of so many places is free."""


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
        self.lengths = [running.tokens(one) for one in requests]
        longest = max(self.lengths)
        places = min(max(1, tokens // longest), len(requests))
        self.places = SharedPlaces(running, places, places * longest)
        self.prompt_tokens = CORE_TOKENS if self.model.device.type == "cpu" else PROMPT_TOKENS

    def run(self) -> Iterator[list[tuple[int, Written]]]:
        """Yield numbers of requests and what was written, as they end.

        Raises:
            NotFiniteError: Logits are not finite, so that none is the greatest.
        """
        if nothing := [(number, line.written()) for number, line in enumerate(self.lines) if line.ended]:
            yield nothing
        places = self.places
        while self.waiting or places.taken:
            with self.running.computing():
                free = places.most - len(places.taken)
                if self.waiting and (not places.taken or free * FREE >= places.most):
                    self._begin(free)
                ended = self._leave()
                if places.taken and not ended:
                    self._choose(places.go_on([self.lines[number].new[-1] for number in places.taken]), places.taken)
                    ended = self._leave()
                found = [(number, self.lines[number].written()) for number in ended]
            if found:
                yield found

    def _begin(self, free: int) -> None:
        """Read the next prompts, and write the first token behind each."""
        numbers: list[int] = []
        tokens = 0
        while self.waiting and len(numbers) < free:
            size = len(self.lines[self.waiting[0]].request.prompt)
            if numbers and tokens + size > self.prompt_tokens:
                break
            tokens += size
            numbers.append(self.waiting.popleft())
        prompts: list[Any] = [self.lines[number].request.prompt for number in numbers]
        self._choose(self.places.read_whole(numbers, prompts, [self.lengths[number] for number in numbers]), numbers)

    def _choose(self, hidden: Tensor, numbers: Sequence[int]) -> None:
        """Add to each line the token that `[rows, hidden]` speaks for."""
        logits = self.places.logits(hidden)
        greatest, chosen = logits.max(-1)
        # NaN where any is; some models set the logits of unused ids to minus infinity.
        if not self.running.trained and not greatest.isfinite().all():
            raise NotFiniteError(f"the model in '{self.running.where}' gives logits that are NaN or infinite")
        for row, (number, greedy) in enumerate(zip(numbers, chosen.tolist(), strict=True)):
            line = self.lines[number]
            line.add(int(line.draw(logits[row])) if line.request.temperature else greedy)

    def _leave(self) -> list[int]:
        """Let go of what has ended, and return the numbers."""
        ended = [number for number in self.places.taken if self.lines[number].ended]
        for number in ended:
            self.places.leave(number)
        return ended
