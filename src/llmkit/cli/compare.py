"""`llmkit compare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmkit.cli import options as o
from llmkit.core.errors import CheckFailedError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from llmkit.core.console import Console
    from llmkit.core.context import Context
    from llmkit.core.own import Origin
    from llmkit.evaluation.comparison import Column, Comparison

_BASELINE = "The run that the others are compared with; by default the first."
_ALLOWED = "Exit 7 where a score is worse than the reference's by more than this share of it, beyond noise."
_OWN = "A task of your own that a run was made with; repeatable. No other file is imported."


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Finished evaluations.")],
    baseline: Annotated[Path | None, typer.Option("--baseline", metavar="RUN", help=_BASELINE)] = None,
    max_regression: Annotated[
        float | None, typer.Option("--max-regression", min=0, metavar="SHARE", help=_ALLOWED)
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="Write the results and a report there.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a finished comparison of other runs.")] = False,
    own: Annotated[list[str] | None, typer.Option("--own", metavar="FILE:CLASS", help=_OWN)] = None,
    json: o.Json = False,
) -> None:
    """Compare evaluations on the same samples: differences with intervals, tests, and what flipped."""
    from llmkit.core.console import Console
    from llmkit.core.context import Context
    from llmkit.core.registry import Family
    from llmkit.data.artifacts import Differences
    from llmkit.evaluation.comparison import compare_columns

    console = Console(json_mode=json)
    origins = []
    for text in own or ():
        try:
            origins.append(Family("task").load(text).origin)
        except LookupError as error:
            raise ConfigError(f"--own: {error}", "--own path/to/file.py:CLASS, as the runs had it") from error
    if output is not None:
        _check_output(output)
    found = compare_columns(_columns(runs, baseline), strict=max_regression is not None)
    if output is not None:
        _keep(found, Context(output, console, force=force), max_regression is not None, filter(None, origins))
    _hold(found, max_regression, console)
    if json:
        facts = found.facts()
        for column in found.columns:
            facts["runs"][column.name]["path"] = str(column.run.path)
        console.print_json({"status": "done", "exit_code": 0, **facts})
        return
    _show(found, console)
    if output is not None:
        console.print(f"report  {Differences(output).report}")


def _columns(paths: list[Path], baseline: Path | None) -> list[Column]:
    """Return the runs, the reference first; of a single run its model beside its own baseline.

    Raises:
        ConfigError: There are not two to compare, or the same one twice.
    """
    from llmkit.evaluation.comparison import Column
    from llmkit.evaluation.runs import open_run, short_names
    from llmkit.stages import load_stage

    if baseline is not None:
        paths = [baseline, *(path for path in paths if path.resolve() != baseline.resolve())]
    if len({path.resolve() for path in paths}) < len(paths):
        raise ConfigError("RUN: the same run is named twice", "llmkit compare RUN RUN")
    opened = [open_run(path, load_stage("eval").version, role="RUN") for path in paths]
    if len(opened) > 1:
        return [Column(name, run, run.tasks) for name, run in zip(short_names(paths), opened, strict=True)]
    (run,) = opened
    if not run.baseline:
        raise ConfigError(f"RUN: {run.path} alone has nothing to be compared with", f"llmkit compare {run.path} RUN")
    return [Column("baseline", run, run.baseline), Column("model", run, run.tasks)]


def _hold(found: Comparison, allowed: float | None, console: Console) -> None:
    """Hold every run to the reference, if that is asked for.

    Raises:
        CheckFailedError: A score is worse by more than is allowed, beyond noise.
    """
    from llmkit.evaluation.gate import Gate

    if allowed is None:
        return
    reference = found.columns[0].name
    gate = Gate(allowed, reference)
    for task, run, one in found.differences():
        value, before = (task.runs[name].result["scores"][one.score] for name in (run, reference))
        gate.add(f"{run}: {task.name} {one.score}", one.score, value, before, one.facts())
    apart = [f"{task.name} of {note}" for task in found.tasks for note in task.notes]
    for line in [*gate.untested(), *apart]:
        console.warn(line)
    if failed := gate.verdict():
        raise CheckFailedError(failed, "the same command without --max-regression, and with -o DIR, shows the samples")
    console.info(gate.passed())


def _check_output(output: Path) -> None:
    """Refuse to write into what somebody else has made."""
    from llmkit.core.lineage import INPUT_FILES
    from llmkit.core.manifest import MANIFEST, PARTIAL
    from llmkit.data.artifacts import Differences

    own = {Differences.RESULTS, Differences.REPORT, MANIFEST, PARTIAL, INPUT_FILES}
    theirs = sorted({entry.name for entry in output.iterdir()} - own) if output.is_dir() else []
    if theirs or output.is_file():
        what = f"holds {theirs[0]}" if theirs else "is a file"
        raise ConfigError(f"--output: {output} {what}: a comparison has a folder of its own", "choose another --output")


def _keep(found: Comparison, context: Context, strict: bool, own: Iterable[Origin]) -> None:
    """Write the comparison as an artifact, or find it made already."""
    from llmkit.stages import load_stage

    stage: Any = load_stage("compare")
    stage.keep(found, context, strict=strict, own=[*own])


def _show(found: Comparison, console: Console) -> None:
    """Print a row per score and run, then what the tests were, and the notes."""
    from llmkit.evaluation.comparison_table import HEADERS, foot, rows

    console.table(rows(found), headers=HEADERS)
    console.table([(line,) for line in foot(found)])
    notes: list[Any] = [*found.notes, *(f"{task.name}: {note}" for task in found.tasks for note in task.notes)]
    notes += [
        f"{task.name} of {run}: {note}"
        for task in found.tasks
        for run, each in task.compared.items()
        for note in each.notes
    ]
    console.table([(f"  {note}",) for note in notes])
