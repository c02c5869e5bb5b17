"""Texts of one request: from its prompts to choices that grow, for both of the routes that write."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from llmkit.runtimes import Embed, Label
from llmkit.serving.engine import Piece, RefusedError, Usage
from llmkit.serving.events import EventStream
from llmkit.serving.service import answer, merged, unless_gone

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from llmkit.runtimes import Running
    from llmkit.serving.running import RunningEngine
    from llmkit.serving.service import Service
    from llmkit.serving.stream import Stream


def check_count(engine: RunningEngine, prompts: int, n: int) -> None:
    """Refuse more texts than may wait: they are taken all or none, so no later attempt would succeed.

    Raises:
        RefusedError: There are more; the field is what makes them many.
    """
    if prompts * n > (most := engine.settings.queue):
        asked = f"{prompts:,} x {n} texts are asked for" if prompts > 1 else f"{n} texts are asked for"
        raise RefusedError("prompt" if prompts > 1 else "n", f"{asked} in one request, at most {most:,} may be")


def read_whole(engine: RunningEngine, asked: Sequence[Embed | Label], *, several: bool) -> int:
    """Return how many tokens the texts have together.

    Args:
        engine: What reads them.
        asked: Each text.
        several: They came as a list.

    Raises:
        RefusedError: One is empty, or its end would not be read.
    """
    running, found = engine.running, 0
    for i, one in enumerate(asked):
        field = f"input[{i}]" if several else "input"
        if not one.text:
            raise RefusedError(field, "it is empty")
        size = running.tokens(one)
        if running.cuts(one):
            whole = _size(running, one)
            long = f"{whole} tokens" if whole > size else "with all that is read beside it"
            raise RefusedError(field, f"the text is too long, {long}: the model reads {size} tokens")
        found += size
    return found


def _size(running: Running, asked: Embed | Label) -> int:
    """Return the tokens of a text, however long it is; 0 where only the runtime itself reads it."""
    if running.tokenizer is None:
        return 0
    text = asked.text if isinstance(asked, Label) else (asked.prompt or "") + asked.text
    pair = asked.pair if isinstance(asked, Label) else None
    return len(running.tokenizer(text, pair, truncation=False, verbose=False)["input_ids"])


@dataclass
class Choice:
    """A text that is put together."""

    text: str = ""
    finish: str | None = None
    usage: Usage | None = None
    logprobs: list[Any] = field(default_factory=list)
    started: bool = False


class Shape:
    """How a route writes what it has; see the routes.

    Attributes:
        prefix: Of the answer's id.
        whole: Name of the kind of an answer.
        part: Name of the kind of a chunk.
    """

    prefix: str
    whole: str
    part: str

    def choice(self, number: int, choice: Choice) -> dict[str, Any]:
        """Return a choice as a whole."""
        raise NotImplementedError

    def delta(self, number: int, piece: Piece, *, first: bool) -> dict[str, Any]:
        """Return what a choice has grown by."""
        raise NotImplementedError


class Texts:
    """The choices of a request.

    Args:
        service: The server.
        request: What came.
        model: Name of the model.
        streams: Of the choices, in their order; those of a prompt stand together.
        shape: How they are written.
        prompt_tokens: Of all prompts, each counted once.
        beside: What else the answer has.
    """

    def __init__(
        self, service: Service, request: Request, model: str, streams: Sequence[Stream], shape: Shape,
        prompt_tokens: int, beside: dict[str, Any] | None = None,
    ) -> None:  # fmt: skip
        self.service, self.request, self.model, self.shape = service, request, model, shape
        self.streams, self.prompt_tokens = streams, prompt_tokens
        self.head = {"id": f"{shape.prefix}-{secrets.token_hex(12)}", "created": int(time.time()), "model": model}
        self.beside = beside or {}
        self.choices = [Choice() for _ in streams]
        self._begun = time.monotonic()
        self._first = False

    async def respond(self, *, stream: bool, usage: bool) -> Response:
        """Return the response: all at once, or in events.

        Args:
            stream: In events.
            usage: The numbers of tokens come in a last event.
        """
        if stream:
            return EventStream(self._chunks(usage=usage), self._ended, self.service.limits.request_s)
        try:
            await unless_gone(self.request, self._collect())
        finally:
            self._cancel()
        choices = [self.shape.choice(number, choice) for number, choice in enumerate(self.choices)]
        return answer(
            {**self.head, "object": self.shape.whole, "choices": choices, "usage": self._usage(), **self.beside}
        )

    async def _collect(self) -> None:
        async for _ in self._pieces():
            pass

    async def _pieces(self) -> AsyncIterator[tuple[int, Piece]]:
        async for number, piece in merged({i: aiter(stream) for i, stream in enumerate(self.streams)}):
            if not self._first:
                self._first = True
                self.service.metrics.first.labels(self.model).observe(time.monotonic() - self._begun)
            choice = self.choices[number]
            choice.text += piece.text
            choice.logprobs += piece.logprobs
            choice.finish, choice.usage = piece.finish, piece.usage
            yield number, piece

    async def _chunks(self, *, usage: bool) -> AsyncIterator[dict[str, Any]]:
        head = {**self.head, "object": self.shape.part}
        more: dict[str, Any] = {"usage": None} if usage else {}
        beside = self.beside
        async for number, piece in self._pieces():
            choice = self.choices[number]
            if choice.started and not (piece.text or piece.logprobs or piece.finish):
                continue  # half a character, or what may be the beginning of a stop text
            yield {**head, "choices": [self.shape.delta(number, piece, first=not choice.started)], **more, **beside}
            choice.started, beside = True, {}
        if usage:
            yield {**head, "choices": [], "usage": self._usage()}

    def _usage(self) -> dict[str, int]:
        written = sum(choice.usage.completion for choice in self.choices if choice.usage is not None)
        return {
            "prompt_tokens": self.prompt_tokens, "completion_tokens": written,
            "total_tokens": self.prompt_tokens + written,
        }  # fmt: skip

    def _ended(self, error: BaseException | None) -> None:
        self._cancel()
        route = self.request.url.path
        self.service.metrics.whole.labels(route).observe(time.monotonic() - self._begun)
        if error is not None:
            self.service.metrics.errors.labels(route).inc()

    def _cancel(self) -> None:
        for stream in self.streams:
            stream.cancel()


async def in_thread(function: Any, *arguments: Any) -> Any:
    """Do what takes a while, such as reading a long prompt, beside the others."""
    return await asyncio.to_thread(function, *arguments)
