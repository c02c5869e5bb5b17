"""Which token comes next: logits to an id, by what a request says of it; the same numbers whatever runs the model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from llmkit.serving.engine import Sampling, TokenChance


class Draws:
    """Tokens of one text.

    Args:
        sampling: How they are chosen.
        seed: Of the draws.
    """

    def __init__(self, sampling: Sampling, seed: int) -> None:
        self.sampling = sampling
        self._random = np.random.default_rng(seed)
        self._counts: Counter[int] = Counter()
        self._penal = bool(sampling.frequency_penalty or sampling.presence_penalty)

    @property
    def is_plain(self) -> bool:
        """Whether the likeliest token is taken, whatever has been before."""
        return not self.sampling.temperature and not self._penal

    def choose(self, logits: NDArray[np.float32], allowed: NDArray[np.bool_] | None = None) -> int:
        """Return the next token.

        Args:
            logits: `[vocabulary]`; not changed.
            allowed: `[vocabulary]` which may come; None for all.
        """
        if self._penal:
            logits = self._penalized(logits)
        if allowed is not None:
            logits = np.where(allowed, logits, np.float32(-np.inf))
        chosen = int(logits.argmax()) if not self.sampling.temperature else self._drawn(logits)
        self._counts[chosen] += 1
        return chosen

    def _penalized(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        found = logits.copy()
        for token, count in self._counts.items():
            found[token] -= self.sampling.presence_penalty + self.sampling.frequency_penalty * count
        return found

    def _drawn(self, logits: NDArray[np.float32]) -> int:
        chances = np.exp((logits - logits.max()).astype(np.float64) / self.sampling.temperature)
        order = self._kept(chances)
        if order is not None:
            kept = np.zeros_like(chances)
            kept[order] = chances[order]
            chances = kept
        sums = chances.cumsum()
        found = int(np.searchsorted(sums, self._random.random() * sums[-1], side="right"))
        return min(found, int(np.flatnonzero(chances)[-1]))  # the product may be rounded up to the sum

    def _kept(self, chances: NDArray[np.float64]) -> NDArray[np.int64] | None:
        """Return the tokens that are drawn among; None for all."""
        told, size = self.sampling, len(chances)
        if told.top_p >= 1 and not 0 < told.top_k < size and told.min_p <= 0:
            return None
        order = np.argsort(-chances, kind="stable")
        if 0 < told.top_k < size:
            order = order[: told.top_k]
        if told.top_p < 1:
            sums = chances[order].cumsum()
            order = order[: int(np.searchsorted(sums, told.top_p * sums[-1])) + 1]
        if told.min_p > 0:
            order = order[chances[order] >= told.min_p * chances[order[0]]]
        return order


def chances_of(logits: NDArray[np.float32], chosen: int, top: int, spelled: Callable[[int], bytes]) -> TokenChance:
    """Return the log-probability of a token, and of the `top` likeliest ones, of `[vocabulary]` logits."""
    numbers = logits.astype(np.float64)
    numbers -= numbers.max()
    numbers -= np.log(np.exp(numbers).sum())
    best: Sequence[int] = np.argsort(-numbers, kind="stable")[:top].tolist() if top else ()
    return TokenChance(
        chosen, spelled(chosen), float(numbers[chosen]),
        tuple(TokenChance(i, spelled(i), float(numbers[i])) for i in best),
    )  # fmt: skip
