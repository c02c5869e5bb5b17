"""THE training loop: pretraining and fine-tuning alike, on accelerate, exact to the bit over a kill and a resume.

One optimizer step: read the batch of this step (a pure function of seed and step), count its targets over all
micro-batches and ranks, then backpropagate the sum of weight * total / count. So 1 x 8, 2 x 4 and 4 x 2 blocks give the
same numbers for every objective.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator

from llmkit.core.console import Console
from llmkit.core.doctor import has_bf16
from llmkit.core.errors import ConfigError, DataError, DivergedError, Interrupted
from llmkit.core.progress import Progress
from llmkit.data.order import Order
from llmkit.data.packing import Batch, Packer
from llmkit.objectives import Objective
from llmkit.training import checkpoint
from llmkit.training.checkpoint import TrainState
from llmkit.training.config import TrainingConfig
from llmkit.training.metrics import Meter, MetricsFile
from llmkit.training.optim import build_optimizer
from llmkit.training.schedule import learning_rate, total_steps
from llmkit.training.stop import StopSignal
from llmkit.training.utilization import flops_per_token, measure_peak

if TYPE_CHECKING:
    from transformers import PreTrainedModel

AUTO_MICRO_BATCH_TOKENS = 16384


@dataclass(frozen=True)
class Validation:
    """Held-out data: every target is scored exactly once.

    Attributes:
        packer: The blocks, in order.
        num_bytes: UTF-8 bytes that the targets stand for.
    """

    packer: Packer
    num_bytes: int


class LossModule(torch.nn.Module):
    """Model and objective as one module: under DDP, gradients are only synchronized through the wrapper's forward."""

    def __init__(self, model: PreTrainedModel, objective: Objective, dtype: torch.dtype) -> None:
        super().__init__()
        self.model = model
        self.objective = objective
        self.dtype = dtype

    def forward(self, batch: dict[str, torch.Tensor]) -> dict[str, tuple[torch.Tensor, float]]:
        """Return the objective's parts for one micro-batch."""
        device = batch["input_ids"].device.type
        with torch.autocast(device, dtype=self.dtype, enabled=self.dtype != torch.float32):
            return self.objective.loss(self.model, batch)


