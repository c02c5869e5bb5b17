"""`llmkit eval`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from llmkit.cli import options as o
from llmkit.core.errors import ConfigError

_TASK = "A task: a file in YAML, or the name of a type; repeatable."
_DATA = "The data of the tasks that --task names by type: a file, a folder, an artifact."
_HARNESS = "Tasks of lm-eval, by name, with commas; they need the extra."
_LIMIT = "Take the first N samples of each task."
_NPROC = "Cores to compute on; all by default. The scores are the same."
_CHAT = "Ask in the model's chat template: auto does where it has one."


@o.stage_command("eval")
def evaluate(
    model: Annotated[str | None, typer.Option("--model", metavar="DIR", help="The model to measure.")] = None,
    baseline: Annotated[
        str | None,
        typer.Option("--baseline", metavar="DIR", help="A model, or a finished evaluation, to compare with."),
    ] = None,
    max_regression: Annotated[
        float | None,
        typer.Option("--max-regression", min=0, metavar="SHARE", help="Exit 7 where a score is worse by more than it."),
    ] = None,
    task: Annotated[list[str] | None, typer.Option("--task", metavar="FILE|NAME", help=_TASK)] = None,
    data: Annotated[str | None, typer.Option("--data", metavar="PATH", help=_DATA)] = None,
    harness: Annotated[str | None, typer.Option("--harness", metavar="TASKS", help=_HARNESS)] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, metavar="N", help=_LIMIT)] = None,
    chat: Annotated[Literal["auto", "on", "off"] | None, typer.Option("--chat", help=_CHAT)] = None,
    nproc: Annotated[int | None, typer.Option("--nproc", min=1, metavar="N", help=_NPROC)] = None,
) -> o.Named:
    """Measure a model: likelihood of text, multiple choice, generated answers, and benchmarks of your own."""
    return {
        "model": ("--model", model),
        "baseline": ("--baseline", baseline),
        "max_regression": ("--max-regression", max_regression),
        "tasks": ("--task", _tasks(task or [], data, harness)),
        "limit": ("--limit", limit),
        "chat": ("--chat", chat),
        "nproc": ("--nproc", nproc),
    }


def _tasks(names: list[str], data: str | None, harness: str | None) -> list[Any] | None:
    """Return what `--task`, `--data` and `--harness` say together."""
    from llmkit.core.part_files import is_part_file
    from llmkit.core.registry import Family

    if data is not None and all(map(is_part_file, names)):
        raise ConfigError(
            "--data is for tasks that --task names by type, as in --task perplexity --data FILE",
            hint="a task in a file says itself what its data are; -s tasks.0.data=PATH sets others",
        )
    for name in names:
        if not is_part_file(name) and Path(f"{name}.yaml").is_file() and name not in Family("task").members():
            raise ConfigError(
                f"--task {name}: there is no such type; did you mean the file '{name}.yaml'?", f"--task {name}.yaml"
            )
    own = [name if is_part_file(name) or data is None else {"type": name, "data": data} for name in names]
    others = [] if harness is None else [{"type": "harness", "task": name.strip()} for name in harness.split(",")]
    return [*own, *others] or None
