"""What SageMaker and Vertex AI ask a container: the other routes, under their names and in their forms.

SageMaker (https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html): `GET /ping` and `POST
/invocations`, whose body is one of the other routes'; it may come with a stream. Vertex AI
(https://cloud.google.com/vertex-ai/docs/predictions/custom-container-requirements) names its routes in the environment;
a prediction has `instances`, each a body or a text, and `parameters`, which are fields of all of them.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field
from starlette.requests import Request
from starlette.routing import Route

from llmkit.core.json import dumps
from llmkit.serving.bodies import Body
from llmkit.serving.engine import RefusedError
from llmkit.serving.refusing import HttpError, refusal
from llmkit.serving.routes import about, chat, classify, completions, embeddings
from llmkit.serving.service import answer, read

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import Message, Receive

    from llmkit.serving.service import Service

INVOCATIONS = "/invocations"
HEALTH, PREDICT = "AIP_HEALTH_ROUTE", "AIP_PREDICT_ROUTE"
MOST_INSTANCES = 256
Handler = Callable[[Request], Awaitable["Response"]]


class Invocation(Body):
    """A body of one of the other routes; `model` may be left out."""

    model_config = Body.model_config | {"extra": "allow"}


class Prediction(Body):
    """What Vertex AI sends."""

    instances: list[dict[str, Any] | str] = Field(min_length=1, max_length=MOST_INSTANCES)
    parameters: dict[str, Any] = Field(default_factory=dict)


def routes(environment: Mapping[str, str] = os.environ) -> list[Route]:
    """Return the routes: SageMaker's, and Vertex AI's where it has named them."""
    found = [Route("/ping", about.ready, methods=["GET"]), Route(INVOCATIONS, invocations, methods=["POST"])]
    if health := environment.get(HEALTH):
        found.append(Route(health, about.ready, methods=["GET"]))
    if predicting := guarded(environment)[1:]:
        found += [Route(place, predict, methods=["POST"]) for place in predicting]
    return found


def guarded(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Return the paths that a key is needed for, where there are any."""
    return [INVOCATIONS, *filter(None, [environment.get(PREDICT)])]


async def invocations(request: Request) -> Response:
    """Answer whatever is asked, by what is in it."""
    service: Service = request.app.state.service
    body = await read(request, Invocation, service.limits)
    return await _answered(request, body.model_extra or {})


async def predict(request: Request) -> Response:
    """Answer several at once: `predictions` has the other routes' answers, in the order of the instances."""
    service: Service = request.app.state.service
    body = await read(request, Prediction, service.limits)
    asked = [_instance(service, each) | body.parameters for each in body.instances]
    for number, each in enumerate(asked):
        if each.get("stream"):
            raise RefusedError(f"instances[{number}].stream", "a prediction comes as a whole; /invocations streams")
    tasks = [asyncio.ensure_future(_numbered(request, number, each)) for number, each in enumerate(asked)]
    try:
        return answer({"predictions": await asyncio.gather(*tasks)})
    finally:  # where one is refused, nobody waits for the others
        for task in tasks:
            task.cancel()


def _instance(service: Service, given: dict[str, Any] | str) -> dict[str, Any]:
    """Return a body; a text is what its model reads."""
    if not isinstance(given, str):
        return given
    (first, *_) = service.engines.values()
    if "chat" in first.facts.can:
        return {"messages": [{"role": "user", "content": given}]}
    return {"prompt" if "completions" in first.facts.can else "input": given}


async def _numbered(request: Request, number: int, body: dict[str, Any]) -> Any:
    """Return one prediction.

    Raises:
        HttpError: It is refused; the message says which.
    """
    try:
        found = await _answered(request, body)
    except Exception as error:  # noqa: BLE001 - all of them are told, with a number
        told = refusal(error)
        place = f"instances[{number}]"
        field = place if told.field is None else f"{place}.{told.field}"
        raise HttpError(told.status, f"{place}: {told.message}", field, retry_s=told.retry_s) from None
    return json.loads(bytes(found.body))


async def _answered(request: Request, body: dict[str, Any]) -> Response:
    """Have the route that a body is for answer it."""
    service: Service = request.app.state.service
    (name, first), *_ = service.engines.items()
    model = body.get("model")
    if model is None:
        body["model"] = model = name
    known = isinstance(model, str) and model in service.engines  # the route refuses any other
    facts = service.engines[model].facts if known else first.facts
    path, handler = _route(body, facts.can)
    scope = {**request.scope, "path": path, "raw_path": path.encode()}
    return await handler(Request(scope, _again(dumps(body).encode(), request.receive)))


def _route(body: Mapping[str, Any], can: Sequence[str] | frozenset[str]) -> tuple[str, Handler]:
    """Return the route that a body is for.

    Raises:
        RefusedError: It is for none.
    """
    if "messages" in body:
        return "/v1/chat/completions", chat.chat
    if "prompt" in body:
        return "/v1/completions", completions.completions
    if "input" in body:
        return ("/v1/embeddings", embeddings.embeddings) if "embeddings" in can else ("/v1/classify", classify.classify)
    raise RefusedError("body", "it has none of messages, prompt and input, one of which says what is asked")


def _again(content: bytes, receive: Receive) -> Receive:
    """Return what gives a body that has been read, and then what else comes: that the client has left."""
    todo: list[Message] = [{"type": "http.request", "body": content, "more_body": False}]

    async def next_message() -> Message:
        return todo.pop() if todo else await receive()

    return next_message
