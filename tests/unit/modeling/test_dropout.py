"""Dropout by counters: as much of it as asked for, the same in both directions, and nowhere a pattern."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "objectives"))

from blocks import ENCODER, VOCABULARY, model, packed

from llmkit.core.registry import Family
from llmkit.modeling.companions import Models
from llmkit.modeling.dropout import ATTENTION, CounterDropout, attend, drop, use_counters, use_torch

SIZE = (3, 257, 411)  # 317k elements: several threads


def kept(p: float, seed: int, size=SIZE) -> np.ndarray:
    torch.manual_seed(seed)
    return (drop(torch.ones(size), p) != 0).numpy().ravel()


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_kept_is_as_likely_as_asked_for_and_larger_by_that(p, dtype):
    torch.manual_seed(0)
    tensor = torch.randn(SIZE, dtype=dtype)
    found = drop(tensor, p)
    assert found.dtype == dtype
    chosen = found != 0
    torch.testing.assert_close(found[chosen], (tensor * (1 / (1 - p)))[chosen], rtol=0, atol=0)
    deviation = (p * (1 - p) / tensor.numel()) ** 0.5
    assert abs(float(chosen.float().mean()) - (1 - p)) < 5 * deviation


def test_the_backward_pass_drops_the_same_elements():
    torch.manual_seed(1)
    tensor = torch.randn(SIZE, requires_grad=True)
    found = drop(tensor, 0.25)
    weights = torch.randn(SIZE)
    found.backward(weights)
    torch.testing.assert_close(tensor.grad, torch.where(found != 0, weights / 0.75, 0.0))


def test_the_seed_is_drawn_from_torch_and_threads_do_not_count():
    first = kept(0.5, seed=3)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        assert np.array_equal(kept(0.5, seed=3), first)
        torch.set_num_threads(3)
        assert np.array_equal(kept(0.5, seed=3), first)
    finally:
        torch.set_num_threads(threads)
    assert not np.array_equal(kept(0.5, seed=4), first)
    torch.manual_seed(3)
    one, two = (drop(torch.ones(SIZE), 0.5) for _ in range(2))  # the generator goes on
    assert not torch.equal(one, two)


def test_an_element_is_known_by_its_place_not_by_the_strides():
    torch.manual_seed(5)
    tensor = torch.randn(64, 32).t()
    torch.manual_seed(6)
    turned = drop(tensor, 0.5)
    torch.manual_seed(6)
    assert torch.equal(drop(tensor.contiguous(), 0.5), turned)
    assert turned.is_contiguous()


@pytest.mark.parametrize("lag", [1, 2, 7, 64, 411, 4096])
def test_neighbours_and_other_calls_have_nothing_to_do_with_each_other(lag):
    """Of independent halves the correlation is 0 with a deviation of 1 / sqrt(n); five are once in a million."""
    first, second = (kept(0.5, seed) * 2.0 - 1 for seed in (7, 8))
    bound = 5 / first.size**0.5
    assert abs(np.mean(first[lag:] * first[:-lag])) < bound
    assert abs(np.mean(first[lag:] * second[:-lag])) < bound
    assert abs(np.mean(first * second)) < bound


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_all_or_nothing_is_torch_own(p):
    assert torch.equal(drop(torch.ones(5), p), torch.full((5,), 1 - p))


def test_nothing_is_dropped_from_nothing_or_in_eval_mode():
    assert drop(torch.ones(0, 4), 0.5).shape == (0, 4)
    assert torch.equal(CounterDropout(0.5).eval()(torch.ones(4)), torch.ones(4))


CASES = {"bert": ("masked_lm", ENCODER), "gpt2": ("causal_lm", {}), "llama": ("causal_lm", {"attention_dropout": 0.1})}


def inputs(arch: str) -> dict[str, torch.Tensor]:
    torch.manual_seed(9)
    ids = torch.randint(5, 40, (3, 12))
    shown = torch.ones_like(ids)
    shown[1, 7:] = 0
    return {"input_ids": ids, "attention_mask": shown} if arch != "llama" else {"input_ids": ids}


@pytest.mark.parametrize("arch", CASES)
def test_a_model_that_drops_next_to_nothing_has_the_outputs_and_gradients_of_torch(arch):
    def run(counters: bool) -> tuple[torch.Tensor, list[torch.Tensor]]:
        built = model(arch, CASES[arch][0], **CASES[arch][1]).train()
        for part in built.modules():
            if isinstance(part, torch.nn.Dropout):
                part.p = 1e-12 if counters else 0.0
            if hasattr(part, "attention_dropout") and isinstance(part.attention_dropout, float):
                part.attention_dropout = 1e-12 if counters else 0.0
        if counters:
            use_counters(built)
            assert built.config._attn_implementation == ATTENTION
        shown = inputs(arch)
        logits = built(**shown).logits
        mask = shown.get("attention_mask", torch.ones_like(shown["input_ids"])).bool()
        logits[mask].square().sum().backward()
        return logits[mask].detach(), [weight.grad for weight in built.parameters() if weight.grad is not None]

    (expected, gradients), (found, own) = run(counters=False), run(counters=True)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert len(own) == len(gradients) > 4
    largest = max(float(gradient.abs().max()) for gradient in gradients)
    for one, other in zip(own, gradients, strict=True):  # a key's bias has none, up to rounding
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6 * largest)


def test_attention_drops_out_in_training_and_the_model_gets_its_own_back():
    built = model("bert", "masked_lm", **ENCODER)
    use_counters(built.train())
    shown = inputs("bert")
    assert not torch.equal(built(**shown).logits, built(**shown).logits)
    built.eval()
    quiet = built(**shown).logits
    use_torch(built)
    assert torch.equal(built(**shown).logits, quiet)
    assert built.config._attn_implementation == "sdpa"
    assert not any(isinstance(part, CounterDropout) for part in built.modules())


def test_the_mean_over_many_draws_is_what_nothing_dropped_gives():
    built = model("bert", "masked_lm", **{**ENCODER, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.5})
    attention = built.bert.encoder.layer[0].attention.self
    states = torch.randn(64, 12, ENCODER.get("hidden_size", built.config.hidden_size))
    use_counters(built)
    expected = attention.eval()(states)[0].detach()
    attention.train()
    torch.manual_seed(0)
    found = torch.stack([attention(states)[0].detach() for _ in range(200)]).mean(0)
    deviation = float((found - expected).square().mean().sqrt() / expected.std())
    assert deviation < 0.15


@pytest.mark.parametrize(
    ("objective", "arch"),
    [("masked_lm", "bert"), ("prefix_lm", "gpt2"), ("span_corruption", "t5"), ("causal_lm", "gpt2")],
)
def test_every_objective_over_packed_documents_trains_with_counters(objective, arch):
    built_in = Family("document_objective").parse(objective)
    built = model(arch, built_in.head).train()
    use_counters(built)
    tensors, counts = built_in.collate(packed(built_in), VOCABULARY, 0)
    losses = built_in.loss(Models(built), tensors)
    sum(total for total, _ in losses.values()).backward()
    assert all(torch.isfinite(total) for total, _ in losses.values())
    assert min(counts.values()) > 0


def test_a_mask_of_another_type_hides_and_gives_no_nan():
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, 2, 5, 4, dtype=torch.bfloat16) for _ in range(3))
    mask = torch.zeros(2, 1, 5, 5)
    mask[..., 3:] = torch.finfo(torch.float32).min
    mask[0, :, 0] = float("-inf")
    module = torch.nn.Module()
    found, _ = attend(module, query, key, value, mask, dropout=1e-12)
    assert torch.isfinite(found).all()
    changed, _ = attend(module, query, key, torch.cat([value[:, :, :3], value[:, :, 3:] + 9], 2), mask, dropout=1e-12)
    torch.testing.assert_close(changed[0, 1:], found[0, 1:])
