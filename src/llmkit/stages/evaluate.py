"""eval: measure a model, and a baseline beside it, on any number of tasks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from llmkit.core.artifact import Build
from llmkit.core.config import Config as BaseConfig
from llmkit.core.config import NotIdentity
from llmkit.core.context import Context, Result
from llmkit.core.inputs import Inputs
from llmkit.core.json import not_finite
from llmkit.core.manifest import Artifact
from llmkit.core.page import Page
from llmkit.core.registry import Family
from llmkit.core.stage import Facts, Stage
from llmkit.data.artifacts import Model, Scores
from llmkit.data.clock import Date, settle_date
from llmkit.data.rendering import asks_for_date
from llmkit.modeling.gguf import model_directory
from llmkit.tasks import Task, TaskResult

if TYPE_CHECKING:
    from llmkit.evaluation.model import EvalModel

SAMPLES_SHOWN = 5
Results = dict[str, dict[str, TaskResult]]


class Config(BaseConfig):
    """Config of `llmkit eval`."""

    model: Annotated[str, NotIdentity]
    """Directory of the model to measure, or its file in GGUF."""
    baseline: Annotated[str | None, NotIdentity] = None
    """Directory of a model to compare with, or its file in GGUF."""
    tasks: list[Annotated[Task, Family("task")]] = Field(min_length=1)
    """What to measure."""
    date: Date = None
    """Today's date, as YYYY-MM-DD, to a chat template that asks for it, where training recorded none. null: today."""


class Evaluate(Stage[Config]):
    """A model's scores."""

    name, version, config = "eval", 4, Config

    def make(self, config: Config, context: Context) -> Result:
        """Evaluate a model."""
        inputs = Inputs()
        models = {"model": inputs.add_directory(config.model, Model.KINDS, role="model")}
        if config.baseline is not None:
            models["baseline"] = inputs.add_directory(config.baseline, Model.KINDS, role="baseline")
        for task in config.tasks:
            task.add_input(inputs)
        asked = any(map(asks_for_date, map(model_directory, models.values())))
        config = config.model_copy(update={"date": settle_date(config.date, context) if asked else None})
        with self.build(config, inputs, context) as build:
            if build.finished:
                return Result(build.finished, up_to_date=True)
            context.announce(build)
            if config.date is not None:
                context.console.info(f"a chat template asks for the date: {config.date}")
            return _evaluate(config, context, build, models)

    def summarize(self, artifact: Artifact) -> Facts:
        """Return a row per score, the model's, the baseline's and the difference, and a generated answer."""
        rows = []
        scores = Scores(artifact.path)
        results = scores.results()["tasks"]
        for name, by_role in artifact.manifest.metrics.items():
            rows += [(f"{name} {score}", _line(score, by_role)) for score in _score_names(by_role)]
            for role, found in results[name]["results"].items():
                rows += [(f"{name} of the {role}", note) for note in found.get("notes", ())]
        sample = next(scores.samples("generation"), None)
        if sample is not None:
            rows += [
                ("question", sample["turns"][-1]["content"]),
                ("reference", sample["reference"]),
                ("generated", sample["prediction"]),
            ]
        return [*rows, ("report", str(scores.report))]


STAGE = Evaluate()


