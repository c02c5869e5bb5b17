from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F  # noqa: N812
from transformers import AutoConfig, AutoModelForCausalLM

from llmkit.modeling.plain_head import causal_lm_loss, causal_lm_losses, uses_plain_head


def tiny(arch, **settings):
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 40}
    names = AutoConfig.for_model(arch).attribute_map
    if arch != "gpt2":
        sizes |= {"intermediate_size": 32, "num_key_value_heads": 1, "head_dim": 8}
    config = AutoConfig.for_model(arch, **{names.get(k, k): v for k, v in sizes.items()}, **settings)
    return AutoModelForCausalLM.from_config(config)


@pytest.mark.parametrize(
    ("arch", "settings", "plain"),
    [
        ("llama", {}, True),
        ("llama", {"tie_word_embeddings": True}, True),
        ("gpt2", {}, True),
        ("qwen3", {}, True),
        ("granite", {"logits_scaling": 8.0}, False),
        ("cohere", {}, False),
        ("gemma2", {}, False),
    ],
)
def test_causal_lm_loss_equals_the_models_own(arch, settings, plain):
    model = tiny(arch, **settings).eval()
    ids = torch.randint(3, 40, (2, 9), generator=torch.Generator().manual_seed(0))
    labels = torch.cat([ids[:, 1:], torch.full((2, 1), -100)], dim=1)
    labels[0, 3] = -100
    positions = torch.arange(9).expand(2, 9)
    assert uses_plain_head(model) is plain

    loss = causal_lm_loss(model, {"input_ids": ids, "position_ids": positions, "labels": labels})
    loss.backward()
    ours = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    own = model(input_ids=ids, labels=ids, shift_labels=labels, num_items_in_batch=1, use_cache=False).loss
    own.backward()
    torch.testing.assert_close(loss, own, rtol=1e-5, atol=0)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(ours[name], parameter.grad, rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize("arch", ["llama", "granite"])
@pytest.mark.parametrize("z_loss", [0.0, 0.2])
def test_causal_lm_losses_equal_autograd_on_the_models_logits(arch, z_loss):
    model = tiny(arch, **({"logits_scaling": 8.0} if arch == "granite" else {})).eval()
    ids = torch.randint(3, 40, (2, 9), generator=torch.Generator().manual_seed(0))
    labels = torch.cat([ids[:, 1:], torch.full((2, 1), -100)], dim=1)
    positions = torch.tensor([[*range(5), *range(4)], [*range(9)]])
    labels[0, 4] = -100
    batch = {"input_ids": ids, "position_ids": positions, "labels": labels}
    assert uses_plain_head(model) is (arch == "llama")

    entropy, squares = causal_lm_losses(model, batch, z_loss=z_loss)
    (3 * entropy).backward()
    ours = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    logits = model(input_ids=ids, position_ids=positions, use_cache=False).logits[labels != -100]
    expected = F.cross_entropy(logits, labels[labels != -100], reduction="sum")
    z = logits.logsumexp(-1).square().sum()
    (3 * (expected + z_loss * z)).backward()
    assert entropy.item() == pytest.approx(expected.item(), rel=1e-5)
    assert squares.item() == pytest.approx(z.item() if z_loss else 0.0, rel=1e-5)
    assert not squares.requires_grad
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(ours[name], parameter.grad, rtol=1e-4, atol=1e-4, msg=name)


def test_plain_head_probe_leaves_modes_random_state_and_hooks_alone():
    model = tiny("llama", attention_dropout=0.5).train()
    model.model.layers[0].eval()
    state = torch.get_rng_state()
    assert uses_plain_head(model)
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training
    assert not model.model.layers[0].training
    assert not model.lm_head._forward_hooks


def test_wrapped_head_is_not_plain():
    class Adapted(torch.nn.Linear):
        def forward(self, x):
            return super().forward(x) + 1

    model = tiny("llama")
    model.lm_head = Adapted(16, 40, bias=False)
    assert not uses_plain_head(model)
