"""Every `auto` of a training, resolved once per run: the checkpoint stores what was chosen, and a resumed run takes it.

Choices depend on the recipe and on what the hardware can do, never on a measured time: two runs of one recipe on one
machine must choose alike.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from llmkit.core.doctor import has_bf16
from llmkit.core.errors import ConfigError
from llmkit.training.config import TrainingConfig
from llmkit.training.job import Job

AUTO_MICRO_BATCH_TOKENS = 16384
APART_MICRO_BATCH_TOKENS = {"float32": 512, "bf16": 2048}
"""The same beside frozen weights on a CPU. What is kept for the way back is nearly all of a run's memory there, and
fewer tokens at a time cost nothing: there are no gradients of large matrices to add up. In bf16 each pass casts all
weights, which must not be much beside the products."""
COMPILE_FLOPS = {"cpu": 3e14, "cuda": 3e16}
"""Training FLOPs from which compiling wins back what it costs.

On 2 cores with AVX512-BF16 it costs 30 to 50 s and saves a seventh of the time, at about 350 GFLOP/s: even after some
300 s, or 1e14. Three times that is asked for: a gain of seconds is not worth a minute before the first step.
"""
RECOMPILATIONS = 64
"""Shapes that may be compiled. What comes after runs eagerly, and which those are is another matter after a resume."""
COMPILE_MINUTES = 15
"""The same for a run that time limits: what three times 300 s are."""


def resolve(config: TrainingConfig, *, device: str, flops: float) -> dict[str, Any]:
    """Return what was chosen for `precision`, `micro_batch_tokens` and `compile`.

    Args:
        config: The training's config.
        device: `cpu` or `cuda`.
        flops: Training FLOPs of the whole run; infinite where no number of steps is known.
    """
    precision, micro, compiled = _precision(config, device), config.micro_batch_tokens, config.compile
    if precision == "bf16" and device == "cpu" and _is_held_back():
        torch.backends.cuda.enable_flash_sdp(False)  # its name says CUDA, it holds for CPUs as well
    if micro == "auto":
        micro = max(config.context_length, min(config.batch_tokens, most_at_once(config, device)))
    if compiled == "auto":
        minutes = math.inf if config.max_minutes is None else config.max_minutes
        long = flops >= COMPILE_FLOPS.get(device, math.inf) and minutes >= COMPILE_MINUTES
        compiled = long and not config.parallel.splits
    return {"precision": precision, "micro_batch_tokens": micro, "compile": compiled}


def most_at_once(config: TrainingConfig, device: str) -> int:
    """Return the tokens of one forward pass where the recipe says `auto`, at most."""
    if not config.adapted.is_apart or device != "cpu":
        return AUTO_MICRO_BATCH_TOKENS
    return APART_MICRO_BATCH_TOKENS[_precision(config, device)]


def check_batch(job: Job, num_processes: int) -> None:
    """Make sure that the processes can share a batch evenly.

    Raises:
        ConfigError: They cannot; the hint has the next larger batch that they can.
    """
    blocks, larger = job.batch_blocks, -(-job.batch_blocks // num_processes) * num_processes
    if not blocks % num_processes:
        return
    if job.feed.same_width:
        what, hint = f"batch_tokens: {blocks} blocks", f"--set batch_tokens={round(larger * job.feed.block_tokens)}"
    else:
        what, hint = f"batch_rows: {blocks} rows", f"--set batch_rows={larger}"
    raise ConfigError(f"{what} cannot be shared by {num_processes} processes", hint=hint)


def compile_bodies(model: torch.nn.Module, *, same_width: bool = True) -> None:
    """Compile a model's transformer stacks in place, so that names of weights stay.

    The head stays out: its loss walks over chunks (modeling/losses.py), which would be unrolled.

    Args:
        model: The model.
        same_width: All batches have one width, and code for just that is the fastest. Rows padded to the longest of
            their batch have hundreds, each of which would be compiled for half a minute.
    """
    stacks = [getattr(model, f"get_{name}", lambda: None)() for name in ("encoder", "decoder")]
    found = {id(stack): stack for stack in stacks if isinstance(stack, torch.nn.Module) and stack is not model}
    if not found and (base := getattr(model, "base_model", model)) is not model:
        found = {id(base): base}
    inside = {id(part) for stack in found.values() for part in stack.modules() if part is not stack}
    for stack in found.values():
        if id(stack) not in inside:  # BERT names its whole body as decoder, and the layers in it as encoder
            torch._dynamo.config.recompile_limit = RECOMPILATIONS
            stack.compile(dynamic=not same_width)


def eager(resolved: dict[str, Any]) -> AbstractContextManager[Any]:
    """Keep validation and generation of a compiled model from being compiled, for their many shapes, a minute each."""
    return torch.compiler.set_stance("force_eager") if resolved["compile"] else nullcontext()


def _precision(config: TrainingConfig, device: str) -> str:
    if config.precision != "auto":
        return config.precision
    return "bf16" if _multiplies_bf16(device) else "float32"


def _multiplies_bf16(device: str) -> bool:
    return torch.cuda.is_bf16_supported(including_emulation=False) if device == "cuda" else has_bf16()


def _is_held_back() -> bool:
    """Tell whether torch was built for less than oneDNN finds, as with ATEN_CPU_CAPABILITY=avx2 on an AVX-512 CPU.

    Its flash attention in bf16 asks oneDNN whether to pack for AVX-512, and then raises since its own kernels cannot.
    """
    less = torch.backends.cpu.get_cpu_capability() in ("DEFAULT", "AVX2")
    return less and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
