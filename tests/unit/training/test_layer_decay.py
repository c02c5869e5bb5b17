"""Rates that fall from layer to layer, by hand."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

from llmkit.modeling.adapters.lora import LoRA
from llmkit.modeling.heads import head_of
from llmkit.training.optimizers import lowest_lr, set_lr
from llmkit.training.optimizers.adamw import AdamW
from llmkit.training.optimizers.muon import Muon
from tiny import model as tiny_model
from tiny import trainer

SIZES = {"vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2,
         "intermediate_size": 24}  # fmt: skip


def rates(optimizer, model):
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {names[id(p)]: group["lr"] for group in optimizer.param_groups for p in group["params"]}


def bert():
    return AutoModelForSequenceClassification.from_config(AutoConfig.for_model("bert", **SIZES, num_labels=2))


def llama(**more):
    config = AutoConfig.for_model("llama", **SIZES, num_key_value_heads=1, **more)
    return AutoModelForCausalLM.from_config(config)


def test_bert_by_hand():
    model = bert()
    found = rates(AdamW(lr=1.0, layer_decay=0.5).build(model), model)
    assert found.keys() == {name for name, _ in model.named_parameters()}
    for name, rate in found.items():
        if ".layer." in name:
            assert rate == {"0": 0.125, "1": 0.25, "2": 0.5}[name.split(".")[3]], name
        else:
            assert rate == (0.0625 if ".embeddings." in name else 1.0), name
    assert {name.split(".")[0] + "." + name.split(".")[1] for name, rate in found.items() if rate == 1.0} == {
        "bert.pooler", "classifier.weight", "classifier.bias",
    }  # fmt: skip


@pytest.mark.parametrize("tied", [False, True])
def test_llama_by_hand(tied):
    model = llama(tie_word_embeddings=tied)
    found = rates(AdamW(lr=1.0, layer_decay=0.5).build(model), model)
    assert found["model.embed_tokens.weight"] == 0.0625
    assert [found[f"model.layers.{i}.mlp.up_proj.weight"] for i in range(3)] == [0.125, 0.25, 0.5]
    assert found["model.norm.weight"] == 1.0
    assert found.get("lm_head.weight") == (None if tied else 1.0)


def test_loras_matrices_have_the_rates_of_their_layers():
    model = llama(tie_word_embeddings=True)
    LoRA(r=2, targets=["q_proj"]).wrap(model, head_of(model.config))
    optimizer = AdamW(lr=1.0, layer_decay=0.5).build(model)
    found = rates(optimizer, model)
    assert sorted(set(found.values())) == [0.125, 0.25, 0.5]
    assert optimizer.param_groups[0]["lr"] == 0.5, "what is logged is the highest"
    assert set_lr(optimizer, 0.1) == pytest.approx(0.05)
    assert lowest_lr(optimizer) == {"lr_lowest": pytest.approx(0.0125)}


def test_muons_groups_fall_alike():
    model = llama(tie_word_embeddings=False)
    found = rates(Muon(lr=1.0, layer_decay=0.5).build(model), model)
    assert [found[f"model.layers.{i}.mlp.up_proj.weight"] for i in range(3)] == [0.125, 0.25, 0.5]
    assert found["model.embed_tokens.weight"] == 0.0625


def test_one_is_as_if_it_were_not_there():
    model = bert()
    assert [set(group) for group in AdamW(layer_decay=1.0).groups(model)] == [{"params", "weight_decay"}] * 2
    assert AdamW(layer_decay=1.0).rates(model) == ""
    assert lowest_lr(AdamW().build(model)) == {}


def test_rates_are_told_and_the_logged_ones_act(tmp_path):
    start = tiny_model()
    before = {name: p.detach().clone() for name, p in start.named_parameters()}
    schedule = {"type": "constant", "warmup_steps": 0}
    optimizer = {"type": "sgd", "lr": 0.1, "layer_decay": 0.5, "momentum": 0, "max_grad_norm": 1e9}
    run = trainer(tmp_path, start=start, optimizer=optimizer, schedule=schedule, max_steps=1)
    grads: dict[str, torch.Tensor] = {}
    step = run.optimizer.step
    run.optimizer.step = lambda: (grads.update({n: p.grad.clone() for n, p in start.named_parameters()}), step())[1]
    run.train()
    up = "model.layers.{}.mlp.up_proj.weight"
    wanted_rates = {
        "model.norm.weight": 0.1,
        up.format(1): 0.05,
        up.format(0): 0.025,
        "model.embed_tokens.weight": 0.0125,
    }
    for name, wanted in wanted_rates.items():
        moved = before[name] - start.get_parameter(name)
        torch.testing.assert_close(moved, wanted * grads[name], atol=1e-7, rtol=1e-4)
    from llmkit.training.metrics import read_metrics

    row = next(row for row in read_metrics(tmp_path) if "loss" in row)
    assert (row["lr"], row["lr_lowest"]) == (pytest.approx(0.1), pytest.approx(0.0125))
    words = run.config.optimizer.rates(start)
    assert words == (
        "peak rates, each layer 0.5 of the one above: behind them 0.1, layer 1 0.05, layer 0 0.025, embeddings 0.0125"
    )
