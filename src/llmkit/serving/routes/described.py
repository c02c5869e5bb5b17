"""The server's own description: OpenAPI, and a page of it that needs nothing from elsewhere."""

from __future__ import annotations

import html
from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from starlette.responses import Response

import llmkit
from llmkit.serving import bodies
from llmkit.serving.routes.page import HEADERS
from llmkit.serving.service import answer

if TYPE_CHECKING:
    from starlette.requests import Request

Made = dict[str, Any]
POSTED: dict[str, tuple[type[BaseModel], str, str]] = {
    "/v1/chat/completions": (bodies.ChatBody, "Go on with a conversation", "200"),
    "/v1/completions": (bodies.CompletionBody, "Go on with texts, or make others of them", "200"),
    "/v1/embeddings": (bodies.EmbeddingBody, "Make vectors of texts", "200"),
    "/v1/classify": (bodies.ClassifyBody, "Label or rate texts", "200"),
    "/page/votes": (bodies.VoteBody, "Keep a judgement of an answer", "201"),
}
GOT: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "/v1/models": ("All models", "application/json", ()),
    "/v1/models/{model}": ("One model", "application/json", ("404",)),
    "/health": ("Whether the engines work", "application/json", ("503",)),
    "/ready": ("Whether requests are taken", "application/json", ("503",)),
    "/metrics": ("Numbers for Prometheus", "text/plain", ()),
    "/page/config": ("What the page shows", "application/json", ()),
}
REFUSALS = {
    "400": "A field is wrong or not supported; `param` names it", "401": "A key is needed",
    "403": "The server was called by another name", "404": "There is no such model",
    "408": "The body did not come in time", "413": "The body is too large", "415": "The body is not JSON",
    "429": "Too many requests; `Retry-After` says when to come back", "500": "An error of the server",
    "503": "The engine has failed and starts again", "504": "The answer took too long",
}  # fmt: skip
STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}"
    "code,pre{font-family:ui-monospace,monospace}table{border-collapse:collapse;width:100%}"
    "td,th{text-align:left;vertical-align:top;padding:.2rem .8rem .2rem 0;border-bottom:1px solid #8884}"
    "h2{margin-top:2.5rem;font-size:1.15rem}"
)


@cache
def description() -> Made:
    """Return the OpenAPI description."""
    schemas: Made = {"Error": {
        "type": "object", "required": ["error"],
        "properties": {"error": {"type": "object", "required": ["message", "type", "param", "code"], "properties": {
            "message": {"type": "string"}, "type": {"type": "string"}, "param": {"type": ["string", "null"]},
            "code": {"type": "integer"},
        }}},
    }}  # fmt: skip
    paths: Made = {}
    for path, (kind, words, good) in POSTED.items():
        schema = kind.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= schema.pop("$defs", {})
        schemas[kind.__name__] = _nullable(schema)
        content: Made = {"application/json": {"schema": {"type": "object"}}}
        if issubclass(kind, bodies.Written):
            content["text/event-stream"] = {"schema": {"type": "string"}}
        paths[path] = {"post": {
            "summary": words, "operationId": _named(path), "security": [{"key": []}, {}],
            "requestBody": {"required": True, "content": {
                "application/json": {"schema": {"$ref": f"#/components/schemas/{kind.__name__}"}},
            }},
            "responses": {good: {"description": "Done", "content": content}, **_refusals(*REFUSALS)},
        }}  # fmt: skip
    for path, (words, media, refused) in GOT.items():
        operation: Made = {
            "summary": words, "operationId": _named(path),
            "responses": {
                "200": {"description": "Done", "content": {media: {"schema": {}}}},
                **_refusals("401", "403", "429", *refused),
            },
        }  # fmt: skip
        if "{model}" in path:
            place = {"name": "model", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
            operation["parameters"] = [place]
        paths[path] = {"get": operation}
    return {
        "openapi": "3.1.0", "info": {"title": "llmkit serve", "version": llmkit.__version__}, "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
    }  # fmt: skip


async def openapi(_: Request) -> Response:
    """`GET /openapi.json`."""
    return answer(description())


async def docs(_: Request) -> Response:
    """`GET /docs`: the description for people."""
    policy = HEADERS["content-security-policy"].replace("style-src 'self'", "style-src 'unsafe-inline'")
    return Response(_page(), media_type="text/html", headers={**HEADERS, "content-security-policy": policy})


@cache
def _page() -> str:
    found = description()
    parts = []
    for path, operations in found["paths"].items():
        for method, operation in operations.items():
            parts.append(f"<h2><code>{method.upper()} {html.escape(path)}</code></h2><p>{operation['summary']}.</p>")
            if "requestBody" in operation:
                name = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
                parts.append(_table(found["components"]["schemas"][name]))
    refused = "".join(f"<tr><td>{status}</td><td>{html.escape(words)}</td></tr>" for status, words in REFUSALS.items())
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>llmkit serve</title><style>{STYLE}</style>"
        f"<main><h1>llmkit serve {html.escape(llmkit.__version__)}</h1>"
        f"<p>Any client of OpenAI's interface works with this server; <a href=/openapi.json>openapi.json</a> is the"
        f" same for programs. A field that is not listed is refused by its name.</p>{''.join(parts)}"
        f"<h2>What is refused</h2><table>{refused}</table></main></html>"
    )


def _table(schema: Made) -> str:
    required = schema.get("required", ())
    rows = "".join(
        f"<tr><td><code>{html.escape(name)}</code>{' *' if name in required else ''}</td>"
        f"<td><code>{html.escape(_kind(field))}</code></td><td>{html.escape(field.get('description', ''))}</td></tr>"
        for name, field in schema["properties"].items()
    )
    return f"<table><tr><th>field</th><th>type</th><th></th></tr>{rows}</table>"


def _kind(field: Made) -> str:
    if "$ref" in field:
        return str(field["$ref"].rpartition("/")[2])
    if "enum" in field:
        return " | ".join(map(str, field["enum"]))
    if "anyOf" in field:
        return " | ".join(_kind(each) for each in field["anyOf"])
    bounds = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤"}
    more = "".join(f" {sign} {field[name]:g}" for name, sign in bounds.items() if abs(field.get(name, 2**62)) < 2**62)
    of = f" of {_kind(field['items'])}" if "items" in field else ""
    return f"{field.get('type', 'any')}{of}{more}"


def _nullable(schema: Made) -> Made:
    """Return the schema of a body whose fields may all be null, but for those that are needed."""
    for name, field in schema["properties"].items():
        if name not in schema.get("required", ()) and {"type": "null"} not in field.get("anyOf", ()):
            words = {key: field.pop(key) for key in ("title", "description", "default") if key in field}
            schema["properties"][name] = {**words, "anyOf": [field, {"type": "null"}]}
    return schema


def _refusals(*names: str) -> Made:
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {name: {"description": REFUSALS[name], "content": content} for name in dict.fromkeys(names)}


def _named(path: str) -> str:
    return "_".join(part.strip("{}") for part in path.strip("/").split("/"))
