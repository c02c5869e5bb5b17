"""The same weights and batches through llmkit's loop and through transformers.Trainer: 200 steps, the same losses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, SequentialSampler
from transformers import Trainer, TrainingArguments

from llmkit.data.order import Order
from llmkit.data.packing import RowPacker
from llmkit.objectives.rows.sft import SFT
from llmkit.training import loop
from llmkit.training.metrics import read_metrics
from tiny import BOS, CONTEXT, VOCABULARY, encoded, model, one_thread, trainer

STEPS, BLOCKS, LR, WARMUP = 200, 4, 5e-3, 20


def rows() -> list[tuple[list[int], list[int]]]:
    """Documents that fill a block each, so that neither side has padding or a border inside a block to treat."""
    made = []
    for i in range(150):
        ids = [BOS, *(2 + (7 * i + 3 * j * (1 + i % 2)) % (VOCABULARY - 2) for j in range(CONTEXT - 1))]
        made.append((ids, [*ids[1:], -100]))
    return made


class Blocks(Dataset):
    """The blocks of llmkit's stream, in its order."""

    def __init__(self, order: Order) -> None:
        self.order = order

    def __len__(self) -> int:
        return STEPS * BLOCKS

    def __getitem__(self, k: int) -> dict[str, torch.Tensor]:
        ids = torch.from_numpy(self.order.batch([k]).input_ids[0])
        return {"input_ids": ids, "labels": ids}


class InOrder(Trainer):
    """A Trainer that does not shuffle and keeps its losses as they are, not rounded."""

    def _get_train_sampler(self, *_):
        return SequentialSampler(self.train_dataset)

    def compute_loss(self, *arguments, **options):
        loss = super().compute_loss(*arguments, **options)
        self.losses.append(loss.item())
        return loss


def reference(folder, accumulation):
    arguments = TrainingArguments(
        output_dir=folder, max_steps=STEPS, per_device_train_batch_size=BLOCKS // accumulation,
        gradient_accumulation_steps=accumulation, learning_rate=LR, lr_scheduler_type="linear", warmup_steps=WARMUP,
        weight_decay=0.1, adam_beta1=0.9, adam_beta2=0.95, adam_epsilon=1e-8, max_grad_norm=1.0, optim="adamw_torch",
        use_cpu=True, report_to=[], save_strategy="no", logging_steps=1, disable_tqdm=True, seed=0,
        dataloader_num_workers=0, dataloader_pin_memory=False, log_level="error",
    )  # fmt: skip
    built = model()
    job = InOrder(model=built, args=arguments, train_dataset=Blocks(Order(RowPacker(encoded(rows()), CONTEXT, seed=3))))
    job.losses = []
    job.train()
    losses = np.array(job.losses).reshape(STEPS, accumulation).sum(axis=1)
    logged = [row for row in job.state.log_history if "grad_norm" in row]
    return losses, [row["grad_norm"] for row in logged], [row["learning_rate"] for row in logged], built


@pytest.mark.slow
@pytest.mark.parametrize("accumulation", [1, 2])
def test_two_hundred_steps_are_those_of_transformers_trainer(tmp_path, accumulation):
    with one_thread():
        losses, norms, rates, expected = reference(tmp_path / "reference", accumulation)
        job = trainer(
            tmp_path,
            packer=RowPacker(encoded(rows()), CONTEXT, seed=3),
            objective=SFT(),
            max_steps=STEPS,
            batch_tokens=BLOCKS * CONTEXT,
            micro_batch_tokens=BLOCKS * CONTEXT // accumulation,
            optimizer={"lr": LR, "weight_decay": 0.1},
        )
        # Trainer warms up from 0 and reaches 0 only behind the last step; llmkit does neither, so it takes these rates.
        taken = iter(rates)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loop, "lr_factor", lambda *_, **__: next(taken) / LR)
            job.train()
    found = read_metrics(tmp_path)
    assert losses[-1] < losses[0] - 0.5, "the model must have learned something"
    assert max(norms) > 1, "clipping must have had something to do"
    assert [row["lr"] for row in found] == pytest.approx(rates, rel=1e-12)
    np.testing.assert_allclose([row["loss"] for row in found], losses, rtol=0, atol=1e-4)
    np.testing.assert_allclose([row["grad_norm"] for row in found], norms, rtol=1e-3, atol=1e-4)
    for (name, one), other in zip(job.model.named_parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-3, msg=lambda text, name=name: f"{name}: {text}")
