"""eval: measure a model, and a baseline beside it, on any number of tasks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
from llmkit.tasks import Task, TaskResult

if TYPE_CHECKING:
    from llmkit.evaluation.model import EvalModel

SAMPLES_SHOWN = 5
Results = dict[str, dict[str, TaskResult]]


class Config(BaseConfig):
    """Config of `llmkit eval`."""

    model: Annotated[str, NotIdentity]
    """Directory of the model to measure."""
    baseline: Annotated[str | None, NotIdentity] = None
    """Directory of a model to compare with."""
    tasks: list[Annotated[Task, Family("task")]] = Field(min_length=1)
    """What to measure."""


class Evaluate(Stage[Config]):
    """A model's scores."""

    name, version, config = "eval", 3, Config

    def make(self, config: Config, context: Context) -> Result:
        """Evaluate a model."""
        inputs = Inputs()
        models = {"model": inputs.add_directory(config.model, Model.KINDS, role="model")}
        if config.baseline is not None:
            models["baseline"] = inputs.add_directory(config.baseline, Model.KINDS, role="baseline")
        for task in config.tasks:
            task.add_input(inputs)
        with self.build(config, inputs, context) as build:
            if build.finished:
                return Result(build.finished, up_to_date=True)
            context.announce(build)
            return _evaluate(config, context, build, models)

    def summarize(self, artifact: Artifact) -> Facts:
        """Return a row per score, the model's, the baseline's and the difference, and a generated answer."""
        rows = []
        for name, by_role in artifact.manifest.metrics.items():
            for score, value in by_role["model"].items():
                text = f"{value:,.4f}"
                if "baseline" in by_role:
                    before = by_role["baseline"][score]
                    text += f"   baseline {before:,.4f}   difference {value - before:+,.4f}"
                rows.append((f"{name} {score}", text))
        scores = Scores(artifact.path)
        sample = next(scores.samples("generation"), None)
        if sample is not None:
            rows += [
                ("question", sample["turns"][-1]["content"]),
                ("reference", sample["reference"]),
                ("generated", sample["prediction"]),
            ]
        return [*rows, ("report", str(scores.report))]


STAGE = Evaluate()


def _evaluate(config: Config, context: Context, build: Build, models: dict[str, Path]) -> Result:
    from llmkit.evaluation.model import EvalModel

    found = Scores(build.dir)
    results: Results = {name: {} for name in task_names(config.tasks)}
    for role, path in models.items():
        model = EvalModel.load(path)
        for name, task in zip(results, config.tasks, strict=True):
            results[name][role] = _run_task(task, model, f"{name} of the {role}", context)
            if "batches" in results[name][role].facts:
                context.console.info(
                    f"{name} of the {role}: one row each; beside padded rows the model answers otherwise"
                )
    for name, by_role in results.items():
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
                        role: {"scores": r.scores, "num_samples": r.num_samples, **r.facts} for role, r in by.items()
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
        scores = by_role["model"].scores
        rows: list[list[Any]] = [[score, *(result.scores[score] for result in by_role.values())] for score in scores]
        page.table(("score", *by_role), rows)
        facts = dict.fromkeys(fact for result in by_role.values() for fact in result.facts)  # one may have more
        page.table(
            ("", *by_role),
            [
                ["samples", *(result.num_samples for result in by_role.values())],
                *([fact, *(str(r.facts.get(fact, "")) for r in by_role.values())] for fact in facts),
            ],
        )
        for position, sample in enumerate(by_role["model"].samples[:SAMPLES_SHOWN]):
            if "prediction" not in sample:
                continue
            lines = [f"reference: {sample['reference']}"]
            lines += [f"{role}: {result.samples[position]['prediction']}" for role, result in by_role.items()]
            page.quote(sample["turns"][-1]["content"], "\n\n".join(lines))
    page.write(path)
