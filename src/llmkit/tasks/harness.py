"""A task of lm-evaluation-harness, with its prompts, its scores and its standard errors, on any model of ours."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from llmkit.core.config import NotIdentity
from llmkit.core.errors import DataError
from llmkit.core.extras import require
from llmkit.evaluation.asked import tokenizer_here
from llmkit.evaluation.asking import asks_in_chat
from llmkit.runtimes import Request, Running, Score
from llmkit.tasks import Measurement, Task, TaskResult

if TYPE_CHECKING:
    from llmkit.core.inputs import Inputs
    from llmkit.evaluation.harness import Asked
    from llmkit.evaluation.measures import Measure

SHOWN = ("acc", "exact_match", "acc_norm")
"""Scores that are put first: by the first one samples are held for right or wrong."""
NONE = "none"
"""lm-eval's name of the filter that does nothing."""


class Harness(Task):
    """Ask what a task of lm-evaluation-harness asks, and score it as that does; needs the extra `harness`.

    Nothing is downloaded: tasks over local files work, and those over sets of the hub that are in its cache.
    """

    example: ClassVar[Request] = Score((0,), (0,))

    task: str = Field(min_length=1)
    """Name of a task, of a group of tasks, or of a tag, as `lm-eval ls tasks` lists them."""
    include_path: Annotated[str | None, NotIdentity] = None
    """Folder with tasks of your own: YAML files as lm-eval reads them, and what they read."""
    num_fewshot: int | None = Field(None, ge=0)
    """Examples before each question; null for what the task says."""
    limit: int | None = Field(None, ge=1)
    """Only the first so many documents of each task; null for all."""
    chat: Literal["auto", "on", "off"] = "off"
    """Put prompts through the model's chat template; auto where it has one. lm-eval does not, unless it is told to."""

    @property
    def title(self) -> str:
        """What it is called in results."""
        return self.name or f"harness:{self.task}"

    def add_input(self, inputs: Inputs) -> None:
        """Add the files of the user's own tasks; a name that nobody has is told of before a model is loaded."""
        from llmkit.core.inputs import RawFile
        from llmkit.evaluation.harness_names import check_name

        require("harness")
        folder = None if self.include_path is None else Path(self.include_path)
        if folder is not None and not folder.is_dir():
            raise DataError(f"tasks.include_path: no such folder: {self.include_path}", f"ls {folder.parent}")
        check_name(self.task, self.include_path)
        if folder is None:
            return
        files = [
            RawFile(str(file.resolve()), file.relative_to(folder).as_posix(), file.stat().st_size)
            for file in sorted(folder.rglob("*"))
            if file.is_file() and "__pycache__" not in file.parts
        ]
        inputs.add_files(str(folder.resolve()), files, role="tasks.include_path")

    def on(self, model: Running) -> _Harness:
        """Return the measurement of one model."""
        return _Harness(self, model)

    def measures(self, samples: list[dict[str, Any]]) -> dict[str, Measure]:
        """Return the scores that are means over documents, which have the standard errors that lm-eval gives them."""
        from llmkit.evaluation.measures import mean

        found: dict[str, Measure] = {}
        parts = list(dict.fromkeys(sample["task"] for sample in samples))
        for part in parts:
            names = list(dict.fromkeys(name for one in samples if one["task"] == part for name in one["means"]))
            for name in sorted(names, key=lambda name: SHOWN.index(name) if name in SHOWN else len(SHOWN)):
                values = [one["means"].get(name, math.nan) if one["task"] == part else math.nan for one in samples]
                found[_name(name, part, parts)] = mean(values)
        return found


def _name(score: str, part: str, parts: Sequence[str]) -> str:
    """Return what a score is called: of several tasks each has its own."""
    return score if len(parts) < 2 else f"{score}[task={part}]"


@dataclass(frozen=True)
class _Row:
    task: str
    number: int
    asked: list[Asked]


