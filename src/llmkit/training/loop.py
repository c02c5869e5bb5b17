"""THE training loop: pretraining and fine-tuning alike, on accelerate, exact to the bit over a kill and a resume.

Every step is a pure function of the state before it and its number: which blocks it reads, what is masked in them, and
the random state that dropout draws from. What is there before the first step is in setup.py; what a step computes, in
gradients.py; what ends the run, in budget.py.
"""

from __future__ import annotations

import math
import time
from typing import Any

import torch

from llmkit.core.errors import DivergedError, Interrupted
from llmkit.core.json import not_finite
from llmkit.core.progress import Progress
from llmkit.core.stop import Held, check, held
from llmkit.data.randomness import generator
from llmkit.modeling.dropout import use_torch
from llmkit.training import checkpoint
from llmkit.training.auto import eager
from llmkit.training.divergence import divergence
from llmkit.training.memory import has_copies
from llmkit.training.metrics import Meter
from llmkit.training.optimizers import lowest_lr, set_lr
from llmkit.training.placement import clip_gradients, gather, make_whole, total_norm
from llmkit.training.schedule import lr_factor
from llmkit.training.setup import Setup
from llmkit.training.snapshot import TrainState
from llmkit.training.timed import Timer
from llmkit.training.validation import validate
from llmkit.training.watch import Watch, open_watch
from llmkit.training.written import write_answers


