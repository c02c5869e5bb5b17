"""What stands beside the model in an evaluation: differences from it with their tests, and what it is held to."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llmkit.core.config import Config, dump
from llmkit.core.console import Console
from llmkit.core.errors import CheckFailedError, ConfigError
from llmkit.core.json import dumps
from llmkit.core.manifest import Artifact
from llmkit.core.part import Part
from llmkit.data.artifacts import Scores
from llmkit.evaluation.compared import Side, compare_sides, kept_measures
from llmkit.evaluation.comparing import corrected
from llmkit.evaluation.gate import Gate
from llmkit.evaluation.runs import OWN_KEYS, EvalRun, TaskRun, is_run, open_run
from llmkit.runtimes import is_address
from llmkit.tasks import Task, TaskResult


def open_baseline(where: str | None, version: int) -> EvalRun | None:
    """Return the evaluation that a baseline is; None where it is a model, or there is none.

    Raises:
        DataError: It is an evaluation of another version.
    """
    if where is None or is_address(where) or not is_run(where):
        return None
    return open_run(where, version, role="baseline")


def results_of(run: EvalRun | None, tasks: Mapping[str, Task], data: Mapping[str, list[str]]) -> dict[str, TaskResult]:
    """Return what an evaluation has found on some tasks; nothing without one.

    Raises:
        ConfigError: It has not measured one of them, with the same settings on the same data; in what it differs, and
            the command that makes one that does not.
    """
    if run is None:
        return {}
    try:
        return {name: _result(_same(run, name, task, data[name]), task) for name, task in tasks.items()}
    except ConfigError as error:
        raise ConfigError(error.message, _equal_run(run, list(tasks.values()))) from None


def _equal_run(run: EvalRun, tasks: Sequence[Task]) -> str:
    """Return the command that measures the model of an evaluation on other tasks."""
    written = dumps([_as_given(task) for task in tasks])
    command = ["llmkit", "eval", "--model", run.model, "-s", f"tasks={written}", "-o", f"{run.path}-equal"]
    return f"{shlex.join(command)} makes an equal one; or name the model itself: --baseline {shlex.quote(run.model)}"


def _as_given(value: Any) -> Any:
    """Return a part as a recipe writes it: with the fields that were set."""
    if isinstance(value, Part):
        named = value.type_name if value.origin is None else value.origin.text
        fields = ((name, getattr(value, name)) for name in type(value).model_fields if name in value.model_fields_set)
        return {"type": named, **{name: _as_given(one) for name, one in fields}}
    return [_as_given(one) for one in value] if isinstance(value, list | tuple) else value


def say_otherwise(run: EvalRun | None, config: Config, stored: Mapping[str, TaskResult], console: Console) -> None:
    """Say where the model of an evaluation was run otherwise, such as in another number format: it is compared."""
    if run is None or not (apart := run.run_otherwise(dump(config, mode="json", identity=True))):
        return
    console.warn(f"baseline: {run.path}: its model was run otherwise: {apart}")
    for one in stored.values():
        one.notes.append(f"run otherwise: {apart}")


def _same(run: EvalRun, name: str, task: Task, data: list[str]) -> TaskRun:
    spec = task.spec(mode="json", identity=True)
    found = [one for one in run.tasks.values() if not one.unlike(spec, data)]
    if found:
        return next((one for one in found if one.name == name), found[0])
    words = f"its task {name} is another: {run.tasks[name].unlike(spec, data)}" if name in run.tasks else (
        f"it has not measured {name}, but {', '.join(run.tasks)}"
    )  # fmt: skip
    raise ConfigError(f"baseline: {run.path}: {words}", "name the model itself as the baseline")


def _result(one: TaskRun, task: Task) -> TaskResult:
    result = one.result
    facts = {name: value for name, value in result.items() if name not in OWN_KEYS}
    measures = kept_measures(task, one.samples, list(result["scores"]))
    return TaskResult(
        dict(result["scores"]), result["num_samples"], one.samples, facts, list(result["notes"]), measures,
        dict(result["estimates"]),
    )  # fmt: skip


def overlaps_of(
    run: EvalRun | None, tasks: Mapping[str, Task], data: Mapping[str, list[str]]
) -> dict[str, dict[str, Any]]:
    """Return what an evaluation says of the overlap of its items with its model's training text, as the baseline's."""
    if run is None:
        return {}
    found = {name: _same(run, name, task, data[name]).result.get("overlap") for name, task in tasks.items()}
    return {"baseline": {name: one for name, one in found.items() if one}}


def say_samples(by_role: Mapping[str, TaskResult]) -> None:
    """Say where the baseline is measured on other samples, since each model skips what does not fit into it."""
    ids = {role: {sample.get("id") for sample in result.samples} for role, result in by_role.items()}
    if "baseline" in ids and ids["model"] != ids["baseline"]:
        both = len(ids["model"] & ids["baseline"])
        note = f"measured on other samples than the model: they share {both:,}, so the scores do not quite compare"
        by_role["baseline"].notes.append(note)


def add_differences(
    written: dict[str, Any], tasks: Mapping[str, Task], results: Mapping[str, Mapping[str, TaskResult]]
) -> None:
    """Add the differences from the baseline to what `results.json` says of tasks, tested on the samples of both."""
    compared = {
        name: compare_sides(tasks[name], _side(by["model"]), _side(by["baseline"]))
        for name, by in results.items()
        if "baseline" in by
    }
    flat = [(name, one) for name, each in compared.items() for one in each.differences.values()]
    tested = corrected([one for _, one in flat])
    for name, each in compared.items():
        written[name]["differences"] = {}
        if each.moved is not None:
            written[name]["moved"] = each.moved.facts()
    for (name, _), one in zip(flat, tested, strict=True):
        written[name]["differences"][one.score] = one.facts()


def _side(result: TaskResult) -> Side:
    higher = {name: facts.get("higher_is_better") for name, facts in result.estimates.items()}
    return Side(result.scores, result.samples, higher)


def hold(artifact: Artifact, allowed: float, baseline: str, run: EvalRun | None, console: Console) -> None:
    """Hold the scores of a finished evaluation to those of its baseline.

    Raises:
        CheckFailedError: One is worse by more than is allowed, beyond noise; or none could be held to anything.
    """
    gate = Gate(allowed, f"the baseline {baseline}")
    for name, found in Scores(artifact.path).results()["tasks"].items():
        model, before = (found["results"][role]["scores"] for role in ("model", "baseline"))
        for score, facts in found.get("differences", {}).items():
            gate.add(f"{name} {score}", score, model[score], before[score], facts)
    for line in gate.untested():
        console.warn(line)
    if failed := gate.verdict():
        there = f"llmkit compare {run.path} {artifact.path} -o {artifact.path}-compared" if run is not None else ""
        hint = there or f"the samples that got worse are in {Path(artifact.path) / Scores.REPORT}"
        raise CheckFailedError(failed, hint)
    console.info(gate.passed())