def _score_names(by_role: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Return the scores that any of the models has."""
    return list(dict.fromkeys(score for scores in by_role.values() for score in scores))


def _line(score: str, by_role: Mapping[str, Mapping[str, float]]) -> str:
    value, before = (by_role.get(role, {}).get(score) for role in ("model", "baseline"))
    text = "none" if value is None else f"{value:,.4f}"
    if "baseline" in by_role:
        text += f"   baseline {'none' if before is None else f'{before:,.4f}'}"
    if value is not None and before is not None:
        text += f"   difference {value - before:+,.4f}"
    return text


def _evaluate(config: Config, context: Context, build: Build, models: dict[str, Path]) -> Result:
    from llmkit.evaluation.model import EvalModel

    found = Scores(build.dir)
    results: Results = {name: {} for name in task_names(config.tasks)}
    for role, path in models.items():
        model = EvalModel.load(path, config.date)
        for name, task in zip(results, config.tasks, strict=True):
            results[name][role] = _run_task(task, model, f"{name} of the {role}", context)
            if "batches" in results[name][role].facts:
                context.console.info(
                    f"{name} of the {role}: one row each; beside padded rows the model answers otherwise"
                )
    for name, by_role in results.items():
        _compare_samples(by_role)
        rows = [{"model": role, **sample} for role, result in by_role.items() for sample in result.samples]
        found.write_samples(name, rows)
    scores = {name: {role: result.scores for role, result in by_role.items()} for name, by_role in results.items()}
    found.write_results(
        {
            "models": {item.role: item.digest for item in build.inputs.entries if item.role in models},
            "tasks": {
                name: {
                    "task": task.spec(mode="json", identity=True),  # without the path: it is no part of a result
                    "results": {
                        role: {"scores": r.scores, "num_samples": r.num_samples, **r.facts, "notes": r.notes}
                        for role, r in by.items()
                    },
                }
                for (name, by), task in zip(results.items(), config.tasks, strict=True)
            },
        },
    )
    _write_page(found.report, results, models)
    artifact = build.finish(Scores.KIND, payload=Scores.PAYLOAD, metrics=scores)
    return Result(artifact)


def _run_task(task: Task, model: EvalModel, label: str, context: Context) -> TaskResult:
    """Run a task.

    Raises:
        NotFiniteError: A number in its result is not finite; the message names task, model and number.
    """
    from llmkit.modeling.finite import NotFiniteError

    try:
        with context.console.progress(label, unit="samples") as progress:
            result = task.run(model, progress)
    except NotFiniteError as error:
        raise NotFiniteError(f"{label}: {error.message}", error.hint) from error
    for path, value in not_finite({"scores": result.scores, "facts": result.facts, "samples": result.samples}):
        raise NotFiniteError(f"{label}: {path} is {value}", f"look at what the task {task.type_name} divides by")
    return result


def _compare_samples(by_role: dict[str, TaskResult]) -> None:
    """Say where the baseline is measured on other samples, since each model skips what does not fit into it."""
    ids = {role: {sample.get("id") for sample in result.samples} for role, result in by_role.items()}
    if "baseline" in ids and ids["model"] != ids["baseline"]:
        both = len(ids["model"] & ids["baseline"])
        note = f"measured on other samples than the model: they share {both:,}, so the scores do not quite compare"
        by_role["baseline"].notes.append(note)


def task_names(tasks: list[Task]) -> list[str]:
    """Name the tasks by their types; a type that is used again gets a number."""
    names: list[str] = []
    for task in tasks:
        same = sum(name.rsplit("-", 1)[0] == task.type_name for name in names)
        names.append(f"{task.type_name}-{same + 1}" if same else task.type_name)
    return names


def _write_page(path: Path, results: Results, models: dict[str, Path]) -> None:
    page = Page("Evaluation report", ", ".join(f"{role}: {where}" for role, where in models.items()))
    for name, by_role in results.items():
        page.heading(name)
        names = _score_names({role: result.scores for role, result in by_role.items()})
        rows = [[score, *(result.scores.get(score, "") for result in by_role.values())] for score in names]
        page.table(("score", *by_role), rows)
        page.notes([f"{role}: {note}" for role, result in by_role.items() for note in result.notes])
        facts = dict.fromkeys(fact for result in by_role.values() for fact in result.facts)  # one may have more
        page.table(
            ("", *by_role),
            [
                ["samples", *(result.num_samples for result in by_role.values())],
                *([fact, *(str(r.facts.get(fact, "")) for r in by_role.values())] for fact in facts),
            ],
        )
        answers = {role: {sample.get("id"): sample for sample in result.samples} for role, result in by_role.items()}
        for sample in by_role["model"].samples[:SAMPLES_SHOWN]:
            if "prediction" not in sample:
                continue
            lines = [f"reference: {sample['reference']}"]
            said = {role: found[sample["id"]] for role, found in answers.items() if sample["id"] in found}
            lines += [f"{role}: {found['prediction']}" for role, found in said.items()]
            page.quote(sample["turns"][-1]["content"], "\n\n".join(lines))
    page.write(path)
