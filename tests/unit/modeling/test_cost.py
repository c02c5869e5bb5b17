from __future__ import annotations

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSeq2SeqLM

from llmkit.modeling.cost import count_embeddings, estimate_memory, flops_per_token, matrix_shapes, optimizer_bytes

LLAMA = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 1,
    "vocab_size": 500,
}


def meta(auto=AutoModelForCausalLM, arch="llama", **settings):
    with torch.device("meta"):
        return auto.from_config(AutoConfig.for_model(arch, **settings))


def memory(model=None, **changes):
    given = {"num_blocks": 4, "context_length": 128, "optimizer": "adamw", "bf16": True} | changes
    return estimate_memory(model or meta(**LLAMA), **given)


def test_parts_that_can_be_counted():
    model = meta(**LLAMA)
    body = 2 * (4 * 64 * 64 + 3 * 64 * 128 + 2 * 64) + 64
    found = memory(model)
    assert count_embeddings(model) == 2 * 500 * 64
    assert found.weights == found.gradients == 4 * (body + 2 * 500 * 64)
    assert found.optimizer == 8 * (body + 2 * 500 * 64)
    assert found.total == sum(vars(found).values())
    # 256 tokens a chunk: logits and softmax in float32, the error in bf16; head's gradient and copy; hidden gradient.
    assert found.logits == 256 * 500 * 10 + 500 * 64 * 6 + 4 * 128 * 64 * 4


def test_state_of_each_optimizer():
    model = meta(**LLAMA, tie_word_embeddings=True)
    tables, size = 500 * 64, sum(p.numel() for p in model.parameters())
    assert count_embeddings(model) == tables
    assert optimizer_bytes(model, "sgd") == 4 * size
    assert optimizer_bytes(model, "muon") == 4 * (size - tables) + 8 * tables


def test_activations_are_at_least_what_autograd_saves_and_grow_with_the_tokens():
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model("llama", **LLAMA)).train()
    held = {}

    def pack(tensor):
        held[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        ids, positions = torch.zeros(4, 128, dtype=torch.long), torch.arange(128).repeat(4, 1)
        hidden = model.model(input_ids=ids, position_ids=positions, use_cache=False).last_hidden_state
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    saved = sum(size for pointer, size in held.items() if pointer not in own)
    assert hidden.shape == (4, 128, 64)
    one = memory(model, bf16=False).activations
    assert saved < one < 3 * saved
    assert 1.7 * one < memory(model, bf16=False, num_blocks=8).activations < 2.1 * one
    assert memory(model, bf16=True).activations < one


@pytest.mark.parametrize(
    ("auto", "arch", "settings"),
    [
        (AutoModelForMaskedLM, "bert", LLAMA),
        (AutoModelForMaskedLM, "albert", {**LLAMA, "embedding_size": 64}),
        (AutoModelForSeq2SeqLM, "t5", {"d_model": 64, "num_layers": 2, "num_heads": 1, "vocab_size": 500}),
        (AutoModelForCausalLM, "gpt2", {"n_embd": 64, "n_layer": 2, "n_head": 1, "vocab_size": 500}),
    ],
)
def test_every_kind_of_model_is_estimated_and_the_random_state_stays(auto, arch, settings):
    state = torch.get_rng_state()
    found = memory(meta(auto, arch, **settings))
    assert torch.equal(torch.get_rng_state(), state)
    # Two layers of at least ten float32 vectors of 64 for each of the 512 tokens.
    assert found.activations > 2 * 10 * 64 * 4 * 512 / 2


def test_layers_that_are_shared_are_multiplied_as_often_as_they_run():
    once, thrice = (
        meta(AutoModelForMaskedLM, "albert", **{**LLAMA, "embedding_size": 16, "num_hidden_layers": n}) for n in (1, 3)
    )
    layer = 4 * 64 * 64 + 2 * 64 * 128
    assert sum(r * c for r, c in matrix_shapes(thrice)) - sum(r * c for r, c in matrix_shapes(once)) == 2 * layer
    assert flops_per_token(thrice, 10) - flops_per_token(once, 10) == 6 * 2 * layer + 12 * 2 * 64 * 10
