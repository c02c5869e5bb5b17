"""What the routes share: models by name, bounds, numbers, and the way from a request to its body."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from starlette.responses import Response

from llmkit.core.errors import nearest
from llmkit.core.json import dumps
from llmkit.serving.limits import Keys, Limits, Rate
from llmkit.serving.metrics import Metrics
from llmkit.serving.refusing import HttpError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Receive

    from llmkit.retrieval import Retriever
    from llmkit.serving.bodies import Body
    from llmkit.serving.engine import Can
    from llmkit.serving.running import RunningEngine

B = TypeVar("B", bound="Body")
T = TypeVar("T")
DEEPEST = 100
"""Lists and objects in each other, in a body: what reads it, templates and schemas too, may call itself so often."""
WORDS: Mapping[str, str] = {
    "chat": "has no chat template", "completions": "does not write texts", "embeddings": "makes no vectors",
    "classify": "neither labels nor rates",
}  # fmt: skip


@dataclass
class Service:
    """A server's models and rules.

    Attributes:
        engines: By name; the first is the page's.
        limits: Bounds.
        keys: Who may ask.
        votes: Where the page's judgements go; None for nowhere.
        documents: What is put before questions; None for nothing.
        title: What the page is called.
        hosts: Names by which the server may be called without a key; empty for any.
        draining: It has been told to stop.
    """

    engines: Mapping[str, RunningEngine]
    limits: Limits = field(default_factory=Limits)
    keys: Keys = field(default_factory=Keys)
    votes: Path | None = None
    documents: Retriever | None = None
    title: str = "llmkit"
    hosts: frozenset[str] = frozenset()
    draining: bool = False
    started: int = field(default_factory=lambda: int(time.time()))

    @cached_property
    def metrics(self) -> Metrics:
        """Numbers."""
        return Metrics(self.engines)

    @cached_property
    def rate(self) -> Rate | None:
        """How often one may ask."""
        return None if self.limits.rate is None else Rate(self.limits.rate)

    def engine(self, name: str, can: Can) -> RunningEngine:
        """Return the engine of a model.

        Raises:
            HttpError: There is none of that name (404), or it cannot do this (400).
        """
        if name not in self.engines:
            raise HttpError(404, f"model: no model '{name}'{nearest(name, self.engines)}", "model")
        found = self.engines[name]
        if can not in found.facts.can:
            raise HttpError(400, f"model: '{name}' {WORDS[can]}", "model")
        return found


async def read(request: Request, kind: type[B], limits: Limits) -> B:
    """Return the body of a request.

    Raises:
        HttpError: It is too large, too slow, no JSON or of another type.
        ValidationError: It is no such body.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HttpError(415, "the body has to be application/json")
    most = limits.body_bytes
    large = HttpError(413, f"the body is larger than {most:,} bytes, which is the limit of this server")
    said = request.headers.get("content-length", "0")
    if said.isdigit() and int(said) > most:
        raise large
    parts, size = [], 0
    try:
        async with asyncio.timeout(limits.read_s):
            async for part in request.stream():
                size += len(part)
                if size > most:
                    raise large
                parts.append(part)
    except TimeoutError:
        raise HttpError(408, f"the body did not come within {limits.read_s:g} s") from None
    return kind.model_validate(_object(b"".join(parts)))


def _object(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content.decode(), parse_constant=_no_constant, parse_float=_finite)
    except UnicodeDecodeError as error:
        raise HttpError(400, f"the body is not UTF-8: byte {error.start:,}") from None
    except (ValueError, RecursionError) as error:
        raise HttpError(400, f"the body is no JSON: {str(error)[:200]}") from None
    if not isinstance(found, dict):
        raise HttpError(400, "the body is no JSON object")
    if _is_deeper(found, DEEPEST):
        raise HttpError(400, f"the body has lists or objects in each other more than {DEEPEST} deep")
    try:
        dumps(found).encode()
    except UnicodeEncodeError:
        raise HttpError(400, "the body holds half of a character (a lone surrogate)") from None
    return {key: value for key, value in found.items() if value is not None}


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is larger than any number here")
    return number


def _is_deeper(value: Any, most: int) -> bool:
    """Tell whether lists and objects are in each other deeper; level by level, as a recursion has an end of its own."""
    level = [value]
    for _ in range(most + 1):
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
    return bool(level)


def answer(value: Any, status: int = 200) -> Response:
    """Return a JSON response."""
    return Response(dumps(value), status, media_type="application/json")


async def gone(receive: Receive) -> None:
    """Wait until the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def unless_gone(request: Request, work: Awaitable[T]) -> T:
    """Do something for as long as the client waits for it.

    Raises:
        HttpError: The client has left; the work was cancelled.
    """
    task, left = asyncio.ensure_future(work), asyncio.ensure_future(gone(request.receive))
    try:
        await asyncio.wait((task, left), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise HttpError(499, "the client has left")
        return task.result()
    finally:
        for each in (task, left):
            if not each.done():
                each.cancel()
                with suppress(asyncio.CancelledError):
                    await each


async def merged(streams: Mapping[int, AsyncIterator[T]]) -> AsyncIterator[tuple[int, T]]:
    """Yield what several streams yield, as it comes, each with its number.

    Raises:
        Whatever one of them does; the others are left then.
    """
    if len(streams) == 1:
        ((number, only),) = streams.items()
        async for each in only:
            yield number, each
        return
    ready: asyncio.Queue[tuple[int, T] | BaseException | None] = asyncio.Queue(maxsize=1)

    async def forward(number: int, one: AsyncIterator[T]) -> None:
        try:
            async for each in one:
                await ready.put((number, each))
        except Exception as error:  # noqa: BLE001 - raised where it is read
            await ready.put(error)
        await ready.put(None)

    tasks = [asyncio.create_task(forward(number, one)) for number, one in streams.items()]
    left = len(tasks)
    try:
        while left:
            found = await ready.get()
            if isinstance(found, BaseException):
                raise found
            if found is None:
                left -= 1
            else:
                yield found
    finally:
        for task in tasks:
            task.cancel()
