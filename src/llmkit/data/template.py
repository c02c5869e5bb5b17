"""Chat templates in bounds: what a template may do is counted, so that none runs on or fills the memory.

A template is a program of somebody else's: `{% for %}` in `{% for %}`, `x ~ x` over and over, `'-' * 10**9`. Counting,
unlike a clock, refuses the same row on every machine. A clock stands behind it for what costs more than it counts for.
"""

from __future__ import annotations

import re
import time
import traceback
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

from jinja2 import Environment, Template, TemplateError, TemplateSyntaxError, nodes, pass_context
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

from llmkit.core.errors import DataError

STEPS, STEPS_PER_CHARACTER = 2**24, 1024
"""What a rendering may do, and more for every character of its conversation: rounds, calls, characters made."""
WRITTEN, WRITTEN_PER_CHARACTER = 2**20, 64
"""Characters that a rendering may write, and more for every character of its conversation."""
SECONDS = 10.0
"""Processor time of a rendering."""
LOOK_EVERY = 2**16
"""Steps between two looks at the clock."""
LONGEST_WORDS = 200
"""Characters of an exception that are shown."""
FILE = "<template>"
"""What stands for a template in a traceback."""
MAX_BITS = 2**14
"""Largest whole number, in bits."""

BUDGET, SPEND, STEP = " budget", " spend", " step"
"""Names that no template can write."""
GROWING = frozenset(
    ("batch", "center", "expandtabs", "indent", "join", "ljust", "replace", "rjust", "slice", "to_bytes", "tojson",
     "translate", "truncate", "wordwrap", "zfill")
)  # fmt: skip
"""Filters and methods of text that make more of it, as much as their arguments say."""
LISTING = frozenset(
    ("attr", "count", "d", "default", "dictsort", "first", "groupby", "items", "last", "length", "list", "map", "max",
     "min", "random", "reject", "rejectattr", "reverse", "select", "selectattr", "sort", "unique")
)  # fmt: skip
"""Filters that look at a list's entries, not at what is in them."""

WIDTH_FROM_ARGUMENT = re.compile(r"%[^a-zA-Z%]*\*|\{[^}]*\{")
"""`%*d` and `{:{}}`: the width of a field is an argument."""


class BoundsError(Exception):
    """A template does or writes more than one may."""


class Budget:
    """What a rendering may still do.

    Args:
        size: Characters of the conversation.
    """

    def __init__(self, size: int) -> None:
        self.left = STEPS + STEPS_PER_CHARACTER * size
        self._most_written = WRITTEN + WRITTEN_PER_CHARACTER * size
        self._look = self.left - LOOK_EVERY
        self._until: float | None = None

    def spend(self, steps: int) -> None:
        """Count steps.

        Raises:
            BoundsError: None are left, or no time.
        """
        self.left -= steps
        if self.left < self._look:
            self._check()

    def allow(self, steps: int) -> None:
        """Refuse what would take more steps than are left."""
        if steps > self.left:
            raise BoundsError("it makes more text than a chat template may")

    def written(self, text: str) -> str:
        """Return what was written, where it is not too much for the conversation."""
        if len(text) > self._most_written:
            raise BoundsError(f"it writes {len(text):,} characters")
        return text

    def _check(self) -> None:
        if self.left < 0:
            raise BoundsError("it does more than a chat template may: a loop without end, or text without end")
        now = time.thread_time()
        if self._until is None:
            self._until = now + SECONDS
        if now > self._until:
            raise BoundsError(f"it takes more than {SECONDS:g} seconds")
        self._look = self.left - LOOK_EVERY


def size_of(value: Any, most: int) -> int:
    """Return about how long a value is as text; what is beyond `most` is not counted to its end."""
    if type(value) is str:
        return len(value)
    total, waiting = 0, [value]
    while waiting and total <= most:
        item = waiting.pop()
        total += 1
        if isinstance(item, str | bytes | range):
            total += len(item)
        elif isinstance(item, int):
            total += item.bit_length()
        elif isinstance(item, Collection):
            total += len(item)
            waiting += [*item.keys(), *item.values()] if isinstance(item, Mapping) else item
        elif isinstance(item, Namespace):
            waiting.append(object.__getattribute__(item, "_Namespace__attrs"))
    return total


