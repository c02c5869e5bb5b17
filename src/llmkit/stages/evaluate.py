"""eval: measure a model, and a baseline beside it, on any number of tasks."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import closing
from itertools import chain, islice
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from llmkit.core.artifact import Build
from llmkit.core.config import Config as BaseConfig
from llmkit.core.config import NotIdentity
from llmkit.core.context import Context, Result
from llmkit.core.digest import canonical_json
from llmkit.core.inputs import Inputs
from llmkit.core.json import not_finite
from llmkit.core.manifest import Artifact
from llmkit.core.registry import Family
from llmkit.core.stage import Facts, Stage
from llmkit.data.artifacts import Scores
from llmkit.data.clock import Date, settle_date
from llmkit.data.rendering import asks_for_date
from llmkit.runtimes import Runtime, is_address
from llmkit.runtimes.openai import OpenAI
from llmkit.runtimes.transformers import Transformers
from llmkit.stages._eval_page import write_page
from llmkit.tasks import Measurement, Task, TaskResult

if TYPE_CHECKING:
    from llmkit.evaluation.engine import Asked, Engine

Results = dict[str, dict[str, TaskResult]]


class Config(BaseConfig):
    """Config of `llmkit eval`."""

    model: Annotated[str, NotIdentity]
    """Directory of the model to measure, its file in GGUF, or the address of a server: `http://127.0.0.1:8000/v1`."""
    baseline: Annotated[str | None, NotIdentity] = None
    """Directory, file in GGUF or address of a model to compare with."""
    tasks: list[Annotated[Task, Family("task")]] = Field(min_length=1)
    """What to measure."""
    runtime: Annotated[Runtime, Family("runtime", default="transformers")] = Transformers()
    """What runs the models that lie here; one for servers, as `openai`, asks those that have an address."""
    date: Date = None
    """Today's date, as YYYY-MM-DD, to a chat template that asks for it, where training recorded none. null: today."""


class Evaluate(Stage[Config]):
    """A model's scores."""

    name, version, config = "eval", 4, Config
    resumable = True

    def make(self, config: Config, context: Context) -> Result:
        """Evaluate a model."""
        inputs = Inputs()
        models = {"model": config.model, **({"baseline": config.baseline} if config.baseline is not None else {})}
        runtimes = {role: runtime_of(config, where) for role, where in models.items()}
        for role, where in models.items():
            runtimes[role].add_input(inputs, where, role)
        for task in config.tasks:
            task.add_input(inputs)
        folders = [runtimes[role].directory(where) for role, where in models.items()]
        asked = any(asks_for_date(folder) for folder in folders if folder is not None)
        config = config.model_copy(update={"date": settle_date(config.date, context) if asked else None})
        with self.build(config, inputs, context) as build:
            if build.finished:
                return Result(build.finished, up_to_date=True)
            context.announce(build)
            if config.date is not None:
                context.console.info(f"a chat template asks for the date: {config.date}")
            return _evaluate(config, context, build, models, runtimes)

    def summarize(self, artifact: Artifact) -> Facts:
        """Return a row per score, the model's, the baseline's and the difference, and a generated answer."""
        rows = []
        scores = Scores(artifact.path)
        results = scores.results()["tasks"]
        for name, by_role in artifact.manifest.metrics.items():
            rows += [(f"{name} {score}", _line(score, by_role)) for score in _score_names(by_role)]
            for role, found in results[name]["results"].items():
                rows += [(f"{name} of the {role}", note) for note in found.get("notes", ())]
        firsts = (next(scores.samples(name), {}) for name in results)
        if shown := next(filter(None, map(_exchange, firsts)), None):
            rows += zip(("question", "reference", "generated"), shown, strict=True)
        return [*rows, ("report", str(scores.report))]


STAGE = Evaluate()


def _exchange(sample: Mapping[str, Any]) -> tuple[str, str, str] | None:
    """Return question, reference and answer of a sample that has them, whatever its task."""
    if not {"turns", "reference", "prediction"} <= sample.keys():
        return None
    return sample["turns"][-1]["content"], sample["reference"], sample["prediction"]


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


def runtime_of(config: Config, where: str) -> Runtime:
    """Return what runs a model: of an address one for servers, of anything else one for what lies here."""
    if is_address(where):
        return config.runtime if config.runtime.remote else OpenAI()
    return Transformers() if config.runtime.remote else config.runtime


