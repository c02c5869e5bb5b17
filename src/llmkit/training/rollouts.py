"""Blocks that the model makes itself as training goes: each process makes its own, and all of them take in all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from accelerate import Accelerator

    from llmkit.data.feeds import Feed
    from llmkit.modeling.companions import Models


def roll_out(feed: Feed, models: Models, own: Sequence[int], accelerator: Accelerator) -> None:
    """Have the model, as it is now, make the blocks of a step; weights, mode and random state stay as they are.

    Args:
        feed: Whose blocks.
        models: The models.
        own: Numbers of this process's blocks of the step.
        accelerator: The processes.
    """
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())), torch.no_grad():
        was_training = models.main.training
        models.main.eval()
        made: list[Any] = list(feed.generate(models, own))
        models.main.train(was_training)
    if accelerator.num_processes > 1:
        from accelerate.utils import gather_object

        made = gather_object(made)  # in the order of the ranks, and so of the blocks
    feed.add(made)
