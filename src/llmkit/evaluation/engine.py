"""Put the requests of any number of tasks to one model: each once, those of like length together, answers kept.

Requests are read in windows, so that memory does not bound their number, nor their number the time of the first answer:
the first window is a quarter of a batch, and each is twice the one before. Within a window requests of a kind are
sorted, and batches filled up to as many padded tokens as suit the model. A batch that does not fit into memory is
halved, and so are those after it.
"""

from __future__ import annotations

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
from llmkit.runtimes._prefixes import shared_prefixes

FIRST_WINDOW, WINDOW = 0.25, 128
"""Batches that are read before any is asked, at first and at most."""
COPIES = 8
"""Keys and values of shared prefixes are copied for every row: at most for so many times the tokens of a batch."""


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
        rows: Those of the window that wait for it.
        group: Number of those whose contexts begin alike; -1 for none.
        prefix: Tokens that they share.
        longest: Tokens of the longest of them.
    """

    key: str
    request: Request
    tokens: int
    whose: str
    rows: list[int]
    group: int = -1
    prefix: int = 0
    longest: int = 0

    def __post_init__(self) -> None:
        self.longest = self.tokens


class _Batch:
    """Requests of one kind, and what they take up together: padded tokens, prefixes counted once."""

    def __init__(self) -> None:
        self.members: list[_Pending] = []
        self.groups: set[int] = set()
        self.widest = self.behind = self.prefix = 0

    def add(self, one: _Pending) -> None:
        """Take one in."""
        self.members.append(one)
        self.groups.add(one.group)
        self.widest, self.prefix = max(self.widest, one.tokens), max(self.prefix, one.prefix)
        self.behind = max(self.behind, one.tokens - one.prefix)

    def takes(self, one: _Pending, most: int) -> bool:
        """Tell whether one more fits in; alone any does."""
        if not self.members:
            return True
        first, count = self.members[0], len(self.members) + 1
        # What shares prefixes is computed in other passes than what does not.
        if (first.request.kind, first.group < 0) != (one.request.kind, one.group < 0):
            return False
        whole = max(self.widest, one.tokens) * count
        if one.group < 0:
            return whole <= most
        prefixes = max(self.prefix, one.prefix) * len(self.groups | {one.group})
        behind = max(self.behind, one.tokens - one.prefix) * count
        return prefixes + behind <= most and whole <= COPIES * most


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
                window, size, most = [], 0.0, min(2 * most, WINDOW)
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
        for parts in self._answered(list(pending.values())):
            for part, answers in parts:
                pairs = [(one.key, answer) for one, answer in zip(part, answers, strict=True)]
                self.kept.add(pairs)
                found.update(pairs)
                waits.subtract(Counter(row for one in part for row in one.rows))
                finished = {row for one in part for row in one.rows if not waits[row]}
                if finished:
                    done(len(finished))

    def _answered(self, pending: list[_Pending]) -> Iterator[list[tuple[list[_Pending], list[Any]]]]:
        """Yield the parts of each batch with their answers, so many batches at a time as suit the model."""
        for kind, batches in groupby(self._batches(pending), key=lambda batch: type(batch[0].request)):
            yield from side_by_side(self._halving, batches, self.running.lanes(kind))

    def _batches(self, pending: list[_Pending]) -> Iterator[list[_Pending]]:
        """Yield batches of one kind, the longest first: what does not fit into memory is found at once."""
        self._find_prefixes(pending)
        batch = _Batch()
        for one in sorted(pending, key=lambda one: (one.request.kind, -one.longest, one.group, -one.tokens)):
            if not batch.takes(one, self._most(one.request)):
                yield batch.members
                batch = _Batch()
            batch.add(one)
        if batch.members:
            yield batch.members

    def _most(self, request: Request) -> int:
        return min(self.running.batch_tokens(type(request)), self.batch_tokens or sys.maxsize)

    def _find_prefixes(self, pending: list[_Pending]) -> None:
        """Note which contexts begin alike, where the runtime computes that once: those are asked side by side."""
        scores = [one for one in pending if isinstance(one.request, Score)]
        groups = shared_prefixes([one.request.context[:-1] for one in scores])  # type: ignore[attr-defined]
        for number, prefix in enumerate(groups if groups and self.running.shares_prefixes else ()):
            members = [scores[member] for member in prefix.members]
            for one in members:
                one.group, one.prefix, one.longest = number, prefix.length, max(each.tokens for each in members)

    def _halving(self, batch: list[_Pending]) -> list[tuple[list[_Pending], list[Any]]]:
        """Ask a batch, in smaller parts if it does not fit into memory."""
        parts, found = [batch], []
        while parts:
            part = parts.pop()
            try:
                found.append((part, self.running.answer([one.request for one in part])))
            except NotFiniteError as error:
                names = " or ".join(filter(None, dict.fromkeys(one.whose for one in part)))
                raise NotFiniteError((f"{names}: " if names else "") + error.message, error.hint) from error
            except Exception as error:
                limit = limit_of(error)
                if limit is None or limit.error is not MemoryLimitError:
                    raise
                if len(part) == 1:
                    raise self._too_large(part[0]) from error
                half = len(part) // 2
                parts += [part[half:], part[:half]]
                # What has failed once would fail again: from here on batches are that small.
                self.batch_tokens = max(1, max(one.tokens for one in part) * half)
        return found

    @staticmethod
    def _too_large(one: _Pending) -> MemoryLimitError:
        whose = f"{one.whose}: " if one.whose else ""
        return MemoryLimitError(
            f"{whose}out of memory: a single {one.request.kind} request of {one.tokens:,} tokens does not fit",
            "leave out the longest samples, ask for fewer new tokens, or use a machine with more memory",
        )
