"""`POST /v1/completions`: texts are gone on with or, by an encoder-decoder, made into others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llmkit.serving.bodies import CompletionBody
from llmkit.serving.engine import Piece, TokenChance
from llmkit.serving.service import read
from llmkit.serving.texts import Choice, Shape, Texts, check_count, in_thread

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from llmkit.serving.running import RunningEngine
    from llmkit.serving.service import Service
    from llmkit.serving.stream import Stream

MAX_TOKENS = 16
"""New tokens where nothing is said, as OpenAI has it."""


class CompletionShape(Shape):
    """OpenAI's older shape."""

    prefix, whole, part = "cmpl", "text_completion", "text_completion"

    def __init__(self, numbers: int | None) -> None:
        self.numbers = numbers
        self.offsets: dict[int, int] = {}

    def choice(self, number: int, choice: Choice) -> dict[str, Any]:
        """Return a text."""
        return {
            "index": number, "text": choice.text, "logprobs": self._logprobs(number, choice.logprobs),
            "finish_reason": choice.finish,
        }  # fmt: skip

    def delta(self, number: int, piece: Piece, *, first: bool) -> dict[str, Any]:  # noqa: ARG002 - as the others
        """Return what a text has grown by."""
        return {
            "index": number, "text": piece.text, "logprobs": self._logprobs(number, piece.logprobs),
            "finish_reason": piece.finish,
        }  # fmt: skip

    def _logprobs(self, number: int, found: Sequence[TokenChance]) -> dict[str, Any] | None:
        if self.numbers is None:
            return None
        offsets, place = [], self.offsets.get(number, 0)
        for each in found:
            offsets.append(place)
            place += len(_text(each))
        self.offsets[number] = place
        return {
            "tokens": [_text(each) for each in found],
            "token_logprobs": [each.logprob for each in found],
            "top_logprobs": [{_text(top): top.logprob for top in each.top} for each in found],
            "text_offset": offsets,
        }


def _text(chance: TokenChance) -> str:
    return chance.bytes.decode("utf-8", "replace")


async def completions(request: Request) -> Response:
    """Go on with texts."""
    service: Service = request.app.state.service
    body = await read(request, CompletionBody, service.limits)
    engine = service.engine(body.model, "completions")
    streams, size = await in_thread(_begin, engine, body, service.limits.request_s)
    texts = Texts(service, request, body.model, streams, CompletionShape(body.logprobs), size)
    usage = body.stream_options is not None and body.stream_options.include_usage
    return await texts.respond(stream=body.stream, usage=usage)


def _begin(engine: RunningEngine, body: CompletionBody, limit_s: float) -> tuple[list[Stream], int]:
    texts = body.prompts()
    check_count(engine, len(texts), body.n)
    prompts = [engine.encode(text) for text in texts]
    most = MAX_TOKENS if body.max_tokens is None else body.max_tokens
    asked = [(ids, body.sampling(most, body.logprobs, choice)) for ids in prompts for choice in range(body.n)]
    return engine.submit_all(asked, patience_s=limit_s), sum(map(len, prompts))
