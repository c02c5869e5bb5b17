"""How far two sets of answers to the same requests are apart, in numbers: logits, choices, bits and vectors."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from llmkit.evaluation.probes import Row
    from llmkit.modeling.heads import Answer

TIE = 0.223
"""Nats by which the model holds its own choice for likelier than the export's, at most, of a tie: 0.8 times as likely.
A rounding that costs nothing turns such choices: of SmolLM2-135M in Q8_0, with 0.07 % more bits per byte in llama.cpp,
4.7 % of all choices, and 1.0 % that are no ties. Rounding that does cost stands out: of its Q4_K, 12 % are none."""
MOST = 2**22
"""Numbers that are turned into probabilities at a time."""


@dataclass
class Sums:
    """What is summed over rows.

    Attributes:
        numbers: How many numbers were compared.
        total: Sum of their absolute differences.
        square: Sum of the squares of these.
        largest: The largest one.
        places: Where one of several is chosen: positions, or texts.
        equal: At how many of them the same one is.
        alike: The same, with those where the model itself holds both for almost as likely: see `TIE`.
        nats: Sum of the divergence of what the export holds for likely from what the model does (Kullback and Leibler).
        diverged: Places that it was summed over.
    """

    numbers: int = 0
    total: float = 0.0
    square: float = 0.0
    largest: float = 0.0
    places: int = 0
    equal: int = 0
    alike: int = 0
    nats: float = 0.0
    diverged: int = 0

    def facts(self) -> dict[str, Any]:
        """Return the figures of a receipt; those that mean nothing here are null."""
        return {
            "max_difference": self.largest,
            "mean_difference": self.total / self.numbers if self.numbers else 0.0,
            "top1": self.equal / self.places if self.places else None,
            "top1_but_ties": self.alike / self.places if self.places else None,
            "kl": self.nats / self.diverged if self.diverged else None,
            "positions": self.places,
        }


@dataclass
class Differences:
    """How far an export's numbers are from the model's.

    Attributes:
        answer: The model's kind of answer.
        several: Each label is there or not.
        groups: Sums over rows of text and over random ones.
        by_place: Of each row the largest difference at each of its positions; of other answers one.
        bits: Bits that the model and the export need for the text, and its bytes.
        cosine: The least one of a vector and the model's; None where there are none.
    """

    answer: Answer
    several: bool = False
    groups: dict[str, Sums] = field(default_factory=lambda: {"text": Sums(), "random": Sums()})
    by_place: list[NDArray[np.float32]] = field(default_factory=list)
    bits: list[float] = field(default_factory=lambda: [0.0, 0.0])
    num_bytes: int = 0
    cosine: float | None = None
    _first: float = 0.0
    _square: float = 0.0

    def add(self, row: Row | None, one: NDArray[np.float32], other: NDArray[np.float32], *, scored: bool) -> None:
        """Compare the numbers of one request.

        Args:
            row: The row; None of a text that a vector was asked of.
            one: The model's.
            other: The export's.
            scored: Each position's numbers are those of the next token.
        """
        import numpy as np

        off = np.abs(other - one)
        sums = self.groups["random" if row is not None and not row.num_bytes else "text"]
        sums.numbers += one.size
        sums.total += float(off.sum(dtype=np.float64))
        sums.square += float(np.square(off, dtype=np.float64).sum())
        sums.largest = max(sums.largest, float(off.max()))
        self._first += float(one.sum(dtype=np.float64))
        self._square += float(np.square(one, dtype=np.float64).sum())
        self.by_place.append(off.reshape(len(off), -1).max(1) if off.ndim > 1 else off.max(keepdims=True))
        if self.answer == "vector":
            self._add_cosine(one, other)
        if row is None or (chosen := choices_of(len(row.ids), one, self.answer)) is None:
            return
        others = choices_of(len(row.ids), other, self.answer)
        assert others is not None
        if self.several:
            same = int(((one > 0) == (other > 0)).sum())
            sums.places, sums.equal, sums.alike = sums.places + one.size, sums.equal + same, sums.alike + same
            return
        sums.places += len(chosen)
        own, its = chosen.argmax(-1), others.argmax(-1)
        sums.equal += int((own == its).sum())
        every = np.arange(len(chosen))
        sums.alike += int((chosen[every, own] - chosen[every, its] <= TIE).sum())
        sums.diverged += len(chosen)
        scored = scored and bool(row.num_bytes) and len(row.ids) > 1
        targets = np.array([*row.ids[1:], 0] if scored else [0] * len(row.ids))[-len(chosen) :]
        last = len(chosen) - 1
        for start, stop in _parts(*chosen.shape):
            sure, held = (_log_softmax(each[start:stop]) for each in (chosen, others))
            sums.nats += float((np.exp(sure) * (sure - held)).sum())
            if scored:
                at = np.arange(min(stop, last) - start), targets[start : min(stop, last)]
                for side, each in enumerate((sure, held)):
                    self.bits[side] -= float(each[at].sum()) / math.log(2)
        self.num_bytes += row.num_bytes if scored else 0

    def _add_cosine(self, one: NDArray[np.float32], other: NDArray[np.float32]) -> None:
        import numpy as np

        ours, theirs = (each.reshape(-1, each.shape[-1]).astype(np.float64) for each in (one, other))
        lengths = np.linalg.norm(ours, axis=-1) * np.linalg.norm(theirs, axis=-1)
        least = float(((ours * theirs).sum(-1) / np.maximum(lengths, 1e-30)).min())
        self.cosine = least if self.cosine is None else min(self.cosine, least)

    @property
    def spread(self) -> float:
        """Standard deviation of the model's numbers.

        Of one number a text the root of the mean square: it may be the same for all, and its size is what its error is
        measured by.
        """
        count = sum(sums.numbers for sums in self.groups.values())
        square = self._square / count
        return math.sqrt(square if self.answer == "number" else max(0.0, square - (self._first / count) ** 2))

    @property
    def all(self) -> Sums:
        """Sums over all rows."""
        text, random = self.groups["text"], self.groups["random"]
        pairs = {name: getattr(text, name) + getattr(random, name) for name in vars(text) if name != "largest"}
        return Sums(**pairs, largest=max(text.largest, random.largest))

    @property
    def share_off(self) -> float:
        """By what the export's numbers are off, as a share of the spread of the model's: roots of mean squares."""
        sums = self.all
        return math.sqrt(sums.square / sums.numbers) / self.spread if self.spread else math.inf if sums.largest else 0.0

    def growth(self) -> float | None:
        """Return by what share the text takes more bits in the export; None where bits mean nothing."""
        return self.bits[1] / self.bits[0] - 1 if self.num_bytes and self.bits[0] else None

    def first_above(self, limit: float) -> tuple[int, int] | None:
        """Return the first row, and the first position in it, at which a number differs by more; None for none."""
        for number, row in enumerate(self.by_place):
            above = (row > limit).nonzero()[0]
            if len(above):
                return number, int(above[0])
        return None


def choices_of(time: int, given: Any, answer: Answer) -> NDArray[np.float32] | None:
    """Return numbers by which one of several is chosen, `[places, choices]`; None where nothing is chosen by them.

    Args:
        time: Tokens of the row.
        given: All numbers of the row.
        answer: The model's kind of answer.
    """
    import numpy as np

    if answer in ("number", "vector"):
        return None
    numbers = np.atleast_2d(given)
    if answer == "token_labels":
        # Numbers of a second output, of another shape, stand behind those of the tokens.
        numbers = numbers.ravel()[: numbers.size // time * time].reshape(time, -1)
    return numbers


def shapes_differ(pairs: Iterable[Sequence[Any]]) -> tuple[list[int], list[int]] | None:
    """Return the shapes of the first two answers that have others; None where all are alike."""
    for one, other in pairs:
        if one.shape != other.shape:
            return list(one.shape), list(other.shape)
    return None


def _parts(places: int, choices: int) -> Iterable[tuple[int, int]]:
    """Yield the beginnings and ends of parts of rows: in 64 bits, and several times, all of them are gigabytes."""
    size = max(1, MOST // choices)
    return ((start, min(places, start + size)) for start in range(0, places, size))


def _log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    import numpy as np

    wide = logits.astype(np.float64)
    wide -= wide.max(-1, keepdims=True)
    return wide - np.log(np.exp(wide).sum(-1, keepdims=True))  # type: ignore[no-any-return]
