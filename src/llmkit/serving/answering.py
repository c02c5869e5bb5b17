"""Requests that are answered as a whole, such as vectors of texts: those that wait are answered together."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from threading import Condition, Thread
from typing import TYPE_CHECKING, Any

from llmkit.serving.engine import BusyError, EngineDiedError

if TYPE_CHECKING:
    from llmkit.runtimes import Request, Running

MOST = 64
"""Requests in a batch."""


class Answerer:
    """A thread that answers.

    Args:
        running: The model.
        queue: Requests that may wait.
    """

    def __init__(self, running: Running, queue: int) -> None:
        self.running, self._queue = running, queue
        self.alive, self.steps, self.answered = True, 0, 0
        self._change = Condition()
        self._waiting: deque[tuple[Request, Future[Any]]] = deque()
        self._busy = 0
        self._closed = False
        self._thread = Thread(target=self._work, name="llmkit-answerer", daemon=True)
        self._thread.start()

    def ask(self, requests: Sequence[Request]) -> list[Future[Any]]:
        """Ask for all of them or none; the futures may be cancelled for as long as they wait.

        Raises:
            BusyError: The queue is full.
            EngineDiedError: It is closed.
        """
        found: list[Future[Any]] = [Future() for _ in requests]
        with self._change:
            if self._closed:
                raise EngineDiedError("the engine is closed")
            if len(self._waiting) + len(requests) > max(self._queue, len(requests)):
                raise BusyError(f"{len(self._waiting)} requests are waiting already, of {self._queue} that may")
            self._waiting.extend(zip(requests, found, strict=True))
            self._change.notify_all()
        return found

    def load(self) -> dict[str, float]:
        """Return how much there is to do, and what has been done."""
        return {
            "waiting": len(self._waiting), "running": self._busy, "tokens": 0, "prompt_tokens": 0,
            "steps": self.steps, "deaths": 0,
        }  # fmt: skip

    def close(self) -> None:
        """End, and let those that wait fail."""
        with self._change:
            self._closed = True
            self._change.notify_all()
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._closed or self._waiting)
                batch = [] if self._closed else self._batch()
            if self._closed:
                break
            self._answer(batch)
        for _, future in self._waiting:
            if future.set_running_or_notify_cancel():
                future.set_exception(EngineDiedError("the engine is closed"))

    def _batch(self) -> list[tuple[Request, Future[Any]]]:
        """Take requests of one kind whose tokens are best computed together."""
        kind = type(self._waiting[0][0])
        most = self.running.batch_tokens(kind)
        found: list[tuple[Request, Future[Any]]] = []
        longest = 0
        while self._waiting and len(found) < MOST and type(self._waiting[0][0]) is kind:
            longest = max(longest, self.running.tokens(self._waiting[0][0]))
            if found and longest * (len(found) + 1) > most:
                break
            one = self._waiting.popleft()
            if one[1].set_running_or_notify_cancel():
                found.append(one)
        return found

    def _answer(self, batch: list[tuple[Request, Future[Any]]]) -> None:
        if not batch:
            return
        self._busy, self.steps = len(batch), self.steps + 1
        try:
            answers = self.running.answer([request for request, _ in batch])
            outcomes: list[tuple[Callable[[Any], None], Any]] = [
                (future.set_result, answer) for (_, future), answer in zip(batch, answers, strict=True)
            ]
        except Exception as error:  # noqa: BLE001 - whoever asked is told, and the next are answered
            outcomes = [(future.set_exception, error) for _, future in batch]
        for tell, value in outcomes:
            tell(value)
        self._busy = 0
