"""Documents inside packed blocks: where each lies, which are maskable, and the attention mask that isolates them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from llmkit.core.errors import ConfigError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from llmkit.data.packing import Batch


def pieces(batch: Batch, row: int) -> Iterator[tuple[int, int]]:
    """Yield start and stop of each document, or piece of one, in a block; padding is none."""
    end = int(batch.num_tokens[row])
    starts = np.flatnonzero(batch.position_ids[row, :end] == 0).tolist()
    yield from zip(starts, [*starts[1:], end], strict=True)


def same_document(position_ids: torch.Tensor) -> torch.Tensor:
    """Return which positions lie in one document, bool `[blocks, time, time]`; padding is a document of its own.

    Args:
        position_ids: `[blocks, time]`, restarting with every document.
    """
    number = (position_ids == 0).cumsum(1)
    return number[:, :, None] == number[:, None, :]


def attention_mask(model: PreTrainedModel, allowed: torch.Tensor) -> torch.Tensor:
    """Return a mask that transformers hands through to its attention, `[blocks, 1, queries, keys]`.

    Args:
        model: Decides the kind: bool for sdpa, a number to add for eager, where a bool would be added as 1.
        allowed: `[blocks, queries, keys]` bool. A query that may see nothing (padding) is let see everything: a softmax
            over nothing is NaN, and NaN times 0 is NaN in the gradient.

    Raises:
        ConfigError: The attention implementation takes no such mask.
    """
    import torch

    from llmkit.modeling.dropout import ATTENTION

    allowed = (allowed | ~allowed.any(-1, keepdim=True))[:, None]
    implementation = model.config._attn_implementation
    if implementation in ("sdpa", ATTENTION):
        return allowed
    if implementation != "eager":
        raise ConfigError(
            f"model: attention '{implementation}' takes no mask of documents",
            "use sdpa or eager attention, or a causal objective",
        )
    return torch.zeros(allowed.shape, dtype=model.dtype, device=allowed.device).masked_fill_(
        ~allowed, torch.finfo(model.dtype).min
    )


def depends_on_place(model: PreTrainedModel, length: int) -> bool:
    """Return whether an encoder sees where in a block a document lies: two equal ones come out differently.

    Args:
        model: The whole model.
        length: Tokens of each of the two.

    Raises:
        ConfigError: The encoder takes no mask of documents, as that of Switch Transformers.
    """
    import torch

    from llmkit.modeling.plain_head import evaluating

    encoder = model.get_encoder()
    refused = ConfigError(f"model: the encoder of {model.config.model_type} takes no mask of documents", "use t5")
    with torch.no_grad(), evaluating(model):
        # Two rows: where a mask of another shape does not fail, it multiplies them.
        ids = torch.arange(length, device=model.device).repeat(2, 2)
        mask = attention_mask(model, same_document(ids))
        try:
            hidden = encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        except (RuntimeError, ValueError, TypeError) as error:
            raise refused from error
    if hidden.shape[:2] != ids.shape:
        raise refused
    first, second = hidden[0].float().split(length)
    return not torch.allclose(first, second, rtol=1e-2, atol=1e-3)


def model_positions(model: PreTrainedModel, position_ids: torch.Tensor) -> torch.Tensor:
    """Return positions as the model numbers them: RoBERTa and its kin begin behind the padding id."""
    embeddings = getattr(model.base_model, "embeddings", None)
    padding = getattr(getattr(embeddings, "position_embeddings", None), "padding_idx", None)
    return position_ids if padding is None else position_ids + padding + 1
