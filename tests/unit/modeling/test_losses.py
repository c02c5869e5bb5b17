from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F  # noqa: N812

from llmkit.modeling.losses import auto_chunk_size, linear_cross_entropy, linear_cross_entropy_and_z


def reference(hidden, weight, labels, bias=None):
    return F.cross_entropy(F.linear(hidden, weight, bias), labels, reduction="sum", ignore_index=-100)


def test_uniform_logits_cost_the_logarithm_of_the_vocabulary_per_token():
    loss = linear_cross_entropy(torch.randn(3, 4), torch.zeros(8, 4), torch.tensor([0, -100, 7]))
    assert loss.item() == pytest.approx(2 * math.log(8))
    assert loss.dtype == torch.float32
    assert loss.shape == ()


def test_hand_computed_loss_and_gradients():
    hidden = torch.tensor([[1.0]], requires_grad=True)
    weight = torch.tensor([[0.0], [math.log(3)]], requires_grad=True)  # softmax: 1/4, 3/4
    loss = linear_cross_entropy(hidden, weight, torch.tensor([0]))
    (2 * loss).backward()
    assert loss.item() == pytest.approx(math.log(4))
    assert weight.grad.flatten().tolist() == pytest.approx([-1.5, 1.5])
    assert hidden.grad.item() == pytest.approx(1.5 * math.log(3))


@settings(max_examples=40, deadline=None)
@given(
    labels=st.lists(st.sampled_from([-100, 0, 3, 10]), min_size=1, max_size=12),
    chunk_size=st.integers(1, 13),
    with_bias=st.booleans(),
)
def test_equals_cross_entropy_in_float64(labels, chunk_size, with_bias):
    generator = torch.Generator().manual_seed(len(labels))
    target = torch.tensor(labels)

    def inputs():
        shapes = [(len(labels), 5), (11, 5), *([(11,)] if with_bias else [])]
        generator.manual_seed(1)
        return [torch.randn(s, dtype=torch.float64, generator=generator).requires_grad_() for s in shapes]

    ours, theirs = inputs(), inputs()
    bias = {"bias": ours[2]} if with_bias else {}
    loss = linear_cross_entropy(ours[0], ours[1], target, chunk_size=chunk_size, **bias)
    expected = reference(theirs[0], theirs[1], target, *theirs[2:])
    (0.3 * loss).backward()
    (0.3 * expected).backward()
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=1e-12)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-12, atol=1e-12)


def test_hand_computed_z_loss_and_gradients():
    # Logits 0 and ln 3: the normalizer is 4, the softmax 1/4 and 3/4. With z = ln 4 and weight w the gradient of the
    # logits is softmax - one-hot + 2 w z softmax.
    hidden = torch.tensor([[1.0]], requires_grad=True)
    weight = torch.tensor([[0.0], [math.log(3)]], requires_grad=True)
    loss, squares = linear_cross_entropy_and_z(hidden, weight, torch.tensor([0]), z_loss=0.5)
    loss.backward()
    z = math.log(4)
    assert loss.item() == pytest.approx(z)
    assert squares.item() == pytest.approx(z**2)
    assert not squares.requires_grad
    assert weight.grad.flatten().tolist() == pytest.approx([-0.75 + z / 4, 0.75 + 3 * z / 4])
    assert hidden.grad.item() == pytest.approx((0.75 + 3 * z / 4) * math.log(3))


@settings(max_examples=40, deadline=None)
@given(
    labels=st.lists(st.sampled_from([-100, 0, 3, 10]), min_size=1, max_size=12),
    chunk_size=st.integers(1, 13),
    with_bias=st.booleans(),
    z_loss=st.sampled_from([0.0, 1e-4, 0.3]),
)
def test_z_loss_equals_autograd_on_all_logits_in_float64(labels, chunk_size, with_bias, z_loss):
    target = torch.tensor(labels)

    def inputs():
        shapes = [(len(labels), 5), (11, 5), *([(11,)] if with_bias else [])]
        generator = torch.Generator().manual_seed(1)
        return [torch.randn(s, dtype=torch.float64, generator=generator).requires_grad_() for s in shapes]

    ours, theirs = inputs(), inputs()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("llmkit.modeling.losses.auto_chunk_size", lambda _: chunk_size)
        bias = {"bias": ours[2]} if with_bias else {}
        loss, squares = linear_cross_entropy_and_z(ours[0], ours[1], target, z_loss=z_loss, **bias)
    entropy = reference(theirs[0], theirs[1], target, *theirs[2:])
    normalizers = F.linear(*theirs)[target != -100].logsumexp(-1).square().sum()
    (0.3 * loss).backward()
    (0.3 * (entropy + z_loss * normalizers)).backward()
    torch.testing.assert_close(loss, entropy, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(squares, normalizers if z_loss else torch.zeros_like(squares), rtol=1e-12, atol=1e-12)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-12, atol=1e-12)


