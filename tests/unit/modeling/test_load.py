from __future__ import annotations

import pytest
import torch

from llmkit.modeling.architecture import position_limit
from llmkit.modeling.load import load_model


def test_a_class_without_a_limit_of_positions_loads(tmp_path):
    from transformers import XLNetConfig, XLNetForSequenceClassification

    config = XLNetConfig(vocab_size=40, d_model=16, n_layer=1, n_head=2, d_inner=16)
    XLNetForSequenceClassification(config).save_pretrained(tmp_path)
    assert position_limit(config) is None
    assert load_model(tmp_path).config.model_type == "xlnet"


@pytest.mark.parametrize("pad", [0, 1, 5])
def test_an_mpnet_takes_as_many_positions_as_it_says_whatever_its_padding_id(pad):
    """Its table begins behind 1, not behind the padding id of its config: 2 of 20 rows are never used."""
    from transformers import MPNetConfig, MPNetModel

    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    config = MPNetConfig(vocab_size=30, max_position_embeddings=20, pad_token_id=pad, **sizes)
    assert position_limit(config) == 18
    model = MPNetModel(config).eval()
    model(torch.full((1, 18), 7))
    with pytest.raises(IndexError):
        model(torch.full((1, 19), 7))
