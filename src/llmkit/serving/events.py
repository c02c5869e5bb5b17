"""Server-sent events: chunks of JSON until `[DONE]`, for as long as the client is there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from llmkit.core.json import dumps
from llmkit.serving.refusing import refusal, told
from llmkit.serving.service import gone

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx hands on what it gets at once
]


class EventStream(Response):
    """A response of events.

    Args:
        chunks: Yields what is sent.
        ended: Called once, however it ends, with the error if there was one.
        limit_s: For all of it, also where the client does not read.
    """

    def __init__(
        self, chunks: AsyncIterator[dict[str, Any]], ended: Callable[[BaseException | None], None], limit_s: float
    ) -> None:
        super().__init__()
        self.chunks, self.ended, self.limit_s = chunks, ended, limit_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        """Send the events."""
        sending = asyncio.ensure_future(self._send(send))
        left = asyncio.ensure_future(gone(receive))
        error: BaseException | None = None
        try:
            await asyncio.wait((sending, left), timeout=self.limit_s, return_when=asyncio.FIRST_COMPLETED)
            error = sending.result() if sending.done() else None
        finally:
            for each in (sending, left):
                if not each.done():
                    each.cancel()
                    with suppress(asyncio.CancelledError, OSError):
                        await each
            self.ended(error)

    async def _send(self, send: Send) -> BaseException | None:
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        failed: Exception | None = None
        try:
            async for chunk in self.chunks:
                await _event(send, dumps(chunk))
        except OSError:
            return None  # the client has left
        except Exception as error:  # noqa: BLE001 - the status is sent: the client is told in an event
            failed = error
            await _event(send, dumps(told(refusal(error))))
        else:
            await _event(send, "[DONE]")
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        return failed


async def _event(send: Send, text: str) -> None:
    await send({"type": "http.response.body", "body": f"data: {text}\n\n".encode(), "more_body": True})
