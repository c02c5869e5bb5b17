"""Several token artifacts as one endless stream: each with a weight of its own, or all documents shuffled together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import ceil, lcm
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

from llmkit.core.config import Config, NotIdentity
from llmkit.data.artifacts import Tokens
from llmkit.data.feeds import HeldOut
from llmkit.data.order import Order
from llmkit.data.packing import Batch, BestFitPacker, Packer, PadPacker, PairPacker, StreamPacker
from llmkit.data.split import Split
from llmkit.data.token_reader import JoinedSplits, TokenSplit
from llmkit.data.unread import Unread

MODES: dict[str, type[Any]] = {"stream": StreamPacker, "best_fit": BestFitPacker, "pad": PadPacker}


class DataConfig(Config):
    """A token artifact; a bare string is its directory."""

    path: Annotated[str, NotIdentity]
    """Directory of the tokens."""
    weight: float | None = Field(None, gt=0, allow_inf_nan=False)
    """Share of the blocks, in relation to the other weights; none: all documents are shuffled together."""

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, value: Any) -> Any:
        """Open a bare string; `--set data.0.weight=2` has opened it to `type: DIR` before, as it does for any part."""
        if isinstance(value, str):
            return {"path": value}
        if isinstance(value, Mapping) and "type" in value and "path" not in value:
            return {"path": value["type"], **{key: item for key, item in value.items() if key != "type"}}
        return value

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [{"type": "string", "description": "directory of the tokens"}, handler(schema)]}


def _all_or_none(data: list[DataConfig]) -> list[DataConfig]:
    missing = [item.path for item in data if item.weight is None]
    if missing and len(missing) < len(data):
        raise PydanticCustomError(
            "weights", "'{path}' has no weight: give all of them one, or none", {"path": missing[0]}
        )
    return data


DataList = Annotated[list[DataConfig], Field(min_length=1), AfterValidator(_all_or_none)]
"""Field type of a stage's `data`. Weights count for the identity of what is trained, paths do not: their ids do."""


