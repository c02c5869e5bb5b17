"""What a text grows by, on its way from the engine's thread to a reader."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from threading import Condition

from llmkit.serving.engine import Piece


class Stream:
    """A mailbox of one piece: what its reader has not fetched is put together, so that a slow one costs nothing.

    Args:
        cancelled: Called once by `cancel`, if the text has not ended.

    Attributes:
        number: Which of the engine's texts it is.
    """

    def __init__(self, number: int, cancelled: Callable[[], None]) -> None:
        self.number = number
        self._cancelled = cancelled
        self._change = Condition()
        self._piece: Piece | None = None
        self._error: BaseException | None = None
        self._over = False
        self._wakes: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None

    def put(self, piece: Piece) -> None:
        """Add to what is there."""
        with self._change:
            if not self._over:
                self._piece = piece if self._piece is None else _joined(self._piece, piece)
                self._over = piece.finish is not None
                self._notify()

    def fail(self, error: BaseException) -> None:
        """End it; the reader gets the error behind what is there."""
        with self._change:
            if not self._over:
                self._error, self._over = error, True
                self._notify()

    def cancel(self) -> None:
        """End it, if it has not ended, and make room for another; safe from any thread."""
        with self._change:
            if self._over:
                return
            self._over = True
            self._piece = _joined(self._piece or Piece(), Piece(finish="cancelled"))
            self._notify()
        self._cancelled()

    @property
    def over(self) -> bool:
        """Whether it has ended, though its last piece may not have been fetched."""
        return self._over

    def text(self) -> str:
        """Wait for the end, and return the whole text.

        Raises:
            EngineDiedError, TimeoutError: It has none.
        """
        return "".join(piece.text for piece in self)

    def __iter__(self) -> Iterator[Piece]:
        """Yield pieces as they come, the last with `finish`."""
        while True:
            with self._change:
                self._change.wait_for(self._ready)
                piece = self._take()
            yield piece
            if piece.finish is not None:
                return

    async def __aiter__(self) -> AsyncIterator[Piece]:
        """Yield pieces as they come, the last with `finish`; one coroutine at a time."""
        event = asyncio.Event()
        with self._change:
            self._wakes = asyncio.get_running_loop(), event
        while True:
            with self._change:
                piece = self._take() if self._ready() else None
                if piece is None:
                    event.clear()
            if piece is None:
                await event.wait()
                continue
            yield piece
            if piece.finish is not None:
                return

    def _ready(self) -> bool:
        return self._piece is not None or self._error is not None

    def _take(self) -> Piece:
        if self._piece is None:
            assert self._error is not None
            raise self._error
        piece, self._piece = self._piece, None
        return piece

    def _notify(self) -> None:
        self._change.notify_all()
        if self._wakes is not None and not self._wakes[0].is_closed():
            loop, event = self._wakes
            if not event.is_set():
                loop.call_soon_threadsafe(event.set)


def _joined(one: Piece, other: Piece) -> Piece:
    return Piece(one.text + other.text, one.ids + other.ids, one.logprobs + other.logprobs, other.finish, other.usage)
