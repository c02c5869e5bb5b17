"""Score held-out data in the middle of a training: every target once, and nothing of the training changed."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from llmkit.training.gradients import Gradients, LossModule
    from llmkit.training.job import Validation


def validate(
    validation: Validation, module: LossModule, gradients: Gradients, *, stopped: Callable[[], bool]
) -> dict[str, Any] | None:
    """Return `validation_loss`, each part's loss if there are several, and bits per byte where they mean something.

    What is random about a block (masks, noise) depends on its number only, so that two validations compare.

    Args:
        validation: The held-out blocks.
        module: Model and objective, not wrapped; a compiled body is to be run eagerly, see the loop.
        gradients: How training cuts and collates.
        stopped: Whether a signal came in between.

    Returns:
        None if it was stopped.
    """
    accelerator, objective, plan = gradients.accelerator, gradients.objective, gradients.plan
    rank = accelerator.process_index
    num_blocks = validation.packer.num_blocks(0)
    indices = list(range(num_blocks))[plan.reader(rank) :: plan.readers]
    totals: dict[str, torch.Tensor] = {}
    counts: dict[str, int] = {}
    weights: dict[str, float] = {}
    module.eval()
    try:
        for start in range(0, -(-num_blocks // plan.readers), gradients.micro_blocks):
            if stopped():
                return None
            mine = indices[start : start + gradients.micro_blocks]
            batch = validation.packer.blocks(0, mine or [0])  # sharded layers need all ranks: one without blocks joins
            tensors, found = objective.collate(batch, gradients.vocabulary, gradients.seed)
            with torch.no_grad():
                parts = module({name: tensor.to(accelerator.device) for name, tensor in tensors.items()})
            weights = {name: weight for name, (_, weight) in parts.items()}
            for name, (total, _) in parts.items() if mine else ():
                totals[name] = totals.get(name, 0.0) + plan.adds(rank) * total.double()
                counts[name] = counts.get(name, 0) + plan.tells(rank) * found[name]
    finally:
        module.train()
    nats, targets = _summed(gradients, totals, counts)
    means = {name: nats[name] / max(targets[name], 1) for name in nats}
    row: dict[str, Any] = {"validation_loss": sum(weights[name] * mean for name, mean in means.items())}
    if len(means) > 1:
        row |= {f"validation_loss_{name}": mean for name, mean in means.items()}
    if objective.scores_text:
        row["bits_per_byte"] = next(iter(nats.values())) / max(validation.num_bytes, 1) / math.log(2)
    return row


def _summed(
    gradients: Gradients, totals: dict[str, torch.Tensor], counts: dict[str, int]
) -> tuple[dict[str, float], dict[str, int]]:
    """Sum over the ranks; a rank without blocks has nothing to add, but takes part."""
    accelerator = gradients.accelerator
    if accelerator.num_processes == 1:
        return {name: float(total) for name, total in totals.items()}, counts
    from accelerate.utils import gather_object

    every = gather_object([({name: float(total) for name, total in totals.items()}, counts)])
    names = list(every[0][0])
    return (
        {name: math.fsum(nats.get(name, 0.0) for nats, _ in every) for name in names},
        {name: sum(found.get(name, 0) for _, found in every) for name in names},
    )
