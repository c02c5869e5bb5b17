"""Compile a chat template, render a conversation with it, and say why one is refused."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any

from jinja2 import Template, TemplateError, TemplateSyntaxError

from llmkit.core.errors import DataError
from llmkit.data.templates.budget import BoundsError, Budget
from llmkit.data.templates.counting import BUDGET, Counting
from llmkit.data.templates.environment import Bounded, environment

if TYPE_CHECKING:
    from llmkit.data.calls import Messages

WRITTEN, WRITTEN_PER_CHARACTER = 2**20, 64
"""Characters that a rendering may write, and more for every character of its conversation."""
PARTS = 16
"""Pieces of text that a template writes before they are counted."""
LONGEST_WORDS = 200
"""Characters of an exception that are shown."""
FILE = "<template>"
"""What stands for a template in a traceback."""


@lru_cache(maxsize=16)
def compile_template(text: str) -> Template:
    """Compile a chat template, for `rendered`.

    Raises:
        DataError: It is no template.
    """
    try:
        return compiled_in(environment(), text)
    except Exception as error:  # jinja2 and Python's own compiler have many ways to refuse a program
        raise DataError(
            f"the chat template is not valid: {explained(error)}", hint="give the tokenizer another chat_template"
        ) from error


def compiled_in(bounded: Bounded, text: str) -> Template:
    """Compile a template in an environment that counts, for `written`; raises whatever jinja2 or Python raises."""
    tree = Counting().visit(bounded.parse(text))
    tree.set_environment(bounded)
    code = bounded.compile(tree, filename=FILE)
    return bounded.template_class.from_code(bounded, code, bounded.make_globals(None))


def explained(error: Exception, template: Template | None = None) -> str:
    """Return what a template's exception says; and where and of what kind, if it is not the template's own."""
    said = " ".join(str(error).split())
    said = said if len(said) <= LONGEST_WORDS else said[:LONGEST_WORDS] + " ..."
    if type(error) is TemplateError and said:
        return said
    if not said or not isinstance(error, TemplateError | BoundsError):
        said = f"{type(error).__name__}: {said}".removesuffix(": ")
    if isinstance(error, TemplateSyntaxError):
        return f"{said} (line {error.lineno})"
    lines = [line for frame, line in traceback.walk_tb(error.__traceback__) if frame.f_code.co_filename == FILE]
    return f"{said} (line {template.get_corresponding_lineno(lines[-1])})" if lines and template else said


def rendered(template: Template, turns: Messages, variables: Mapping[str, Any]) -> str:
    """Return what a template makes of a conversation.

    Args:
        template: A template of `compile_template`.
        turns: The conversation.
        variables: What the template knows besides: its globals, and what is the same for all conversations.

    Raises:
        BoundsError: It does more than it may. A template may also raise anything else.
    """
    return written(template, {**variables, "messages": turns}, Budget(turns))


def written(template: Template, variables: Mapping[str, Any], budget: Budget) -> str:
    """Return what a template of `compiled_in` makes of its variables, globals included, within a budget.

    Raises:
        BoundsError: It does more than it may. A template may also raise anything else.
    """
    parts = list[str]()
    # As `Template.render` does, without copying what is the same for all conversations.
    context = template.new_context({**variables, BUDGET: budget}, shared=True)
    stream = template.root_render_func(context)
    while len(some := [*islice(stream, PARTS)]) == PARTS:
        parts.append("".join(some))
        budget.spend(PARTS + len(parts[-1]))
    text = "".join((*parts, *some))
    if len(text) > WRITTEN and len(text) > WRITTEN + WRITTEN_PER_CHARACTER * budget.characters:
        raise BoundsError(f"it writes {len(text):,} characters")
    if not text.isascii():
        text.encode()  # half of a surrogate pair is no text
    return text
