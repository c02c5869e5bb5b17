from __future__ import annotations

from llmkit.modeling.architecture import position_limit
from llmkit.modeling.load import load_model


def test_a_class_without_a_limit_of_positions_loads(tmp_path):
    from transformers import XLNetConfig, XLNetForSequenceClassification

    config = XLNetConfig(vocab_size=40, d_model=16, n_layer=1, n_head=2, d_inner=16)
    XLNetForSequenceClassification(config).save_pretrained(tmp_path)
    assert position_limit(config) is None
    assert load_model(tmp_path).config.model_type == "xlnet"
