"""`llmkit recipes`."""

from __future__ import annotations

import re
from itertools import dropwhile, takewhile
from typing import Annotated

import typer

from llmkit.cli import options as o
from llmkit.cli.help import Command, Group
from llmkit.core.errors import ConfigError, nearest
from llmkit.core.recipes import recipe_names

_SENTENCE = re.compile(r"(?<=\.)\s+(?=[A-Z])")

app = typer.Typer(help="List and show the shipped recipes.", cls=Group, no_args_is_help=True, rich_markup_mode=None)


@app.command("list", cls=Command)
def list_recipes(json: o.Json = False) -> None:
    """List the shipped recipes, each with the first sentence of its comment."""
    from llmkit.core.console import Console

    console = Console(json_mode=json)
    found = summaries()
    if json:
        console.print_json({"status": "done", "exit_code": 0, "recipes": found})
    console.table(list(found.items()), headers=("recipe", "what it does"))


@app.command("show", cls=Command)
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name from `llmkit recipes list`.")],
    json: o.Json = False,
) -> None:
    """Print a shipped recipe."""
    from llmkit.core.console import Console

    names = recipe_names()
    if name not in names:
        raise ConfigError(f"no recipe '{name}'{nearest(name, names)}", hint="llmkit recipes list")
    text = names[name].read_text(encoding="utf-8")
    console = Console(json_mode=json)
    if json:
        console.print_json({"status": "done", "exit_code": 0, "name": name, "path": str(names[name]), "text": text})
    console.print(text.rstrip())


def summaries() -> dict[str, str]:
    """Return what each shipped recipe is for, by its name."""
    return {name: _summary(path.read_text(encoding="utf-8")) for name, path in recipe_names().items()}


def _summary(text: str) -> str:
    """Return the first sentence of a recipe's comment, however many lines it takes; a command is a line of its own."""
    comments = (line[1:].strip() for line in takewhile(lambda line: line.startswith("#"), text.splitlines()))
    prose = dropwhile(lambda comment: comment.startswith("yaml-language-server"), comments)
    paragraph = " ".join(takewhile(lambda comment: comment and not comment.startswith("llmkit "), prose))
    return _SENTENCE.split(paragraph, maxsplit=1)[0]
