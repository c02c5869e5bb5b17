"""What the server says of itself: models, health, readiness, numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response

from llmkit.serving.refusing import HttpError
from llmkit.serving.service import answer

if TYPE_CHECKING:
    from starlette.requests import Request

    from llmkit.serving.service import Service


async def models(request: Request) -> Response:
    """`GET /v1/models`: all models."""
    service: Service = request.app.state.service
    return answer({"object": "list", "data": [_model(service, name) for name in service.engines]})


async def model(request: Request) -> Response:
    """`GET /v1/models/{model}`: one of them."""
    service: Service = request.app.state.service
    name = request.path_params["model"]
    if name not in service.engines:
        raise HttpError(404, f"model: no model '{name}'", "model")
    return answer(_model(service, name))


async def health(request: Request) -> Response:
    """`GET /health`: 503 while an engine has failed and starts again."""
    service: Service = request.app.state.service
    dead = [name for name, engine in service.engines.items() if not engine.alive]
    return answer({"status": "failed" if dead else "ok", **({"models": dead} if dead else {})}, 503 if dead else 200)


async def ready(request: Request) -> Response:
    """`GET /ready`: 503 also while the server goes down."""
    service: Service = request.app.state.service
    if service.draining:
        return answer({"status": "draining"}, 503)
    return await health(request)


async def metrics(request: Request) -> Response:
    """`GET /metrics`: numbers for Prometheus."""
    from prometheus_client import CONTENT_TYPE_LATEST

    service: Service = request.app.state.service
    return Response(service.metrics.text(), media_type=None, headers={"content-type": CONTENT_TYPE_LATEST})


def _model(service: Service, name: str) -> dict[str, object]:
    facts = service.engines[name].facts
    return {
        "id": name, "object": "model", "created": service.started, "owned_by": "llmkit",
        "max_model_len": facts.positions, "kind": facts.answer, "runtime": facts.runtime, "can": sorted(facts.can),
    }  # fmt: skip
