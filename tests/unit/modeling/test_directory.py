"""What stands beside weights in files of other versions is no reason to refuse a model."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

from llmkit.core.errors import DataError
from llmkit.modeling.load import load_model


@pytest.fixture
def neox(tmp_path):
    """A tiny GPT-NeoX, and what writes one more tensor beside its weights."""
    sizes = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = AutoConfig.for_model("gpt_neox", vocab_size=16, max_position_embeddings=8, **sizes)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)

    def beside(name, tensor):
        file = tmp_path / "model.safetensors"
        save_file({**load_file(file), name: tensor}, file, metadata={"format": "pt"})
        return tmp_path

    return beside


def test_masks_that_older_versions_saved_are_no_quantized_weights(neox):
    mask = torch.ones(1, 1, 8, 8, dtype=torch.uint8).tril()
    assert load_model(neox("gpt_neox.layers.0.attention.bias", mask)).config.model_type == "gpt_neox"


def test_integers_of_another_shape_are(neox):
    with pytest.raises(DataError, match=r"is quantized: gpt_neox\.layers\.0\.attention\.codes"):
        load_model(neox("gpt_neox.layers.0.attention.codes", torch.ones(8, 8, dtype=torch.uint8)))
