"""The page for people at `/`, and what it asks for beside the API."""

from __future__ import annotations

import mimetypes
import os
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from llmkit.core.json import dumps
from llmkit.serving.bodies import VoteBody
from llmkit.serving.engine import RefusedError
from llmkit.serving.refusing import HttpError
from llmkit.serving.routes.chat import turns_of
from llmkit.serving.service import answer, read
from llmkit.serving.texts import in_thread

if TYPE_CHECKING:
    from starlette.requests import Request

    from llmkit.serving.service import Service

FOLDER = Path(__file__).parent.parent / "page"
INDEX = "index.html"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self';"
    " connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
    " require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS = {
    "content-security-policy": POLICY, "x-content-type-options": "nosniff", "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin", "cache-control": "no-cache",
}  # fmt: skip
_writing = Lock()


async def page(request: Request) -> Response:
    """`GET /` and the files beside it."""
    name = request.path_params.get("file") or INDEX
    file = (FOLDER / name).resolve()
    if not file.is_relative_to(FOLDER.resolve()) or not os.path.isfile(file):  # noqa: PTH113 - False for a long name
        raise HttpError(404, f"nothing is at {request.url.path}")
    kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    return Response(await in_thread(file.read_bytes), media_type=kind, headers=HEADERS)


async def config(request: Request) -> Response:
    """`GET /page/config`: what the page shows."""
    service: Service = request.app.state.service
    names = [name for name, engine in service.engines.items() if "chat" in engine.facts.can]
    return answer({
        "models": names, "votes": service.votes is not None, "title": service.title, "speech": False,
        "key": bool(service.keys),
    })  # fmt: skip


async def votes(request: Request) -> Response:
    """`POST /page/votes`: a judgement is added to the file of `--votes`."""
    service: Service = request.app.state.service
    if service.votes is None:
        raise HttpError(404, "this server keeps no judgements; --votes FILE does")
    body = await read(request, VoteBody, service.limits)
    row = _row(body)
    try:
        await in_thread(_append, service.votes, row)
    except OSError as error:
        raise HttpError(500, f"the judgement was not kept: {service.votes.name}: {error.strerror}") from None
    return answer({"status": "kept"}, 201)


def _row(body: VoteBody) -> dict[str, Any]:
    """Return a row of preferences or of feedback, as `finetune` reads them."""
    prompt = _said("prompt", body.prompt)
    more = {"model": body.model} if body.model is not None else {}
    if body.chosen is not None and body.rejected is not None and body.completion is None and body.label is None:
        both = {name: _said(name, said) for name, said in (("chosen", body.chosen), ("rejected", body.rejected))}
        return {"prompt": prompt, **both, **more}
    if body.completion is not None and body.label is not None and body.chosen is None and body.rejected is None:
        return {"prompt": prompt, "completion": _said("completion", body.completion), "label": body.label, **more}
    raise RefusedError("chosen", "a judgement has chosen and rejected, or completion and label")


def _said(field: str, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if not messages:
        raise RefusedError(field, "there is no answer in it: a judgement is of one message or more")
    try:
        return [dict(turn) for turn in turns_of(messages, None)]
    except RefusedError as error:
        words = error.message.removeprefix(error.field)
        place = error.field.replace("messages", field, 1)
        raise RefusedError(place, f"{place}{words}" if words != error.message else error.message, error.hint) from None


def _append(file: Path, row: dict[str, Any]) -> None:
    line = (dumps(row) + "\n").encode()
    with _writing, file.open("ab") as out:
        out.write(line)
        out.flush()
        os.fsync(out.fileno())
