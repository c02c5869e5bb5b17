"""Measure whether a model answers the same beside padded neighbours: recurrent states may take padding for text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

MAX_DIFFERENCE = 1e-3
"""As a share of the logits: what padding rounds otherwise is 1e-6, what a state has read of it 0.01 and more."""
SHORT, LONG = 7, 19


@torch.inference_mode()
def scores_alike(model: PreTrainedModel, max_length: int) -> bool:
    """Tell whether a row's logits are the same alone and in a batch, padded on the right, without a mask: in scoring.

    Args:
        model: A causal language model in eval mode.
        max_length: Positions that it has.
    """
    short, long = _rows(model, max_length)
    return _is_alike(_scored(model, [short]), _scored(model, [short, long]))


@torch.no_grad()  # what a model keeps of inference mode could not be trained with
def writes_alike(model: PreTrainedModel, max_length: int) -> bool:
    """Tell the same of generation: padded on the left, with a mask, the second new token from the cache.

    Args:
        model: A causal language model in eval mode, or an encoder-decoder, which is padded on the right.
        max_length: Positions that it has.
    """
    short, long = _rows(model, max_length - 2)
    return all(map(_is_alike, _written(model, [short]), _written(model, [short, long])))


def _rows(model: PreTrainedModel, max_length: int) -> list[list[int]]:
    generator = torch.Generator().manual_seed(0)
    size = model.get_input_embeddings().weight.shape[0]  # new rows may be wrapped: they have no num_embeddings
    lengths = (max(1, min(SHORT, max_length // 2)), max(1, min(LONG, max_length)))
    return [torch.randint(size, (length,), generator=generator).tolist() for length in lengths]


def _written(model: PreTrainedModel, rows: list[list[int]]) -> list[torch.Tensor]:
    """Return the logits of the first row's first new token and of its second."""
    from transformers import GenerationConfig

    width, right = max(map(len, rows)), model.config.is_encoder_decoder
    padded = [(row + [0] * (width - len(row))) if right else ([0] * (width - len(row)) + row) for row in rows]
    ids = torch.tensor(padded, device=model.device)
    inside = [([1] * len(row) + [0] * (width - len(row))) if right else ([0] * (width - len(row)) + [1] * len(row))
              for row in rows]  # fmt: skip
    mask = torch.tensor(inside, device=model.device)
    settings = GenerationConfig(
        max_new_tokens=2, do_sample=False, pad_token_id=0, output_logits=True, return_dict_in_generate=True
    )
    own, model.generation_config = model.generation_config, settings
    if right:
        settings.decoder_start_token_id, settings.bos_token_id = own.decoder_start_token_id, own.bos_token_id
    try:
        # The last id again and again: a tie between two tokens is no difference.
        found = model.generate(
            input_ids=ids, attention_mask=mask, prefix_allowed_tokens_fn=lambda _, so_far: [int(so_far[-1])]
        )
    finally:
        model.generation_config = own
    return [logits[0].float() for logits in found.logits]


def _scored(model: PreTrainedModel, rows: list[list[int]]) -> torch.Tensor:
    width = max(map(len, rows))
    ids = torch.tensor([row + [0] * (width - len(row)) for row in rows], device=model.device)
    logits: torch.Tensor = model(input_ids=ids, use_cache=False).logits
    return logits[0, : len(rows[0])].float()


def _is_alike(one: torch.Tensor, other: torch.Tensor) -> bool:
    return bool((one - other).abs().max() <= MAX_DIFFERENCE * one.abs().max())
