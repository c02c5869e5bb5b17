"""eval: measure a model, and a baseline beside it, on any number of tasks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from llmkit.core.artifact import Build
from llmkit.core.config import Config as BaseConfig
from llmkit.core.config import NotIdentity
from llmkit.core.context import Context, Result
from llmkit.core.errors import ConfigError
from llmkit.core.hub import located
from llmkit.core.inputs import Inputs
from llmkit.core.manifest import Artifact
from llmkit.core.registry import Family
from llmkit.core.stage import Facts, Stage
from llmkit.data.artifacts import Scores
from llmkit.data.clock import Date, settle_date
from llmkit.data.rendering import asks_for_date
from llmkit.runtimes import Runtime, is_address
from llmkit.runtimes._cores import on_cores
from llmkit.runtimes.openai import OpenAI
from llmkit.runtimes.transformers import Transformers
from llmkit.stages import _eval_baseline as beside
from llmkit.stages._eval_lines import exchange, score_rows
from llmkit.stages._eval_measuring import Subject, measure
from llmkit.stages._eval_page import write_page
from llmkit.tasks import Task, TaskResult

Results = dict[str, dict[str, TaskResult]]


class Config(BaseConfig):
    """Config of `llmkit eval`."""

    model: Annotated[str, NotIdentity]
    """Directory of the model to measure, its file in GGUF, its name on the Hugging Face hub (`ORG/NAME`, or
    `ORG/NAME@REVISION`), where it is in the hub's cache on this machine, or the address of a server:
    `http://127.0.0.1:8000/v1`."""
    baseline: Annotated[str | None, NotIdentity] = None
    """What to compare with: directory, file in GGUF, name or address of a model, which is measured as well, or a
    finished evaluation of the same tasks, whose samples are taken."""
    max_regression: Annotated[float | None, NotIdentity] = Field(None, ge=0)
    """Fail, with exit code 7, where a score is worse than the baseline's by more than this share of it, beyond noise:
    0.01 allows 1%. null: never."""
    tasks: list[Annotated[Task, Family("task", files="name")]] = Field(min_length=1)
    """What to measure; a bare `bench/my.yaml` is a task in a file, whose paths are relative to it."""
    limit: Annotated[int | None, NotIdentity] = Field(None, ge=1)
    """Take only the first so many samples of each task that says nothing itself; null for all."""
    chat: Annotated[Literal["auto", "on", "off"] | None, NotIdentity] = None
    """Ask in the chat template, in each task that says nothing itself; null leaves it to the tasks: `auto`."""
    runtime: Annotated[Runtime, Family("runtime", default="transformers")] = Transformers()
    """What runs the models that lie here; one for servers, as `openai`, asks those that have an address."""
    overlap: Literal["auto", "off"] = "auto"
    """Look for the items of the tasks in the text that the model was trained on, as far as its lineage leads there, and
    say what the scores are without them."""
    nproc: Annotated[int | None, NotIdentity] = Field(None, ge=1)
    """Cores that models which lie here compute on, each with a batch of its own where that is faster; null for all. The
    scores are the same."""
    date: Date = None
    """Today's date, as YYYY-MM-DD, to a chat template that asks for it, where training recorded none. null: today."""

    def in_effect(self) -> Config:
        """Return the config whose tasks have what it says for all of them: it is theirs that count for the identity."""
        tasks = [task if self.chat is None else task.chatting(self.chat) for task in self.tasks]
        if self.limit is not None:
            tasks = [
                task.model_copy(update={"limit": self.limit}) if getattr(task, "limit", 0) is None else task
                for task in tasks
            ]
        tasks = [
            task.model_copy(update={"nproc": self.nproc}) if "nproc" in type(task).model_fields else task
            for task in tasks
        ]
        return self.model_copy(update={"tasks": tasks})


