"""What this machine can hold, compared with what a run needs before its first step.

Out of memory on a CPU is a SIGKILL, not an exception: it must be seen coming.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from llmkit.core import doctor
from llmkit.core.errors import ConfigError, MemoryLimitError, SetupError
from llmkit.core.page import size
from llmkit.data.artifacts import Model
from llmkit.modeling.adapters import trained_parameters
from llmkit.modeling.companions import Models
from llmkit.modeling.cost import Memory, estimate_memory, optimizer_bytes
from llmkit.modeling.heads import head_of
from llmkit.training.auto import most_at_once
from llmkit.training.resume import checkpoints_in

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from llmkit.training.config import TrainingConfig

CGROUPS = Path("/sys/fs/cgroup")
MARGIN = 1.25
"""A run is refused where the estimate is so many times what is there: it was up to 1.14 times what runs then took."""
OUT_OF_MEMORY = ("not enough memory", "can't allocate memory", "Cannot allocate memory", "out of memory", "bad_alloc")
"""What torch's allocators and the system say."""


def memory_limit(own: Path = Path("/proc/self/cgroup"), root: Path = CGROUPS) -> int:
    """Return the bytes this process may use: the least of the machine's memory and its cgroups' limits.

    A job of a cluster's scheduler is in a group of its own below the root, and each group above it limits it as well.

    Args:
        own: File that names the process's groups.
        root: Where cgroups are mounted.
    """
    limits = [doctor.memory_limit()]
    try:
        lines = own.read_text(encoding="ascii").splitlines()
    except OSError:
        return limits[0]
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory") and "memory" not in controllers.split(","):
            continue
        top, name = (root, "memory.max") if not controllers else (root / "memory", "memory.limit_in_bytes")
        group = top / path.lstrip("/")
        for folder in [group, *group.parents]:
            if folder == top.parent:
                break
            try:
                limits.append(int((folder / name).read_text(encoding="ascii")))
            except (OSError, ValueError):  # "max", or no such controller here
                continue
    return min(limits)


def device_limit() -> int:
    """Return the bytes of the device that trains: the current GPU's, else `memory_limit()`."""
    return int(torch.cuda.mem_get_info()[1]) if torch.cuda.is_available() else memory_limit()


