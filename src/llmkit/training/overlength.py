"""Rows that are longer than the context: cut, split, dropped, or an error where they are many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from llmkit.core.errors import DataError
from llmkit.core.page import percent
from llmkit.data.packing import LONG, LeftOut, Outcome, examples_of

if TYPE_CHECKING:
    from llmkit.data.encoding import Counts
    from llmkit.data.rows import Row
    from llmkit.objectives.rows import RowObjective

Overlength = Literal["error", "drop", "truncate", "split"]
TOLERATED = 0.01
"""Share of the rows that may be too long without being asked about."""
NO_LIMIT = 2**31 - 1
Encode = Callable[[Sequence[Mapping[str, Any]], int], Sequence[Outcome]]
"""Rows, and the longest sequence in tokens, to what becomes of each."""


@dataclass(frozen=True)
class LongRows:
    """What is done with rows that are too long.

    Attributes:
        mode: As the config has it.
        objective: Says what of a row may be cut.
        kind: What the rows are.
        limit: Longest sequence, in tokens.
        encode: Encodes rows for the objective.
    """

    mode: Overlength
    objective: RowObjective
    kind: Row
    limit: int
    encode: Encode

    def settle(self, rows: Sequence[Mapping[str, Any]], found: Sequence[Outcome]) -> Sequence[Outcome]:
        """Return what becomes of rows, with what was too long of them dealt with."""
        return [one if not is_long(one) else self._settled(row, one) for row, one in zip(rows, found, strict=True)]

    def _settled(self, row: Mapping[str, Any], found: Outcome) -> Outcome:
        length = found.length if isinstance(found, LeftOut) else 0
        if not length:
            length = self._length(row) if self.mode in ("error", "drop") else self.limit + 1
        if self.mode == "drop":
            return LeftOut(LONG, f"more tokens than context_length {self.limit:,}", length)
        parts = self.objective.shorter(row, self.kind, self._fits, split=self.mode == "split")
        if parts is None:
            return _of_length(found, length)
        shorter, lost = parts
        made = [one for outcome in self.encode(shorter, self.limit) for one in examples_of(outcome)] if shorter else []
        if not made:
            return _of_length(found, length)
        first = replace(made[0], length=length, notes={**made[0].notes, **({"lost": lost} if lost else {})})
        cut = self.mode != "split" or (len(shorter) == 1 and not lost)  # of one that may not be split a part stays
        whole = [replace(one, cut=cut) for one in (first, *made[1:])]
        return whole if len(whole) > 1 else whole[0]

    def _fits(self, row: Mapping[str, Any]) -> bool:
        (found,) = self.encode([row], self.limit)
        return not is_long(found)

    def _length(self, row: Mapping[str, Any]) -> int:
        """Return the tokens of the longest sequence that a row would make."""
        (found,) = self.encode([row], NO_LIMIT)
        sizes = [
            np.size(ids)
            for one in examples_of(found)
            for name, ids in one.columns.items()
            if name.endswith("input_ids") or (name == "labels" and np.ndim(ids))
        ]
        return max([self.limit + 1, *sizes])


def is_long(found: Outcome) -> bool:
    """Return whether something of a row was cut, or all of it left out, because it is too long."""
    return found.code == LONG if isinstance(found, LeftOut) else any(one.cut for one in examples_of(found))


def _of_length(found: Outcome, length: int) -> Outcome:
    """Return what became of a row, with the tokens that the whole row would have."""
    if isinstance(found, LeftOut):
        return replace(found, length=length)
    first, *more = examples_of(found)
    return [replace(first, length=length), *more] if more else replace(first, length=length)


def check_long(
    counts: Mapping[str, Counts], mode: Overlength, limit: int, positions: int | None, *, splits: bool
) -> None:
    """Refuse data of which many rows are too long, unless the config says what is to become of them.

    Args:
        counts: What became of the rows of each side.
        mode: See `LongRows`.
        limit: Longest sequence, in tokens.
        positions: Of the model, where they are limited.
        splits: The objective can split rows.

    Raises:
        DataError: The message has the length that keeps 99% of the rows.
    """
    long: Counter[int] = Counter()
    for side in counts.values():
        long.update(side.long)
    total = sum(len(side.keys) for side in counts.values())
    if mode != "error" or long.total() <= TOLERATED * total:
        return
    keeps = length_that_keeps(long, total, limit)
    others = "truncate|drop|split" if splits else "truncate|drop"
    reach = positions is None or keeps <= positions
    raised = f"-s context_length={keeps}, or " if reach else f"the model has {positions:,} positions: "
    raise DataError(
        f"data: {long.total():,} of {total:,} rows ({percent(long.total(), total)}) are longer than context_length"
        f" {limit:,}: {keeps:,} would keep 99% of the rows whole, {max(long):,} all",
        f"{raised}-s overlength={others}",
    )


def length_that_keeps(long: Counter[int], total: int, limit: int) -> int:
    """Return the least length that 99% of so many rows do not exceed; those up to the limit are not in `long`."""
    over = long.total()
    for length in (limit, *sorted(long)):
        over -= long[length]
        if over <= TOLERATED * total:
            break
    return length
