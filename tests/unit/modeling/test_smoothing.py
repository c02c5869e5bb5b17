"""Smoothing: answers stay what they are, what layers read is easier to round, and what stays hard is named."""

from __future__ import annotations

import copy

import pytest
import torch

import gguf_exports
from llmkit.modeling.smoothing import hard_layers, rounded, smooth

ROWS = [list(range(start, start + 40)) for start in (3, 60, 120)]


def logits(model):
    with torch.no_grad():
        return model(input_ids=torch.tensor(ROWS)).logits


def linear(model):
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not model.lm_head
    }


def with_outliers(name):
    """A model of which one column of a norm, and one row that the last layer reads, is a hundred times the others."""
    model = gguf_exports.decoder(name).eval()
    block = model.model.layers[0]
    with torch.no_grad():
        block.input_layernorm.weight[3] *= 100
        block.self_attn.q_proj.weight[:, 3] /= 100
        block.self_attn.k_proj.weight[:, 3] /= 100
        block.self_attn.v_proj.weight[:, 3] /= 100
        block.mlp.up_proj.weight[5] *= 100
        block.mlp.down_proj.weight[:, 5] /= 100
    return model


def lost(model):
    """By what the logits are off once everything that layers read is rounded."""
    handles = [
        layer.register_forward_pre_hook(lambda _, given: (rounded(given[0]),)) for layer in linear(model).values()
    ]
    exact = copy.deepcopy(model)
    for module in exact.modules():
        module._forward_pre_hooks.clear()
    found = (logits(model) - logits(exact)).square().mean().sqrt() / logits(exact).std()
    for handle in handles:
        handle.remove()
    return float(found)


@pytest.mark.parametrize("name", ["llama", "llama-biased", "mistral", "qwen2", "qwen3"])
def test_answers_stay_and_rounding_costs_less(name):
    model = with_outliers(name)
    before, cost = logits(model), lost(model)
    assert smooth(model, ROWS)
    torch.testing.assert_close(logits(model), before, rtol=1e-4, atol=1e-4)
    assert lost(model) < cost / 2


@pytest.mark.parametrize("name", ["gpt2", "gemma", "phi3"])
def test_other_architectures_are_left_alone(name):
    model = gguf_exports.decoder(name).eval()
    before = copy.deepcopy(model.state_dict())
    assert not smooth(model, ROWS)
    assert all(torch.equal(weight, before[key]) for key, weight in model.state_dict().items())


def test_layers_are_left_by_kind_until_the_answers_are_alike():
    model = with_outliers("llama")

    def alike(ours, theirs):
        return -float((ours - theirs).square().mean().sqrt() / ours.std())

    assert hard_layers(model, linear(model), ROWS, alike, -10.0) == []
    assert hard_layers(model, linear(model), ROWS, alike, 0.0) == list(linear(model)), "all, if nothing may be rounded"
    found = hard_layers(model, linear(model), ROWS, alike, -0.05)
    kinds = {name.rpartition(".")[2] for name in found}
    assert kinds == {"q_proj", "k_proj", "v_proj", "down_proj"}, "those that read what is a hundred times the rest"
    assert len(found) == 8
    assert all(not layer._forward_pre_hooks for layer in linear(model).values())


def test_what_is_read_is_rounded_by_hand():
    assert rounded(torch.tensor([[127.5, 1.4, -0.6], [0.0, 0.0, 0.0]])).tolist() == [[127.0, 1.0, -1.0], [0, 0, 0]]
