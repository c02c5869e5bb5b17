"""What to say of a command, an option or a word that there is not: what it is called here, and the line to type."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, cast

from llmkit.core.errors import UserError
from llmkit.core.glossary import NEVER, bare, field_of, instead, look_up, near

FIELDS_OF_PLAN = "pretrain"
"""Whose fields `plan` has where nothing else is known."""


def unknown_command(context: Any, name: str, commands: Collection[str]) -> UserError:
    """Return the error for a command that a group does not have."""
    said = instead("command", name, commands)
    if not said and (close := near(name, commands)):
        said = f"; did you mean '{close}'?"
    return UserError(f"unknown command '{name}'{said}", hint=f"{context.command_path} --help")


def unknown_option(command: Any, context: Any, typed: str, arguments: Sequence[str]) -> UserError:
    """Return the error for an option that a command does not have.

    Args:
        command: The command.
        context: Its context.
        typed: The option, with its dashes.
        arguments: What the command was given, for the option's value.
    """
    line = context.command_path
    options = {o for param in command.params for o in param.opts if o.startswith("--")} - NEVER
    fields = _fields(context.info_name or "")
    said = f"unknown option '{typed}'"
    same = next((option for option in sorted(options) if bare(option) == bare(typed)), None)
    word = look_up("term", typed) if same is None else None
    if word is not None and not word.names:
        return UserError(f"{said}; {word.note}", hint=f"{line} --help")
    names = word.there({*options, *fields}) if word is not None else [field_of(typed, fields) or ""] if not same else []
    if names and names[0]:
        note = word.note if word is not None else ""
        value = "..." if note else _value(typed, arguments)
        name = names[0].partition("=")[0]
        if name.startswith("--"):
            way = f"{name} {value}"
        else:
            way = f"--set {names[0]}" if "=" in names[0] else f"--set {name}={value}"
        return UserError(f"{said}; here it is {name}{f': {note}' if note else ''}", hint=f"{line} ... {way}")
    last = {path.rpartition(".")[2]: path for path in sorted(fields, reverse=True)}
    close = same or near(typed, [*options, *last])
    if close in last:
        close = f"--set {last[close]}=..."
    return UserError(f"{said}; did you mean '{close}'?" if close else said, hint=f"{line} --help")


def unexpected_words(context: Any, words: Sequence[str]) -> UserError:
    """Return the error for words that belong to no option, as tools have them that take a file or several values."""
    command, line = context.info_name or "", context.command_path
    word, last = words[0], words[-1]
    data = {"clean": "-i", "tokenize": "-i", "pretrain": "--data", "finetune": "--data", "eval": "--model",
            "export": "--model", "preflight": "-r", "predict": "-i", "generate": "-i",
            "index": "-i"}.get(command)  # fmt: skip
    hint = f"{line} --help"
    if data is not None:
        if Path(word).suffix in (".yaml", ".yml"):
            hint = f"{line} -r {shlex.quote(word)}"
        elif "=" in word:
            hint = f"{line} ... --set {shlex.quote(word)}"
        elif Path(word).suffix not in (".py", ".sh"):
            # `tool IN OUT` is the way of many.
            to = len(words) > 1 and not Path(last).exists() and not Path(last).suffix
            every = [f"{data} {shlex.quote(word)}" for word in (words[:-1] if to else words)]
            hint = f"{line} ... {' '.join([*every, f'-o {shlex.quote(last)}'] if to else every)}"
            hint += "; an option takes one value, and is given again for another"
    return UserError(f"unexpected {'words' if words[1:] else 'word'} {shlex.join(words)}", hint=hint)


def _fields(command: str) -> frozenset[str]:
    from llmkit.stages import STAGES, load_stage

    stage = FIELDS_OF_PLAN if command == "plan" else command
    if stage not in STAGES:
        return frozenset()
    from llmkit.core.fields import field_paths

    return field_paths(cast("Any", load_stage(stage).config))


def _value(typed: str, arguments: Sequence[str]) -> str:
    """Return the value that an option was given, as a shell takes it; `...` if none."""
    for position, argument in enumerate(arguments):
        name, separator, value = argument.partition("=")
        if name == typed:
            if separator:
                return shlex.quote(value)
            if position + 1 < len(arguments) and not arguments[position + 1].startswith("-"):
                return shlex.quote(arguments[position + 1])
    return "..."
