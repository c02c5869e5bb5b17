"""Whether a run fits into the machine's memory, before its first step: surely, or as far as an estimate knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch

from llmkit.modeling.cost import CPU_RUNTIME
from llmkit.training import memory
from llmkit.training.placement import is_split

if TYPE_CHECKING:
    from llmkit.modeling.companions import Models
    from llmkit.training.config import TrainingConfig

STATES, VECTORS, MAPS, LOGITS = 28, 24, 4, 6
"""What `surely_fits` counts: bytes a weight (itself, its gradient, two moments and their copies), float32 vectors that
a layer keeps of each width, attention weights, and copies of the logits."""


def check_machine(models: Models, config: TrainingConfig, *, bf16: bool, num_processes: int) -> None:
    """Make sure, before the first step, that a run fits into memory, as far as the estimate knows.

    Args:
        models: The models.
        config: The run's.
        bf16: The precision that `auto` was resolved to.
        num_processes: The processes that share the work.

    Raises:
        MemoryLimitError: It does not.
    """
    if is_split(models.main) or config.parallel.activation_checkpointing:  # it knows of neither
        return
    if not surely_fits(models, config, num_processes=num_processes):
        memory.check_memory(models, config, bf16=bf16, num_processes=num_processes)


def surely_fits(models: Models, config: TrainingConfig, *, num_processes: int = 1, limit: int | None = None) -> bool:
    """Tell whether a run fits into memory by far, from the sizes in the model's config alone.

    The estimate runs every operator of the model without data, which takes seconds of the first ten of a run. This is
    a bound from above: a layer keeps at most so many vectors of each width for every token, and attention a row of
    weights a head. What it does not know (experts, layers of several widths) does not surely fit.
    """
    main = models.main
    text = main.config.get_text_config()
    names = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "vocab_size")
    sizes = [getattr(text, name, None) for name in names]
    routed = any("expert" in name for name in text.to_dict())
    if models.companions or routed or not all(isinstance(one, int) for one in sizes):
        return False
    hidden, inner, layers, heads, vocab = cast("list[int]", sizes)
    layers += getattr(text, "num_decoder_layers", None) or 0
    hidden = max(hidden, heads * (getattr(text, "head_dim", None) or 0))  # queries may be wider than what they are of
    tokens = memory.micro_batch_tokens(config, num_processes)
    a_token = layers * (VECTORS * hidden + VECTORS * inner + MAPS * heads * config.context_length)
    most = STATES * sum(p.numel() for p in main.parameters()) + tokens * 4 * (a_token + LOGITS * vocab) + CPU_RUNTIME
    if limit is None:
        limit = memory.device_limit() // (1 if torch.cuda.is_available() else num_processes)
    return bool(2 * most <= limit)
