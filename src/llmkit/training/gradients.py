"""The gradient of one optimizer step, the same whether a batch is taken at once, in parts, or by several processes.

Targets are counted over all micro-batches and ranks before the first backward pass; then the sum over parts of
weight * total / count is backpropagated. So 1 x 8, 2 x 4 and 4 x 2 blocks give the same numbers for every objective.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from llmkit.core.errors import DataError
from llmkit.data.packing import Batch
from llmkit.objectives import Objective
from llmkit.training.tensor import sum_partial_gradients

if TYPE_CHECKING:
    from accelerate import Accelerator
    from transformers import PreTrainedModel

    from llmkit.modeling.vocabulary import Vocabulary
    from llmkit.training.parallel import Plan
    from llmkit.training.sequence import SequenceSplit

Tensors = dict[str, torch.Tensor]


class LossModule(torch.nn.Module):
    """Model and objective as one module: under DDP, gradients are only synchronized through the wrapper's forward."""

    def __init__(self, model: PreTrainedModel, objective: Objective, dtype: torch.dtype) -> None:
        super().__init__()
        self.model = model
        self.objective = objective
        self.dtype = dtype
        self.sequence: SequenceSplit | None = None

    def forward(self, tensors: Tensors) -> dict[str, tuple[torch.Tensor, float]]:
        """Return the objective's parts for one micro-batch."""
        device = tensors["input_ids"].device.type
        if self.sequence is not None:
            tensors = self.sequence.take(tensors)
        with torch.autocast(device, dtype=self.dtype, enabled=self.dtype != torch.float32):
            return self.objective.loss(self.model, tensors)


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
        micro_blocks: Blocks per forward pass.
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
        micro_blocks: int,
    ) -> None:
        self.accelerator, self.module, self.objective, self.vocabulary = accelerator, module, objective, vocabulary
        self.plan, self.seed, self.micro_blocks = plan, seed, micro_blocks

    def accumulate(self, batch: Batch, *, step: int, signals: list[int]) -> StepLoss:
        """Run the batch forward and backward.

        Args:
            batch: This rank's blocks.
            step: Steps done before, for errors.
            signals: Numbers that are summed over the ranks on the way, such as the flag that asks to stop.

        Raises:
            DataError: A part of the loss has no target in the whole batch, or an id is beyond the vocabulary.
        """
        micro = self._split(batch)
        collated = [self.objective.collate(part, self.vocabulary, self.seed) for part in micro]
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
        totals = torch.zeros(len(names), device=self.accelerator.device)
        for position, (tensors, _) in enumerate(collated):
            if position < len(collated) - 1:
                with self.accelerator.no_sync(self.module):  # gradients travel once a step, with the last micro-batch
                    totals += self._backward(tensors, counts)[0]
            else:
                found, weights = self._backward(tensors, counts)
                totals += found
        sum_partial_gradients(getattr(self.module, "module", self.module).model)
        totals *= self.plan.adds(self.accelerator.process_index)
        values = dict(zip(names, self._reduced(totals), strict=True))
        total = sum(weight * values[name] for name, weight in zip(names, weights, strict=True))
        return StepLoss(values, total, summed[len(names)], summed[len(names) + 1 :])

    def dry_run(self, batch: Batch) -> None:
        """Run the first micro-batch forward and backward, leaving no trace in weights or random state.

        It finds out-of-memory before the first step, and gloo with three or more ranks repeats only after it.
        """
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            tensors, counts = self.objective.collate(self._split(batch)[0], self.vocabulary, self.seed)
            self._backward(tensors, {name: max(1, count) for name, count in counts.items()})
        self.module.zero_grad(set_to_none=True)

    def _split(self, batch: Batch) -> list[Batch]:
        largest = int(batch.input_ids.max())
        if largest >= self.vocabulary.size:  # the embedding would only say that an index is out of range
            raise DataError(
                f"data: the tokens hold the id {largest}, but the tokenizer has only {self.vocabulary.size}",
                hint="they are damaged: llmkit lineage TOKENS --verify names the file",
            )
        size = self.micro_blocks
        return [batch.slice(start, start + size) for start in range(0, len(batch.input_ids), size)]

    def _backward(self, tensors: Tensors, counts: dict[str, int]) -> tuple[torch.Tensor, list[float]]:
        """Return each part's share of its mean, `[parts]`, and the parts' weights."""
        parts = self.module(
            {name: tensor.to(self.accelerator.device, non_blocking=True) for name, tensor in tensors.items()}
        )
        means = torch.stack([parts[name][0] / count for name, count in counts.items()])
        weights = [parts[name][1] for name in counts]
        # DDP and FSDP average over the ranks with different tokens, the counts are global already.
        loss = sum(weight * mean for weight, mean in zip(weights, means, strict=True))
        self.accelerator.backward(loss * self.plan.averaged)
        return means.detach().float(), weights

    def _sum(self, numbers: list[int]) -> list[int]:
        if self.accelerator.num_processes == 1:
            return numbers
        tensor = torch.tensor(numbers, dtype=torch.int64, device=self.accelerator.device)
        summed: list[int] = self.accelerator.reduce(tensor, "sum").tolist()
        return summed

    def _reduced(self, totals: torch.Tensor) -> list[float]:
        values: list[float] = self.accelerator.reduce(totals, "sum").tolist()
        return values
