"""`POST /v1/embeddings`: vectors of texts."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Any

import numpy as np

from llmkit.runtimes import Embed
from llmkit.serving.bodies import EmbeddingBody
from llmkit.serving.engine import RefusedError
from llmkit.serving.service import answer, read, unless_gone
from llmkit.serving.texts import in_thread, read_whole

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from starlette.requests import Request
    from starlette.responses import Response

    from llmkit.serving.running import RunningEngine
    from llmkit.serving.service import Service


async def embeddings(request: Request) -> Response:
    """Make vectors."""
    service: Service = request.app.state.service
    body = await read(request, EmbeddingBody, service.limits)
    engine = service.engine(body.model, "embeddings")
    texts = [body.input] if isinstance(body.input, str) else body.input
    if not texts:
        raise RefusedError("input", "it is empty")
    asked = _requests(engine, texts, body)
    size = await in_thread(lambda: read_whole(engine, asked, several=isinstance(body.input, list)))
    futures = [asyncio.wrap_future(future) for future in engine.ask_all(asked)]
    found = await unless_gone(request, asyncio.wait_for(asyncio.gather(*futures), service.limits.request_s))
    data = [
        {"object": "embedding", "index": i, "embedding": _written(_short(one, body.dimensions), body.encoding_format)}
        for i, one in enumerate(found)
    ]
    usage = {"prompt_tokens": size, "total_tokens": size}
    return answer({"object": "list", "data": data, "model": body.model, "usage": usage})


def _requests(engine: RunningEngine, texts: list[str], body: EmbeddingBody) -> list[Embed]:
    prompts = engine.running.facts.prompts
    if body.input_type is not None and body.input_type not in prompts:
        raise RefusedError("input_type", "the model makes no difference between kinds of texts")
    if body.dimensions is not None:
        _check_dimensions(engine, body.dimensions)
    prompt = None if body.input_type is None else prompts[body.input_type]
    return [Embed(text, prompt) for text in texts]


def _check_dimensions(engine: RunningEngine, asked: int) -> None:
    known = engine.dimensions
    if not known:
        raise RefusedError("dimensions", "the model was not trained for shorter vectors")
    if asked not in known:
        raise RefusedError("dimensions", f"the model was trained for {', '.join(map(str, known))}")


def _short(vector: NDArray[np.float32], size: int | None) -> NDArray[np.float32]:
    if size is None or size == len(vector):
        return vector
    cut = vector[:size]
    return cut / max(float(np.linalg.norm(cut)), 1e-12)


def _written(vector: NDArray[np.float32], form: str) -> Any:
    if form == "float":
        return [float(number) for number in vector]
    return base64.b64encode(np.ascontiguousarray(vector, "<f4").tobytes()).decode()
