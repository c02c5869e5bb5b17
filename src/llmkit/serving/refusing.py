"""Errors as OpenAI's interface writes them: one shape, the status by the kind of error."""

from __future__ import annotations

import logging
from typing import Any

from pydantic import ValidationError

from llmkit.core.errors import UserError
from llmkit.serving.engine import BusyError, EngineDiedError, RefusedError

LOG = logging.getLogger("llmkit.serving")
RETRY_S = 1


class HttpError(Exception):
    """A refusal with a status of its own.

    Args:
        status: HTTP status.
        message: What is wrong.
        field: Where in the request.
        retry_s: Seconds to wait before another attempt.
    """

    def __init__(self, status: int, message: str, field: str | None = None, *, retry_s: float | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.field, self.retry_s = status, message, field, retry_s


TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}


def refusal(error: BaseException) -> HttpError:
    """Return an error as it is told; a bug is logged, and told without its words."""
    if isinstance(error, HttpError):
        return error
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        field = dotted(first["loc"])
        unknown = first["type"] == "extra_forbidden"
        return HttpError(400, f"{field}: " + ("this field is not supported" if unknown else first["msg"]), field)
    if isinstance(error, RefusedError):
        hint = f"; {error.hint}" if error.hint else ""
        where = "" if error.message.startswith(error.field) else f"{error.field}: "
        return HttpError(400, f"{where}{error.message}{hint}", error.field)
    if isinstance(error, BusyError):
        return HttpError(429, error.message, retry_s=RETRY_S)
    if isinstance(error, EngineDiedError):
        return HttpError(503, error.message, retry_s=RETRY_S)
    if isinstance(error, TimeoutError):
        return HttpError(504, str(error) or "the request took longer than it may")
    if isinstance(error, UserError):
        return HttpError(500, error.message)
    LOG.error("a request has failed", exc_info=error)
    return HttpError(500, "an error of the server; its log has the details")


def told(error: HttpError) -> dict[str, Any]:
    """Return the body of a refusal."""
    kind = TYPES.get(error.status, "invalid_request_error" if error.status < 500 else "server_error")
    return {"error": {"message": error.message, "type": kind, "param": error.field, "code": error.status}}


def dotted(place: tuple[int | str, ...]) -> str:
    """Return where in a body something is: `messages[0].role`; the names of alternatives are left out."""
    found = ""
    for part in place:
        if isinstance(part, int):
            found += f"[{part}]"
        elif part.isidentifier() and part not in ALTERNATIVES:
            found += f".{part}" if found else part
    return found or "body"


ALTERNATIVES = frozenset(("str", "int", "float", "bool", "Pair"))
"""What pydantic calls the members of a union."""
