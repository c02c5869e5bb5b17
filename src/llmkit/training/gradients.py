"""The gradient of one optimizer step, the same whether a batch is taken at once, in parts, or by several processes.

Targets are counted over all micro-batches and ranks before the first backward pass; then the sum over parts of
weight * total / count is backpropagated. So 1 x 8, 2 x 4 and 4 x 2 blocks give the same numbers for every objective.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch

from llmkit.core.errors import DataError
from llmkit.data.packing import Batch
from llmkit.modeling.routing import LENGTHS, listen
from llmkit.objectives import Collated, Losses, Objective
from llmkit.training.coupled import differentiate_coupled, mean_parts, weighted
from llmkit.training.tensor import sum_partial_gradients

if TYPE_CHECKING:
    from accelerate import Accelerator

    from llmkit.modeling.companions import Models
    from llmkit.modeling.vocabulary import Vocabulary
    from llmkit.training.parallel import Plan
    from llmkit.training.sequence import SequenceSplit

Tensors = dict[str, torch.Tensor]


class LossModule(torch.nn.Module):
    """Models and objective as one module: under DDP, gradients are only synchronized through the wrapper's forward.

    The losses of the trained model's routers, where it has any, are parts beside the objective's.
    """

    def __init__(self, models: Models, objective: Objective, dtype: torch.dtype) -> None:
        super().__init__()
        self.model = models.main
        self.companions = torch.nn.ModuleDict(models.companions)
        self.models, self.objective = models, objective
        self.dtype = dtype
        self.sequence: SequenceSplit | None = None
        self.routers = listen(models.main)

    def forward(self, tensors: Tensors, pull: Tensors | None = None) -> Losses:
        """Return the objective's parts for one micro-batch.

        Args:
            tensors: What the objective collated.
            pull: Derivatives of a loss by what the objective outputs. Returned is, as one part, a number that has the
                gradient of that loss; see coupled.py.
        """
        with self._precision(tensors):
            if self.routers is None:
                return self._parts(tensors, pull)
            with self.routers.heard():
                parts = self._parts(tensors, pull)
                beside = self.routers.losses(tensors)
        # Validation is to compare models by what they say, whatever the weights of their routers' losses.
        weights = {part: weight if self.training else 0.0 for part, weight in self.routers.weights.items()}
        return parts | {part: (total, weights[part]) for part, total in beside.items()}

    def _parts(self, tensors: Tensors, pull: Tensors | None) -> Losses:
        if pull is None:
            return self._loss(self._share(tensors))
        outputs = self.objective.outputs(self.models, self._share(tensors))
        linear = torch.stack([(outputs[name] * derivative).sum() for name, derivative in pull.items()])
        return {"": (linear.sum(), 1.0)}

    def _loss(self, tensors: Tensors) -> Losses:
        """Return the loss of rows that are all there; one that couples them as it is computed of several passes."""
        if not self.objective.couples:
            return self.objective.loss(self.models, tensors)
        outputs = self.objective.outputs(self.models, tensors)
        with torch.autocast(next(iter(outputs.values())).device.type, enabled=False):
            return self.objective.loss_of(
                {name: output.float() if output.is_floating_point() else output for name, output in outputs.items()}
            )

    def outputs(self, tensors: Tensors) -> Tensors:
        """Return what a loss of rows is computed from."""
        with self._precision(tensors):
            return dict(self.objective.outputs(self.models, self._share(tensors)))

    def train(self, mode: bool = True) -> LossModule:
        """Switch dropout on or off; a frozen companion never has any."""
        super().train(mode)
        for model in self.models.frozen:
            model.eval()
        return self

    def _share(self, tensors: Tensors) -> Tensors:
        given = {name: tensor for name, tensor in tensors.items() if name != LENGTHS}
        return given if self.sequence is None else self.sequence.take(given)

    def _precision(self, tensors: Tensors) -> torch.autocast:
        device = next(iter(tensors.values())).device.type
        return torch.autocast(device, dtype=self.dtype, enabled=self.dtype != torch.float32)


@dataclass(frozen=True)
class StepLoss:
    """What the backward passes of one step found, over all ranks.

    Attributes:
        parts: Mean loss of each part, before its weight.
        total: The weighted sum of the parts: what was differentiated.
        num_tokens: Tokens read.
        signals: The sums of what each rank had to say.
    """

    parts: dict[str, float]
    total: float
    num_tokens: int
    signals: list[int]

    @property
    def columns(self) -> dict[str, float]:
        """The losses of metrics.jsonl: the whole, and its parts where there are several."""
        parts = {f"loss_{name}": value for name, value in self.parts.items()} if len(self.parts) > 1 else {}
        return {"loss": self.total, **parts}


class Gradients:
    """Accumulates gradients.

    Args:
        accelerator: Where the work is.
        module: The prepared `LossModule`.
        objective: What is learned.
        vocabulary: Its tokenizer's.
        plan: How the processes share the work.
        seed: Seed of what is random about a block.
        micro_blocks: Says of a batch how many of its blocks one forward pass takes.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        module: torch.nn.Module,
        objective: Objective,
        vocabulary: Vocabulary,
        *,
        plan: Plan,
        seed: int,
        micro_blocks: Callable[[Batch], int],
    ) -> None:
        self.accelerator, self.module, self.objective, self.vocabulary = accelerator, module, objective, vocabulary
        self.plan, self.seed, self.micro_blocks = plan, seed, micro_blocks

    @property
    def plain(self) -> LossModule:
        """The module itself, not wrapped."""
        return cast("LossModule", getattr(self.module, "module", self.module))

    def accumulate(self, batch: Batch, *, step: int, signals: list[int]) -> StepLoss:
        """Run the batch forward and backward.

        Args:
            batch: This rank's blocks.
            step: Steps done before, for errors.
            signals: Numbers that are summed over the ranks on the way, such as the flag that asks to stop.

        Raises:
            DataError: A part of the loss has no target in the whole batch, or an id is beyond the vocabulary.
        """
        collated = [self.collate(part) for part in self._split(batch)]
        names = list(collated[0][1])
        local = [sum(counts[name] for _, counts in collated) for name in names]
        once = int(self.plan.tells(self.accelerator.process_index))
        summed = self._sum([*(once * count for count in (*local, int(batch.num_tokens.sum()))), *signals])
        counts = dict(zip(names, summed, strict=False))
        for name, count in counts.items():
            if count == 0:
                raise DataError(
                    f"step {step + 1} has nothing to learn from: no {name} with a target",
                    hint="raise batch_tokens, or check what the data holds",
                )
        totals, weights = self._differentiate([tensors for tensors, _ in collated], counts)
        sum_partial_gradients(self.plain.model)
        totals *= self.plan.adds(self.accelerator.process_index)
        values = dict(zip(names, self._reduced(totals), strict=True))
        total = sum(weight * values[name] for name, weight in zip(names, weights, strict=True))
        return StepLoss(values, total, summed[len(names)], summed[len(names) + 1 :])

    def collate(self, batch: Batch) -> Collated:
        """Return the objective's tensors of some blocks and its counts; routers' losses have a target a block."""
        tensors, counts = self.objective.collate(batch, self.vocabulary, self.seed)
        routers = self.plain.routers
        if routers is None:
            return tensors, counts
        if "input_ids" in tensors and LENGTHS in batch.columns and tensors["input_ids"].shape == batch.input_ids.shape:
            tensors = {LENGTHS: torch.from_numpy(batch.num_tokens), **tensors}
        return tensors, {**counts, **dict.fromkeys(routers.weights, len(batch))}

    def dry_run(self, batch: Batch) -> None:
        """Run the first micro-batch forward and backward, leaving no trace in weights or random state.

        It finds out-of-memory before the first step, and gloo with three or more ranks repeats only after it.
        """
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            tensors, counts = self.collate(self._split(batch)[0])
            # Micro-batches may differ in size between processes: only those of a whole step are gathered.
            self._differentiate([tensors], {name: max(1, count) for name, count in counts.items()}, alone=True)
        self.module.zero_grad(set_to_none=True)

    def leaves_unused(self, batch: Batch) -> bool:
        """Tell whether a loss of the batch leaves trained weights without a gradient, on any process; no trace is left.

        DDP would wait for them. A picture's model looks up no word, and an encoder's head may go by its pooler.
        """
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            tensors, counts = self.collate(self._split(batch)[0])
            self._differentiate([tensors], {name: max(1, count) for name, count in counts.items()}, alone=True)
        unused = any(weight.requires_grad and weight.grad is None for weight in self.module.parameters())
        self.module.zero_grad(set_to_none=True)
        return self._sum([int(unused)])[0] > 0

    def _split(self, batch: Batch) -> list[Batch]:
        for ids in (column for name, column in batch.columns.items() if name.endswith("input_ids")):
            largest = int(ids.max(initial=0))
            if largest >= self.vocabulary.size:  # the embedding would only say that an index is out of range
                raise DataError(
                    f"data: the tokens hold the id {largest}, but the tokenizer has only {self.vocabulary.size}",
                    hint="they are damaged: llmkit lineage TOKENS --verify names the file",
                )
        size = self.micro_blocks(batch)
        return [batch.slice(start, start + size) for start in range(0, len(batch), size)]

    def _differentiate(
        self, micro: list[Tensors], counts: dict[str, int], *, alone: bool = False
    ) -> tuple[torch.Tensor, list[float]]:
        """Return each part's mean as far as this process adds to it, `[parts]`, and the parts' weights."""
        several = len(micro) > 1 or self.accelerator.num_processes > 1
        if self.objective.couples and several:  # else all rows are there at once: one pass has the same gradient
            return differentiate_coupled(self, micro, counts, alone=alone)
        totals = torch.zeros(len(counts), device=self.accelerator.device)
        weights: list[float] = []

        def forward(position: int) -> torch.Tensor:
            nonlocal totals, weights
            means, weights = mean_parts(self.module(self.placed(micro[position])), counts)
            totals += means.detach().float()
            return weighted(means, weights)

        self.backward(forward, len(micro))
        return totals, weights

    def placed(self, tensors: Tensors) -> Tensors:
        """Return tensors where the model is."""
        return {name: tensor.to(self.accelerator.device, non_blocking=True) for name, tensor in tensors.items()}

    def backward(self, forward: Callable[[int], torch.Tensor], num_micro: int) -> None:
        """Backpropagate what `forward` returns for each micro-batch; gradients travel once, with the last one."""
        for position in range(num_micro):
            with nullcontext() if position == num_micro - 1 else self.accelerator.no_sync(self.module):
                # DDP and FSDP average over the ranks with different tokens, the counts are global already.
                self.accelerator.backward(forward(position) * self.plan.averaged)

    def _sum(self, numbers: list[int]) -> list[int]:
        if self.accelerator.num_processes == 1:
            return numbers
        tensor = torch.tensor(numbers, dtype=torch.int64, device=self.accelerator.device)
        summed: list[int] = self.accelerator.reduce(tensor, "sum").tolist()
        return summed

    def _reduced(self, totals: torch.Tensor) -> list[float]:
        values: list[float] = self.accelerator.reduce(totals, "sum").tolist()
        return values
