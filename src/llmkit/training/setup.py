"""A training with everything in its place before its first step: models, device, what `auto` means, its state.

What a step does is in loop.py; what it computes, in gradients.py.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from accelerate.utils import DistributedDataParallelKwargs, DistributedType

from llmkit.core.console import Console
from llmkit.data.artifacts import Model
from llmkit.modeling.cost import flops_per_token, measure_peak
from llmkit.modeling.dropout import use_counters
from llmkit.training import checkpoint
from llmkit.training.auto import check_batch, compile_bodies, resolve
from llmkit.training.best import Best
from llmkit.training.budget import Budget
from llmkit.training.config import TrainingConfig
from llmkit.training.fits import check_machine
from llmkit.training.gradients import Gradients, LossModule
from llmkit.training.job import Job
from llmkit.training.memory import check_room, checkpoint_room
from llmkit.training.metrics import Utilization
from llmkit.training.parallel import build_accelerator, check_splits, plan_parallel
from llmkit.training.placement import place
from llmkit.training.restart import check_left, find_start
from llmkit.training.rollouts import roll_out
from llmkit.training.snapshot import TrainState
from llmkit.training.validation import Scored
from llmkit.work.allocator import keep_freed_memory

if TYPE_CHECKING:
    from llmkit.data.packing import Batch


class Setup:
    """A training before its first step.

    Args:
        job: What is trained on what.
        config: The shared training fields.
        directory: The build's folder; checkpoints and metrics go there.
        console: For warnings and progress.
    """

    def __init__(self, job: Job, config: TrainingConfig, directory: Path, console: Console) -> None:
        self.job, self.config, self.directory, self.console = job, config, directory, console
        self.model, self.trained, self.feed = job.models.main, job.models.trained(), job.feed
        self.held_out = job.feed.held_out()
        self.budget = Budget(config, job)
        self._place()
        self.optimizer = config.optimizer.build(self.trained)
        if words := config.optimizer.rates(self.model):
            console.info(words)
        self.checkpoints = directory / Model.CHECKPOINTS
        self.best = Best(self.checkpoints, config.keep_best, job.objective, validated=self.held_out is not None)
        self.state = self._restore()
        self._choose()
        self.made = -1  # the last step whose blocks the model has made
        self.gradients = self._gradients()
        self.clock_s = self.state.elapsed_s  # the first rank's, which all follow
        self.stopping = False
        self.scored: Scored | None = None  # by the last validation

    def _place(self) -> None:
        """Bring the models to where they are trained; before the optimizer, whose state is alike."""
        config = self.config
        keep_freed_memory()
        self.accelerator = build_accelerator(config.parallel, self.model)
        self.plan = plan_parallel(config.parallel, self.accelerator.num_processes)
        check_batch(self.job, self.plan.readers)
        check_splits(self.job, config.parallel, config.adapted)
        self.device = self.accelerator.device
        self.flops_per_token = flops_per_token(self.model, config.context_length)
        self.room = checkpoint_room(self.job.models, config)
        if self.accelerator.is_main_process:
            check_room(self.job.models, config, self.directory)
        self.plain = LossModule(self.job.models, self.job.objective, torch.float32)
        place(self.plain, config, self.plan, self.device, self.console)

    def _choose(self) -> None:
        """Set what this run, or the one it goes on from, has chosen where the recipe says `auto`."""
        resolved, config = self.state.resolved, self.config
        dtype = self.plain.dtype = torch.bfloat16 if resolved["precision"] == "bf16" else torch.float32
        # Without this, two runs on CPU may differ in the last bit; it costs nothing there. On GPUs some operators have
        # no deterministic form. Filling new memory with NaN would cost, and finds no bug here.
        torch.use_deterministic_algorithms(self.device.type == "cpu")
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        processes = self.accelerator.num_processes
        check_machine(self.job.models, config, bf16=dtype == torch.bfloat16, num_processes=processes)
        self.plain.train()  # both ways of getting a model give it in eval mode, without dropout
        if resolved["compile"] and not config.parallel.splits:
            compile_bodies(self.model, same_width=self.feed.same_width)
        elif self.device.type == "cpu" and not config.parallel.splits:
            use_counters(self.plain)  # a compiled model draws its own, and one in parts has classes of its own
        per_token, say = self.flops_per_token, self.console.info
        self.utilization = Utilization(per_token, lambda: measure_peak(self.model, dtype), processes, say)

    def _gradients(self) -> Gradients:
        micro_tokens = self.state.resolved["micro_batch_tokens"]
        found = Gradients(
            self.accelerator, self.plain, self.job.objective, self.job.vocabulary, plan=self.plan,
            seed=self.config.seed, micro_blocks=lambda batch: self.feed.micro_blocks(batch, micro_tokens),
        )  # fmt: skip
        if self.config.parallel.splits:
            return found
        wraps = self.accelerator.distributed_type != DistributedType.NO  # also one process that a launcher has started
        if wraps and found.leaves_unused(self._share(self._blocks(self.state.step))):
            self.accelerator.ddp_handler = DistributedDataParallelKwargs(find_unused_parameters=True)
        found.module = self.accelerator.prepare(self.plain)
        return found

    def _restore(self) -> TrainState:
        """Go on from a checkpoint, or start with every `auto` resolved."""
        path = find_start(self.checkpoints, self.job.resume_from, self.accelerator, self.console)
        if path is None:
            steps = self.budget.max_steps
            flops = math.inf if steps is None else self.flops_per_token * self.job.batch_tokens * steps
            resolved = resolve(self.config, device=self.device.type, flops=flops)
            return TrainState(step=0, tokens=0, elapsed_s=0.0, resolved=resolved)
        state = checkpoint.load(path, self.trained, self.optimizer, self.feed)
        # One of another run may be gone on from: what this recipe says is not overruled by what was chosen there.
        state.resolved |= {name: own for name in state.resolved if (own := getattr(self.config, name)) != "auto"}
        check_left(state, self.budget, path, begins=path == self.job.resume_from)
        if self.accelerator.is_main_process:
            checkpoint.rewind(self.checkpoints, state.step)
        self.best.resume(state, leads=self.accelerator.is_main_process)
        self.console.info(f"resumed at step {state.step:,}{self.budget.out_of}")
        state.ended = ""  # a raised budget goes on
        return state

    def _blocks(self, step: int) -> range:
        """Return the numbers of a step's blocks, made first where the model itself makes them."""
        numbers = range(step * self.job.batch_blocks, (step + 1) * self.job.batch_blocks)
        if self.feed.generates and step != self.made:  # the dry run's are those of the first step
            roll_out(self.feed, self.job.models, self._own(numbers), self.accelerator)
            self.made = step
        return numbers

    def _share(self, numbers: range) -> Batch:
        """Return this rank's blocks of a step."""
        return self.feed.batch(self._own(numbers))

    def _own(self, numbers: range) -> range:
        size = len(numbers) // self.plan.readers
        first = self.plan.reader(self.accelerator.process_index) * size
        return numbers[first : first + size]
