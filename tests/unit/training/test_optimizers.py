from __future__ import annotations

import copy

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from llmkit.core.registry import Family
from llmkit.training.config import TrainingConfig
from llmkit.training.optimizers import restore, set_lr
from llmkit.training.optimizers.adafactor import Adafactor
from llmkit.training.optimizers.adam import Adam
from llmkit.training.optimizers.adamw import AdamW
from llmkit.training.optimizers.muon import Muon
from llmkit.training.optimizers.sgd import SGD
from tiny import VOCABULARY, model

PARTS = [
    AdamW(lr=0.02, betas=[0.8, 0.9], eps=1e-6, weight_decay=0.3),
    Adam(lr=0.02, betas=[0.7, 0.9], eps=1e-5, weight_decay=0.3),
    SGD(lr=0.05, momentum=0.8, nesterov=True, weight_decay=0.3),
    SGD(lr=0.05, momentum=0),
    Adafactor(lr=0.03, weight_decay=0.3, beta2_decay=-0.7, clip=1.5),
    Muon(lr=0.02, other_lr=0.005, momentum=0.9, iterations=4, weight_decay=0.3, betas=[0.8, 0.9], eps=1e-6),
]
EACH = pytest.mark.parametrize("part", PARTS, ids=[part.type_name for part in PARTS])


def matrices_and_vectors(built):
    parameters = list(built.parameters())
    return [p for p in parameters if p.ndim == 2], [p for p in parameters if p.ndim == 1]


