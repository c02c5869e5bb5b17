"""Losses that couple all rows of a step, in the memory of a micro-batch (Gao et al. 2021, "GradCache").

Outputs of all micro-batches are computed without a graph and gathered over the processes; the loss of all of them is
differentiated by the outputs; then every micro-batch runs once more, with the random state it had, and hands these
derivatives on to the weights. The gradient is that of the whole batch at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from llmkit.objectives import Losses
    from llmkit.training.gradients import Gradients

Tensors = dict[str, torch.Tensor]


def mean_parts(parts: Losses, counts: dict[str, int]) -> tuple[torch.Tensor, list[float]]:
    """Return each part's sum over the count of its targets, `[parts]`, and the parts' weights."""
    means = torch.stack([parts[name][0] / count for name, count in counts.items()])
    return means, [parts[name][1] for name in counts]


def weighted(means: torch.Tensor, weights: list[float]) -> torch.Tensor:
    """Return the weighted sum of the parts' means: what is differentiated."""
    total: torch.Tensor = sum(weight * mean for weight, mean in zip(weights, means, strict=True))
    return total


def differentiate_coupled(
    gradients: Gradients, micro: Sequence[Tensors], counts: dict[str, int], *, alone: bool = False
) -> tuple[torch.Tensor, list[float]]:
    """Run a step's micro-batches forward and backward.

    Args:
        gradients: Of the run.
        micro: This process's micro-batches, collated.
        counts: Targets of each part over all processes.
        alone: Take this process's rows for all there are.

    Returns:
        Each part's mean as far as this process adds to it, `[parts]`, and the parts' weights, the routers' last.
    """
    states = []
    found: list[Tensors] = []
    with torch.no_grad():
        for tensors in micro:
            states.append(_random_state())
            found.append(gradients.plain.outputs(gradients.placed(tensors)))
    own = _joined(found)
    leaves, first = _gathered(gradients, own, alone)
    parts = gradients.objective.loss_of(leaves)
    means, weights = mean_parts(parts, {name: count for name, count in counts.items() if name in parts})
    pulled = [name for name, leaf in leaves.items() if leaf.requires_grad]
    total = weighted(means, weights)
    derivatives = torch.autograd.grad(total, [leaves[name] for name in pulled], materialize_grads=True)  # of scores 0
    starts = [first]
    for outputs in found:
        starts.append(starts[-1] + _num_rows(outputs))

    beside = {name: count for name, count in counts.items() if name not in parts}  # routers', which couple nothing
    own_means = means.new_zeros(len(beside))
    own_weights: list[float] = []

    def forward(position: int) -> torch.Tensor:
        nonlocal own_means, own_weights
        rows = slice(starts[position], starts[position + 1])
        _set_random_state(states[position])
        pull = {name: derivative[rows] for name, derivative in zip(pulled, derivatives, strict=True)}
        found = gradients.module(gradients.placed(micro[position]), pull)
        total: torch.Tensor = found[""][0]
        if not beside:
            return total
        found_means, own_weights = mean_parts(found, beside)
        own_means = own_means + found_means.detach()
        return total + weighted(found_means, own_weights)

    gradients.backward(forward, len(micro))
    # All processes have found the same of the coupled loss: the first tells.
    told = means.detach() * (gradients.accelerator.process_index == 0)
    return torch.cat([told, own_means]).float(), [*weights, *own_weights]


def _gathered(gradients: Gradients, own: Tensors, alone: bool) -> tuple[Tensors, int]:
    """Return all processes' outputs in the order of the blocks, to be differentiated by; and where the own begin."""
    accelerator = gradients.accelerator
    several = accelerator.num_processes > 1 and not alone
    everyone = {name: accelerator.gather(output.contiguous()) if several else output for name, output in own.items()}
    first = accelerator.process_index * _num_rows(own) if several else 0
    leaves = {
        name: output.float().requires_grad_() if output.is_floating_point() else output
        for name, output in everyone.items()
    }
    return leaves, first


def _joined(found: Sequence[Tensors]) -> Tensors:
    return {name: torch.cat([outputs[name].detach() for outputs in found]) for name in found[0]}


def _num_rows(outputs: Tensors) -> int:
    return len(next(iter(outputs.values())))


def _random_state() -> tuple[torch.Tensor, list[torch.Tensor]]:
    return torch.get_rng_state(), torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []


def _set_random_state(state: tuple[torch.Tensor, list[torch.Tensor]]) -> None:
    torch.set_rng_state(state[0])
    if state[1]:
        torch.cuda.set_rng_state_all(state[1])
