"""Score held-out data in the middle of a training: every target once, and nothing of the training changed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from llmkit.data.feeds import HeldOut
    from llmkit.data.packing import Batch
    from llmkit.objectives import Losses, Objective
    from llmkit.training.gradients import Gradients


@dataclass
class Scored:
    """What has been found of the held-out blocks.

    Attributes:
        nats: Summed loss of each part.
        targets: How many each part has.
        weights: Of the parts.
        answers: What the model said of each row, by the row's position, where the objective measures that.
    """

    nats: dict[str, float] = field(default_factory=dict)
    targets: dict[str, int] = field(default_factory=dict)
    weights: dict[str, float] = field(default_factory=dict)
    answers: dict[int, Any] = field(default_factory=dict)

    @property
    def ordered(self) -> list[Any]:
        """The answers in the order of the rows."""
        return [self.answers[position] for position in sorted(self.answers)]

    def row(self, objective: Objective, held_out: HeldOut) -> dict[str, Any]:
        """Return the row of metrics.jsonl.

        `validation_loss`, each part's loss if there are several, bits per byte where they mean something, and the
        objective's own measures. Bits per byte are of the bytes that the tokenizer read; where it did not read more
        than a hundredth there are none, see `Unread`.
        """
        means = {name: self.nats[name] / max(self.targets[name], 1) for name in self.nats}
        row: dict[str, Any] = {"validation_loss": sum(self.weights[name] * mean for name, mean in means.items())}
        if len(means) > 1:
            row |= {f"validation_loss_{name}": mean for name, mean in means.items()}
        if objective.scores_text and not held_out.unread.is_too_much(held_out.num_bytes):
            read = max(held_out.num_bytes - held_out.unread.total, 1)
            row["bits_per_byte"] = next(iter(self.nats.values())) / read / math.log(2)
        if self.answers:
            row |= objective.measures(self.ordered)
        return row


def validate(
    held_out: HeldOut, gradients: Gradients, *, batch_blocks: int, stopped: Callable[[], bool]
) -> Scored | None:
    """Score held-out blocks; of several processes each a part of them.

    What is random about a block (masks, noise) depends on its number only, so that two validations compare.

    Args:
        held_out: The blocks.
        gradients: How training cuts and collates; a compiled body is to be run eagerly, see the loop.
        batch_blocks: Blocks of a step: a loss that couples rows is that of so many at a time.
        stopped: Whether a signal came in between.

    Returns:
        None if it was stopped.
    """
    scored, module = Scored(), gradients.plain
    size = gradients.micro_blocks(held_out.blocks([0]))
    module.eval()
    try:
        for mine in _shares(held_out.num_blocks, gradients, batch_blocks if gradients.objective.couples else size):
            if stopped():
                return None
            # Sharded layers need all ranks: one without blocks of its own joins with any.
            _score(held_out.blocks(mine or [0]), scored if mine else Scored(), gradients, size)
    finally:
        module.train()
    return _summed(gradients, scored)


def _shares(num_blocks: int, gradients: Gradients, size: int) -> Iterator[Sequence[int]]:
    """Yield the blocks that this process scores together; as many times on every process, none at the end of some."""
    plan, reader = gradients.plan, gradients.plan.reader(gradients.accelerator.process_index)
    if gradients.objective.couples:
        groups = [range(start, min(start + size, num_blocks)) for start in range(0, num_blocks, size)]
        mine: list[Sequence[int]] = list(groups[reader :: plan.readers])
        yield from mine + [()] * (-(-len(groups) // plan.readers) - len(mine))
        return
    indices = range(num_blocks)[reader :: plan.readers]
    for start in range(0, -(-num_blocks // plan.readers), size):
        yield indices[start : start + size]


@torch.no_grad()
def _score(batch: Batch, scored: Scored, gradients: Gradients, size: int) -> None:
    objective, plan, rank = gradients.objective, gradients.plan, gradients.accelerator.process_index
    counts: dict[str, int] = {}
    found: list[Mapping[str, torch.Tensor]] = []
    losses: list[Losses] = []
    for start in range(0, len(batch), size):
        part = batch.slice(start, start + size)
        tensors, targets = gradients.collate(part)
        counts = {name: counts.get(name, 0) + count for name, count in targets.items()}
        if not (objective.couples or objective.measured):
            losses.append(gradients.plain(gradients.placed(tensors)))
            continue
        outputs = gradients.plain.outputs(gradients.placed(tensors))
        found.append(outputs)
        if objective.measured:
            scored.answers |= dict(zip(part.numbers.tolist(), objective.answers(outputs), strict=True))
        if not objective.couples:
            losses.append(objective.loss_of(outputs))
    if objective.couples:
        losses.append(objective.loss_of({name: torch.cat([part[name] for part in found]) for name in found[0]}))
    for name, (total, weight) in ((name, part) for parts in losses for name, part in parts.items()):
        scored.weights[name] = weight
        scored.nats[name] = scored.nats.get(name, 0.0) + plan.adds(rank) * float(total.double())
    for name, count in counts.items():
        scored.targets[name] = scored.targets.get(name, 0) + plan.tells(rank) * count


def _summed(gradients: Gradients, own: Scored) -> Scored:
    """Put the ranks' findings together; a rank without blocks has nothing to add, but takes part."""
    if gradients.accelerator.num_processes == 1:
        return own
    from accelerate.utils import gather_object

    every: list[Scored] = gather_object([own])
    answers = {position: answer for scored in every for position, answer in scored.answers.items()}
    return Scored(
        {name: math.fsum(scored.nats.get(name, 0.0) for scored in every) for name in every[0].nats},
        {name: sum(scored.targets.get(name, 0) for scored in every) for name in every[0].nats},
        every[0].weights,
        answers,
    )
