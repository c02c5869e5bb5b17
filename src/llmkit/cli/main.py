"""The entry point: commands, exit codes and the shape of every error message."""

from __future__ import annotations

import copy
import functools
import io
import logging
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

import llmkit
from llmkit.cli import (
    chat,
    clean,
    compare,
    doctor,
    evaluate,
    export,
    finetune,
    generate,
    index,
    init,
    lineage,
    plan,
    predict,
    preflight,
    pretrain,
    push,
    recipes,
    schema,
    search,
    serve,
    summary,
    tidy,
    tokenize,
)
from llmkit.cli.help import Command, Group
from llmkit.core import machine, stop
from llmkit.core.errors import Interrupted, UserError

app = typer.Typer(
    name="llmkit",
    help="From raw text to an exported language model: clean, tokenize, pretrain, finetune, eval, export.",
    cls=Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
STAGES = "Stages"
TOOLS = "Around them"
app.command("clean", cls=Command, rich_help_panel=STAGES)(clean.clean)
app.command("tokenize", cls=Command, rich_help_panel=STAGES)(tokenize.tokenize)
app.command("pretrain", cls=Command, rich_help_panel=STAGES)(pretrain.pretrain)
app.command("finetune", cls=Command, rich_help_panel=STAGES)(finetune.finetune)
app.command("eval", cls=Command, rich_help_panel=STAGES)(evaluate.evaluate)
app.command("export", cls=Command, rich_help_panel=STAGES)(export.export)
app.command("predict", cls=Command, rich_help_panel=STAGES)(predict.predict)
app.command("generate", cls=Command, rich_help_panel=STAGES)(generate.generate)
app.command("index", cls=Command, rich_help_panel=STAGES)(index.index)
app.command("serve", cls=Command, rich_help_panel=TOOLS)(serve.serve)
app.command("chat", cls=Command, rich_help_panel=TOOLS)(chat.chat)
app.command("init", cls=Command, rich_help_panel=TOOLS)(init.init)
app.add_typer(recipes.app, name="recipes", rich_help_panel=TOOLS)
app.command("schema", cls=Command, rich_help_panel=TOOLS)(schema.schema)
app.command("plan", cls=Command, rich_help_panel=TOOLS)(plan.plan)
app.command("preflight", cls=preflight.Grouped, rich_help_panel=TOOLS)(preflight.preflight)
app.command("search", cls=Command, rich_help_panel=TOOLS)(search.search)
app.command("compare", cls=Command, rich_help_panel=TOOLS)(compare.compare)
app.command("summary", cls=Command, rich_help_panel=TOOLS)(summary.summary)
app.command("lineage", cls=Command, rich_help_panel=TOOLS)(lineage.lineage)
app.command("push", cls=Command, rich_help_panel=TOOLS)(push.push)
app.command("tidy", cls=Command, rich_help_panel=TOOLS)(tidy.tidy)
app.command("doctor", cls=Command, rich_help_panel=TOOLS)(doctor.doctor)


def _version(show: bool) -> None:
    if show:
        typer.echo(f"llmkit {llmkit.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Show the version and exit."
    ),
) -> None:
    pass


def main() -> None:
    """Run the command line and exit with its code."""
    code = run(sys.argv[1:])
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # all is said: Ctrl-C while Python shuts down is no news
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        _silence_stdout()  # said already; Python would fail to flush once more at shutdown and exit with 120
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; every error is printed here and nowhere else."""
    # Third-party defaults that would write to the terminal, ask a server or oversubscribe the cores.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    # Of libraries that accelerate and peft import wherever they are installed: kernels that nobody has asked for.
    for name in ("torch.utils._pytree", "torchao", "bitsandbytes.backends.cpu.ops"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # OpenMP threads that spin long while they wait take the cores from the very threads they wait for, as soon as
    # anything else runs. Tokens/s of the quickstart's pretraining on 2 cores, alone and beside a busy process: 11,000
    # and 650 with libgomp's 300,000 spins, 10,200 and 2,500 with 5,000.
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(
            stream, io.TextIOWrapper
        ):  # a terminal that cannot show a character must not end a finished stage
            stream.reconfigure(errors="backslashreplace")
    stdout = sys.stdout

    def last_words(interrupted: Interrupted) -> None:
        sys.stdout = stdout  # while a stage runs, what its parts print goes to stderr; the process ends behind this
        _report(interrupted, arguments)

    with stop.listening(last_words):
        return _run(arguments)


@functools.cache
def _command(name: str) -> Any:
    """Return what Typer makes of the functions: of the one that is called alone, for all take a tenth of a second.

    The same serves a process as often as it runs a command.
    """
    called = copy.copy(app)
    if named := [info for info in app.registered_commands if info.name == name]:
        called.registered_commands, called.registered_groups = named, []
    return typer.main.get_command(called)


def _run(arguments: Sequence[str]) -> int:
    try:
        code = _command(next(iter(arguments), ""))(list(arguments), prog_name="llmkit", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except (BrokenPipeError, SystemExit) as error:
        if isinstance(error, SystemExit) and not isinstance(error.__context__, BrokenPipeError):
            raise
        # `llmkit ... | head`: the reader has what it wanted. Typer would exit with 1, and Python complain at shutdown.
        _silence_stdout()
        return 0
    except (UserError, Interrupted) as error:
        return _report(error, arguments)
    except typer.TyperException as error:
        if "NoArgsIsHelp" in type(error).__name__:
            typer.echo(error.format_message())
            return 2
        return _report(UserError(error.format_message(), hint=_help_hint(error)), arguments)
    except Exception as error:  # noqa: BLE001 - the last stop: either the machine's limit or a bug
        known = machine.explain(error, _output(arguments), goes_on=_goes_on(arguments))
        if known is not None:
            return _report(known, arguments)
        traceback.print_exc()
        if "--json" in arguments:
            from llmkit.core.console import Console

            Console(json_mode=True).print_json(
                {"status": "error", "kind": "bug", "exit_code": 1, "message": f"{type(error).__name__}: {error}"}
            )
        return 1


def _silence_stdout() -> None:
    """Send what is still in stdout's buffer to nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _report(error: UserError | Interrupted, arguments: Sequence[str]) -> int:
    stop.conclude()
    try:
        from llmkit.core.console import Console
    except OSError:  # no file can be opened any more, not even a module
        sys.stderr.write(f"error: {error.message}\n  -> {error.hint}\n")
        return error.exit_code
    console = Console(json_mode="--json" in arguments)
    hint = machine.AGAIN if isinstance(error, Interrupted) and not _goes_on(arguments) else error.hint
    console.error(error.message, hint)
    if console.json_mode:
        console.print_json(
            {
                "status": "interrupted" if isinstance(error, Interrupted) else "error",
                "kind": error.kind,
                "exit_code": error.exit_code,
                "message": error.message,
                "hint": hint,
            }
        )
    return error.exit_code


def _output(arguments: Sequence[str]) -> Path | None:
    flags = [i for i, word in enumerate(arguments[:-1]) if word in ("-o", "--output")]
    return Path(arguments[flags[-1] + 1]) if flags else None


def _goes_on(arguments: Sequence[str]) -> bool:
    """Tell whether a command goes on with what it has done when it is given again."""
    from llmkit.stages import STAGES, load_stage

    name = next(iter(arguments), "")
    return name in STAGES and load_stage(name).resumable


def _help_hint(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    return f"{context.command_path if context else 'llmkit'} --help"
