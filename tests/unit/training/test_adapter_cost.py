"""What a model of which a part is trained costs, by hand; and which optimizer its parts go to."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from llmkit.modeling.adapters.full import Full
from llmkit.modeling.adapters.head import Head
from llmkit.modeling.adapters.layers import Layers
from llmkit.modeling.adapters.lora import LoRA
from llmkit.modeling.companions import Models
from llmkit.modeling.cost import flops_per_token
from llmkit.modeling.heads.causal_lm import CausalLM
from llmkit.training.auto import resolve
from llmkit.training.config import RowTrainingConfig
from llmkit.training.memory import checkpoint_bytes, disk_needed, run_memory
from llmkit.training.optimizers.muon import Muon

D, F, V = 16, 24, 40
LAYER = 4 * D * D + 3 * D * F


def made(wrap, **more):
    sizes = {"vocab_size": V, "hidden_size": D, "intermediate_size": F, "num_attention_heads": 2}
    arch = "qwen3_moe" if "num_experts" in more else "llama"
    config = AutoConfig.for_model(arch, num_hidden_layers=2, **{**sizes, "tie_word_embeddings": False, **more})
    model = AutoModelForCausalLM.from_config(config)
    wrap.wrap(model, CausalLM())
    return model


@pytest.mark.parametrize(("adapter", "matrices"), [
    (Full(), 6 * (2 * LAYER + D * V)),
    (Head(), 2 * 2 * LAYER + 6 * D * V),
    (Layers(last=1), 2 * LAYER + 6 * (LAYER + D * V)),
])  # fmt: skip
def test_flops_of_frozen_matrices(adapter, matrices):
    whole = 6 * (2 * LAYER + D * V)
    attention = 12 * 2 * 2 * 8 * 10
    assert flops_per_token(made(adapter), 10) == pytest.approx(matrices + attention * matrices / whole)


def test_a_tied_head_is_passed_back_through_all_layers_to_the_embedding():
    assert flops_per_token(made(Head(), tie_word_embeddings=True), 0) == 4 * 2 * LAYER + 6 * D * V


def test_lora_costs_two_thirds_of_the_whole_at_least_and_its_own_matrices():
    found = flops_per_token(made(LoRA(r=1, targets=["down_proj"])), 0)
    own = 6 * 2 * (D + F)
    below = 4 * D * D + 3 * D * F  # of the first layer nothing lies below that would be trained
    assert found == 2 * below + 4 * (LAYER + D * V) + own


@pytest.mark.parametrize("adapter", [LoRA(r=2), Layers(last=1), Head()])
def test_what_is_frozen_has_no_gradients_no_state_and_no_place_in_a_checkpoint(adapter):
    model = made(adapter)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    config = RowTrainingConfig(context_length=8, batch_tokens=16, max_steps=1, adapter=adapter)
    memory = run_memory(Models(model), config, bf16=False, num_blocks=2)
    whole = run_memory(Models(made(Full())), config.model_copy(update={"adapter": Full()}), bf16=False, num_blocks=2)
    assert memory is not None and whole is not None
    assert (memory.gradients, memory.optimizer) == (4 * trained, 8 * trained)
    assert memory.activations < whole.activations * (1.1 if adapter.is_apart else 1)  # LoRA's own are few
    assert checkpoint_bytes(model, "adamw") == 12 * trained
    left = trained if adapter.is_apart else sum(p.numel() for p in model.parameters())
    assert disk_needed(model, config) == 12 * trained + 4 * left


def test_muon_steps_loras_matrices_and_leaves_those_of_stacked_experts_to_adamw():
    more = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 8, "head_dim": 8}
    model = made(LoRA(r=2), **more)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    kinds = {type(one).__name__: one for one in Muon().build(model).optimizers}
    by_kind = {
        kind: [names[id(p)] for group in one.param_groups for p in group["params"]] for kind, one in kinds.items()
    }
    assert by_kind.keys() == {"Muon", "AdamW"}
    assert all("self_attn" in name and "lora_" in name for name in by_kind["Muon"])
    assert all("experts" in name and "lora_" in name for name in by_kind["AdamW"])
    assert sum(map(len, by_kind.values())) == sum(p.requires_grad for p in model.parameters())


def test_new_rows_are_no_matrix_for_muon():
    model = made(Full())
    from llmkit.modeling.load import grow_embeddings

    grow_embeddings(model, V + 2)
    LoRA(r=2).wrap(model, CausalLM(), grown=range(V, V + 2))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    adamw = next(one for one in Muon().build(model).optimizers if isinstance(one, torch.optim.AdamW))
    rest = [names[id(p)] for group in adamw.param_groups for p in group["params"]]
    assert len(rest) == 2
    assert all("trainable_tokens_delta" in name for name in rest)


@pytest.mark.parametrize(("adapter", "precision", "device", "tokens"), [
    (LoRA(), "float32", "cpu", 512), (LoRA(), "bf16", "cpu", 2048), (LoRA(), "float32", "cuda", 4096),
    (Full(), "float32", "cpu", 4096), (Layers(), "float32", "cpu", 4096),
])  # fmt: skip
def test_fewer_tokens_go_at_a_time_beside_frozen_weights_on_a_cpu(adapter, precision, device, tokens):
    config = RowTrainingConfig(
        context_length=256, batch_tokens=4096, max_steps=1, adapter=adapter, precision=precision, compile=False
    )
    assert resolve(config, device=device, flops=1.0)["micro_batch_tokens"] == tokens
