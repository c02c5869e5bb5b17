"""Finished evaluations side by side: every task that they share with a reference, with tests and what they moved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from llmkit.core.errors import ConfigError
from llmkit.evaluation.compared import Compared, Side, compare_sides
from llmkit.evaluation.comparing import Difference, corrected
from llmkit.evaluation.runs import OWN_KEYS, EvalRun, TaskRun

VERSIONS = ("llmkit", "torch", "transformers", "tokenizers")
"""What of an environment moves scores."""


@dataclass(frozen=True)
class Column:
    """A model of a run, as the tables name it.

    Attributes:
        name: Short, and unlike the others'.
        run: The evaluation.
        tasks: What it says of the model.
    """

    name: str
    run: EvalRun
    tasks: Mapping[str, TaskRun]


@dataclass
class TaskCompared:
    """One task of the reference, and the same one of others.

    Attributes:
        name: What the reference calls it.
        task: The task itself; None where it is not to be had.
        runs: Run to what it found, the reference first.
        compared: Run to its differences from the reference.
        notes: Sentences for people.
    """

    name: str
    task: Any
    runs: dict[str, TaskRun]
    compared: dict[str, Compared] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def said(self) -> list[str]:
        """Return all notes, each with the run that it is about."""
        return [*self.notes, *(f"{run}: {note}" for run, each in self.compared.items() for note in each.notes)]


@dataclass
class Comparison:
    """Runs compared with one of them.

    Attributes:
        columns: The runs, the reference first.
        tasks: In the reference's order.
        notes: Sentences about runs as a whole.
    """

    columns: list[Column]
    tasks: list[TaskCompared]
    notes: list[str]

    def differences(self) -> Iterator[tuple[TaskCompared, str, Difference]]:
        """Yield every difference with its task and run."""
        for task in self.tasks:
            for run, compared in task.compared.items():
                for one in compared.differences.values():
                    yield task, run, one

    def facts(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "reference": self.columns[0].name,
            "runs": {
                column.name: {"id": column.run.manifest.id, "model": column.run.model}
                for column in self.columns
            },
            "tasks": {
                task.name: {
                    "task": dict(task.runs[self.columns[0].name].spec),
                    "results": {run: dict(one.result) for run, one in task.runs.items()},
                    "differences": {
                        run: {name: one.facts() for name, one in each.differences.items()}
                        for run, each in task.compared.items()
                    },
                    "moved": {run: each.moved.facts() for run, each in task.compared.items() if each.moved},
                    "notes": task.said(),
                }
                for task in self.tasks
            },
            "notes": self.notes,
        }  # fmt: skip


def compare_columns(columns: Sequence[Column], *, strict: bool = False) -> Comparison:
    """Compare runs with the first one, and correct the p-values for all of their comparisons.

    A task that a run has with other settings, or on other data, is another task: it is left out, and said. One that
    differs only in how it asks, such as by the number of solved examples, is compared, which is said.

    Args:
        columns: The runs, the reference first.
        strict: Leave those out as well that only ask otherwise: nobody is held to another question.

    Raises:
        ConfigError: There is nothing that any run shares with the reference; the message says why.
    """
    reference, *others = columns
    tasks, left_out = [], []
    for name, before in reference.tasks.items():
        found = TaskCompared(name, None, {reference.name: before})
        for other in others:
            one, why = _same(before, other)
            if one is None and not strict:
                one = _asked_otherwise(before, other, reference)
            if one is None:
                found.notes.append(f"{other.name}: left out: {why}")
            else:
                found.runs[other.name] = one
        left_out += [f"{name} of {note}" for note in found.notes]
        if len(found.runs) > 1:
            _compare(found)
            tasks.append(found)
    if not tasks:
        said = "; ".join(left_out[:3]) or f"{reference.name} has no tasks"
        raise ConfigError(f"there is nothing to compare with {reference.name}: {said}", _hint(reference))
    # Of a task that stays, its own notes say who is left out.
    notes = [note for note in left_out if note.partition(" of ")[0] not in {task.name for task in tasks}]
    whole = Comparison(list(columns), tasks, [*notes, *_extra(columns, tasks), *_environments(columns)])
    _correct(whole)
    return whole


def _same(before: TaskRun, other: Column) -> tuple[TaskRun | None, str]:
    """Return the task of a run that is that of the reference, or why it has none."""
    same = [one for one in other.tasks.values() if not one.unlike(before.spec, before.data)]
    if same:
        return next((one for one in same if one.name == before.name), same[0]), ""
    if before.name not in other.tasks:
        return None, "it has not measured it"
    return None, before.unlike(other.tasks[before.name].spec, other.tasks[before.name].data, "of the reference", "here")


def _asked_otherwise(before: TaskRun, other: Column, reference: Column) -> TaskRun | None:
    """Return the task of a run that is that of the reference but for how it asks; None without one, or of several."""
    theirs = reference.tasks.values()
    found = [
        one
        for one in other.tasks.values()
        if before.asks_otherwise(one) and all(each.unlike(one.spec, one.data) for each in theirs)
    ]
    named = [one for one in found if one.name == before.name] or found
    return named[0] if len(named) == 1 else None


def _compare(found: TaskCompared) -> None:
    (name, before), *others = found.runs.items()
    why = ""
    try:
        found.task = before.task()
    except LookupError as error:
        why = str(error)
    for run, one in others:
        compared = compare_sides(found.task, _side(one), _side(before), why)
        if apart := before.unlike(one.spec, one.data, "of the reference", "here"):
            compared.notes.append(f"asked otherwise: {apart}")
        compared.notes += _facts(name, before, one)
        found.compared[run] = compared


def _side(one: TaskRun) -> Side:
    higher = {name: facts.get("higher_is_better") for name, facts in one.result.get("estimates", {}).items()}
    return Side(one.result["scores"], one.samples, higher)


def _facts(name: str, before: TaskRun, one: TaskRun) -> list[str]:
    """Say where a task was put otherwise to a model, such as by a chat template; counts differ anyway."""
    notes = []
    for fact, value in one.result.items():
        other = before.result.get(fact)
        if fact not in OWN_KEYS and isinstance(value, str) and isinstance(other, str) and value != other:
            notes.append(f"{fact}: {value}, and {other} of {name}")
    return notes


def _extra(columns: Sequence[Column], tasks: Sequence[TaskCompared]) -> list[str]:
    """Say which tasks the reference lacks."""
    reference, *others = columns
    return [
        f"{other.name}: {one.name} is not compared: {reference.name} has not measured it"
        for other in others
        for one in other.tasks.values()
        if one.name not in reference.tasks and not any(task.runs.get(other.name) is one for task in tasks)
    ]


def _environments(columns: Sequence[Column]) -> list[str]:
    """Say where a run was made by other versions, or a model run otherwise, than the reference."""
    reference, *others = columns
    first, notes = reference.run.manifest, []
    for other in others:
        manifest = other.run.manifest
        for name in VERSIONS:
            if manifest.versions.get(name) != first.versions.get(name):
                now, before = (each.versions.get(name, "none") for each in (manifest, first))
                notes.append(f"{other.name}: made with {name} {now}, {reference.name} with {before}")
        config = manifest.config["fingerprint"]["config"]
        if apart := reference.run.run_otherwise(config, f"of {reference.name}", f"of {other.name}"):
            notes.append(f"run otherwise: {apart}")
    return notes


def _correct(whole: Comparison) -> None:
    found = list(whole.differences())
    for (task, run, one), tested in zip(found, corrected([one for _, _, one in found]), strict=True):
        task.compared[run].differences[one.score] = replace(one, p_corrected=tested.p_corrected)


def _hint(reference: Column) -> str:
    return (
        f"evaluate them with the recipe of {reference.run.path}: llmkit lineage {reference.run.path} shows what it read"
    )
