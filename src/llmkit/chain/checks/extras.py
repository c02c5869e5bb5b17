"""The packages that parts of a run need beside llmkit's own are installed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from llmkit.chain.runs import Chain, Finding, Run
from llmkit.core.errors import SetupError
from llmkit.core.extras import EXTRAS, require
from llmkit.core.part import Part

MACHINE = 4


def check(chain: Chain, run: Run) -> Iterator[Finding]:  # noqa: ARG001 - the interface
    """Look for what each part says that it imports later."""
    asked = list(_needs(run.config, ""))
    for field, extra, modules in asked:
        try:
            require(extra, *modules)
        except SetupError as error:
            yield run.problem(error.message, about=field, code=MACHINE, hint=error.hint)
    if asked:
        yield run.found("ok", f"asked for: {', '.join(sorted({extra for _, extra, _ in asked}))}")


def _needs(value: Any, path: str) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield field, extra and module of all that parts need, however deep they are."""
    if isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from _needs(item, f"{path}.{number}")
        return
    if not isinstance(value, BaseModel):
        return
    if isinstance(value, Part):
        found = getattr(value, "needs", lambda: None)()
        found = (found,) if isinstance(found, str) else found
        if found and found[0] in EXTRAS:
            yield path, found[0], tuple(found[1:])
    if getattr(value, "engine", None) == "ray":
        yield f"{path}.engine".lstrip("."), "ray", ()
    for name in type(value).model_fields:
        yield from _needs(getattr(value, name), f"{path}.{name}".lstrip("."))
