"""Run a stage from its options: resolve the config, let the stage run, print the result."""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path
from typing import Any

import typer

from llmkit.cli.options import Named, StageOptions
from llmkit.core.config import Config, Resolved, dump, leaves
from llmkit.core.console import Console
from llmkit.core.context import Context, Result
from llmkit.core.errors import ConfigError, DataError
from llmkit.core.progress import clock
from llmkit.core.recipes import find_recipe
from llmkit.core.stage import Stage
from llmkit.core.yaml import Path as KeyPath
from llmkit.stages import load_stage

_NOT_THERE = ("no such file", "no files match")


def run_stage(name: str, options: StageOptions, named: Named, *, several: bool = False) -> None:
    """Run one stage.

    Args:
        name: The command's name.
        options: The shared options.
        named: Dotted config key -> (option name, value) of the command's own options; None values are left out.
        several: The stage can be one of several processes.
    """
    console = Console(quiet=options.quiet, verbose=options.verbose, json_mode=options.json)
    if options.resume not in ("auto", "never") and not (several and Path(options.resume).is_dir()):
        expected = "auto, never or the directory of a checkpoint" if several else "auto or never"
        raise ConfigError(f"--resume {options.resume}: should be {expected}")
    stage = load_stage(name)
    recipe = find_recipe(options.recipe, name) if options.recipe else None
    resolved = stage.resolve(recipe=recipe, sets=options.sets or (), options=named)
    if options.dry_run:
        with contextlib.redirect_stdout(sys.stderr):
            stage.check(resolved.config)
        print_config(resolved, console)
        return
    if options.preview is not None:
        stage.preview(resolved.config, options.preview, console)
        return
    if options.output is None:
        raise ConfigError(
            f"--output is required: where should {name} write?", hint=f"llmkit {name} ... -o build/{name}"
        )
    context = Context(
        output=options.output,
        console=console,
        force=options.force,
        strict=options.strict,
        max_failed=options.max_failed,
        resume=options.resume,
    )
    run = _run_as_team if several else _run
    try:
        run(stage, resolved.config, context, options.nproc)
    except DataError as error:
        raise type(error)(error.message + _named_by(error.message, resolved), error.hint) from error


def _named_by(message: str, resolved: Resolved[Any]) -> str:
    """Say of a relative path that is not there which recipe names it, and in which folder it was looked for."""
    if not message.startswith(_NOT_THERE) and not any(f": {words}" in message for words in _NOT_THERE):
        return ""
    for path, value in leaves(dump(resolved.config, mode="json")):
        if isinstance(value, str) and value and message.partition(";")[0].endswith(f" {value}"):
            if Path(value).expanduser().is_absolute() or "://" in value:
                return ""
            origin = resolved.origin(path)
            by = "" if origin.startswith("--") or origin == "default" else f"{origin} names it, and "
            return f" ({by}it was looked for in {Path.cwd()})"
    return ""


def _run(stage: Stage[Any], config: Config, context: Context, _nproc: int) -> None:
    start = time.monotonic()
    with contextlib.redirect_stdout(sys.stderr):  # stdout is the result's, whatever a part prints
        result = stage.run(config, context)
    print_result(stage, result, context.console, time.monotonic() - start)


def _run_as_team(stage: Stage[Any], config: Config, context: Context, nproc: int) -> None:
    """Start the processes that `--nproc` asks for, or be one of those that a launcher has started."""
    from llmkit.work.launch import check_launch, is_ours, start, world

    check_launch(nproc)
    if nproc > 1 and not is_ours():
        # `-m` would put the current folder before all others on the path of the processes, and of them alone.
        path = [] if str(Path.cwd()) in sys.path else ["-P"]
        raise typer.Exit(start(nproc, [sys.executable, *path, "-m", "llmkit", *sys.argv[1:]]))
    if world()[1] == 1:
        _run(stage, config, context, nproc)
        return
    from llmkit.work.team import Team

    with Team(context.output) as team:
        context.team = team
        if not team.leads:  # made anew: the old one writes to where the process must not be heard any more
            context.console = Console(quiet=True)
        _run(stage, config, context, nproc)


def print_result(stage: Stage[Any], result: Result, console: Console, seconds: float) -> None:
    """Print a stage's result as a few lines for people, or as one JSON object."""
    if console.json_mode:
        console.print_json(result.as_json())
        return
    artifact = result.artifact
    if result.up_to_date:
        console.print(f"{stage.name}: {artifact.path} is up to date ({artifact.kind} {artifact.id[:12]})")
        return
    console.print(f"{stage.name}: {artifact.path} ({artifact.kind} {artifact.id[:12]}) in {clock(seconds)}")
    console.table([(f"  {label}", value) for label, value in stage.summarize(artifact)])
    console.table([(f"  {note}",) for note in result.notes])


def print_config(resolved: Resolved[Any], console: Console) -> None:
    """Print the resolved config, every value with its origin."""
    values = dump(resolved.config, mode="json")
    if console.json_mode:
        origins = {_dotted(path): resolved.origin(path) for path, _ in leaves(values)}
        console.print_json({"status": "dry run", "exit_code": 0, "config": values, "origins": origins})
        return
    rows = [(_dotted(path), _shown(value), resolved.origin(path)) for path, value in leaves(values)]
    console.table(rows, headers=("field", "value", "from"))


def _dotted(path: KeyPath) -> str:
    return ".".join(map(str, path))


def _shown(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
