"""The application: routes, and the gate that every request comes through."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.convertors import Convertor, register_url_convertor
from starlette.datastructures import Headers
from starlette.routing import Route

from llmkit.serving.refusing import HttpError, refusal, told
from llmkit.serving.routes import about, chat, classify, completions, described, embeddings, page, platforms
from llmkit.serving.service import Service, answer

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send


class File(Convertor[str]):
    """Path of a file: its name has an ending, as that of no other route has."""

    regex = r"[\w\-/]+\.[\w.]+"

    def convert(self, value: str) -> str:
        """Return it."""
        return value

    def to_string(self, value: str) -> str:
        """Return it."""
        return value


register_url_convertor("file", File())
ROUTES = (
    Route("/v1/chat/completions", chat.chat, methods=["POST"]),
    Route("/v1/completions", completions.completions, methods=["POST"]),
    Route("/v1/embeddings", embeddings.embeddings, methods=["POST"]),
    Route("/v1/classify", classify.classify, methods=["POST"]),
    Route("/v1/models", about.models, methods=["GET"]),
    Route("/v1/models/{model:path}", about.model, methods=["GET"]),
    Route("/health", about.health, methods=["GET"]),
    Route("/ready", about.ready, methods=["GET"]),
    Route("/metrics", about.metrics, methods=["GET"]),
    Route("/openapi.json", described.openapi, methods=["GET"]),
    Route("/docs", described.docs, methods=["GET"]),
    Route("/page/config", page.config, methods=["GET"]),
    Route("/page/votes", page.votes, methods=["POST"]),
    Route("/", page.page, methods=["GET"]),
    Route("/{file:file}", page.page, methods=["GET"]),
)
GUARDED = ("/v1/", "/metrics", "/page/votes")
"""What a key is needed for, if there are any: the page itself and what a probe asks hold nothing of anybody's."""
PROBED = frozenset(("/health", "/ready", "/ping"))
COUNTED = frozenset(str(route.path) for route in ROUTES[:-1]) - {"/v1/models/{model:path}"}


def application(service: Service) -> Starlette:
    """Return the application of a server."""
    app = Starlette(routes=[*platforms.routes(), *ROUTES], exception_handlers={404: _nothing, 405: _nothing})
    app.state.service = service
    app.add_middleware(Gate, service=service)
    return app


class Gate:
    """Lets in whoever may ask, and counts.

    Args:
        app: What is behind it.
        service: The server.
    """

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self.app, self.service = app, service
        self.guarded = (*GUARDED, *platforms.guarded())
        self.counted = {*COUNTED, *platforms.guarded()}
        self.timed = {*filter(lambda path: path.startswith("/v1/"), COUNTED), *platforms.guarded()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check a request, and hand it on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        scope = _origin_form(scope)
        status, begun = 0, time.monotonic()

        async def counted(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            self._check(scope)
            await self.app(scope, receive, counted)
        except Exception as error:
            if status:
                raise
            await _written(refusal(error))(scope, receive, counted)
        finally:
            self._count(scope["path"], status, time.monotonic() - begun)

    def _check(self, scope: Scope) -> None:
        """Check host, key and rate.

        Raises:
            HttpError: One of them is not as it has to be.
        """
        headers, service = Headers(scope=scope), self.service
        if service.hosts and _host(headers.get("host", "")) not in service.hosts and not _is_probe(scope, headers):
            raise HttpError(403, "this server answers to its own address only; with keys it answers to any")
        if not scope["path"].startswith(self.guarded):
            return
        who = str((scope.get("client") or ("",))[0])
        if service.keys:
            kind, _, key = headers.get("authorization", "").partition(" ")
            name = service.keys.name(key.strip()) if kind.lower() == "bearer" else None
            if name is None:
                raise HttpError(401, "a key is needed: Authorization: Bearer KEY")
            who = name
        wait = service.rate.wait_s(who) if service.rate is not None else 0.0
        if wait:
            raise HttpError(429, f"more than {service.limits.rate} requests a minute", retry_s=wait)

    def _count(self, path: str, status: int, took_s: float) -> None:
        route = path if path in self.counted else "other"
        metrics = self.service.metrics
        metrics.requests.labels(route, str(status)).inc()
        if status >= 500:
            metrics.errors.labels(route).inc()
        if status == 200 and route in self.timed:
            metrics.whole.labels(route).observe(took_s)


def _origin_form(scope: Scope) -> Scope:
    """Return a request whose target is a path: `GET http://host/path` is as good, and its host is the one that counts.

    See RFC 9112, section 3.2.2: a server must take what proxies are sent.
    """
    scheme, sign, rest = scope["path"].partition("://")
    if not sign or scheme.lower() not in ("http", "https"):
        return scope
    host, slash, path = rest.partition("/")
    headers = [(name, value) for name, value in scope["headers"] if name != b"host"]
    raw = b"/" + scope["raw_path"].partition(b"://")[2].partition(b"/")[2]
    return {**scope, "path": slash + path or "/", "raw_path": raw, "headers": [*headers, (b"host", host.encode())]}


def _host(value: str) -> str:
    """Return the name in a `Host` header in small letters, without its port."""
    return (value.rpartition(":")[0] if value.rpartition(":")[2].isdigit() else value).lower()


def _is_probe(scope: Scope, headers: Headers) -> bool:
    """Tell whether a program asks how the server is and names no host, as HTTP/1.0 has it; no browser's page can."""
    return scope["http_version"] == "1.0" and "host" not in headers and scope["path"] in PROBED


def _written(error: HttpError) -> Response:
    found = answer(told(error), error.status)
    if error.retry_s is not None:
        found.headers["retry-after"] = str(max(1, round(error.retry_s)))
    if error.status == 401:
        found.headers["www-authenticate"] = "Bearer"
    return found


async def _nothing(request: Request, error: Any) -> Response:
    words = "no such method" if error.status_code == 405 else "nothing is"
    found = _written(HttpError(error.status_code, f"{words} at {request.url.path}"))
    found.headers.update(error.headers or {})
    return found
