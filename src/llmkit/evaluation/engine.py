"""Put the requests of any number of tasks to one model: each once, those of like length together, answers kept.

Requests are read in windows, so that neither their number nor the first answer's time is bounded by memory: the first
window is small, and each is twice the one before. Within a window requests of a kind are sorted, and batches filled up
to a budget of padded tokens. A batch that does not fit into memory is halved, and so are those after it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from llmkit.core.errors import DataError, MemoryLimitError
from llmkit.core.machine import limit_of
from llmkit.evaluation.kept import Kept, key_of
from llmkit.modeling.finite import NotFiniteError
from llmkit.runtimes import Request, Running, Score
from llmkit.runtimes._prefixes import shared_prefixes

BATCH_TOKENS = 8192
"""Padded tokens in a batch."""
FIRST_WINDOW, WINDOW = 512, 2**20
"""Tokens that are read before any are asked, at first and at most."""


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
    """A request that waits for its answer, and the rows of the window that wait for it."""

    key: str
    request: Request
    tokens: int
    whose: str
    rows: list[int]


class Engine:
    """Asks a loaded model.

    Args:
        running: The model.
        kept: Where answers go, and where those of an interrupted run are.
        batch_tokens: Padded tokens in a batch, what is to be written included.
    """

    def __init__(self, running: Running, kept: Kept | None = None, *, batch_tokens: int = BATCH_TOKENS) -> None:
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
        size, most = 0, FIRST_WINDOW
        for row in rows:
            window.append(row)
            size += sum(map(self.running.tokens, row.requests))
            if size >= most:
                yield window
                window, size, most = [], 0, min(2 * most, WINDOW)
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
        for batch in self._batches(list(pending.values())):
            for part, answers in self._halving(batch):
                pairs = [(one.key, answer) for one, answer in zip(part, answers, strict=True)]
                self.kept.add(pairs)
                found.update(pairs)
                waits.subtract(Counter(row for one in part for row in one.rows))
                finished = {row for one in part for row in one.rows if not waits[row]}
                if finished:
                    done(len(finished))

    def _batches(self, pending: list[_Pending]) -> Iterator[list[_Pending]]:
        """Yield batches of one kind, the longest first: what does not fit into memory is found at once."""
        batch: list[_Pending] = []
        widest = 0
        for one in _ordered(pending):
            other = batch and batch[0].request.kind != one.request.kind
            if batch and (other or max(widest, one.tokens) * (len(batch) + 1) > self.batch_tokens):
                yield batch
                batch, widest = [], 0
            batch.append(one)
            widest = max(widest, one.tokens)
        if batch:
            yield batch

    def _halving(self, batch: list[_Pending]) -> Iterator[tuple[list[_Pending], list[Any]]]:
        """Ask a batch, in smaller parts if it does not fit into memory."""
        parts = [batch]
        while parts:
            part = parts.pop()
            try:
                answers = self.running.answer([one.request for one in part])
            except NotFiniteError as error:
                whose = f"{part[0].whose}: " if part[0].whose else ""
                raise NotFiniteError(whose + error.message, error.hint) from error
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
                continue
            yield part, answers

    @staticmethod
    def _too_large(one: _Pending) -> MemoryLimitError:
        whose = f"{one.whose}: " if one.whose else ""
        return MemoryLimitError(
            f"{whose}out of memory: a single {one.request.kind} request of {one.tokens:,} tokens does not fit",
            "leave out the longest samples, ask for fewer new tokens, or use a machine with more memory",
        )


def _ordered(pending: list[_Pending]) -> list[_Pending]:
    """Sort by kind and length; those whose contexts begin alike stay side by side, so that the runtime sees them."""
    contexts = [one.request.context[:-1] if isinstance(one.request, Score) else () for one in pending]
    longest = [one.tokens for one in pending]
    together = list(range(len(pending)))
    for number, prefix in enumerate(shared_prefixes(contexts)):
        most = max(pending[member].tokens for member in prefix.members)
        for member in prefix.members:
            longest[member], together[member] = most, -1 - number
    order = sorted(
        range(len(pending)),
        key=lambda i: (pending[i].request.kind, -longest[i], together[i], -pending[i].tokens),
    )
    return [pending[i] for i in order]