@pass_context
def _spend(context: Context, value: Any) -> Any:
    """Count a value that was made, or that is to be written; return it."""
    budget = context.parent[BUDGET]
    budget.spend(1 + (len(value) if type(value) is str else size_of(value, budget.left)))
    return value


@pass_context
def _step(context: Context, steps: int) -> None:
    context.parent[BUDGET].spend(steps)


class _Counting(NodeTransformer):
    """Adds to a template what counts its steps."""

    def visit_For(self, node: Any) -> Any:  # noqa: N802 - named after the node
        """Count every round of a loop, and every call of a macro, by the text that stands in it."""
        text = sum(len(data.data) for data in node.find_all(nodes.TemplateData))
        self.generic_visit(node)
        node.body.insert(0, nodes.ExprStmt(_filtered(nodes.Const(1 + text // 8), STEP)))
        if getattr(node, "test", None) is not None:  # rounds that it leaves out never reach the body
            node.iter = _filtered(node.iter, SPEND)
        return node

    visit_Macro = visit_CallBlock = visit_Block = visit_For  # noqa: N815

    def visit_Output(self, node: nodes.Output) -> nodes.Output:  # noqa: N802
        """Leave sums that are written at once: what is written is counted anyway."""
        node.nodes = [self._terms(child) if isinstance(child, nodes.Add) else self.visit(child) for child in node.nodes]
        return node

    def visit_Add(self, node: nodes.Add) -> nodes.Expr:  # noqa: N802
        """Count a sum once, however many terms it has."""
        return _filtered(self._terms(node), SPEND)

    def visit_Concat(self, node: nodes.Concat) -> nodes.Expr:  # noqa: N802
        """Count what is to become text before it does: lists of lists of lists are long."""
        self.generic_visit(node)
        node.nodes = [_filtered(item, SPEND) for item in node.nodes]
        return _filtered(node, SPEND)

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Expr:  # noqa: N802
        """Count slices: they are copies."""
        self.generic_visit(node)
        return _filtered(node, SPEND) if isinstance(node.arg, nodes.Slice) else node

    def _terms(self, node: nodes.Add) -> nodes.Add:
        for side in ("left", "right"):
            term = getattr(node, side)
            setattr(node, side, self._terms(term) if isinstance(term, nodes.Add) else self.visit(term))
        return node


def _filtered(node: nodes.Expr, name: str) -> nodes.Expr:
    return nodes.Filter(node, name, [], [], None, None)


class _Bounded(ImmutableSandboxedEnvironment):
    """transformers' environment, counting."""

    intercepted_binops = frozenset(("*", "**", "%"))

    def __init__(self, theirs: Environment) -> None:
        extensions = [type(extension) for extension in theirs.extensions.values()]
        super().__init__(
            trim_blocks=theirs.trim_blocks, lstrip_blocks=theirs.lstrip_blocks, extensions=extensions, finalize=_spend
        )
        self.globals = {name: value for name, value in theirs.globals.items() if name != "lipsum"}  # random text
        self.filters = {name: _bounded(name, function) for name, function in theirs.filters.items()}
        self.filters |= {SPEND: _spend, STEP: _step}

    def call(self, context: Context, called: Any, /, *arguments: Any, **named: Any) -> Any:
        """Call what a template calls."""
        owner = getattr(getattr(called, "__wrapped__", called), "__self__", None)  # the sandbox wraps str.format
        if isinstance(owner, str | bytes | int):
            name = called.__name__
            if name == "join" and arguments:
                arguments = ([*arguments[0]], *arguments[1:])
            _check_growth(context.parent[BUDGET], name, owner, [*arguments, *named.values()])
        return _spend(context, super().call(context, called, *arguments, **named))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Multiply, raise to a power, or format."""
        budget = context.parent[BUDGET]
        if isinstance(left, str):
            _check_growth(budget, operator, left, [right])
        elif isinstance(left, int) and isinstance(right, int) and operator != "%":
            bits = left.bit_length() * right if operator == "**" else left.bit_length() + right.bit_length()
            if bits > MAX_BITS:
                raise BoundsError("it makes larger numbers than a chat template may")
        elif isinstance(left, Collection) or isinstance(right, Collection):
            _check_growth(budget, operator, *((left, [right]) if isinstance(left, Collection) else (right, [left])))
        return _spend(context, super().call_binop(context, operator, left, right))


def _bounded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a filter that counts what it is given and what it makes."""
    passed = getattr(getattr(function, "jinja_pass_arg", None), "name", None)

    @pass_context
    def bounded(context: Context, value: Any, *arguments: Any, **named: Any) -> Any:
        if name in ("join", "sum") and not isinstance(value, Collection):
            value = [*value]
        _check_growth(context.parent[BUDGET], name, value, [*arguments, *named.values()])
        before = {"context": context, "eval_context": context.eval_ctx, "environment": context.environment}
        made = function(before[passed], value, *arguments, **named) if passed else function(value, *arguments, **named)
        return _spend(context, made)

    return bounded


def _check_growth(budget: Budget, name: str, value: Any, arguments: Sequence[Any]) -> None:
    """Count what a filter, a method or an operator is given, and refuse what would grow beyond all bounds."""
    listing = name in LISTING and isinstance(value, Collection)
    size = len(value) if listing else size_of(value, budget.left)
    budget.spend(1 + size)
    if name == "pprint":
        budget.allow(size * 1000)  # indented as deep as Python's stack
    elif name == "sum" and any(isinstance(argument, list | tuple) for argument in arguments):
        budget.allow(size * len(value))
    elif name in ("%", "format", "format_map"):
        measure = _extent if WIDTH_FROM_ARGUMENT.search(value) else size_of
        given = [item for argument in arguments for item in (argument if isinstance(argument, tuple) else (argument,))]
        widths = [*map(int, re.findall(r"\d{1,18}", value)), *(measure(argument, budget.left) for argument in given)]
        budget.allow(size + (value.count("%") + value.count("{")) * (1 + max(widths, default=0)))
    elif name in GROWING or name == "*":
        budget.allow((1 + size) * (1 + max((_extent(argument, budget.left) for argument in arguments), default=0)))


def _extent(argument: Any, most: int) -> int:
    """Return how much an argument can make of what it is applied to."""
    return abs(argument) if isinstance(argument, int) else size_of(argument, most)


@cache
def _environment() -> _Bounded:
    from transformers.utils.chat_template_utils import _compile_jinja_template

    return _Bounded(_compile_jinja_template("").environment)


@lru_cache(maxsize=16)
def compile_template(text: str) -> Template:
    """Compile a chat template, to be rendered with a `Budget` under the name `BUDGET`.

    Raises:
        DataError: It is no template.
    """
    environment = _environment()
    try:
        tree = _Counting().visit(environment.parse(text))
        tree.set_environment(environment)
        return environment.template_class.from_code(
            environment, environment.compile(tree, filename=FILE), environment.make_globals(None)
        )
    except Exception as error:  # jinja2 and Python's own compiler have many ways to refuse a program
        raise DataError(
            f"the chat template is not valid: {explained(error)}", hint="give the tokenizer another chat_template"
        ) from error


def explained(error: Exception) -> str:
    """Return what a template's exception says; and where and of what kind, if it is not the template's own."""
    said = " ".join(str(error).split())
    said = said if len(said) <= LONGEST_WORDS else said[:LONGEST_WORDS] + " ..."
    if type(error) is TemplateError and said:
        return said
    if not said or not isinstance(error, TemplateError | BoundsError):
        said = f"{type(error).__name__}: {said}".removesuffix(": ")
    lines = [line for frame, line in traceback.walk_tb(error.__traceback__) if frame.f_code.co_filename == FILE]
    if isinstance(error, TemplateSyntaxError):
        lines.append(error.lineno)
    return f"{said} (line {lines[-1]})" if lines else said
