"""What a model writes about held-out rows at a validation, scored by its objective; the first ones go to samples.jsonl.

They are asked of the runtime, as `eval`, `predict` and a server ask: `{"step": 500, "prompt": "Good morning",
"references": ["早上好"], "text": "早安"}`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

from llmkit.data.artifacts import Model
from llmkit.evaluation.engine import Asked, Engine
from llmkit.runtimes._in_memory import InMemory
from llmkit.training.metrics import RowsFile
from llmkit.training.placement import is_split
from llmkit.training.samples import undisturbed

if TYPE_CHECKING:
    import torch

    from llmkit.objectives.rows import RowObjective
    from llmkit.training.job import Job


def write_answers(
    job: Job, num_samples: int, step: int, dtype: torch.dtype, directory: Path | None, *, stopped: Callable[[], bool]
) -> dict[str, float] | None:
    """Have the model answer the questions of a job; return the measures, none where it asks nothing.

    Every process asks all of them, so that all have the same measures. A model in parts writes nothing.

    Args:
        job: What is trained.
        num_samples: How many are kept.
        step: Steps done.
        dtype: Compute type of the training.
        directory: Where samples.jsonl is; None writes nothing.
        stopped: Whether a signal came in between.

    Returns:
        None if it was stopped.
    """
    model, tokenizer = job.models.main, job.tokenizer
    if not job.questions or tokenizer is None or is_split(model):
        return {}
    engine = Engine(InMemory(model, tokenizer, ends=job.ends, autocast=dtype, trained=True))
    answers = []
    with undisturbed(model):
        for (answer,) in engine.ask(Asked([question.request]) for question in job.questions):
            answers.append(answer)
            if stopped():
                return None
    if directory is not None and num_samples:
        file = RowsFile(directory / Model.SAMPLES, lambda row: row["step"] < step)
        for question, answer in list(zip(job.questions, answers, strict=True))[:num_samples]:
            shown = {"prompt": question.source, "references": list(question.references), "text": answer.text}
            file.write({"step": step, **shown})
    return cast("RowObjective", job.objective).judge(job.questions, answers)
