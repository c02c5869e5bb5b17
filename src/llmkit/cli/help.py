"""Help as plain text in sections; the boxes that Typer draws with rich would be most of what `--help` takes."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

from typer.core import TyperCommand, TyperGroup

Row = tuple[str, str]


class Command(TyperCommand):
    """A command whose options stand under the headings that they were declared with."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the sections of arguments and options."""
        _write_parameters(self, ctx, formatter)


class Group(TyperGroup):
    """A group whose commands stand under the headings that they were declared with."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the sections of commands, and below them those of the group's own options."""
        rows = []
        for command in self.commands.values():
            heading = getattr(command, "rich_help_panel", None) or "Commands"
            rows.append((heading, None if command.hidden else (command.name or "", _first(command.help))))
        _write(formatter, rows)
        _write_parameters(self, ctx, formatter)


def _write_parameters(command: Any, ctx: Any, formatter: Any) -> None:
    usual = {"argument": "Arguments", "option": "Options"}
    rows = [("Arguments", None), ("Options", None)]  # the order of the headings, whatever is declared first
    for param in command.get_params(ctx):
        heading = getattr(param, "rich_help_panel", None) or usual[param.param_type_name]
        rows.append((heading, param.get_help_record(ctx)))
    _write(formatter, rows)


def _write(formatter: Any, rows: Iterable[tuple[str, Row | None]]) -> None:
    """Write rows under their headings, in the order in which the headings first come."""
    sections: dict[str, list[Row]] = {}
    for heading, row in rows:
        sections.setdefault(heading, []).extend([row] if row else [])
    for heading, section in sections.items():
        if section:
            with formatter.section(heading):
                formatter.write_dl(section)


def _first(text: str | None) -> str:
    """Return the first paragraph; Typer's own help would cut it at the end of the line."""
    return " ".join(inspect.cleandoc(text or "").partition("\n\n")[0].split())
