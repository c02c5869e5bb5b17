"""Commands with their help as plain text in sections, and with words of our own for what is typed wrong.

The boxes that Typer draws with rich would be most of what `--help` takes, and it suggests any option for any other.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

Row = tuple[str, str]


class Command(TyperCommand):
    """A command whose options stand under the headings that they were declared with."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the options.

        Raises:
            UserError: One is unknown, or a word belongs to none.
        """
        given, ctx.allow_extra_args = list(args), True
        rest = _parsed(super().parse_args, self, ctx, args)
        if rest and not ctx.resilient_parsing:
            from llmkit.cli.unknown import unexpected_words

            raise unexpected_words(ctx, [word for word in given if word in rest])
        return rest

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return what stands behind the command's name: `[OPTIONS] RUN...`, where Typer writes `{RUN...}...`."""
        arguments = [param for param in self.get_params(ctx) if param.param_type_name == "argument"]
        names = [(param.metavar or str(param.name).upper(), param.required) for param in arguments]
        return ["[OPTIONS]", *(name if required else f"[{name}]" for name, required in names)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the sections of arguments and options."""
        _write_parameters(self, ctx, formatter)


class Group(TyperGroup):
    """A group whose commands stand under the headings that they were declared with."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the group's own options.

        Raises:
            UserError: One is unknown.
        """
        return _parsed(super().parse_args, self, ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command.

        Raises:
            UserError: There is none.
        """
        if self.get_command(ctx, args[0]) is None and not ctx.resilient_parsing:
            from llmkit.cli.unknown import unknown_command

            raise unknown_command(ctx, args[0], self.commands)
        return super().resolve_command(ctx, args)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the sections of commands, and below them those of the group's own options."""
        rows = []
        for command in self.commands.values():
            heading = getattr(command, "rich_help_panel", None) or "Commands"
            rows.append((heading, None if command.hidden else (command.name or "", _first(command.help))))
        _write(formatter, rows)
        _write_parameters(self, ctx, formatter)


def _parsed(parse: Callable[[Any, list[str]], list[str]], command: Any, ctx: Any, args: list[str]) -> list[str]:
    given = list(args)  # the parser takes them out
    try:
        return parse(ctx, args)
    except typer.TyperException as error:
        if type(error).__name__ != "NoSuchOption":
            raise
        from llmkit.cli.unknown import unknown_option

        raise unknown_option(command, ctx, str(getattr(error, "option_name", "")), given) from None


def _write_parameters(command: Any, ctx: Any, formatter: Any) -> None:
    usual = {"argument": "Arguments", "option": "Options"}
    rows = [("Arguments", None), ("Options", None)]  # the order of the headings, whatever is declared first
    for param in command.get_params(ctx):
        heading = getattr(param, "rich_help_panel", None) or usual[param.param_type_name]
        record = param.get_help_record(ctx)
        if record and param.param_type_name == "argument":
            record = (record[0].partition(" <")[0], record[1])  # `<list[Path]>` says nothing to people
        rows.append((heading, record))
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
