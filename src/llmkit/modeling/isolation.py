"""Check that a model keeps packed documents apart: some architectures ignore positions that restart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmkit.core.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

MAX_DIFFERENCE = 1e-3
"""Isolated documents differ by rounding, 1e-6; a leak moves hidden states by 0.1 and more."""
LENGTH = 6


def check_isolation(model: PreTrainedModel) -> None:
    """Compare a document inside a packed block with the document alone, in float32.

    Architectures without such positions (ALiBi, recurrent states, learned offsets) let a document see the one before
    it, and nothing in the loss would tell.

    Raises:
        ConfigError: The model leaks across document borders.
    """
    import torch

    was_training = model.training
    model.eval()
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        ids = torch.randint(0, model.config.get_text_config().vocab_size, (1, 2 * LENGTH), device=model.device)
        positions = torch.arange(LENGTH, device=model.device).repeat(2)[None]
        try:
            packed = model(input_ids=ids, position_ids=positions, use_cache=False).logits[:, LENGTH:]
        except TypeError:
            raise ConfigError(
                f"model: {model.config.model_type} takes no position_ids, so packed documents cannot be kept apart",
                hint="use an architecture that does, such as llama, qwen3 or gpt2",
            ) from None
        alone = model(input_ids=ids[:, LENGTH:], use_cache=False).logits
    model.train(was_training)
    difference = float((packed - alone).abs().max() / alone.abs().max().clamp_min(1e-9))
    if not difference <= MAX_DIFFERENCE:
        raise ConfigError(
            f"model: {model.config.model_type} lets packed documents see each other (logits differ by {difference:.2g}"
            " of their size)",
            hint="use an architecture that keeps them apart by positions, such as llama, qwen3 or gpt2",
        )
