"""An output layer that the config calls the embedding, and the weights do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def mend_tied(model: PreTrainedModel) -> str | None:
    """Have the config of a model say that its output layer is its own; return what was changed, None for nothing.

    transformers, from 5 on, believes weights that differ; what believes the config alone, as vLLM does, would load the
    same files as another model. An encoder-decoder scales its numbers by the same setting, and stays as it is.
    """
    import torch

    config = model.config.get_text_config()
    output, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    if config.is_encoder_decoder or not getattr(config, "tie_word_embeddings", False) or output is None:
        return None
    own, other = getattr(output, "weight", None), getattr(embedding, "weight", None)
    if own is None or other is None or own is other or (own.shape == other.shape and torch.equal(own, other)):
        return None
    for each in {id(one): one for one in (config, model.config)}.values():
        each.tie_word_embeddings = False
    return "tie_word_embeddings is taken as false: the output layer is not the embedding"
