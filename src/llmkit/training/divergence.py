"""What to say and to type where a loss or the weights are no numbers any more."""

from __future__ import annotations

from pathlib import Path

from llmkit.core.errors import DivergedError
from llmkit.training.checkpoint import latest
from llmkit.training.job import Job


def divergence(what: str, step: int | None, job: Job, lr: float, folder: Path) -> DivergedError:
    """Return the error: the same command would come to the same end, so what is there stays, and goes on elsewhere.

    Args:
        what: What is no number.
        step: Whose batch has led to it, counted from 0; None for none.
        job: What is trained on what.
        lr: The learning rate.
        folder: The run's checkpoints.
    """
    if step is not None:
        names = job.feed.documents(range(step * job.batch_blocks, (step + 1) * job.batch_blocks))
        what += f"; the batch holds {', '.join(names[:5])}" + f" and {len(names) - 5} more" * (len(names) > 5)
    path, _ = latest(folder)
    go_on = "start anew" if path is None else "go on from the last checkpoint"
    more = "" if path is None else f" --resume {path}"
    hint = f"{go_on} with a lower learning rate, beside this run: --set optimizer.lr={lr / 3:.2g} -o OTHER{more}"
    return DivergedError(what, hint=hint)
