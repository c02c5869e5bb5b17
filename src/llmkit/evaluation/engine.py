"""Put the requests of any number of tasks to one model: each once, those of like length together, answers kept.

Requests are read in windows, so that memory does not bound their number, nor their number the time of the first answer:
the first window is a quarter of a batch, and each is four times the one before. Within a window requests of a kind are
sorted, those that begin alike by their ids and others by length, and batches filled up to as many tokens as suit the
model. A batch that does not fit into memory is halved, and so are those after it.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from llmkit.core.errors import DataError, MemoryLimitError
from llmkit.core.machine import limit_of
from llmkit.evaluation.kept import Kept, key_of
from llmkit.modeling.finite import NotFiniteError
from llmkit.runtimes import Request, Running, Score
from llmkit.runtimes._lanes import side_by_side
from llmkit.runtimes._prefixes import families

FIRST_WINDOW, GROWTH, WINDOW = 0.25, 4, 128
"""Batches that are read before any is asked: at first, by how many times more from then on, and at most."""
TREE_TOKENS = 2048
"""Most tokens of rows that begin alike in a batch: of each two of them it is told whether one sees the other."""
SHARES, LEAST_TOKENS = 4, 128
"""Several lanes share a multiple of so many batches, whatever their own number, of so many tokens at least."""


@dataclass(frozen=True)
class Asked:
    """What belongs together, such as the windows of one text, or the choices for one question.

    Attributes:
        requests: Of any kinds.
        whose: What they are for, for errors: `perplexity of the model`.
    """

    requests: Sequence[Request]
    whose: str = ""


@dataclass
class _Pending:
    """A request that waits for its answer.

    Attributes:
        tokens: In its row.
        whose: What it is for.
        rows: Those of the window that wait for it.
        group: Number of those that begin alike; -1 for none.
        place: Its place among those, sorted by ids.
        shared: Tokens that it has in common with the one before it.
        longest: Tokens of the longest of them.
    """

    key: str
    request: Request
    tokens: int
    whose: str
    rows: list[int]
    group: int = -1
    place: int = 0
    shared: int = 0
    longest: int = 0

    def __post_init__(self) -> None:
        self.longest = self.tokens


class _Batch:
    """Requests of one kind, and how many tokens they take up together.

    Of those that begin alike, what all of a batch begin with is not counted: the runtime keeps it for the next batch.
    """

    def __init__(self, members: Sequence[_Pending] = ()) -> None:
        self.members: list[_Pending] = []
        self.size = self.root = self.distinct = 0
        for one in members:
            self.add(one)

    def add(self, one: _Pending) -> None:
        """Take one in."""
        self.root, self.distinct, self.size = self._with(one)
        self.members.append(one)

    def takes(self, one: _Pending, most: int) -> bool:
        """Tell whether one more fits in; alone any does."""
        if not self.members:
            return True
        first = self.members[0]
        # What begins alike is computed otherwise than what does not.
        if (first.request.kind, first.group < 0) != (one.request.kind, one.group < 0):
            return False
        return self._with(one)[2] <= (most if one.group < 0 else min(most, TREE_TOKENS))

    def _with(self, one: _Pending) -> tuple[int, int, int]:
        """Return the tokens that all begin with, those that differ or the widest row, and the size, with one more."""
        if one.group < 0:
            widest = max(self.distinct, one.tokens)
            return 0, widest, widest * (len(self.members) + 1)
        last = self.members[-1] if self.members else None
        shared = one.shared if last is not None and last.group == one.group else 0
        root = one.tokens if last is None else min(self.root, shared)
        distinct = self.distinct + one.tokens - shared
        return root, distinct, distinct - root


class Engine:
    """Asks a loaded model.

    Args:
        running: The model.
        kept: Where answers go, and where those of an interrupted run are.
        batch_tokens: Padded tokens in a batch at most, what is to be written included; None is what suits the model.
    """

    def __init__(self, running: Running, kept: Kept | None = None, *, batch_tokens: int | None = None) -> None:
        self.running, self.kept = running, Kept() if kept is None else kept
        self.batch_tokens = batch_tokens

    def check(self, request: Request, name: str) -> None:
        """Make sure that requests like this one can be asked at all.

        Args:
            request: One of them.
            name: What the model is called: `the model in 'build/model'`.

        Raises:
            DataError: They cannot, and why.
        """
        why = self.running.takes(request)
        if why is not None:
            reason, _, hint = why.partition("\n")
            raise DataError(f"{name} does not answer {request.kind} requests: {reason}", hint or None)

    def ask(self, rows: Iterable[Asked], *, done: Callable[[int], None] = lambda _: None) -> Iterator[list[Any]]:
        """Yield the answers to each row's requests, in order.

        Args:
            rows: What to ask; read as it is needed.
            done: Called with a number of rows whenever so many more are answered, in whatever order.

        Raises:
            NotFiniteError: An answer is no number; the message begins with `whose`.
            MemoryLimitError: A single request does not fit into memory.
        """
        for window in self._windows(rows):
            keys = [[key_of(request) for request in row.requests] for row in window]
            found: dict[str, Any] = {}
            self._answer(window, keys, found, done)
            for row in keys:
                yield [found[key] if key in found else self.kept[key] for key in row]

    def _windows(self, rows: Iterable[Asked]) -> Iterator[list[Asked]]:
        window: list[Asked] = []
        size, most = 0.0, FIRST_WINDOW
        for row in rows:
            window.append(row)
            size += sum(self.running.tokens(one) / self._most(one) for one in row.requests)
            if size >= most:
                yield window
                window, size, most = [], 0.0, min(GROWTH * most, WINDOW)
        if window:
            yield window

    def _answer(
        self, window: list[Asked], keys: list[list[str]], found: dict[str, Any], done: Callable[[int], None]
    ) -> None:
        pending: dict[str, _Pending] = {}
        waits: Counter[int] = Counter()
        for number, (row, own) in enumerate(zip(window, keys, strict=True)):
            for key, request in zip(own, row.requests, strict=True):
                if key in self.kept:
                    continue
                if key not in pending:
                    pending[key] = _Pending(key, request, self.running.tokens(request), row.whose, [])
                if number not in pending[key].rows:
                    pending[key].rows.append(number)
                    waits[number] += 1
        if known := len(window) - len(waits):
            done(known)
        for part, answers in self._answered(list(pending.values())):
            pairs = [(one.key, answer) for one, answer in zip(part, answers, strict=True)]
            self.kept.add(pairs)
            found.update(pairs)
            waits.subtract(Counter(row for one in part for row in one.rows))
            finished = {row for one in part for row in one.rows if not waits[row]}
            if finished:
                done(len(finished))

    def _answered(self, pending: list[_Pending]) -> Iterator[tuple[list[_Pending], list[Any]]]:
        """Yield parts of batches with their answers, so many batches at a time as suit the model."""
        for kind, batches in groupby(self._batches(pending), key=lambda batch: type(batch[0].request)):
            if (lanes := self.running.lanes(kind)) == 1:
                for batch in batches:
                    yield from self._halving(batch)
            else:
                for parts in side_by_side(lambda batch: list(self._halving(batch)), batches, lanes):
                    yield from parts

    def _batches(self, pending: list[_Pending]) -> Iterator[list[_Pending]]:
        """Yield batches of one kind, the longest first: what does not fit into memory is found at once."""
        self._find_families(pending)
        even = self._even(pending)
        batch = _Batch()
        for one in sorted(pending, key=lambda one: (one.request.kind, -one.longest, one.group, one.place, -one.tokens)):
            kind = type(one.request)
            if not batch.takes(one, min(self._most(one.request), even.get(kind, sys.maxsize))):
                yield batch.members
                batch = _Batch()
            batch.add(one)
        if batch.members:
            yield batch.members

    def _even(self, pending: list[_Pending]) -> dict[type[Request], int]:
        """Return how large batches of each kind are so that lanes have about as much to do, where there are several."""
        found = {}
        for kind in {type(one.request) for one in pending}:
            if self.running.lanes(kind) > 1:
                members = [one for one in pending if type(one.request) is kind]
                size, most = sum(one.tokens - one.shared for one in members), self._most(members[0].request)
                each = size / (SHARES * math.ceil(size / (SHARES * most))) + size / len(members)
                found[kind] = max(LEAST_TOKENS, math.ceil(each))
        return found

    def _most(self, request: Request) -> int:
        return min(self.running.batch_tokens(type(request)), self.batch_tokens or sys.maxsize)

    def _find_families(self, pending: list[_Pending]) -> None:
        """Note which rows begin alike, where the runtime computes that once: those are asked side by side."""
        count = 0
        for kind in {type(one.request) for one in pending if isinstance(one.request, Score)}:
            scores = [one for one in pending if type(one.request) is kind]
            rows = [one.request for one in scores if isinstance(one.request, Score)]
            groups = families([row.context + row.target[:-1] for row in rows])
            for group in groups if groups and self.running.shares_prefixes else ():
                longest = max(scores[member].tokens for member, _ in group)
                for place, (member, shared) in enumerate(group):
                    one = scores[member]
                    one.group, one.place, one.shared, one.longest = count, place, shared, longest
                count += 1

    def _halving(self, batch: list[_Pending]) -> Iterator[tuple[list[_Pending], list[Any]]]:
        """Ask a batch and yield answers as they come, in smaller parts if it does not fit into memory."""
        parts = [batch]
        while parts:
            part = parts.pop()
            left = dict(enumerate(part))
            try:
                for found in self.running.stream([one.request for one in part]):
                    yield [left.pop(number) for number, _ in found], [answer for _, answer in found]
            except NotFiniteError as error:
                names = " or ".join(filter(None, dict.fromkeys(one.whose for one in left.values())))
                raise NotFiniteError((f"{names}: " if names else "") + error.message, error.hint) from error
            except Exception as error:
                limit = limit_of(error)
                if limit is None or limit.error is not MemoryLimitError:
                    raise
                if len(part) == 1:
                    raise self._too_large(part[0]) from error
                # What has failed once would fail again: from here on batches are that small.
                self.batch_tokens = max(1, _Batch(part).size // 2)
                rest, half = list(left.values()), len(left) // 2
                parts += [each for each in (rest[half:], rest[:half]) if each]

    @staticmethod
    def _too_large(one: _Pending) -> MemoryLimitError:
        whose = f"{one.whose}: " if one.whose else ""
        return MemoryLimitError(
            f"{whose}out of memory: a single {one.request.kind} request of {one.tokens:,} tokens does not fit",
            "leave out the longest samples, ask for fewer new tokens, or use a machine with more memory",
        )
