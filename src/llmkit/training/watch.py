"""Everything that watches a training: terminal, metrics.jsonl, trackers, report.html and samples, behind one object."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from rich.text import Text

from llmkit.core.config import dump
from llmkit.core.progress import Progress
from llmkit.modeling.architecture import position_limit
from llmkit.training.config import TrainingConfig
from llmkit.training.job import Job
from llmkit.training.metrics import MetricsFile, memory_gb
from llmkit.training.placement import is_split
from llmkit.training.report import LiveReport
from llmkit.training.samples import Sampler
from llmkit.training.trackers import Trackers

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator

HISTORY = 60
"""Losses of the sparkline."""
_BARS = "▁▂▃▄▅▆▇█"


class View:
    """The lines under the progress bar on a terminal, and its note where there is none.

    Args:
        progress: What `console.progress("training", ...)` returned.
    """

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.losses: deque[float] = deque(maxlen=HISTORY)
        self.row: dict[str, Any] = {}
        self.validation = ""
        self.text = ""
        self.memory = (0.0, 0.0)
        progress.below = self.render

    def step(self, row: dict[str, Any]) -> None:
        """Count a step; `row` has `loss`, and whatever of a row of metrics.jsonl is known."""
        self.row |= row
        self.progress.advance(1, note=", ".join([f"loss {row['loss']:.3f}", *self._figures()[:2]]))

    def logged(self, row: dict[str, Any]) -> None:
        """Take a row of metrics.jsonl into the sparkline."""
        self.row |= row
        self.losses.append(row["loss"])
        self.memory = memory_gb()

    def validated(self, row: dict[str, Any], samples: Sequence[dict[str, Any]] = ()) -> None:
        """Show a validation, and the first of its samples that has text."""
        bits = f" ({row['bits_per_byte']:.4f} bits per byte)" if "bits_per_byte" in row else ""
        self.validation = f"step {row['step']:,}: validation loss {row['validation_loss']:.4f}{bits}"
        written = [f"{sample['prompt']}|{sample['text']}" for sample in samples if sample["text"].strip()]
        self.text = _printable(written[0]) if written else ""

    def render(self, width: int) -> Text:
        """Return up to four lines, each cut to `width` columns."""
        lines = []
        if "loss" in self.row:
            loss = f"loss {self.row['loss']:.3f} "
            lines.append(Text(loss + sparkline(list(self.losses)[-max(0, width - len(loss) - 1) :]), style="bold"))
        lines.append(Text(" · ".join(self._figures())))
        lines += [Text(text, style="dim") for text in (self.validation, self.text) if text]
        for line in lines:
            line.truncate(width, overflow="ellipsis")
        return Text("\n").join(line for line in lines if line)

    def _figures(self) -> list[str]:
        row, figures = self.row, []
        if "tokens_per_second" in row:
            figures.append(f"{row['tokens_per_second']:,.0f} tokens/s")
        if row.get("utilization") is not None and row["utilization"] == row["utilization"]:  # not NaN
            figures.append(f"{row['utilization']:.0%} utilization")
        if "lr" in row:
            figures.append(f"lr {row['lr']:.2e}")
        if "grad_norm" in row:
            figures.append(f"norm {row['grad_norm']:.2f}")
        if self.memory[1]:
            figures.append(f"{self.memory[0]:.1f} GB, peak {self.memory[1]:.1f}")
        return figures


class Watch:
    """What the loop of rank 0 tells about itself.

    Args:
        view: The terminal.
        metrics: metrics.jsonl, cut back to the step of the resume; None on ranks that write nothing.
        report: report.html while running.
        trackers: Experiment trackers.
        sampler: Texts at validations; None for objectives that do not generate.
    """

    def __init__(
        self,
        view: View,
        metrics: MetricsFile | None,
        report: LiveReport | None = None,
        trackers: Trackers | None = None,
        sampler: Sampler | None = None,
    ) -> None:
        self.view, self.metrics, self.report = view, metrics, report
        self.trackers, self.sampler = trackers, sampler

    def step(self, row: dict[str, Any]) -> None:
        """After every step."""
        self.view.step(row)

    def log(self, row: dict[str, Any]) -> None:
        """Every `log_every` steps: write the row of metrics.jsonl, with the memory of now."""
        row = {**row, "memory_gb": round(memory_gb()[1], 3)}
        if self.metrics is not None:
            self.metrics.write(row)
        self.view.logged(row)
        if self.trackers is not None:
            self.trackers.log(row)
        if self.report is not None:
            self.report.update()

    def validate(self, row: dict[str, Any]) -> None:
        """After a validation: write its row, let the model write, bring the report up to date."""
        if self.metrics is not None:
            self.metrics.write(row)
        samples = self.sampler.sample(row["step"]) if self.sampler is not None else []
        self.view.validated(row, samples)
        if self.trackers is not None:
            self.trackers.log(row)
        if self.report is not None:
            self.report.update(force=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the trackers and leave a report, also after an interruption or an error."""
        if self.report is not None:
            self.report.update(force=True, running=False)
        if self.trackers is not None:
            self.trackers.close()


def open_watch(
    job: Job,
    config: TrainingConfig,
    accelerator: Accelerator,
    progress: Progress,
    directory: Path | None,
    step: int,
    total_steps: int | None,
    dtype: torch.dtype,
) -> Watch:
    """Return what watches a run.

    Args:
        job: What is trained.
        config: Which trackers and samples.
        accelerator: Starts the trackers.
        progress: The terminal's.
        directory: Where files go; None on ranks that write none.
        step: Where training begins or resumes.
        total_steps: Where it ends, if that is known.
        dtype: Compute type of the training.
    """
    view = View(progress)
    if directory is None:
        return Watch(view, None)
    # The report notes when the run before was last seen at work by the file that the next line cuts back.
    report = LiveReport(directory, title=job.title, facts=job.facts, step=step, total_steps=total_steps)
    metrics = MetricsFile(directory, step)
    trackers = Trackers(accelerator, config.trackers, directory, step=step, config=dump(config, mode="json"))
    sampler = None
    # A model in parts writes nothing: generation would go past the root unit, and need all processes.
    if job.tokenizer is not None and job.prompts and not is_split(job.models.main):
        limit = position_limit(job.models.main.config) or config.context_length
        sampler = Sampler(
            job.models.main, job.tokenizer, job.prompts, config.samples, max_positions=limit, dtype=dtype,
            seed=config.seed, directory=directory, step=step,
        )  # fmt: skip
    return Watch(view, metrics, report, trackers, sampler)


def sparkline(values: Sequence[float]) -> str:
    """Return one block character per value, from the lowest to the highest of them; not a number is a blank."""
    finite = [value for value in values if abs(value) < float("inf")]
    if not finite:
        return " " * len(values)
    low, span = min(finite), max(finite) - min(finite) or 1.0
    return "".join(_BARS[round((v - low) / span * 7)] if abs(v) < float("inf") else " " for v in values)


def _printable(text: str) -> str:
    """Return a model's text on one line: it may write control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