def micro_batch_tokens(config: TrainingConfig, num_processes: int = 1) -> int:
    """Return the tokens of one forward pass of one process."""
    tokens = config.micro_batch_tokens
    device = "cuda" if torch.cuda.is_available() else "cpu"
    limit = most_at_once(config, device) if tokens == "auto" else tokens
    return max(config.context_length, min(config.batch_tokens // num_processes, limit))


def run_memory(
    model: PreTrainedModel | Models, config: TrainingConfig, *, bf16: bool, num_blocks: int
) -> Memory | None:
    """Return what a run's step takes on one device with `num_blocks` blocks per forward pass.

    None for an architecture whose operators cannot be run without data: mixtures of experts, for one.
    """
    cuda = torch.cuda.is_available()
    models = model if isinstance(model, Models) else Models(model)
    try:
        memory = estimate_memory(
            models.main,
            num_blocks=num_blocks,
            context_length=config.context_length,
            optimizer=config.optimizer.type_name,
            bf16=bf16,
            cuda=cuda,
            freeze=_freezing(config, models.main),
        )
    except Exception:  # noqa: BLE001 - whatever it is, the run itself may work: an estimate must not end it
        return None
    memory = replace(memory, companions=_companion_bytes(models, config))
    if cuda or not has_copies(config):  # a GPU's is in the machine's memory
        return memory
    return replace(memory, checkpoint_copy=memory.gradients + memory.optimizer)  # of what is trained


def _freezing(config: TrainingConfig, model: PreTrainedModel) -> Callable[[PreTrainedModel], None] | None:
    """Return what freezes a body as the run's adapter does; None where all of it is trained."""
    if config.adapted.type_name == "full":
        return None
    head = head_of(model.config)

    def freeze(body: PreTrainedModel) -> None:
        try:
            config.adapted.wrap(body, head)
        except ConfigError:  # of `head`: the body has none
            body.requires_grad_(requires_grad=False)

    return freeze


def has_copies(config: TrainingConfig) -> bool:
    """Return whether a step may meet the copy of a checkpoint; that at the very end meets none."""
    only_last = config.max_steps is not None and config.max_steps <= config.checkpoint.every
    return config.checkpoint.background and not only_last


def _companion_bytes(models: Models, config: TrainingConfig) -> int:
    """Return the bytes of the models beside the trained one: weights, and gradients and moments where trained."""
    frozen = sum(4 * parameter.numel() for model in models.frozen for parameter in model.parameters())
    beside = sum(
        8 * sum(parameter.numel() for parameter in model.parameters())
        + optimizer_bytes(model, config.optimizer.type_name)
        for model in models.beside.values()
    )
    return int(frozen + beside)


def check_room(models: Models, config: TrainingConfig, directory: Path) -> None:
    """Make sure, before the first step, that a run's checkpoints and its model fit onto the disk.

    Args:
        models: The models, whole: what is saved is whole, too.
        config: The run's.
        directory: Where the run writes.

    Raises:
        SetupError: They do not.
    """
    found = len(checkpoints_in(directory / Model.CHECKPOINTS))
    trained = [models.main, *models.beside.values()]
    check_disk(directory, sum(disk_needed(model, config, found) for model in trained))


def checkpoint_room(models: Models, config: TrainingConfig) -> int:
    """Return the bytes of disk that one more checkpoint and the finished models take."""
    trained = [models.main, *models.beside.values()]
    weights = sum(_left_bytes(model, config) for model in trained)
    return int(weights + sum(checkpoint_bytes(model, config.optimizer.type_name) for model in trained))


def check_memory(
    model: PreTrainedModel | Models,
    config: TrainingConfig,
    *,
    bf16: bool,
    num_processes: int = 1,
    limit: int | None = None,
) -> Memory | None:
    """Make sure that a step fits into memory, and return what it takes; None if that is not known.

    What seems too large by less than `MARGIN` is let through: a run that would fit must never be refused.

    Args:
        model: The model, on any device, the meta device included, or it with those beside it.
        config: The run's.
        bf16: The precision that `auto` was resolved to.
        num_processes: Processes that share the batch; those on a CPU share its memory as well.
        limit: Bytes there are for one process; None to ask the machine.

    Raises:
        MemoryLimitError: It does not; the hint has the largest `micro_batch_tokens` that does.
    """
    if limit is None:
        limit = device_limit() // (1 if torch.cuda.is_available() else num_processes)
    tokens = micro_batch_tokens(config, num_processes)
    needed = run_memory(model, config, bf16=bf16, num_blocks=tokens // config.context_length)
    if needed is None or needed.total <= limit * MARGIN:
        return needed
    parts = ", ".join(f"{name.replace('_', ' ')} {size(part)}" for name, part in vars(needed).items() if part)
    message = f"a step needs about {size(needed.total)} of memory, {size(limit)} are there ({parts})"
    if needed.total - needed.checkpoint_copy <= limit:
        raise MemoryLimitError(message, "write checkpoints without a copy: --set checkpoint.background=false")
    blocks = tokens // config.context_length // 2
    while blocks and (less := run_memory(model, config, bf16=bf16, num_blocks=blocks)) and less.total > limit:
        blocks //= 2
    if blocks:
        lower = f"lower micro_batch_tokens from {tokens} to {blocks * config.context_length}, with the same result"
        raise MemoryLimitError(message, f"{lower}: --set micro_batch_tokens={blocks * config.context_length}")
    raise MemoryLimitError(message, "even one block is too much: lower context_length, or take a smaller model")


@contextmanager
def out_of_memory_explained(config: TrainingConfig) -> Iterator[None]:
    """Turn a training's out of memory, on a CPU or a GPU, into words that say what to lower, and by how much.

    Raises:
        MemoryLimitError: Memory ran out.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        found = isinstance(error, MemoryError | torch.OutOfMemoryError)
        if not found and not any(text in str(error) for text in OUT_OF_MEMORY):
            raise
        parallel = config.parallel
        same = parallel.tensor * parallel.context  # processes that read the same blocks
        tokens = micro_batch_tokens(config, max(1, int(os.environ.get("WORLD_SIZE", "1")) // same))
        half = tokens // config.context_length // 2 * config.context_length
        if not half:
            raise MemoryLimitError(
                "out of memory, with one block at a time", "lower context_length, or take a smaller model"
            ) from error
        raise MemoryLimitError(
            f"out of memory, with {tokens:,} tokens at a time",
            f"lower micro_batch_tokens from {tokens} to {half}, with the same result: --set micro_batch_tokens={half}",
        ) from error


def disk_needed(model: PreTrainedModel, config: TrainingConfig, found: int = 0) -> int:
    """Return the bytes a run writes at most: its checkpoints, one more while it is being written, and the model.

    Args:
        model: The model.
        config: The run's.
        found: Checkpoints that are there already, of an interrupted run.
    """
    count = config.checkpoint.keep + 1
    if config.max_steps is not None:
        count = min(count, math.ceil(config.max_steps / config.checkpoint.every))
    checkpoints = max(1, count - found) * checkpoint_bytes(model, config.optimizer.type_name)
    best = 0 if config.keep_best is None else (config.checkpoint.keep + 2) * 4 * trained_parameters(model)
    return checkpoints + best + _left_bytes(model, config)


def _left_bytes(model: PreTrainedModel, config: TrainingConfig) -> int:
    """Return the bytes of the weights that a run leaves: a whole model's, or an adapter's."""
    if config.adapted.is_apart and not getattr(config, "merge", False):
        return 4 * trained_parameters(model)
    return int(4 * sum(parameter.numel() for parameter in model.parameters()))


def checkpoint_bytes(model: PreTrainedModel, optimizer: str) -> int:
    """Return the bytes of one checkpoint: float32 weights that are trained, and the optimizer's state."""
    return int(4 * trained_parameters(model) + optimizer_bytes(model, optimizer))


def check_disk(directory: Path, needed: int) -> None:
    """Make sure that a directory's file system has room.

    Args:
        directory: Where the run writes; it need not exist yet.
        needed: Bytes, such as `disk_needed` says.

    Raises:
        SetupError: There is less.
    """
    existing = next(path for path in [directory, *directory.absolute().parents] if path.exists())
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise SetupError(
            f"the disk is full: checkpoints and the model need {size(needed)} in {directory}, {size(free)} are free",
            "free some space and run the same command again: it goes on; llmkit tidy DIR lists what runs left behind",
        )