class Mixture:
    """Several streams interleaved by weight, numbered k = 0, 1, 2, ..., each with epochs of its own.

    Block n of stream i, whose share of the weights is p, has the time (n + 1/2) / p; blocks come in the order of their
    times, of streams where these are equal (the method of Webster and Sainte-Lague, with which parliaments are filled).
    So of any first k blocks, k p are stream i's, but for less than a block with up to three streams, and for at most
    (1 + p (S - 2)) / 2 blocks with S: small streams of one weight come one after another.

    Args:
        orders: The streams.
        weights: Of each, positive; exact as given, so that no rounding decides an order.
    """

    def __init__(self, orders: Sequence[Order], weights: Sequence[float]) -> None:
        if not orders or len(orders) != len(weights) or min(weights) <= 0:
            raise ValueError(f"{len(orders)} streams with the weights {list(weights)}")
        self._orders = list(orders)
        exact = [Fraction(weight) for weight in weights]
        denominator = lcm(*(weight.denominator for weight in exact))
        self._weights = [int(weight * denominator) for weight in exact]
        common = lcm(*self._weights)
        self._periods = [common // weight for weight in self._weights]  # times between a stream's blocks

    def locate(self, numbers: Sequence[int]) -> list[tuple[int, int]]:
        """Return (stream, number in that stream) of each block."""
        found: dict[int, tuple[int, int]] = {}
        seen: list[int] = []
        for k in sorted(set(numbers)):
            if k - 1 not in found:
                seen = self.seen(k)
            stream = self._next(seen)
            found[k] = stream, seen[stream]
            seen[stream] += 1
        return [found[k] for k in numbers]

    def seen(self, k: int) -> list[int]:
        """Return how many of the first k blocks are of each stream."""
        total = sum(self._weights)
        # All blocks up to time k: k of them, but for half a block a stream.
        counts = [(2 * k * weight + total) // (2 * total) for weight in self._weights]
        while sum(counts) > k:
            last = max(range(len(counts)), key=lambda i: ((2 * counts[i] - 1) * self._periods[i], i))
            counts[last] -= 1
        while sum(counts) < k:
            counts[self._next(counts)] += 1
        return counts

    def _next(self, seen: list[int]) -> int:
        return min(range(len(seen)), key=lambda i: (2 * seen[i] + 1) * self._periods[i])

    def epoch_of(self, k: int) -> float:
        """Return how many times as many blocks the first k are as all streams have in their first epochs."""
        return k / self._epoch

    def blocks_in(self, epochs: float, most: int | None = None) -> int:  # noqa: ARG002 - nothing is counted
        """Return how many blocks `epochs` epochs are, rounded up."""
        return ceil(round(epochs * self._epoch, 6))

    @cached_property  # to lay out the first epoch of pairs again takes as long as a step
    def _epoch(self) -> int:
        return sum(order.packer.num_blocks(0) for order in self._orders)

    def batch(self, numbers: Sequence[int]) -> Batch:
        """Return any blocks of the stream in the order asked for."""
        asked = np.asarray(numbers, dtype=np.int64)
        located = np.array(self.locate(asked.tolist()), dtype=np.int64).reshape(-1, 2)
        streams = np.unique(located[:, 0]) if asked.size else [0]
        joined = Batch.join([self._orders[i].batch(located[located[:, 0] == i, 1]) for i in streams])
        back = np.argsort(np.argsort(located[:, 0], kind="stable"))
        return joined.take(back).replace(numbers=asked)

    def documents(self, numbers: Sequence[int]) -> list[str]:
        """Return the ids of the documents that the blocks are of."""
        located = self.locate(list(numbers))
        shares = [[n for stream, n in located if stream == i] for i in range(len(self._orders))]
        return [name for order, share in zip(self._orders, shares, strict=True) for name in order.documents(share)]


def temperature_weights(sizes: Sequence[int], temperature: float) -> list[float]:
    """Return shares proportional to size^(1 / temperature) (Conneau et al. 2020, "XLM-R"; Xue et al. 2021, "mT5").

    Args:
        sizes: Tokens of each source.
        temperature: At least 1: 1 keeps the sizes' own shares, more lifts the small sources; XLM-R and mT5 use 1 / 0.3.
    """
    powers = [size ** (1 / temperature) for size in sizes]
    return [power / sum(powers) for power in powers]


@dataclass(frozen=True)
class PackingPlan:
    """How documents become blocks.

    Attributes:
        context_length: Input positions a packer cuts for one block: the objective's raw length.
        packing: Mode; the layout `pair` has one only and takes no notice.
        layout: The objective's.
        prefix, suffix: Ids around every document.
        pad_id: Token id that fills up a block.
        random_second: See `PairPacker`.
    """

    context_length: int
    packing: str = "stream"
    layout: Literal["block", "pair"] = "block"
    prefix: Sequence[int] = ()
    suffix: Sequence[int] = ()
    pad_id: int = 0
    random_second: bool = False

    def packer(self, tokens: JoinedSplits, *, seed: int | None, source: int = 0) -> Packer:
        """Return the packer of some tokens; without a seed, to score every token once."""
        shared: dict[str, Any] = {"seed": seed, "source": source, "pad_id": self.pad_id}
        if self.layout == "pair":
            return PairPacker(tokens, self.context_length, random_second=self.random_second, **shared)
        shared |= {"prefix": self.prefix, "suffix": self.suffix}
        packer: Packer = MODES[self.packing](tokens, self.context_length, **shared)
        return packer


def training_stream(
    tokens: Sequence[Path],
    plan: PackingPlan,
    *,
    seed: int,
    weights: Sequence[float | None] | None = None,
    temperature: float | None = None,
) -> Order | Mixture:
    """Return the training blocks of token artifacts.

    Args:
        tokens: The artifacts.
        plan: How documents become blocks.
        seed: Seed of the order.
        weights: One each, or None (alone or in a list) where all documents are shuffled together as one.
        temperature: Weights by size in the place of `weights`, see `temperature_weights`.

    Raises:
        DataError: An artifact has no training split, or no tokens.
    """
    parts = [TokenSplit(path, "train") for path in tokens]
    given = [weight for weight in weights or () if weight is not None]
    if temperature is not None:
        given = temperature_weights([part.num_tokens for part in parts], temperature)
    if not given:
        return Order(plan.packer(JoinedSplits(parts), seed=seed))
    streams = [Order(plan.packer(JoinedSplits([part]), seed=seed, source=source)) for source, part in enumerate(parts)]
    return Mixture(streams, given)


def held_out_of(tokens: Sequence[Path], plan: PackingPlan, split: Split = "validation") -> HeldOut | None:
    """Return the held-out blocks of token artifacts; None if no artifact has any."""
    paths = [path for path in tokens if Tokens(path).has(split)]
    if not paths:
        return None
    joined = JoinedSplits([TokenSplit(path, split) for path in paths])
    unread = Unread()
    for path in paths:
        unread = unread.plus(Tokens(path).unread(split))
    return HeldOut(plan.packer(joined, seed=None), joined.num_bytes, unread)
