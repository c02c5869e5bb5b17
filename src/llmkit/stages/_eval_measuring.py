"""Put the tasks of an evaluation to one model: samples are written as they come, scores said once they are known."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import IO, TYPE_CHECKING, Any

from llmkit.core.artifact import Build
from llmkit.core.console import Console
from llmkit.core.digest import canonical_json
from llmkit.core.json import dumps, not_finite
from llmkit.data.artifacts import Scores
from llmkit.evaluation.estimates import estimates, shown
from llmkit.evaluation.measures import clusters_of
from llmkit.runtimes import Running, Runtime
from llmkit.tasks import Measurement, Task, TaskResult

PROMPT_SHOWN = 1200
"""Characters of the first prompt of a task that are shown."""

if TYPE_CHECKING:
    from llmkit.evaluation.engine import Asked, Engine

UNSAID = "the task does not say what it rests on"


@dataclass(frozen=True)
class Subject:
    """A model that is measured.

    Attributes:
        role: `model` or `baseline`.
        where: Its directory, file or address.
        runtime: What runs it.
        date: Today's, to a chat template that asks for it.
    """

    role: str
    where: str
    runtime: Runtime
    date: str | None


def measure(subject: Subject, tasks: Mapping[str, Task], build: Build, console: Console) -> dict[str, TaskResult]:
    """Measure a model on all tasks, whose requests are put to it together; answers of a killed run are not asked again.

    Raises:
        NotFiniteError: A number in a result is not finite; the message names task, model and number.
    """
    from llmkit.evaluation.engine import Engine
    from llmkit.evaluation.kept import Kept

    digest = next(item.digest for item in build.inputs.entries if item.role == subject.role)
    owner = canonical_json([digest, subject.runtime.spec(mode="json", identity=True)])
    with (
        closing(subject.runtime.load(subject.where, date=subject.date)) as model,
        Kept(build.scratch / f"answers-{subject.role}", owner) as kept,
        ExitStack() as files,
    ):
        engine = Engine(model, kept)
        for task in tasks.values():
            engine.check(task.example, f"the model {'at' if subject.runtime.remote else 'in'} '{subject.where}'")
        measured = {name: task.on(model) for name, task in tasks.items()}
        for one in measured.values():
            one.kept = kept
        writing = _Writing(subject.role, Scores(build.dir), files)
        results: dict[str, TaskResult] = {}
        for name, samples in _asked(engine, measured, writing, console):
            result = results[name] = measured[name].summary(samples)
            _finish(result, name, tasks[name], subject, model, console)
        return {name: results[name] for name in tasks}


def _finish(result: TaskResult, name: str, task: Task, subject: Subject, model: Running, console: Console) -> None:
    """Say how sure the scores of a task are, and what they are."""
    from llmkit.modeling.finite import NotFiniteError

    label = f"{name} of the {subject.role}"
    result.notes += [subject.runtime.note] if subject.runtime.note else []
    if (precision := model.conditions().get("precision")) is not None:
        result.facts["precision"] = precision
    if why := model.alone(type(task.example)):
        result.facts["batches"] = "one row each"
        console.info(f"{label}: one row each; {why}")
    for path, value in not_finite({"scores": result.scores, "facts": result.facts, "samples": result.samples}):
        raise NotFiniteError(f"{label}: {path} is {value}", f"look at what the task {task.type_name} divides by")
    add_estimates(result)
    said = (f"{score} {shown(value)}" for score, value in result.scores.items())
    console.info(f"{label}: {', '.join(islice(said, 3))} ({result.num_samples:,} samples)")


def add_estimates(result: TaskResult) -> None:
    """Say of every score how sure it is, or why nobody knows."""
    found = estimates(result.measures, clusters_of(result.samples))
    known = {name: one.facts() for name, one in found.items()} | result.estimates
    unsaid = {"n": result.num_samples, "stderr": None, "low": None, "high": None, "method": "none", "why": UNSAID}
    result.estimates = {name: known.get(name, unsaid) for name in result.scores}


@dataclass
class _Writing:
    """The files of samples, for whoever looks at them while the run goes on."""

    role: str
    found: Scores
    files: ExitStack
    opened: dict[str, IO[str]] = field(default_factory=dict)

    def add(self, name: str, sample: Mapping[str, Any]) -> None:
        """Write one sample of a task."""
        if name not in self.opened:
            mode = "w" if self.role == "model" else "a"
            path = self.found.samples_of(name)
            self.opened[name] = self.files.enter_context(path.open(mode, encoding="utf-8"))
        try:
            self.opened[name].write(dumps({"model": self.role, **sample}) + "\n")
        except ValueError:  # a number that is none: it is told of with the task's name, when all of them are there
            return

    def flush(self) -> None:
        """Let others see what was written."""
        for file in self.opened.values():
            file.flush()


def _show_first(
    asking: Mapping[str, Measurement], firsts: Mapping[str, list[Any]], role: str, console: Console
) -> None:
    """Show the first prompt of each task that has prompts."""
    for name, one in asking.items():
        for prompt in filter(None, map(one.shown, firsts[name])):
            console.info(f"{name} of the {role}, the first prompt:\n{_cut(prompt)}")


def _cut(prompt: str) -> str:
    """Return a prompt for the terminal: of a long one, as with many examples, the beginning and the end."""
    if len(prompt) <= PROMPT_SHOWN:
        return prompt
    half = PROMPT_SHOWN // 2
    return f"{prompt[:half]}\n[... {len(prompt) - 2 * half:,} characters ...]\n{prompt[-half:]}"


def _asked(
    engine: Engine, measured: dict[str, Measurement], writing: _Writing, console: Console
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Put the requests of all tasks to a model, and yield each task's samples as soon as they are whole."""
    from llmkit.evaluation.engine import Asked

    # The first row of every task is looked for at once: a task without any is an error before anything is asked.
    asking = {name: one for name, one in measured.items() if not one.timed}
    rows = {name: iter(one.rows()) for name, one in asking.items()}
    firsts = {name: list(islice(each, 1)) for name, each in rows.items()}
    _show_first(asking, firsts, writing.role, console)
    waiting: deque[tuple[str, Any]] = deque()

    def requests() -> Iterator[Asked]:
        for name, one in asking.items():
            for row in chain(firsts[name], rows[name]):
                waiting.append((name, row))
                yield Asked(one.requests(row), f"{name} of the {writing.role}")

    samples: dict[str, list[dict[str, Any]]] = {name: [] for name in measured}
    whole = iter(asking)
    current = next(whole, "")
    with console.progress(f"the {writing.role}", unit="samples") as progress:
        for answers in engine.ask(requests(), done=progress.advance):
            name, row = waiting.popleft()
            while current != name:  # tasks are asked one after another: what comes first of one ends those before it
                yield current, samples[current]
                current = next(whole)
            samples[name].append(measured[name].score(row, answers))
            writing.add(name, samples[name][-1])
            if not waiting:
                writing.flush()
    for name in [current, *whole] if current else []:
        yield name, samples[name]
    for name, one in measured.items():
        if one.timed:
            samples[name] = _timed(one, f"{name} of the {writing.role}")
            for sample in samples[name]:
                writing.add(name, sample)
            yield name, samples[name]


def _timed(one: Measurement, label: str) -> list[dict[str, Any]]:
    """Return the samples of a task that asks by itself; an answer that is no number names it, as the engine does."""
    from llmkit.modeling.finite import NotFiniteError

    try:
        return one.run()
    except NotFiniteError as error:
        raise NotFiniteError(f"{label}: {error.message}", error.hint) from error