class Trainer(Setup):
    """One training run; `setup.py` has what it is given and what it has when it begins."""

    def train(self) -> TrainState:
        """Train to the end and return what was reached.

        Raises:
            Interrupted: SIGINT or SIGTERM; the state is saved.
            DivergedError: The loss is not a number.
        """
        check()
        # Alone on a CPU the first step itself is the first pass; elsewhere it would run out of memory, compile, or set
        # up its processes in the middle of a step.
        if self.device.type != "cpu" or self.accelerator.num_processes > 1 or self.state.resolved["compile"]:
            self.gradients.dry_run(self._share(self._blocks(self.state.step)))
        start = time.monotonic() - self.state.elapsed_s
        settings = self.config.checkpoint
        writer = checkpoint.Writer(self.checkpoints, keep=settings.keep, background=settings.background)
        self.timer = Timer(settings.every_minutes, writer, self.room)
        progress = self.console.progress("training", total=self.budget.max_steps, unit="steps")
        try:
            with held() as stop, writer, progress, self._watch(progress) as watch:
                progress.begin_at(self.state.step)
                self.state.ended = self.budget.end(self.state, self.clock_s)
                if self._due(self.config.validate.every) or self.state.ended:
                    self._validate(watch, stop)  # before the first step, or the one that a resumed run still owes
                self._steps(watch, writer, stop, start)
            self._take_best()
            make_whole(self.plain)
        finally:
            use_torch(self.plain)
        return self.state

    def _steps(self, watch: Watch, writer: checkpoint.Writer, stop: Held, start: float) -> None:
        meter = Meter(self.state.tokens)
        while not (self.state.ended or self._stopped(stop)):
            row = self._step(stop)
            self.state.elapsed_s = time.monotonic() - start
            self.state.ended = self.budget.end(self.state, self.clock_s)
            row |= self._speed(meter.rate(self.state.tokens))
            watch.step(row)
            validating, regular = self._due(self.config.validate.every), self._due(self.config.log_every)
            last = bool(self.state.ended) or (validating and self.budget.may_end(self.state))
            if regular or last:
                watch.log({**row, **self._mean_losses()})
                meter = Meter(self.state.tokens)
            if regular:  # not at the last step: a run that extends this one logs as if it had never ended here
                self.state.losses.clear()
            if self._stopped(stop):
                break
            by_steps = last or self._due(self.config.checkpoint.every)
            if by_steps or self.by_time:
                self._save(writer, by_time=not by_steps)  # before validating, which may run out of memory
            if last or validating:
                self._validate(watch, stop)  # one that a signal cuts short is owed, and done by the resumed run
                meter = Meter(self.state.tokens)  # validating and sampling are no training
        if self._stopped(stop):
            self._save(writer)
            writer.wait()
            raise Interrupted(
                f"interrupted by {stop.name or 'SIGTERM'} after step {self.state.step:,}; the state is saved",
                hint="run the same command again to go on",
            )

    def _stopped(self, stop: Held) -> bool:
        """Whether to stop: all ranks at the same step, so with several only what the last step agreed on counts."""
        return self.stopping or (stop.name is not None and self.accelerator.num_processes == 1)

    def _step(self, stop: Held) -> dict[str, Any]:
        """One optimizer step; returns its row for metrics.jsonl."""
        step, config = self.state.step, self.config
        # The random state is a function of where the run is: nothing to save, and nothing in between can shift it.
        rank = self.accelerator.process_index // self.plan.tensor  # those that split matrices drop out alike
        torch.manual_seed(int(generator(config.seed, step, rank).integers(2**63)))
        # Summed over ranks on the way: who was told to stop, what the first rank's clock says, and what it asks for.
        clock_ms = round(1000 * self.state.elapsed_s) if self.accelerator.is_main_process else 0
        numbers = self._blocks(step)
        asks = self.accelerator.is_main_process and self.timer.asks()
        signals = [int(stop.name is not None), clock_ms, int(asks)]
        found = self.gradients.accumulate(self._share(numbers), step=step, signals=signals)
        self.stopping, self.clock_s, self.by_time = found.signals[0] > 0, found.signals[1] / 1000, found.signals[2] > 0
        total = self.budget.total_steps(step, self.clock_s)
        factor = lr_factor(step, total_steps=total, schedule=config.schedule, batch_tokens=self.job.batch_tokens)
        lr = set_lr(self.optimizer, factor)
        norm = clip_gradients(self.trained, config.optimizer.max_grad_norm)
        if not (math.isfinite(found.total) and math.isfinite(norm)):
            raise self._diverged(f"step {step + 1}: the loss is {found.total} and the gradient norm {norm}", step)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.state.step += 1
        self.state.tokens += found.num_tokens
        self.state.losses.append(found.columns)
        epoch = round(self.feed.epoch_of(self.state.step * self.job.batch_blocks), 4)
        return {
            "step": self.state.step, "tokens": self.state.tokens, "epoch": epoch,
            "loss": found.total, "lr": lr, **lowest_lr(self.optimizer), "grad_norm": norm,
        }  # fmt: skip

    def _mean_losses(self) -> dict[str, float]:
        losses = self.state.losses
        return {name: sum(row[name] for row in losses) / len(losses) for name in losses[0]}

    def _speed(self, rate: float) -> dict[str, float]:
        return {
            "tokens_per_second": round(rate, 1),
            **self.utilization.of(rate),
            "elapsed_s": round(self.state.elapsed_s, 3),
        }

    def _validate(self, watch: Watch, stop: Held) -> None:
        if self.held_out is None:
            return
        with eager(self.state.resolved):
            scored = validate(
                self.held_out, self.gradients, batch_blocks=self.job.batch_blocks, stopped=lambda: self._stopped(stop)
            )
            place = self.directory if self.accelerator.is_main_process else None
            if scored is None:
                return
            written = write_answers(
                self.job, self.config.samples.count, self.state.step, self.plain.dtype, place,
                stopped=lambda: self._stopped(stop),
            )  # fmt: skip
            if written is None:
                return
            self.scored = scored
            row = {**scored.row(self.job.objective, self.held_out), **written}
            loss = row["validation_loss"]
            for name, value in not_finite(row):
                raise self._diverged(f"step {self.state.step}: the {name.replace('_', ' ')} is {value}", None)
            if is_best := self.best.count(row, self.state):
                self.best.keep(self.trained, self.optimizer, self.state, leads=self.accelerator.is_main_process)
            self.state.ended = self.state.ended or self.budget.end(self.state, self.clock_s)
            watch.validate({"step": self.state.step, "tokens": self.state.tokens, **row})
        more = [f"{row['bits_per_byte']:.4f} bits per byte"] if "bits_per_byte" in row else []
        more += [f"{name.replace('_', ' ')} {row[name]:.4f}" for name in self.job.objective.headline if name in row]
        more += ["the best so far"] if is_best and self.config.keep_best else []
        self.console.info(f"step {self.state.step:,}: validation loss {', '.join([f'{loss:.4f}', *more])}")

    def _take_best(self) -> None:
        """Go back to the weights of the best validation, and ask them once more, for the report."""
        if self.held_out is None or not self.best.take(self.trained, self.state):
            return
        self.console.info(f"the weights are those of step {self.state.best_step:,}, the best validation")
        with eager(self.state.resolved):
            self.scored = validate(
                self.held_out, self.gradients, batch_blocks=self.job.batch_blocks, stopped=lambda: False
            )

    def _diverged(self, what: str, step: int | None) -> DivergedError:
        return divergence(what, step, self.job, self.config.optimizer.lr, self.checkpoints)

    def _due(self, every: int) -> bool:
        return self.state.step % every == 0

    def _save(self, writer: checkpoint.Writer, *, by_time: bool = False) -> None:
        norm = total_norm(self.trained, of_gradients=False)
        if not math.isfinite(norm):  # the loss would tell at the next step, when the last good checkpoint is gone
            raise self._diverged(f"step {self.state.step}: the norm of the weights is {norm}", self.state.step - 1)
        if self.accelerator.is_main_process:
            copy = not by_time or has_copies(self.config)  # else no memory was counted for one
            writer.save(self.trained, self.optimizer, self.state, self.feed.state(), by_time=by_time, copy=copy)
            self.timer.saved()
        elif self.config.parallel.splits:
            gather(self.trained, self.optimizer)  # the first process needs what the others have
        self.accelerator.wait_for_everyone()

    def _watch(self, progress: Progress) -> Watch:
        dtype, total = self.plain.dtype, self.budget.max_steps
        place = self.directory if self.accelerator.is_main_process else None
        return open_watch(self.job, self.config, self.accelerator, progress, place, self.state.step, total, dtype)
