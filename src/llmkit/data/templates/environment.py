"""Environments of templates that count: that of transformers for conversations, and one for prompts over columns."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import cache
from typing import Any

from jinja2 import Environment, StrictUndefined, pass_context
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from llmkit.core.json import dumps
from llmkit.data.templates.budget import BoundsError, check_growth
from llmkit.data.templates.counting import BUDGET, SPEND, STEP, spend, step

MAX_BITS = 2**14
"""Largest whole number, in bits."""


class Bounded(ImmutableSandboxedEnvironment):
    """An environment, counting.

    Args:
        theirs: Whose filters, globals, tags and ways with whitespace it has.
    """

    intercepted_binops = frozenset(("*", "**", "%"))

    def __init__(self, theirs: Environment) -> None:
        extensions = [type(extension) for extension in theirs.extensions.values()]
        super().__init__(
            trim_blocks=theirs.trim_blocks,
            lstrip_blocks=theirs.lstrip_blocks,
            keep_trailing_newline=theirs.keep_trailing_newline,
            undefined=theirs.undefined,
            extensions=extensions,
        )
        self.globals = {name: value for name, value in theirs.globals.items() if name != "lipsum"}  # random text
        self.filters = {name: _bounded(name, one) for name, one in theirs.filters.items() if name != "random"}
        self.filters |= {SPEND: spend, STEP: step}

    def call(self, context: Context, called: Any, /, *arguments: Any, **named: Any) -> Any:
        """Call what a template calls."""
        owner = getattr(getattr(called, "__wrapped__", called), "__self__", None)  # the sandbox wraps str.format
        if isinstance(owner, str | bytes | int):
            name = called.__name__
            if name == "join" and arguments:
                arguments = ([*arguments[0]], *arguments[1:])
            check_growth(context.parent[BUDGET], name, owner, [*arguments, *named.values()])
        return spend(context, super().call(context, called, *arguments, **named))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Multiply, raise to a power, or format."""
        budget = context.parent[BUDGET]
        if isinstance(left, str):
            check_growth(budget, operator, left, [right])
        elif isinstance(left, int) and isinstance(right, int) and operator != "%":
            bits = left.bit_length() * right if operator == "**" else left.bit_length() + right.bit_length()
            if bits > MAX_BITS:
                raise BoundsError("it makes larger numbers than a template may")
        elif isinstance(left, Collection) or isinstance(right, Collection):
            check_growth(budget, operator, *((left, [right]) if isinstance(left, Collection) else (right, [left])))
        return spend(context, super().call_binop(context, operator, left, right))


def _bounded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a filter that counts what it is given and what it makes."""
    passed = getattr(getattr(function, "jinja_pass_arg", None), "name", None)

    @pass_context
    def bounded(context: Context, value: Any, *arguments: Any, **named: Any) -> Any:
        if name in ("join", "sum") and not isinstance(value, Collection):
            value = [*value]
        check_growth(context.parent[BUDGET], name, value, [*arguments, *named.values()])
        before = {"context": context, "eval_context": context.eval_ctx, "environment": context.environment}
        made = function(before[passed], value, *arguments, **named) if passed else function(value, *arguments, **named)
        return spend(context, made)

    return bounded


@cache
def environment() -> Bounded:
    """Return the environment of chat templates, which is that of transformers; made once."""
    from transformers.utils.chat_template_utils import _compile_jinja_template

    return Bounded(_compile_jinja_template("").environment)


@cache
def prompts() -> Bounded:
    """Return the environment of prompts over a row's columns, whose whitespace stays as it is written; made once."""
    plain = Environment(undefined=StrictUndefined, keep_trailing_newline=True)  # noqa: S701 - text, not HTML
    plain.filters["tojson"] = _json
    return Bounded(plain)


def _json(value: Any, indent: int | None = None) -> str:
    """Return JSON without the escapes of jinja2's own, which are for HTML."""
    return dumps(value, indent=indent)