def plain(part, built):
    """What the part stands for, written out with torch's optimizers and no fused kernels."""
    matrices, vectors = matrices_and_vectors(built)
    groups = [{"params": matrices, "weight_decay": part.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    if isinstance(part, AdamW):
        return [torch.optim.AdamW(groups, lr=0.02, betas=(0.8, 0.9), eps=1e-6, foreach=False)]
    if isinstance(part, Adam):
        return [torch.optim.Adam(groups, lr=0.02, betas=(0.7, 0.9), eps=1e-5, foreach=False)]
    if isinstance(part, SGD):
        return [torch.optim.SGD(groups, lr=0.05, momentum=part.momentum, nesterov=part.nesterov, foreach=False)]
    if isinstance(part, Adafactor):
        return [torch.optim.Adafactor(groups, lr=0.03, beta2_decay=-0.7, d=1.5, foreach=False)]
    tied = built.get_input_embeddings().weight
    body = [p for p in matrices if p is not tied]
    rest = [{"params": [tied], "weight_decay": 0.3}, {"params": vectors, "weight_decay": 0.0}]
    return [
        torch.optim.Muon(
            body, lr=0.02, weight_decay=0.3, momentum=0.9, ns_steps=4, nesterov=True, adjust_lr_fn="match_rms_adamw"
        ),
        torch.optim.AdamW(rest, lr=0.005, betas=(0.8, 0.9), eps=1e-6, foreach=False),
    ]


def differentiate(built, seed=0):
    ids = (torch.arange(8)[None] * 7 + seed) % VOCABULARY
    built(input_ids=ids, labels=ids, use_cache=False).loss.backward()


def step(built, optimizer, seed=0):
    differentiate(built, seed=seed)
    optimizer.step()
    optimizer.zero_grad()
    built.zero_grad()


def assert_equal(left, right, **tolerance):
    for (name, one), other in zip(left.named_parameters(), right.parameters(), strict=True):
        torch.testing.assert_close(one, other, msg=lambda text, name=name: f"{name}: {text}", **tolerance)


@EACH
def test_three_steps_are_those_of_torch(part):
    ours, theirs = model(), model()
    optimizer, references = part.build(ours), plain(part, theirs)
    for seed in range(3):
        differentiate(ours, seed=seed)
        # The same gradients: fused kernels round otherwise, and Muon's bfloat16 turns 1e-7 of that into 1e-4.
        for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            other.grad = one.grad.clone()
        for reference in references:
            reference.step()
        optimizer.step()
        optimizer.zero_grad()
    assert_equal(ours, theirs, rtol=1e-4, atol=2e-6)
    for one, start in zip(ours.parameters(), model().parameters(), strict=True):
        assert not torch.equal(one, start)


def test_every_optimizer_is_tested():
    assert {part.type_name for part in PARTS} == set(Family("optimizer").members())


@EACH
def test_a_restored_state_goes_on_to_the_bit(part, tmp_path):
    straight = model()
    optimizer = part.build(straight)
    for seed in range(6):
        set_lr(optimizer, 1 - seed / 10)
        step(straight, optimizer, seed=seed)

    first = model()
    optimizer = part.build(first)
    for seed in range(3):
        set_lr(optimizer, 1 - seed / 10)
        step(first, optimizer, seed=seed)
    torch.save(optimizer.state_dict(), tmp_path / "state.pt")
    second = copy.deepcopy(first)
    optimizer = part.build(second)
    restore(optimizer, torch.load(tmp_path / "state.pt", weights_only=True))
    for seed in range(3, 6):
        set_lr(optimizer, 1 - seed / 10)
        step(second, optimizer, seed=seed)
    assert_equal(second, straight, rtol=0, atol=0)


@EACH
def test_settings_are_those_of_the_new_run(part):
    built = model()
    stored = part.build(built)
    set_lr(stored, 0.25)
    other = part.model_copy(update={"lr": 0.5, "weight_decay": 0.125, "other_lr": None})
    fresh, restored = other.build(built), other.build(built)
    restore(restored, stored.state_dict())
    for one, expected in zip(restored.param_groups, fresh.param_groups, strict=True):
        assert {k: v for k, v in one.items() if k != "params"} == {k: v for k, v in expected.items() if k != "params"}
        assert list(map(id, one["params"])) == list(map(id, expected["params"]))
    assert set_lr(restored, 0.1) == pytest.approx(0.05)


@EACH
def test_the_rate_is_a_share_of_each_groups_own_peak(part):
    optimizer = part.build(model())
    peaks = [float(group["lr"]) for group in optimizer.param_groups]
    for factor in (0.1, 1.0, 0.5, 0.5):
        assert set_lr(optimizer, factor) == pytest.approx(peaks[0] * factor)
        assert [float(group["lr"]) for group in optimizer.param_groups] == pytest.approx([p * factor for p in peaks])


@EACH
def test_twice_the_logged_rate_is_twice_the_step(part):
    """After a million steps as well: torch's Adafactor would take one of a thousandth at most, whatever is logged."""
    moved = []
    for factor in (0.5, 1.0):
        built, generator = model(), torch.Generator().manual_seed(0)
        optimizer = part.model_copy(update={"lr": 0.05, "weight_decay": 0.0}).build(built)
        before = [parameter.detach().clone() for parameter in built.parameters()]
        for rate in (0.0, factor):
            for parameter in built.parameters():
                parameter.grad = torch.randn(parameter.shape, generator=generator)
            set_lr(optimizer, rate)
            optimizer.step()
            for state in optimizer.state.values():
                if "step" in state:
                    state["step"] += 1_000_000
        moved.append([after.detach() - start for after, start in zip(built.parameters(), before, strict=True)])
    for once, twice in zip(*moved, strict=True):
        assert once.abs().max() > 1e-4
        torch.testing.assert_close(twice, 2 * once, rtol=1e-3, atol=1e-6)


def test_muon_has_two_peaks_or_one():
    peaks = [group["lr"] for group in PARTS[-1].build(model()).param_groups]
    assert peaks == [0.02, 0.005, 0.005]
    assert [group["lr"] for group in Muon(lr=0.02).build(model()).param_groups] == [0.02] * 3


def mixed():
    """An embedding, a frozen matrix, a convolution, norms and biases."""
    built = nn.Sequential(
        nn.Embedding(5, 4),
        nn.Linear(4, 3),
        nn.LayerNorm(3),
        nn.Linear(3, 2, bias=False),
        nn.Conv1d(2, 2, 3, bias=False),
    )
    built[3].weight.requires_grad_(requires_grad=False)
    return built


def shapes(groups):
    return [([tuple(p.shape) for p in group["params"]], group["weight_decay"]) for group in groups]


@pytest.mark.parametrize("kind", [AdamW, Adam, SGD, Adafactor])
def test_matrices_are_decayed_vectors_are_not_and_frozen_ones_are_left_out(kind):
    vectors = [(3,), (3,), (3,)]
    groups = kind(weight_decay=0.3).build(mixed()).param_groups
    assert shapes(groups) == [([(5, 4), (3, 4), (2, 2, 3)], 0.3), (vectors, 0)]
    groups = kind(weight_decay=0.3, decay_embeddings=False).build(mixed()).param_groups
    assert shapes(groups) == [([(3, 4), (2, 2, 3)], 0.3), ([(5, 4), *vectors], 0)]


def test_stacked_vectors_are_no_matrices():
    experts = nn.Module()
    for name, shape in {"gate_up_proj": (2, 4), "gate_up_proj_bias": (2, 3), "A_log": (4, 2)}.items():
        experts.register_parameter(name, nn.Parameter(torch.zeros(shape)))
    assert shapes(AdamW(weight_decay=0.3).build(experts).param_groups) == [([(2, 4)], 0.3), ([(2, 3), (4, 2)], 0)]
    assert shapes(Muon(weight_decay=0.3).build(experts).param_groups) == [([(2, 4)], 0.3), ([(2, 3), (4, 2)], 0)]


def test_muon_takes_the_bodys_matrices_and_adamw_the_rest():
    groups = Muon(weight_decay=0.3, decay_embeddings=False).build(mixed()).param_groups
    assert shapes(groups) == [([(3, 4)], 0.3), ([(2, 2, 3)], 0.3), ([(5, 4), (3,), (3,), (3,)], 0)]


@pytest.mark.parametrize("tied", [True, False])
def test_embedding_and_output_layer_are_not_muons(tied):
    built = model(tie_word_embeddings=tied)
    joint = Muon().build(built)
    muon, adamw = joint.optimizers
    rows = [built.model.embed_tokens.weight, *([] if tied else [built.lm_head.weight])]
    inside = {id(p) for group in muon.param_groups for p in group["params"]}
    assert len(inside) == 2 * 7
    assert not inside & {id(p) for p in rows}
    decayed, vectors = adamw.param_groups
    assert [id(p) for p in decayed["params"]] == [id(p) for p in rows]
    assert all(p.ndim == 1 for p in vectors["params"])


@EACH
def test_tied_weights_are_there_once(part):
    tied = model()
    ids = [id(p) for group in part.build(tied).param_groups for p in group["params"]]
    assert len(ids) == len(set(ids)) == len(list(tied.parameters()))


def test_a_model_without_matrices_or_without_vectors():
    vector, matrix = nn.LayerNorm(3), nn.Linear(3, 2, bias=False)
    for part in PARTS:
        assert shapes(part.build(vector).param_groups) == [([(3,), (3,)], 0)]
        assert shapes(part.build(matrix).param_groups) == [([(2, 3)], part.weight_decay)]


def test_a_state_of_another_number_of_optimizers_is_refused():
    joint = Muon().build(model())
    with pytest.raises(ValueError, match="the state is not of 2 optimizers"):
        joint.load_state_dict({"optimizers": [{}]})
    with pytest.raises(ValueError, match="the state is not of 2 optimizers"):
        joint.load_state_dict(AdamW().build(model()).state_dict())


def test_one_step_of_adamw_by_hand():
    # AdamW's first step is lr * sign(gradient), after decay has taken lr * weight_decay of the weight.
    layer = nn.Linear(1, 1)
    nn.init.constant_(layer.weight, 2.0)
    nn.init.constant_(layer.bias, 1.0)
    optimizer = AdamW(lr=0.1, weight_decay=0.5).build(layer)
    (layer(torch.tensor([[3.0]])) * 4).sum().backward()
    optimizer.step()
    assert layer.weight.item() == pytest.approx(2 * (1 - 0.05) - 0.1)
    assert layer.bias.item() == pytest.approx(1 - 0.1)


def test_two_steps_of_sgd_by_hand():
    # A gradient of 12, momentum 1/2: the second step goes along 12 + 6.
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, 2.0)
    optimizer = SGD(lr=0.01, momentum=0.5).build(layer)
    for expected in (2 - 0.12, 2 - 0.12 - 0.18):
        (layer(torch.tensor([[3.0]])) * 4).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        assert layer.weight.item() == pytest.approx(expected)


def test_the_recipes_words():
    def built(optimizer):
        return TrainingConfig(max_steps=1, optimizer=optimizer).optimizer

    assert built("muon") == Muon()
    assert built({"lr": 0.5}) == AdamW(lr=0.5)
    assert built({"type": "sgd", "momentum": 0}) == SGD(momentum=0)
    with pytest.raises(ValidationError, match="did you mean 'adamw'"):
        built("adamww")
    for wrong in (
        {"lr": 0},
        {"betas": [0.9]},
        {"betas": [0.9, 1.0]},
        {"eps": 0},
        {"max_grad_norm": 0},
        {"momentum": 1},
    ):
        with pytest.raises(ValidationError):
            built(wrong)