def _evaluate(
    config: Config, context: Context, build: Build, models: dict[str, str], runtimes: dict[str, Runtime]
) -> Result:
    found = Scores(build.dir)
    results: Results = {name: {} for name in task_names(config.tasks)}
    for role, where in models.items():
        for name, result in _measure(config, context, build, role, where, runtimes[role]).items():
            results[name][role] = result
    for name, by_role in results.items():
        _compare_samples(by_role)
        rows = [{"model": role, **sample} for role, result in by_role.items() for sample in result.samples]
        found.write_samples(name, rows)
    scores = {name: {role: result.scores for role, result in by_role.items()} for name, by_role in results.items()}
    written = {
        name: {
            "task": task.spec(mode="json", identity=True),  # without the path: it is no part of a result
            "results": {
                role: {
                    "scores": r.scores,
                    "estimates": _estimates(r),
                    "num_samples": r.num_samples,
                    **r.facts,
                    "notes": r.notes,
                }
                for role, r in by.items()
            },
        }
        for (name, by), task in zip(results.items(), config.tasks, strict=True)
    }
    digests = {item.role: item.digest for item in build.inputs.entries if item.role in models}
    found.write_results({"models": digests, "tasks": written})
    write_page(found.report, config.tasks, results, written, models)
    artifact = build.finish(Scores.KIND, payload=Scores.PAYLOAD, metrics=scores)
    return Result(artifact)


def _estimates(result: TaskResult) -> dict[str, dict[str, Any]]:
    """Return how sure each score is."""
    from llmkit.evaluation.measures import clusters_of, estimate

    clusters = clusters_of(result.samples)
    return {name: estimate(measure, clusters).facts() for name, measure in result.measures.items()}


def _measure(
    config: Config, context: Context, build: Build, role: str, where: str, runtime: Runtime
) -> dict[str, TaskResult]:
    """Measure a model on all tasks, whose requests are put to it together; answers of a killed run are not asked again.

    Raises:
        NotFiniteError: A number in a result is not finite; the message names task, model and number.
    """
    from llmkit.evaluation.engine import Engine
    from llmkit.evaluation.kept import Kept
    from llmkit.modeling.finite import NotFiniteError

    digest = next(item.digest for item in build.inputs.entries if item.role == role)
    owner = canonical_json([digest, runtime.spec(mode="json", identity=True)])
    with (
        closing(runtime.load(where, date=config.date)) as model,
        Kept(build.scratch / f"answers-{role}", owner) as kept,
    ):
        engine = Engine(model, kept)
        for task in config.tasks:
            engine.check(task.example, f"the model {'at' if runtime.remote else 'in'} '{where}'")
        named = dict(zip(task_names(config.tasks), config.tasks, strict=True))
        measured = {name: task.on(model) for name, task in named.items()}
        samples = _ask(engine, measured, role, context)
        results = {}
        for name, task in named.items():
            result = results[name] = measured[name].summary(samples[name])
            result.notes += [runtime.note] if runtime.note else []
            label = f"{name} of the {role}"
            if why := model.alone(type(task.example)):
                result.facts["batches"] = "one row each"
                context.console.info(f"{label}: one row each; {why}")
            for path, value in not_finite({"scores": result.scores, "facts": result.facts, "samples": result.samples}):
                raise NotFiniteError(
                    f"{label}: {path} is {value}", f"look at what the task {task.type_name} divides by"
                )
        return results


def _ask(
    engine: Engine, measured: dict[str, Measurement], role: str, context: Context
) -> dict[str, list[dict[str, Any]]]:
    """Put the requests of all tasks to a model, and return each task's samples."""
    from llmkit.evaluation.engine import Asked

    # The first row of every task is looked for at once: a task without any is an error before anything is asked.
    rows = {name: iter(task.rows()) for name, task in measured.items()}
    firsts = {name: list(islice(each, 1)) for name, each in rows.items()}
    waiting: deque[tuple[str, Any]] = deque()

    def asked() -> Iterator[Asked]:
        for name, task in measured.items():
            for row in chain(firsts[name], rows[name]):
                waiting.append((name, row))
                yield Asked(task.requests(row), f"{name} of the {role}")

    samples: dict[str, list[dict[str, Any]]] = {name: [] for name in measured}
    with context.console.progress(f"the {role}", unit="samples") as progress:
        for answers in engine.ask(asked(), done=progress.advance):
            name, row = waiting.popleft()
            samples[name].append(measured[name].score(row, answers))
    return samples


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
