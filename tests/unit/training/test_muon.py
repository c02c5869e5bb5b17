from __future__ import annotations

import pytest
import torch
from transformers import AutoConfig, AutoModelForPreTraining

from llmkit.training.optimizers.muon import Muon

SIZES = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "embedding_size": 8,
}


@pytest.mark.parametrize(
    ("arch", "heads"),
    [
        ("bert", {"cls.predictions.transform.dense.weight", "cls.seq_relationship.weight"}),
        ("albert", {"predictions.dense.weight", "sop_classifier.classifier.weight"}),
    ],
)
def test_heads_are_left_to_adamw(arch, heads):
    sizes = {name: size for name, size in SIZES.items() if name != "embedding_size" or arch == "albert"}
    built = AutoModelForPreTraining.from_config(AutoConfig.for_model(arch, **sizes))
    names = {id(parameter): name for name, parameter in built.named_parameters()}
    muon, adamw = Muon().build(built).optimizers
    moved = {names[id(p)] for group in muon.param_groups for p in group["params"]}
    assert heads | {f"{arch}.embeddings.word_embeddings.weight"} <= {
        names[id(p)] for p in adamw.param_groups[0]["params"]
    }
    assert all(name.startswith(f"{arch}.") for name in moved)
    assert len(moved) == {"bert": 7, "albert": 8}[arch]  # 4 attention, 2 feed-forward, pooler; ALBERT's projection
    everything = [id(p) for optimizer in (muon, adamw) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(everything) == sorted(names)


def test_the_first_update_is_orthogonal_with_the_size_of_adamws():
    # Gradient diag(3, 1): its direction is the identity, and 0.2 * sqrt(2) of it has a root mean square of 0.2.
    layer = torch.nn.Linear(2, 2, bias=False)
    torch.nn.init.zeros_(layer.weight)
    layer.weight.grad = torch.diag(torch.tensor([3.0, 1.0]))
    Muon(lr=0.1, weight_decay=0).build(layer).step()
    expected = -0.1 * 0.2 * 2**0.5 * torch.eye(2)
    # Newton-Schulz leaves singular values between 0.7 and 1.2.
    torch.testing.assert_close(layer.weight.detach(), expected, rtol=0.31, atol=1e-4)