class _Harness(Measurement):
    """What lm-eval makes of a model's answers."""

    def __init__(self, task: Harness, model: Running) -> None:
        require("harness")
        from llmkit.evaluation.harness import Harness as Driver
        from llmkit.evaluation.harness import load_tasks

        super().__init__(model)
        self.task = task
        tokenizer_here(model)
        self.chat = asks_in_chat(model, task.chat)
        found = load_tasks(task.task, task.include_path, task.num_fewshot)
        self.driver = Driver(model, found, limit=task.limit, chat=self.chat)

    def rows(self) -> Iterator[_Row]:
        """Yield the documents of all tasks."""
        for name, number, asked in self.driver.documents():
            yield _Row(name, number, asked)

    def requests(self, row: _Row) -> list[Request]:
        """Ask all that lm-eval asks about a document."""
        return [request for asked in row.asked for request in asked.requests]

    def score(self, row: _Row, answers: Sequence[Any]) -> dict[str, Any]:
        """Take the answers in; what they are worth lm-eval says of all of them together."""
        at = 0
        for asked in row.asked:
            self.driver.answer(asked, answers[at : at + len(asked.requests)])
            at += len(asked.requests)
        truncated = any(asked.truncated for asked in row.asked)
        return {"id": f"{row.task}:{row.number}", "task": row.task, "truncated": truncated}

    def summary(self, samples: list[dict[str, Any]]) -> TaskResult:
        """Return lm-eval's scores and samples."""
        from importlib.metadata import version

        found = self.driver.results()
        ours = {sample["id"]: sample for sample in samples}
        for part, logged in found["samples"].items():
            aggregations = self.driver.found["tasks"][part].aggregation()
            for one in logged:
                ours[f"{part}:{one['doc_id']}"].update(_sample(one, ours[f"{part}:{one['doc_id']}"], aggregations))
        for sample in samples:
            sample.setdefault("means", {})
        measures = self.task.measures(samples)
        parts = list(found["samples"])
        result = TaskResult.of(measures, samples)
        for part, values in found["results"].items():
            self._add(result, part, values, parts, found)
        tasks = {
            part: {"version": found["versions"].get(part), "num_fewshot": found["n-shot"].get(part)} for part in parts
        }
        result.facts |= {"lm_eval": version("lm_eval"), "chat": self.chat, "tasks": tasks}
        cut = sum(sample["truncated"] for sample in samples)
        if cut:
            result.notes.append(f"{cut:,} of {len(samples):,} documents were cut at the beginning, as lm-eval does")
        return result

    @staticmethod
    def _add(result: TaskResult, part: str, values: dict[str, Any], parts: list[str], found: dict[str, Any]) -> None:
        """Add the scores that are no means over documents: corpus scores, and those of groups, with lm-eval's error."""
        for key, value in values.items():
            metric, _, filtered = key.partition(",")
            if not filtered or metric.endswith("_stderr") or not isinstance(value, int | float):
                continue
            score = metric if filtered == NONE else f"{metric},{filtered}"
            name = _name(score, part, parts) if part in parts else score
            if name in result.measures:
                continue
            error = values.get(f"{metric}_stderr,{filtered}")
            better = found["higher_is_better"].get(part, {}).get(metric)
            result.scores[name] = float(value)
            result.estimates[name] = {
                "n": values.get("sample_len"), "stderr": error if isinstance(error, float) else None, "low": None,
                "high": None, "level": None, "method": "lm-eval", "higher_is_better": better is not False,
            }  # fmt: skip


def _sample(one: dict[str, Any], ours: dict[str, Any], aggregations: dict[str, Any]) -> dict[str, Any]:
    """Return what a sample says: the prompt, the answers and the scores of one document under one filter."""
    prompts = [str(arguments[0]) for arguments in one["arguments"]]
    means, own = dict(ours.get("means", {})), {}
    for metric in one["metrics"]:
        value = one[metric]
        score = metric if one["filter"] == NONE else f"{metric},{one['filter']}"
        if isinstance(value, Real):
            own[score] = float(value)
            aggregation = aggregations.get(metric)
            if aggregation is None or getattr(aggregation, "__name__", "") == "mean":
                means[score] = float(value)
    found = {"prompt": prompts[0], "reference": _plain(one["target"]), "prediction": _said(one), **own, "means": means}
    if len(prompts) > 1 and all(len(arguments) > 1 for arguments in one["arguments"]):
        found["choices"] = [str(arguments[1]) for arguments in one["arguments"]]
    return found


def _said(one: dict[str, Any]) -> Any:
    """Return what the model said: a text, a log-likelihood, or the likeliest of several choices by its number."""
    answers = one["filtered_resps"]
    if all(isinstance(answer, list | tuple) for answer in answers) and len(answers) > 1:
        return max(range(len(answers)), key=lambda i: answers[i][0])
    first = answers[0]
    return first if isinstance(first, str) else float(first[0] if isinstance(first, list | tuple) else first)


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | None) else str(value)
