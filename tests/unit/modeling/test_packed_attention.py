"""Attention by documents against PyTorch's own with a mask: the same numbers, and only where the mask is just that."""

from __future__ import annotations

import pytest
import torch

from llmkit.modeling.build import ModelConfig, build_model
from llmkit.modeling.dropout import use_counters, use_torch
from llmkit.modeling.heads.causal_lm import CausalLM
from llmkit.modeling.packed_attention import attend_documents, documents_in, documents_noted, packed_mask
from llmkit.modeling.plain_head import causal_lm_loss

TIME = 160


def mask_of(*rows: list[int]) -> torch.Tensor:
    """Return the mask that keeps documents of such lengths apart, `[batch, 1, time, time]`."""
    numbers = torch.stack([torch.repeat_interleave(torch.arange(len(row)), torch.tensor(row)) for row in rows])
    causal = torch.ones(numbers.shape[1], numbers.shape[1], dtype=torch.bool).tril()
    return ((numbers[:, :, None] == numbers[:, None]) & causal)[:, None]


def heads(key_heads: int, dtype: torch.dtype) -> list[torch.Tensor]:
    """Return a query, a key and a value of two rows, laid out as projections leave them."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(2, TIME, count, 8) for count in (4, key_heads, key_heads)]
    found = [torch.randn(shape, generator=generator).to(dtype).transpose(1, 2) for shape in shapes]
    return [tensor.requires_grad_() for tensor in found]


@pytest.mark.parametrize("key_heads", [4, 2, 1])
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 2e-6), (torch.bfloat16, 4e-2)])
def test_outputs_and_gradients_are_those_of_attention_with_the_mask(key_heads, dtype, bound):
    mask = mask_of([70, 60, 30], [100, 59, 1])
    documents = documents_in(mask)
    assert documents == ((0, 0, 70), (0, 70, 130), (0, 130, 160), (1, 0, 100), (1, 100, 159), (1, 159, 160))
    given, copies = heads(key_heads, dtype), [part.float() for part in heads(key_heads, dtype)]
    copies = [part.detach().requires_grad_() for part in copies]
    repeated = [copies[0], *(part.repeat_interleave(4 // key_heads, 1) for part in copies[1:])]
    wanted = torch.nn.functional.scaled_dot_product_attention(*repeated, attn_mask=mask, scale=0.2).transpose(1, 2)
    found = attend_documents(*given, documents, 0.2)
    outer = torch.randn(wanted.shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    wanted.backward(outer.float())
    found.backward(outer)
    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), wanted, atol=bound, rtol=0)
    for own, other in zip(given, copies, strict=True):
        assert own.grad.dtype == dtype
        torch.testing.assert_close(own.grad.float(), other.grad, atol=bound, rtol=bound)


def sliding(mask: torch.Tensor) -> torch.Tensor:
    return mask & torch.ones(TIME, TIME, dtype=torch.bool).triu(-20)


def altered(mask: torch.Tensor) -> torch.Tensor:
    mask[1, 0, 120, 3] = True  # one position sees another document's
    return mask


@pytest.mark.parametrize(
    "mask",
    [
        sliding(mask_of([160], [160])),
        sliding(mask_of([70, 60, 30], [100, 60])),
        altered(mask_of([70, 60, 30], [100, 60])),
        torch.ones(2, 1, TIME, TIME, dtype=torch.bool),
        mask_of([70, 90]) | mask_of([70, 90]).transpose(-1, -2),
        torch.zeros(2, 1, TIME, TIME, dtype=torch.bool),
        mask_of([70, 90]).expand(1, 3, TIME, TIME),
        torch.where(mask_of([70, 90]), 0.0, -1e9),
        mask_of([70, 90])[:, :, 80:],
    ],
)
def test_another_mask_is_left_to_torch(mask):
    assert documents_in(mask) is None


def test_documents_too_short_to_gain_from_are_left_to_torch():
    assert documents_in(mask_of([4] * 40)) is None
    assert documents_in(mask_of([2, 2])) is None


def test_a_mask_of_padded_rows_is_left_to_torch():
    shown = torch.ones(2, TIME, dtype=torch.bool)
    shown[1, 40:] = False
    mask = packed_mask(batch_size=2, q_length=TIME, kv_length=TIME, attention_mask=shown)
    assert mask is not None
    assert documents_noted(mask) is None
    assert documents_noted(None) is None


@pytest.mark.parametrize("arch", ["llama", "qwen3", "gpt2"])
def test_a_model_in_training_has_the_loss_and_gradients_of_torch_on_packed_documents(arch, monkeypatch):
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "initializer_range": 0.3}
    grouped = {} if arch == "gpt2" else {"intermediate_size": 48, "num_key_value_heads": 2, "head_dim": 8}
    still = {"attn_pdrop": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0} if arch == "gpt2" else {}
    model = build_model(
        ModelConfig(arch=arch, config=sizes | grouped | still), head=CausalLM(), vocab_size=50, bos_token_id=0,
        eos_token_id=0, pad_token_id=None, max_positions=TIME, seed=0,
    ).train()  # fmt: skip
    ids = torch.randint(1, 50, (2, TIME), generator=torch.Generator().manual_seed(0))
    positions = torch.tensor([[i for length in row for i in range(length)] for row in ([70, 60, 30], [100, 60])])
    batch = {"input_ids": ids, "position_ids": positions, "labels": ids.roll(-1, 1)}

    def run() -> tuple[float, list[torch.Tensor]]:
        model.zero_grad()
        loss = causal_lm_loss(model, batch)
        loss.backward()
        return float(loss.detach()), [weight.grad for weight in model.parameters()]

    wanted, gradients = run()
    calls = []
    import llmkit.modeling.dropout as module

    monkeypatch.setattr(module, "attend_documents", lambda *given: calls.append(1) or attend_documents(*given))
    use_counters(model)
    found, own = run()
    use_torch(model)
    assert len(calls) == 2, "each of the layers took documents one by one"
    assert found == pytest.approx(wanted, rel=1e-6)
    largest = max(float(gradient.abs().max()) for gradient in gradients)
    for one, other in zip(own, gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5 * largest)
