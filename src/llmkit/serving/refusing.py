"""Errors as OpenAI's interface writes them: one shape, the status by the kind of error."""

from __future__ import annotations

import logging
from collections.abc import Sequence
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


def _nearest(errors: Sequence[Any], depth: int = 0) -> Any:
    """Return the first error; of a union the one of the member that fits best: right of kind, or wrong the furthest in.

    Args:
        errors: Pydantic's, all at one place up to `depth`.
        depth: Parts of the place that are looked at already.
    """
    place = errors[0]["loc"]
    if len(errors) == 1 or depth >= len(place):
        return errors[0]
    branches: dict[Any, list[Any]] = {}
    for error in errors:
        branches.setdefault(error["loc"][depth : depth + 1], []).append(error)
    if not _is_alternative(place[depth]):
        return _nearest(branches[place[depth : depth + 1]], depth + 1)
    return max((_nearest(each, depth + 1) for each in branches.values()), key=_fit)


def _fit(error: Any) -> tuple[bool, tuple[int, ...]]:
    return not error["type"].endswith("_type"), tuple(part for part in error["loc"] if isinstance(part, int))


def _is_alternative(part: int | str) -> bool:
    """Tell whether a part of a place is pydantic's name of a member of a union, and no field."""
    return isinstance(part, str) and (not part.isidentifier() or part in ALTERNATIVES)


TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}


def refusal(error: BaseException) -> HttpError:
    """Return an error as it is told; a bug is logged, and told without its words."""
    if isinstance(error, HttpError):
        return error
    if isinstance(error, ValidationError):
        first = _nearest(error.errors(include_url=False, include_input=False))
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
        elif not _is_alternative(part):
            found += f".{part}" if found else part
    return found or "body"


ALTERNATIVES = frozenset(("str", "int", "float", "bool", "Pair"))
"""What pydantic calls the members of a union."""
