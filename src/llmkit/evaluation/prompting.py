"""Prompts of the user's own: Jinja over a row's columns, sandboxed and bounded as chat templates are.

    {{ question }}
    {% for choice in choices %}{{ loop.index }}. {{ choice }}
    {% endfor %}

Whitespace stays as it is written. A template without `{{` that is a column's name stands for that column.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any

from jinja2 import UndefinedError
from jinja2.meta import find_undeclared_variables
from pydantic import AfterValidator

from llmkit.core.errors import ConfigError
from llmkit.data.column_names import listed, quoted
from llmkit.data.templates.budget import Budget
from llmkit.data.templates.compiled import compiled_in, explained, written
from llmkit.data.templates.environment import prompts

_LIKE = "a template is Jinja over the columns of a row: 'Question: {{ question }}\\nAnswer:'"


class Prompt:
    """A template over the columns of a row; equal texts are equal prompts.

    Args:
        text: Jinja, or the name of a column.
        field: Which field of a config it is, for errors.

    Raises:
        ConfigError: It is no template.
    """

    def __init__(self, text: str, field: str = "prompt") -> None:
        self.text, self.field = text, field
        try:
            self._template = compiled_in(prompts(), text)
        except Exception as error:  # jinja2 and Python's own compiler have many ways to refuse a program
            raise ConfigError(f"{field}: not a template: {explained(error)}", _LIKE) from error

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Prompt) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    @cached_property
    def columns(self) -> frozenset[str]:
        """The names that it looks up, whether or not it can do without them."""
        environment = prompts()
        return frozenset(find_undeclared_variables(environment.parse(self.text))) - environment.globals.keys()

    def lacks_all(self, fields: Mapping[str, Any]) -> bool:
        """Tell whether a row has null in every column that the template is over: then it says nothing of the row."""
        names = [name for name in self.columns or (self.text,) if name in fields]
        return bool(names) and all(fields[name] is None for name in names)

    def render(self, fields: Mapping[str, Any]) -> str:
        """Return the text for one row.

        Args:
            fields: The row's columns.

        Raises:
            ConfigError: It needs a column that the row does not have, or does what no template may; the message names
                the column, the nearest one and those there are.
        """
        if not self.columns and self.text in fields:
            return str(fields[self.text])
        budget = Budget(({"role": "", "content": "", "columns": fields},))  # a longer row may take more
        try:
            return written(self._template, {**self._template.globals, **fields}, budget)
        except Exception as error:
            raise self._refusal(error, fields) from error

    def _refusal(self, error: Exception, fields: Mapping[str, Any]) -> ConfigError:
        missing = sorted(name for name in self.columns - fields.keys() if f"{error}" == f"'{name}' is undefined")
        if isinstance(error, UndefinedError) and missing:
            return missing_column(self.field, missing[0], fields)
        what = str(error) if isinstance(error, UndefinedError) else explained(error, self._template)
        return ConfigError(
            f"{self.field}: the template fails on a row: {what}; the columns are {listed(fields)}", _LIKE
        )


class MissingColumnError(ConfigError):
    """A row lacks a column: of the first row that is the config's fault, of one behind it the row's own."""


def missing_column(field: str, name: str, fields: Mapping[str, Any]) -> MissingColumnError:
    """Return the error for a column that a row does not have.

    Args:
        field: The field of the config that names it.
        name: The column.
        fields: The row's columns.
    """
    close = difflib.get_close_matches(name, fields, n=1, cutoff=0.6)
    meant = f"; did you mean {quoted(close[0])}?" if close else ""
    return MissingColumnError(
        f"{field}: no column '{name}'{meant}; the columns are {listed(fields)}",
        f"-s tasks.0.{field.removeprefix('tasks.')}=COLUMN names another",
    )


def _compiles(text: str) -> str:
    """Check a template where a config is read: the error gets the file and line of its value."""
    try:
        Prompt(text)
    except ConfigError as error:
        raise ValueError(error.message.removeprefix("prompt: ")) from None
    return text


TemplateText = Annotated[str, AfterValidator(_compiles)]
"""A field of a config that holds a template."""