def test_equals_cross_entropy_in_float32_over_several_chunks_and_blocks(monkeypatch):
    monkeypatch.setattr("llmkit.modeling.losses.CPU_BLOCK", 32 * 100)  # 301 rows of the head: blocks of 100
    torch.manual_seed(0)
    labels = torch.randint(301, (700,))
    labels[::3] = -100
    pairs = []
    for loss_of in (linear_cross_entropy, reference):
        torch.manual_seed(1)
        hidden, weight = torch.randn(700, 32, requires_grad=True), torch.randn(301, 32, requires_grad=True)
        loss = loss_of(hidden, weight, labels)
        loss.backward()
        pairs.append((loss.detach(), hidden.grad, weight.grad))
    for a, b in zip(*pairs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5 * b.abs().max().item())


def test_all_rows_ignored_is_zero_with_zero_gradients():
    hidden, weight = torch.randn(3, 4, requires_grad=True), torch.randn(8, 4, requires_grad=True)
    loss = linear_cross_entropy(hidden, weight, torch.full((3,), -100))
    loss.backward()
    assert loss.item() == 0
    assert hidden.grad.eq(0).all()
    assert weight.grad.eq(0).all()


def test_a_bf16_batch_without_any_target_is_zero():
    hidden, weight = torch.randn(5, 8, requires_grad=True), torch.randn(11, 8, requires_grad=True)
    labels = torch.full((5,), -100)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = linear_cross_entropy(hidden, weight, labels)
    loss.backward()
    assert loss.item() == 0
    assert not hidden.grad.any()
    assert not weight.grad.any()


def test_tied_weight_gets_both_gradients():
    labels, ids = torch.tensor([1, 2, 0]), torch.tensor([0, 1, 2])
    grads = []
    for loss_of in (linear_cross_entropy, reference):
        torch.manual_seed(0)
        weight = torch.randn(6, 4, requires_grad=True)
        loss_of(F.embedding(ids, weight), weight, labels).backward()
        grads.append(weight.grad)
    torch.testing.assert_close(*grads)


def test_no_gradient_is_computed_where_none_is_asked_for(monkeypatch):
    hidden, weight = torch.randn(3, 4, requires_grad=True), torch.randn(8, 4)
    linear_cross_entropy(hidden, weight, torch.tensor([0, 1, 2])).backward()
    assert weight.grad is None
    assert hidden.grad is not None

    monkeypatch.setattr(torch, "zeros_like", lambda *a, **k: pytest.fail("gradients allocated"))
    with torch.no_grad():
        loss = linear_cross_entropy(hidden, weight, torch.tensor([0, 1, 2]))
    assert not loss.requires_grad


def test_second_backward_is_refused():
    hidden = torch.randn(3, 4, requires_grad=True)
    loss = linear_cross_entropy(hidden, torch.randn(8, 4), torch.tensor([0, 1, 2]))
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="only once"):
        loss.backward()


def test_autocast_multiplies_in_bf16_and_keeps_float32_results():
    torch.manual_seed(0)
    hidden, weight = torch.randn(50, 32, requires_grad=True), (0.1 * torch.randn(70, 32)).requires_grad_()
    labels = torch.randint(70, (50,))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = linear_cross_entropy(hidden, weight, labels)
    loss.backward()
    rounded = reference(hidden, weight, labels).item()
    logits = (hidden.bfloat16() @ weight.bfloat16().T).float()
    assert loss.dtype == hidden.grad.dtype == weight.grad.dtype == torch.float32
    assert loss.item() == pytest.approx(F.cross_entropy(logits, labels, reduction="sum").item(), rel=1e-6)
    assert loss.item() != rounded
    assert loss.item() == pytest.approx(rounded, rel=1e-2)


def test_no_tensor_as_large_as_the_logits_exists():
    class Largest(torch.utils._python_dispatch.TorchDispatchMode):
        numel = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            for item in out if isinstance(out, tuple | list) else [out]:
                self.numel = max(self.numel, item.numel() if isinstance(item, torch.Tensor) else 0)
            return out

    hidden, weight = torch.randn(64, 4, requires_grad=True), torch.randn(32, 4, requires_grad=True)
    with Largest() as seen:
        linear_cross_entropy(hidden, weight, torch.zeros(64, dtype=torch.long), chunk_size=16).backward()
    assert seen.numel == 16 * 32  # the logits of one chunk; all of them would be 64 * 32


@pytest.mark.parametrize(("dim", "tokens"), [(16, 256), (1024, 1024), (8192, 2048)])
def test_auto_chunk_size(dim, tokens):
    assert auto_chunk_size(dim) == tokens
