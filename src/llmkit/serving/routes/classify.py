"""`POST /v1/classify`: labels of texts, or ratings."""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from llmkit.runtimes import Label
from llmkit.serving.bodies import ClassifyBody, Pair
from llmkit.serving.engine import RefusedError
from llmkit.serving.service import answer, read, unless_gone
from llmkit.serving.texts import in_thread, read_whole

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from starlette.requests import Request
    from starlette.responses import Response

    from llmkit.runtimes import Facts
    from llmkit.serving.service import Service

CHOSEN = 0.5
"""Probability from which on a label of several is there."""


async def classify(request: Request) -> Response:
    """Label texts."""
    service: Service = request.app.state.service
    body = await read(request, ClassifyBody, service.limits)
    engine = service.engine(body.model, "classify")
    texts = [body.input] if isinstance(body.input, str) else body.input
    if not texts:
        raise RefusedError("input", "it is empty")
    asked = [Label(one.text, one.pair) if isinstance(one, Pair) else Label(one) for one in texts]
    size = await in_thread(lambda: read_whole(engine, asked, several=isinstance(body.input, list)))
    futures = [asyncio.wrap_future(future) for future in engine.ask_all(asked)]
    found = await unless_gone(request, asyncio.wait_for(asyncio.gather(*futures), service.limits.request_s))
    data = [{"index": i, **_judged(engine.running.facts, one)} for i, one in enumerate(found)]
    return answer({
        "id": f"classify-{secrets.token_hex(12)}", "object": "list", "created": int(time.time()), "model": body.model,
        "data": data, "usage": {"prompt_tokens": size, "total_tokens": size},
    })  # fmt: skip


def _judged(facts: Facts, outputs: NDArray[np.float32]) -> dict[str, Any]:
    """Return what the outputs of a head say."""
    numbers = outputs.astype(np.float64)
    if facts.answer == "number":
        return {"values": [float(number) for number in numbers]}
    if facts.several:
        chances = 1 / (1 + np.exp(-numbers))
        labels = [label for label, chance in zip(facts.labels, chances, strict=True) if chance >= CHOSEN]
        return {"labels": labels, "probs": [float(one) for one in chances], "num_classes": len(chances)}
    chances = np.exp(numbers - numbers.max())
    chances /= chances.sum()
    best = int(chances.argmax())
    return {"label": facts.labels[best], "probs": [float(one) for one in chances], "num_classes": len(chances)}
