from __future__ import annotations

import pytest
import torch
from transformers import AutoConfig, AutoModelForPreTraining

from llmkit.training.optimizers import restore
from llmkit.training.optimizers._experts import ExpertMuon, Layout, expert_layouts
from llmkit.training.optimizers.muon import Muon
from tiny import model

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


EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2}
LOCAL = {"num_local_experts": 4, "num_experts_per_tok": 2}
DEEPSEEK = {
    "n_routed_experts": 4, "num_experts_per_tok": 2, "n_group": 1, "topk_group": 1, "moe_intermediate_size": 12,
    "first_k_dense_replace": 1, "q_lora_rank": 8, "kv_lora_rank": 8, "qk_nope_head_dim": 8, "qk_rope_head_dim": 8,
    "v_head_dim": 8, "num_key_value_heads": 2,
}  # fmt: skip
MIXTURES = {
    "qwen3_moe": ({**EXPERTS, "moe_intermediate_size": 12, "head_dim": 8}, "gate", "rows"),
    "mixtral": (LOCAL, "gate", "rows"),
    "olmoe": ({**EXPERTS, "num_key_value_heads": 2}, "gate", "rows"),
    "deepseek_v3": (DEEPSEEK, "gate", "rows"),
    "gpt_oss": ({**LOCAL, "head_dim": 8}, "router", "alternating"),
    "llama4_text": ({**LOCAL, "head_dim": 8, "intermediate_size_mlp": 32}, "router", "columns"),
}


@pytest.mark.parametrize("arch", MIXTURES)
def test_experts_are_muons_and_routers_are_adamws(arch):
    settings, router, halves = MIXTURES[arch]
    built = model(arch, **settings)
    joint = Muon().build(built)
    names = {id(parameter): name for name, parameter in built.named_parameters()}
    taken = {
        type(optimizer).__name__: {names[id(p)] for group in optimizer.param_groups for p in group["params"]}
        for optimizer in joint.optimizers
    }
    assert sum(map(len, taken.values())) == sum(p.requires_grad for p in built.parameters())
    experts = {name for name in names.values() if name.endswith(("experts.gate_up_proj", "experts.down_proj"))}
    assert taken["ExpertMuon"] == experts
    assert experts
    routers = {name for name in names.values() if name.endswith(f".{router}.weight")}
    assert routers
    assert routers <= taken["AdamW"]
    assert not any(".norm" in name or "embed" in name or "bias" in name for name in taken["Muon"])
    layouts = expert_layouts(built)
    assert {layout.halves for identity, layout in layouts.items() if "gate_up" in names[identity]} == {halves}


@pytest.mark.parametrize("halves", ["", "rows", "columns", "alternating", "flat"])
def test_a_stack_moves_as_its_matrices_do_apart(halves):
    """Against torch's Muon over each matrix of each expert; it computes in bfloat16, to 2^-8 of the largest entry."""
    layout = Layout(experts=3) if halves == "flat" else Layout(halves=halves)
    generator = torch.Generator().manual_seed(0)
    start = torch.randn((3 * 8, 10) if halves == "flat" else (3, 8, 10), generator=generator)
    gradients = torch.randn((3, *start.shape), generator=generator) * torch.linspace(0.1, 3, 10)
    module = torch.nn.Module()
    module.register_parameter("stack", torch.nn.Parameter(start.clone()))
    settings = {"lr": 0.1, "weight_decay": 0.3, "momentum": 0.9, "ns_steps": 5}
    ours = ExpertMuon([{"params": [module.stack], "layout": list(layout)}], **settings)
    apart = [torch.nn.Parameter(m.clone()) for view in layout.matrices(start) for m in view]
    theirs = torch.optim.Muon(apart, **settings, adjust_lr_fn="match_rms_adamw")
    for gradient in gradients:
        module.stack.grad = gradient.clone()
        for one, other in zip(apart, [m for view in layout.matrices(gradient) for m in view], strict=True):
            one.grad = other.clone()
        ours.step()
        theirs.step()
    found = [m for view in layout.matrices(module.stack.detach()) for m in view]
    for one, other in zip(found, apart, strict=True):
        scale = 0.1 * 0.2 * max(other.shape) ** 0.5
        torch.testing.assert_close(one, other.detach(), rtol=0, atol=3 * 2**-6 * scale)


def test_experts_go_on_to_the_bit(tmp_path):
    def run(built, optimizer, steps):
        for seed in steps:
            ids = (torch.arange(12)[None] * 7 + seed) % 50
            built(input_ids=ids, labels=ids).loss.backward()
            optimizer.step()
            optimizer.zero_grad()

    straight, first, second = (model("mixtral", **LOCAL) for _ in range(3))
    run(straight, Muon().build(straight), range(4))
    optimizer = Muon().build(first)
    run(first, optimizer, range(2))
    torch.save(optimizer.state_dict(), tmp_path / "state.pt")
    second.load_state_dict(first.state_dict())
    optimizer = Muon().build(second)
    restore(optimizer, torch.load(tmp_path / "state.pt", weights_only=True))
    run(second, optimizer, range(2, 4))
    for one, other in zip(second.parameters(), straight.parameters(), strict=True):
        assert torch.equal(one, other)
