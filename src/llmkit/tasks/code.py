"""Programs that a model writes, run against tests: pass@k, as Chen et al. 2021 define it for HumanEval.

They are run in processes that the kernel confines (`evaluation/confinement.py`); a machine that cannot is refused.
"""

from __future__ import annotations

import hashlib
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from llmkit.core.errors import ConfigError, DataError
from llmkit.evaluation.confinement import Confinement, Ending, Limits
from llmkit.evaluation.figures import Bars, Figure
from llmkit.evaluation.measures import Measure, mean
from llmkit.evaluation.programs import Problem, pass_at, problem_of
from llmkit.evaluation.reading import OTHER_DATA, Unreadable, read_table, shown
from llmkit.runtimes import Generate, Ids, Request, Running, Turns, Written
from llmkit.tasks import DataTask, Measurement, TaskResult

AT_A_TIME = 16
"""Problems whose own solutions are run together."""
BROKEN = "do not pass their own tests with their own solution here"


class Code(DataTask):
    """Let the model write programs and run them against the tests of each problem.

    Rows are HumanEval's (task_id, prompt, entry_point, canonical_solution, test) or MBPP's (task_id, text, code,
    test_list). A model that goes on with text is given the prompt; a chat model is asked, and the code is taken out of
    its answer. Programs run confined, with the standard library alone; what they print is thrown away.
    """

    example: ClassVar[Request] = Generate((0,), 1)
    asking: ClassVar[frozenset[str]] = frozenset({"chat"})

    k: list[int] = Field([1], min_length=1)
    """Of how many programs one has to pass: pass@k of each."""
    num_samples: int = Field(1, ge=1)
    """Programs written for each problem; at least the largest k."""
    temperature: float = Field(0.0, ge=0)
    """Of the draws; 0 takes the likeliest token each time. Chen et al. use 0.2 for pass@1 and 0.8 for pass@100."""
    seed: int = Field(0, ge=0)
    """Of the draws; each program has its own, made of this, the problem's id and its number."""
    max_new_tokens: int = Field(512, ge=1)
    """Longest program."""
    chat: Literal["auto", "on", "off"] = "auto"
    """Ask through the chat template; auto: where the model has one."""
    stop: list[str] | None = None
    """Texts that end a program, which are not part of it; null for those of Chen et al., and none in a chat."""
    verify: bool = True
    """Run the problems' own solutions first: a problem that does not pass with it is broken here, and is skipped."""
    timeout_s: float = Field(5.0, gt=0, le=600)
    """Seconds of processor time for a program; on the clock it has three times as many, since machines are busy."""
    memory_mib: int = Field(512, ge=64)
    """Memory of each process of a program."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if min(self.k) < 1 or len(set(self.k)) < len(self.k):
            raise ValueError("k: each is a number of programs, from 1, and is there once")
        if self.num_samples < max(self.k):
            raise ValueError(f"pass@{max(self.k)} cannot be told of {self.num_samples} programs: raise num_samples")
        if "" in (self.stop or ()):
            raise ValueError("stop: an empty text would end every program at once")
        if self.num_samples > 1 and not self.temperature:
            raise ValueError(f"temperature 0 writes the same program {self.num_samples} times: set 0.2 or 0.8")
        return self

    def on(self, model: Running) -> _Code:
        """Return the measurement of one model.

        Raises:
            ConfigError: No problem could fit, or the model is no chat model and `chat` is on.
            SetupError: This machine does not confine programs.
        """
        return _Code(self, model)

    def measures(self, samples: list[dict[str, Any]]) -> dict[str, Measure]:
        """Return pass@k."""
        return {name: mean([sample[name] for sample in samples]) for name in map("pass@{}".format, self.k)}

    def figures(self, samples: list[dict[str, Any]]) -> list[Figure]:
        """Draw how the programs ended."""
        counts = _endings(samples)
        shares: dict[str, tuple[float, float | None, float | None]] = {
            how: (count / counts.total(), None, None) for how, count in counts.most_common()
        }
        return [Bars("How the programs ended", "failed: by an assertion; exit: before its tests", shares, "share")]


@dataclass(frozen=True)
class Run(Request):
    """A program that was run, for the file that keeps answers: its limits, and what ran it."""

    kind: ClassVar[str] = "run"
    program: str
    cpu_s: float
    memory_mib: int
    version: str = sys.version


@dataclass(frozen=True)
class _Row:
    name: str
    problem: Problem
    prompt: Ids | Turns


class _Code(Measurement):
    """pass@k, and every program with how it ended."""

    def __init__(self, task: Code, model: Running) -> None:
        from llmkit.evaluation.asked import positions_of
        from llmkit.evaluation.asking import Asking, Layout, asks_in_chat
        from llmkit.evaluation.exchanges import Skipped

        super().__init__(model)
        self.task, self.max_length = task, positions_of(model)
        self.chat = asks_in_chat(model, task.chat)
        self.asking = Asking(model, "on" if self.chat else "off", Layout())
        self.skipped, self.unreadable = Skipped(), Unreadable()
        if task.max_new_tokens >= self.max_length:
            raise ConfigError(
                f"tasks.max_new_tokens: {task.max_new_tokens:,} leaves no room for a prompt in the {self.max_length:,}"
                " positions of the model",
                f"-s tasks.0.max_new_tokens={max(1, self.max_length // 2)}",
            )
        cpu_s = task.timeout_s
        self.confinement = Confinement(Limits(cpu_s, wall_s=3 * cpu_s, memory_mib=task.memory_mib))
        self.confinement.check()

    def rows(self) -> Iterator[_Row]:
        """Yield the problems that fit into the model."""
        from llmkit.evaluation.asking import FakesError
        from llmkit.evaluation.exchanges import FAKES, too_long

        count = 0
        for name, problem in self._problems():
            try:
                prompt = self.asking.put_text(problem.question if self.chat else problem.prompt).prompt
            except FakesError:
                self.skipped.add(FAKES)
                continue
            if self.model.tokenizer is not None and len(prompt) + self.task.max_new_tokens > self.max_length:
                self.skipped.add(too_long(self.max_length, self.task.max_new_tokens))
                continue
            count += 1
            yield _Row(name, problem, prompt)
        if not count:
            notes = "; ".join(self.skipped.notes())
            raise DataError(f"tasks.data: {shown(self.task.data)} has no problem to ask about: {notes}", OTHER_DATA)

    def shown(self, row: _Row) -> str:
        """Return the prompt, with the special tokens that are sent."""
        from llmkit.evaluation.asking import shown_prompt

        return shown_prompt(self.model, row.prompt)

    def requests(self, row: _Row) -> list[Generate]:
        """Ask for so many programs, each drawn with a seed of its own."""
        task = self.task
        stop = task.stop if task.stop is not None else () if self.chat else row.problem.stop
        return [
            Generate(
                row.prompt, task.max_new_tokens, tuple(stop), task.temperature, seed_of(task.seed, row.name, number)
            )
            for number in range(task.num_samples)
        ]

    def score(self, row: _Row, answers: Sequence[Written]) -> dict[str, Any]:
        """Run the programs."""
        said = [self.asking.said(row.prompt, one).answer if self.chat else one.text for one in answers]
        endings = self._run([row.problem.program(text, chat=self.chat) for text in said])
        passed = sum(ending.passed for ending in endings)
        return {
            "id": row.name, "prompt": self.shown(row), "prediction": said[0],
            **({"reference": row.problem.solution} if row.problem.solution is not None else {}),
            **{f"pass@{k}": pass_at(k, len(endings), passed) for k in self.task.k},
            "programs": len(endings), "passed": passed, "truncated": not all(one.ended for one in answers),
            "answers": [
                {"text": text, "how": ending.how, "detail": ending.detail, "truncated": not one.ended}
                for text, ending, one in zip(said, endings, answers, strict=True)
            ],
        }  # fmt: skip

    def summary(self, samples: list[dict[str, Any]]) -> TaskResult:
        """Return pass@k."""
        task, counts = self.task, _endings(samples)
        facts = {
            "prompt": "chat" if self.chat else "plain", "programs": counts.total(), "ended": dict(counts.most_common()),
            "truncated": sum(answer["truncated"] for sample in samples for answer in sample["answers"]),
            "skipped": self.skipped.total, "python": sys.version.split()[0],
        }  # fmt: skip
        notes = [*self.skipped.notes(), *self.unreadable.notes()]
        return TaskResult.of(task.measures(samples), samples, facts, notes)

    def _problems(self) -> Iterator[tuple[str, Problem]]:
        """Yield id and problem of each row; not of those whose own solution does not pass, if it is to be verified."""
        items = islice(read_table(self.task.data, self.unreadable), self.task.limit)
        while part := list(islice(items, AT_A_TIME)):
            names = [str(item.fields.get("task_id", item.id)) for item in part]
            problems = [problem_of(item.fields, name) for name, item in zip(names, part, strict=True)]
            own = [each for each in problems if self.task.verify and each.solution is not None]
            endings = self._run([each.own_program() for each in own])
            broken = {id(each) for each, ending in zip(own, endings, strict=True) if not ending.passed}
            for name, problem in zip(names, problems, strict=True):
                if id(problem) in broken:
                    self.skipped.add(BROKEN)
                else:
                    yield name, problem

    def _run(self, programs: Sequence[str]) -> list[Ending]:
        """Return how programs end; those that an interrupted run has run are not run again."""
        from llmkit.evaluation.kept import key_of

        limits = self.confinement.limits
        keys = [key_of(Run(program, limits.cpu_s, limits.memory_mib)) for program in programs]
        new = {key: program for key, program in zip(keys, programs, strict=True) if key not in self.kept}
        for key, ending in zip(new, self.confinement.run_all(list(new.values())), strict=True):
            self.kept.add([(key, [ending.passed, ending.how, ending.detail])])
        return [Ending(*self.kept[key]) for key in keys]


def seed_of(seed: int, name: str, number: int) -> int:
    """Return the seed of one program: the same whatever else is asked, and in whatever order."""
    digest = hashlib.blake2b(f"{seed}\0{name}\0{number}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") >> 1


def _endings(samples: Sequence[dict[str, Any]]) -> Counter[str]:
    return Counter(answer["how"] for sample in samples for answer in sample["answers"])
