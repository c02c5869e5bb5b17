from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from llmkit.modeling.softmax_kernel import softmax_error_

RARE = 61  # no multiple of any vector width


def reference(logits: torch.Tensor, targets: torch.Tensor, z_loss: float) -> tuple[torch.Tensor, ...]:
    """Cross-entropies, logs of normalizers and the gradient of the logits, by autograd in float64."""
    wide = logits.double().requires_grad_()
    norms = wide.logsumexp(-1)
    losses = norms - wide.gather(-1, targets[:, None])[:, 0]
    (losses + z_loss * norms.square()).sum().backward()
    return losses.detach(), norms.detach(), wide.grad


@settings(deadline=None, max_examples=40)
@given(
    rows=st.integers(1, 9),
    size=st.integers(1, 300),
    scale=st.sampled_from([0.01, 1.0, 30.0]),
    z_loss=st.sampled_from([0.0, 1e-2]),
    seed=st.integers(0, 2**31),
)
def test_it_is_the_derivative_of_cross_entropy(rows, size, scale, z_loss, seed):
    draw = torch.Generator().manual_seed(seed)
    logits = (torch.randn(rows, size, generator=draw) * scale).bfloat16()
    targets = torch.randint(0, size, (rows,), generator=draw)
    losses, norms, gradient = reference(logits, targets, z_loss)
    found = softmax_error_(written := logits.clone(), targets, z_loss=z_loss)
    torch.testing.assert_close(found[0].double(), losses, rtol=1e-5, atol=3e-5)
    torch.testing.assert_close(found[1].double(), norms, rtol=1e-6, atol=1e-5)
    # bf16 keeps 8 bits; what is under 2 ** -126 of the largest is 0.
    torch.testing.assert_close(written.double(), gradient, rtol=2**-8, atol=2e-7)


def test_by_hand():
    logits = torch.tensor([[0.0, 0.0, 0.0, 0.0], [math.log(2), 0.0, 0.0, -1e30]]).bfloat16()
    losses, norms = softmax_error_(logits, torch.tensor([1, 2]))
    two = torch.tensor(math.log(2)).bfloat16().double().exp().item()  # about 2: bf16 rounds the logarithm
    assert losses.tolist() == pytest.approx([math.log(4), math.log(two + 2)], rel=1e-6)
    assert norms.tolist() == pytest.approx([math.log(4), math.log(two + 2)], rel=1e-6)
    assert logits[0].tolist() == [0.25, -0.75, 0.25, 0.25]
    assert logits[1].tolist() == pytest.approx([0.5, 0.25, -0.75, 0.0], abs=2e-3)


def test_the_gradient_is_rounded_to_nearest_even():
    logits = torch.randn(64, RARE, generator=torch.Generator().manual_seed(1)).bfloat16()
    targets = torch.arange(64) % RARE
    exact = logits.double().softmax(-1)
    exact[torch.arange(64), targets] -= 1
    softmax_error_(logits, targets)
    off = (logits != exact.float().bfloat16()).float().mean()
    assert off < 0.002  # where float32 itself falls on the other side of the middle


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
def test_what_is_not_finite_spreads_and_leaves_other_rows_alone(bad):
    logits = torch.zeros(3, RARE).bfloat16()
    logits[1, 7] = bad
    losses, norms = softmax_error_(logits, torch.tensor([0, 0, 0]))
    assert losses.isnan().tolist() == norms.isnan().tolist() == [False, True, False]
    assert logits[1].isnan().all()
    assert logits[[0, 2]].isfinite().all()


def test_the_number_of_threads_changes_nothing():
    logits = torch.randn(33, 700, generator=torch.Generator().manual_seed(2)).bfloat16()
    targets = torch.arange(33)
    found, before = [], torch.get_num_threads()
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            written = logits.clone()
            found.append((written, *softmax_error_(written, targets)))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


@pytest.mark.parametrize("target", [-100, RARE])
def test_a_target_that_is_no_column_is_an_error(target):
    with pytest.raises(IndexError, match=f"targets {target} to {target} of {RARE} classes"):
        softmax_error_(torch.zeros(1, RARE).bfloat16(), torch.tensor([target]))