class Evaluate(Stage[Config]):
    """A model's scores."""

    name, version, config = "eval", 5, Config
    resumable = True

    def check(self, config: Config) -> None:
        """Refuse two tasks of one name, a gate with nothing to hold the model to, and other cores than the run's."""
        task_names(config.tasks)
        for number, task in enumerate(config.tasks):
            if (wanted := getattr(task, "nproc", None)) not in (None, config.nproc):
                said = f"tasks.{number}.nproc: {wanted}, but a run computes on as many cores as its own `nproc` says"
                raise ConfigError(said, f"--nproc {wanted}")
        if config.max_regression is not None and config.baseline is None:
            hint = "--baseline DIR: a model, or a finished evaluation of the same tasks"
            raise ConfigError("max_regression: there is no baseline that scores could be worse than", hint)

    def make(self, config: Config, context: Context) -> Result:
        """Evaluate a model."""
        with on_cores(config.nproc):
            return self._make(config, context)

    def _make(self, config: Config, context: Context) -> Result:
        config, inputs = config.in_effect(), Inputs()
        models = {"model": located(config.model)}
        run = beside.open_baseline(config.baseline, self.version)
        if config.baseline is not None and run is None:
            models["baseline"] = located(config.baseline, "baseline")
        runtimes = {role: runtime_of(config, where) for role, where in models.items()}
        for role, where in models.items():
            runtimes[role].add_input(inputs, where, role)
        if run is not None:
            inputs.add_artifact(run.path, Scores.KIND, role="baseline")
        tasks = dict(zip(task_names(config.tasks), config.tasks, strict=True))
        data = {name: _add_data(task, inputs) for name, task in tasks.items()}
        stored = beside.results_of(run, tasks, data)
        folders = [runtimes[role].directory(where) for role, where in models.items()]
        asked = any(asks_for_date(folder) for folder in folders if folder is not None)
        config = config.model_copy(update={"date": settle_date(config.date, context) if asked else None})
        with self.build(config, inputs, context) as build:
            beside.say_otherwise(run, config, stored, context.console)
            if build.finished:
                result = Result(build.finished, up_to_date=True)
            else:
                context.announce(build)
                if config.date is not None:
                    context.console.info(f"a chat template asks for the date: {config.date}")
                subjects = [Subject(role, where, runtimes[role], config.date) for role, where in models.items()]
                measured = [measure(one, tasks, build, context.console) for one in subjects]
                results = {
                    name: {role: each[name] for role, each in zip(models, measured, strict=True)} for name in tasks
                }
                for name, one in stored.items():
                    results[name]["baseline"] = one
                overlaps = beside.overlaps_of(run, tasks, data)
                if config.overlap == "auto":
                    # Behind the answers: compiled kernels take a while to import, and the first is waited for.
                    from llmkit.stages._eval_overlap import add_overlap

                    overlaps |= {
                        one.role: add_overlap(one.runtime.directory(one.where), tasks, found, one.role, context.console)
                        for one, found in zip(subjects, measured, strict=True)
                    }
                result = _finish(tasks, data, results, overlaps, build, _shown_models(config))
        if config.max_regression is not None:
            beside.hold(result.artifact, config.max_regression, str(config.baseline), run, context.console)
        return result

    def summarize(self, artifact: Artifact) -> Facts:
        """Return a row per score, the model's, the baseline's and the difference, and a generated answer."""
        scores = Scores(artifact.path)
        results = scores.results()["tasks"]
        rows = [row for name, found in results.items() for row in score_rows(name, found)]
        firsts = (next(scores.samples(name), {}) for name in results)
        if shown := next(filter(None, map(exchange, firsts)), None):
            rows += zip(("question", "reference", "generated"), shown, strict=True)
        return [*rows, ("report", str(scores.report))]


STAGE = Evaluate()


def _add_data(task: Task, inputs: Inputs) -> list[str]:
    """Add what a task reads to the inputs, and return the digests."""
    before = len(inputs.entries)
    task.add_input(inputs)
    return [item.digest for item in inputs.entries[before:]]


def runtime_of(config: Config, where: str) -> Runtime:
    """Return what runs a model: of an address one for servers, of anything else one for what lies here."""
    if is_address(where):
        return config.runtime if config.runtime.remote else OpenAI()
    return Transformers() if config.runtime.remote else config.runtime


def task_names(tasks: list[Task]) -> list[str]:
    """Name the tasks: by the name that a task was given, else by its type; a type that is used again gets a number.

    Raises:
        ConfigError: Two were given the same name.
    """
    names: list[str] = []
    given: Counter[str] = Counter()
    for number, task in enumerate(tasks):
        title = task.title
        if title != task.type_name and (given[title] or title in names):
            other = next(i for i, one in enumerate(tasks) if one.title == title or names[i] == title)
            said = f"tasks.{number}: it is called '{title}', and so is tasks.{other}: rename one of them"
            raise ConfigError(said, f"-s tasks.{number}.name=NAME")
        names.append(f"{title}-{given[title] + 1}" if given[title] else title)
        given[title] += 1
    return names


def _shown_models(config: Config) -> dict[str, str]:
    return {"model": config.model, **({"baseline": config.baseline} if config.baseline is not None else {})}


def _finish(
    tasks: Mapping[str, Task], data: Mapping[str, list[str]], results: Results,
    overlaps: Mapping[str, Mapping[str, Any]], build: Build, models: Mapping[str, str],
) -> Result:  # fmt: skip
    """Write results, samples and the page."""
    found = Scores(build.dir)
    written: dict[str, Any] = {}
    for name, task in tasks.items():
        beside.say_samples(results[name])
        rows = [{"model": role, **sample} for role, result in results[name].items() for sample in result.samples]
        found.write_samples(name, rows)
        written[name] = {
            "task": task.spec(mode="json", identity=True),  # without the path: it is no part of a result
            "data": data[name],
            "results": {
                role: {
                    "scores": one.scores, "estimates": one.estimates, "num_samples": one.num_samples, **one.facts,
                    "notes": one.notes,
                    **({"overlap": overlaps[role][name]} if overlaps.get(role, {}).get(name) else {}),
                }
                for role, one in results[name].items()
            },
        }  # fmt: skip
    beside.add_differences(written, tasks, results)
    digests = {item.role: item.digest for item in build.inputs.entries if item.role in models}
    found.write_results({"models": digests, "tasks": written})
    write_page(found.report, list(tasks.values()), results, written, models)
    scores = {name: {role: one.scores for role, one in by_role.items()} for name, by_role in results.items()}
    return Result(build.finish(Scores.KIND, payload=Scores.PAYLOAD, metrics=scores))
