"""How fast a model is as it is loaded here, and what memory it takes: prefill, first token and decoding, by batch size.

The only task that times the model. It runs when all others are done, its answers are not kept, and its numbers are
those of this machine at this time: they have no part in paired tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from time import perf_counter
from typing import Any, ClassVar

from pydantic import Field

from llmkit.core import stop
from llmkit.core.errors import ConfigError, MemoryLimitError
from llmkit.core.machine import limit_of
from llmkit.evaluation.asked import positions_of
from llmkit.evaluation.figures import Figure, Lines, Points
from llmkit.runtimes import Generate, Request, Running
from llmkit.tasks import Measurement, Task, TaskResult

SCORES = ("decode_tokens_per_s", "prefill_tokens_per_s", "time_to_first_token_s", "peak_memory_mib")
MOST_ROWS = 2**20
UNSTEADY = 0.2
"""Spread of the times of one batch size, as a share of their median, from which on a note says so."""


class Efficiency(Task):
    """Write so many tokens behind prompts of one length, and take the median of several runs.

    Prompts are random ids, others in each row, so that no beginning is shared; every row writes all of its tokens. The
    time to the first token is that of writing one; decoding is what the others take.
    """

    example: ClassVar[Request] = Generate((0,), 1, exact=True)

    batch_sizes: list[int] = Field([1, 2, 4, 8], min_length=1)
    """Rows that are computed together."""
    prompt_tokens: int = Field(128, ge=1)
    """Length of each prompt."""
    new_tokens: int = Field(32, ge=2)
    """Tokens that are written behind it."""
    repeats: int = Field(3, ge=1)
    """Runs that are timed, after one that is not."""
    nproc: int | None = Field(None, ge=1)
    """Cores that it is measured on: what the run's own `nproc` says, which is a part of what is measured here."""

    def on(self, model: Running) -> _Efficiency:
        """Return the measurement of one model.

        Raises:
            ConfigError: The tokens do not fit into its positions, or a batch size is none.
        """
        return _Efficiency(self, model)

    def figures(self, samples: list[dict[str, Any]]) -> list[Figure]:
        """Draw tokens per second over batch size."""
        return [
            Lines(title, "medians, on this machine", {"tokens/s": _points(samples, name)}, "batch size", "tokens/s")
            for title, name in (("Decoding", SCORES[0]), ("Prefill", SCORES[1]))
        ]


class _Efficiency(Measurement):
    """Tokens per second, seconds to the first token and memory, of each batch size."""

    timed: ClassVar[bool] = True

    def __init__(self, task: Efficiency, model: Running) -> None:
        super().__init__(model)
        self.task, self.notes = task, list[str]()
        if min(task.batch_sizes) < 1 or len(set(task.batch_sizes)) < len(task.batch_sizes):
            raise ConfigError(
                "tasks.batch_sizes: each is a number of rows, from 1, and is there once",
                "-s 'tasks.0.batch_sizes=[1, 2, 4]'",
            )
        if max(task.batch_sizes) > MOST_ROWS:
            raise ConfigError(
                f"tasks.batch_sizes: {max(task.batch_sizes):,} is over the {MOST_ROWS:,} rows of a batch",
                "-s 'tasks.0.batch_sizes=[1, 2, 4]'",
            )
        if task.prompt_tokens + task.new_tokens > (most := positions_of(model)):
            raise ConfigError(
                f"tasks.prompt_tokens: {task.prompt_tokens:,} and {task.new_tokens:,} new tokens do not fit into the"
                f" {most:,} positions of the model",
                f"-s tasks.0.prompt_tokens={max(1, most - task.new_tokens)}",
            )

    def run(self) -> list[dict[str, Any]]:
        """Time every batch size, the smallest first; those that do not fit into memory are left out, and noted."""
        samples: list[dict[str, Any]] = []
        for size in sorted(self.task.batch_sizes):
            try:
                samples.append(self._timed(size))
            except Exception as error:
                limit = limit_of(error)
                if limit is None or limit.error is not MemoryLimitError or not samples:
                    raise
                self.notes.append(f"from {size:,} rows on a batch does not fit into memory")
                break
        return samples

    def summary(self, samples: list[dict[str, Any]]) -> TaskResult:
        """Return the medians, named by their batch size, and what they rest on."""
        scores = {
            f"{name}[batch={sample['batch']}]": float(sample[name])
            for name in SCORES for sample in samples if sample[name] is not None
        }  # fmt: skip
        spread = max(sample["spread"] for sample in samples)
        if spread > UNSTEADY:
            self.notes.append(f"times of one batch size differ by {spread:.0%}: other work ran beside this one")
        facts = {name: getattr(self.task, name) for name in ("prompt_tokens", "new_tokens", "repeats")}
        return TaskResult(scores, len(samples), samples, {**facts, **self.model.conditions()}, self.notes)

    def _timed(self, size: int) -> dict[str, Any]:
        task, prompts = self.task, self._prompts(size)
        first, whole = ([Generate(prompt, budget, exact=True) for prompt in prompts] for budget in (1, task.new_tokens))
        self._seconds(whole)  # what is loaded, compiled or allocated once
        self.model.peak_bytes()
        firsts, wholes = [], []
        for _ in range(task.repeats):
            firsts.append(self._seconds(first))
            wholes.append(self._seconds(whole))
        peak = self.model.peak_bytes()
        to_first = median(firsts)
        behind = median(both - one for one, both in zip(firsts, wholes, strict=True))
        return {
            "id": f"batch {size}", "batch": size, "time_to_first_token_s": to_first,
            "prefill_tokens_per_s": size * task.prompt_tokens / to_first,
            "decode_tokens_per_s": size * (task.new_tokens - 1) / behind if behind > 0 else None,
            "peak_memory_mib": None if peak is None else peak / 2**20,
            "first_s": firsts, "whole_s": wholes, "spread": max(map(_spread, (firsts, wholes))),
        }  # fmt: skip

    def _seconds(self, requests: Sequence[Generate]) -> float:
        stop.check()
        began = perf_counter()
        self.model.answer(requests)  # a GPU has then finished, too: the tokens are here
        return perf_counter() - began

    def _prompts(self, size: int) -> list[tuple[int, ...]]:
        from llmkit.data.randomness import generator

        assert self.model.tokenizer is not None
        special = set(self.model.tokenizer.all_special_ids)
        ids = [token for token in range(self.model.tokenizer.vocab_size) if token not in special]
        drawn = generator(size).choice(ids, (size, self.task.prompt_tokens))
        return [tuple(row) for row in drawn.tolist()]


def _spread(seconds: Sequence[float]) -> float:
    return (max(seconds) - min(seconds)) / median(seconds)


def _points(samples: Sequence[dict[str, Any]], name: str) -> Points:
    known = [sample for sample in samples if sample[name] is not None]
    return Points([sample["batch"] for sample in known], [sample[name] for sample in known])
