"""Documents packed into one row must not see each other, in any architecture and attention the docs name."""

from __future__ import annotations

import pytest
import torch

from llmkit.modeling.build import ModelConfig, build_model
from llmkit.modeling.heads.causal_lm import CausalLM

LENGTHS = [[3, 5, 4], [6, 1, 5]]  # two rows with borders at different places
# Large weights, so that a leak is far above rounding.
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "initializer_range": 0.5}
GROUPED = SIZES | {"intermediate_size": 32, "num_key_value_heads": 1, "head_dim": 8}


def build(arch, attention):
    model = build_model(
        ModelConfig(arch=arch, config=SIZES if arch == "gpt2" else GROUPED),
        head=CausalLM(),
        vocab_size=50,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=None,
        max_positions=12,
        seed=0,
    )
    model.set_attn_implementation(attention)
    assert model.config._attn_implementation == attention
    return model


def packed():
    ids = torch.randint(1, 50, (2, 12), generator=torch.Generator().manual_seed(0))
    positions = torch.tensor([[i for length in row for i in range(length)] for row in LENGTHS])
    return ids, positions


@torch.no_grad()
def largest_difference(model, **inputs):
    """Between documents in the packed rows and the same documents alone."""
    ids, positions = packed()
    body = model.get_decoder()
    together = body(input_ids=ids, position_ids=positions, **inputs).last_hidden_state
    worst = 0.0
    for row, lengths in enumerate(LENGTHS):
        start = 0
        for length in lengths:
            part = slice(start, start + length)
            alone = body(input_ids=ids[row : row + 1, part], use_cache=False).last_hidden_state[0]
            worst = max(worst, (together[row, part] - alone).abs().max().item())
            start += length
    return worst


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("arch", ["llama", "qwen3", "gpt2"])
def test_packed_documents_are_isolated(arch, attention):
    assert largest_difference(build(arch, attention), use_cache=False) < 1e-5


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("arch", ["llama", "qwen3", "gpt2"])
def test_an_all_ones_mask_leaks(arch, attention):
    mask = torch.ones(2, 12, dtype=torch.long)
    assert largest_difference(build(arch, attention), use_cache=False, attention_mask=mask) > 1e-2


def test_a_cache_leaks():
    assert largest_difference(build("llama", "sdpa"), use_cache=True) > 1e-2


def test_later_tokens_do_not_change_earlier_ones():
    ids, positions = packed()
    body = build("llama", "sdpa").get_decoder()
    changed = ids.clone()
    changed[:, -1] = 1 + ids[:, -1] % 49
    with torch.no_grad():
        before, after = (
            body(input_ids=x, position_ids=positions, use_cache=False).last_hidden_state for x in (ids, changed)
        )
    torch.testing.assert_close(before[:, :-1], after[:, :-1], rtol=0, atol=1e-6)
    assert not torch.allclose(before[:, -1], after[:, -1])