class Trainer:
    """One training run.

    Args:
        model: The model, initialized.
        objective: What it is trained to do.
        data: The endless stream of training blocks.
        validation: Held-out blocks, if there are any.
        config: The shared training fields.
        directory: The build's folder; checkpoints and metrics go there.
        console: For messages and progress.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        objective: Objective,
        data: Order,
        validation: Validation | None,
        config: TrainingConfig,
        directory: Path,
        console: Console,
    ) -> None:
        self.model, self.objective, self.data, self.validation = model, objective, data, validation
        self.config, self.directory, self.console = config, directory, console
        self.max_steps = total_steps(config, data)
        self.accelerator = Accelerator(cpu=not torch.cuda.is_available(), mixed_precision="no")
        model.to(self.accelerator.device)  # first: a restored optimizer state goes to where its parameters are
        self.optimizer = build_optimizer(model, config.optimizer)
        self.checkpoints = directory / "checkpoints"
        self.state = self._restore()
        dtype = torch.bfloat16 if self.state.resolved["precision"] == "bf16" else torch.float32
        # Without this, two runs on CPU may differ in the last bit; it costs nothing there. On GPUs some operators have
        # no deterministic form, and nothing is promised.
        torch.use_deterministic_algorithms(self.accelerator.device.type == "cpu")
        model.train()  # both ways of getting a model give it in eval mode, without dropout
        self.module = self.accelerator.prepare(LossModule(model, objective, dtype))
        self.flops_per_token = flops_per_token(model, config.context_length)
        self.peak_flops = measure_peak(model, dtype)
        if config.batch_blocks % self.accelerator.num_processes:
            raise ConfigError(
                f"batch_tokens: {config.batch_blocks} blocks cannot be shared by"
                f" {self.accelerator.num_processes} processes"
            )

    def _restore(self) -> TrainState:
        """Go on from the newest whole checkpoint, or start with every `auto` resolved."""
        path, torn = checkpoint.latest(self.checkpoints)
        for broken in torn:
            self.console.warn(f"{broken} is incomplete and not used")
        if path is not None:
            state = checkpoint.load(path, self.model, self.optimizer)
            self.console.info(f"resumed at step {state.step:,} of {self.max_steps:,}")
            return state
        torch.manual_seed(self.config.seed)
        precision, micro = self.config.precision, self.config.micro_batch_tokens
        if precision == "auto":
            precision = "bf16" if torch.cuda.is_available() or has_bf16() else "float32"
        if micro == "auto":
            micro = min(self.config.batch_tokens, AUTO_MICRO_BATCH_TOKENS)
        return TrainState(
            step=0, tokens=0, elapsed_s=0.0, resolved={"precision": precision, "micro_batch_tokens": micro}
        )

    def train(self) -> dict[str, Any]:
        """Train to the end and return what was reached.

        Raises:
            Interrupted: SIGINT or SIGTERM; the state is saved.
            DivergedError: The loss is not a number.
        """
        self._dry_run()
        metrics = MetricsFile(self.directory, self.state.step)
        start = time.monotonic() - self.state.elapsed_s
        progress = self.console.progress("training", total=self.max_steps, unit="steps")
        with StopSignal() as stop, progress:
            progress.begin_at(self.state.step)
            if self._due(self.config.validate.every) or self.state.step == self.max_steps:
                self._validate(metrics, stop)  # before the first step, or the one that a resumed run still owes
            self._steps(metrics, stop, progress, start)
        return {"steps": self.state.step, "tokens": self.state.tokens}

    def _steps(self, metrics: MetricsFile, stop: StopSignal, progress: Progress, start: float) -> None:
        meter = Meter(self.state.tokens)
        while self.state.step < self.max_steps:
            row = self._step(stop)
            self.state.elapsed_s = time.monotonic() - start
            self.state.losses.append(row["loss"])
            rate = meter.rate(self.state.tokens)
            progress.advance(1, f"loss {row['loss']:.3f}, {rate:,.0f} tokens/s")
            last, regular = self.state.step == self.max_steps, self._due(self.config.log_every)
            if regular or last:
                speed = {
                    "tokens_per_second": round(rate, 1),
                    "utilization": round(rate * self.flops_per_token / self.peak_flops, 4),
                    "elapsed_s": round(self.state.elapsed_s, 3),
                }
                metrics.write({**row, "loss": sum(self.state.losses) / len(self.state.losses), **speed})
                meter = Meter(self.state.tokens)
            if regular:  # not at the last step: a run that extends this one logs as if it had never ended here
                self.state.losses.clear()
            if stop.name:
                break
            if last or self._due(self.config.checkpoint.every):
                self._save()  # before validating, which may run out of memory
            if last or self._due(self.config.validate.every):
                self._validate(metrics, stop)
        if stop.name:
            self._save()
            raise Interrupted(
                f"interrupted by {stop.name} after step {self.state.step:,}; the state is saved",
                hint="run the same command again to go on",
            )

    def _step(self, stop: StopSignal) -> dict[str, Any]:
        """One optimizer step; returns its row for metrics.jsonl."""
        step, config = self.state.step, self.config
        micro_batches = self._micro_batches(self._share(step))
        collated = [self.objective.collate(batch) for batch in micro_batches]
        counts, num_tokens = self._global_counts(collated, micro_batches, stop)
        lr = learning_rate(step, peak=config.optimizer.lr, total_steps=self.max_steps, schedule=config.schedule)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        loss = torch.zeros((), device=self.accelerator.device)
        for position, (tensors, _) in enumerate(collated):
            if position < len(collated) - 1:
                with self.accelerator.no_sync(self.module):  # gradients travel once a step, with the last micro-batch
                    loss += self._forward_backward(tensors, counts)
            else:
                loss += self._forward_backward(tensors, counts)
        value = float(self.accelerator.reduce(loss, "sum"))
        norm = float(torch.nn.utils.clip_grad_norm_(self.model.parameters(), config.optimizer.max_grad_norm))
        if not (math.isfinite(value) and math.isfinite(norm)):
            raise self._diverged(f"step {step + 1}: the loss is {value} and the gradient norm {norm}")
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.state.step += 1
        self.state.tokens += num_tokens
        epoch = round(self.data.epoch_of(self.state.step * config.batch_blocks), 4)
        return {
            "step": self.state.step, "tokens": self.state.tokens, "epoch": epoch,
            "loss": value, "lr": lr, "grad_norm": norm,
        }  # fmt: skip

    def _forward_backward(self, tensors: dict[str, torch.Tensor], counts: dict[str, int]) -> torch.Tensor:
        tensors = {name: tensor.to(self.accelerator.device, non_blocking=True) for name, tensor in tensors.items()}
        parts = self.module(tensors)
        loss = torch.stack([weight * total / counts[name] for name, (total, weight) in parts.items()]).sum()
        # DDP averages over ranks, the counts are global already.
        self.accelerator.backward(loss * self.accelerator.num_processes)
        return loss.detach()

    def _share(self, step: int) -> Batch:
        """Return this rank's blocks of a step."""
        blocks, ranks = self.config.batch_blocks, self.accelerator.num_processes
        first = step * blocks + self.accelerator.process_index * blocks // ranks
        return self.data.blocks(range(first, first + blocks // ranks))

    def _micro_batches(self, batch: Batch) -> list[Batch]:
        size = max(1, int(self.state.resolved["micro_batch_tokens"]) // self.config.context_length)
        return [batch.slice(start, start + size) for start in range(0, len(batch.input_ids), size)]

    def _global_counts(self, collated: list[Any], batches: list[Batch], stop: StopSignal) -> tuple[dict[str, int], int]:
        """Sum targets and tokens over micro-batches and ranks; a rank's stop flag reaches all of them with it."""
        names = list(collated[0][1])
        local = [sum(counts[name] for _, counts in collated) for name in names]
        local += [int(sum(batch.num_tokens.sum() for batch in batches)), int(stop.name is not None)]
        if self.accelerator.num_processes > 1:
            tensor = torch.tensor(local, device=self.accelerator.device)
            local = self.accelerator.reduce(tensor, "sum").tolist()
        if local[-1] and stop.name is None:
            stop.name = "SIGTERM"
        counts = dict(zip(names, local, strict=False))
        for name, count in counts.items():
            if count == 0:
                raise DataError(
                    f"step {self.state.step + 1} has nothing to learn from: no {name} with a target",
                    hint="raise batch_tokens, or check that the data has assistant messages",
                )
        return counts, local[-2]

    def _dry_run(self) -> None:
        """Run one batch forward and backward without a step, leaving no trace in weights or random state.

        It finds out-of-memory before the first step, and gloo with three or more ranks repeats only after it.
        """
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            first = self._micro_batches(self._share(self.state.step))[0]
            tensors, counts = self.objective.collate(first)
            self._forward_backward(tensors, {name: max(1, count) for name, count in counts.items()})
        self.optimizer.zero_grad(set_to_none=True)

    def _validate(self, metrics: MetricsFile, stop: StopSignal | None) -> dict[str, Any] | None:
        """Score every held-out target once; None if there are none, or if a signal came in between."""
        if self.validation is None:
            return None
        packer, ranks, rank = self.validation.packer, self.accelerator.num_processes, self.accelerator.process_index
        size = max(1, int(self.state.resolved["micro_batch_tokens"]) // self.config.context_length)
        sums = torch.zeros(2, dtype=torch.float64, device=self.accelerator.device)
        self.model.eval()
        indices = list(range(packer.num_blocks(0)))[rank::ranks]
        for start in range(0, len(indices), size):
            if stop is not None and stop.name is not None and ranks == 1:
                break
            tensors, counts = self.objective.collate(packer.blocks(0, indices[start : start + size]))
            with torch.no_grad():
                parts = self.module({name: tensor.to(self.accelerator.device) for name, tensor in tensors.items()})
            sums[0] += sum(weight * total.double() for total, weight in parts.values())
            sums[1] += sum(counts.values())
        else:
            self.model.train()
            nats, targets = self.accelerator.reduce(sums, "sum").tolist()
            if not math.isfinite(nats):
                raise self._diverged(f"step {self.state.step}: the validation loss is {nats}")
            row = {
                "step": self.state.step,
                "tokens": self.state.tokens,
                "validation_loss": nats / max(targets, 1),
                "bits_per_byte": nats / max(self.validation.num_bytes, 1) / math.log(2),
            }
            metrics.write(row)
            bits = f"{row['bits_per_byte']:.4f} bits per byte"
            self.console.info(f"step {self.state.step:,}: validation loss {row['validation_loss']:.4f}, {bits}")
            return row
        self.model.train()
        return None

    def _diverged(self, what: str) -> DivergedError:
        lower = f"{self.config.optimizer.lr / 3:.2g}"
        return DivergedError(what, hint=f"lower the learning rate, such as --set optimizer.lr={lower}")

    def _due(self, every: int) -> bool:
        return self.state.step % every == 0

    def _save(self) -> None:
        if self.accelerator.is_main_process:
            checkpoint.save(self.checkpoints, self.model, self.optimizer, self.state, keep=self.config.checkpoint.keep)
        self.accelerator.wait_for_everyone()
