"""Rounded weights: a layer and its gradient are those of the rounded matrix, and nothing rounded is saved or merged."""

from __future__ import annotations

import sys

import pytest
import torch
from torch.nn import functional as F  # noqa: N812 - the name everybody knows it by

from llmkit.core.adapter import base_digest
from llmkit.core.errors import ConfigError, SetupError
from llmkit.modeling.adapters import Base
from llmkit.modeling.adapters.lora import LoRA
from llmkit.modeling.heads import head_of
from llmkit.modeling.load import load_model
from llmkit.modeling.quantized import QuantizedLinear, is_quantized, quantized_bytes, restore
from small_models import IDS, logits, made, stirred, trained_names

BITS = ("4bit", "8bit")


def layer(bits, rows=48, columns=64):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        return QuantizedLinear(torch.nn.Linear(columns, rows), bits)


@pytest.mark.parametrize("bits", BITS)
def test_a_layer_and_its_gradient_are_those_of_the_rounded_matrix(bits):
    quantized = layer(bits)
    inputs = torch.randn(5, 64, generator=torch.Generator().manual_seed(0))
    found = []
    for function in (quantized, lambda x: F.linear(x, quantized.weight, quantized.bias.detach())):
        x = inputs.clone().requires_grad_()
        output = function(x)
        output.square().sum().backward()
        found.append((output.detach(), x.grad))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-6)


def test_four_bits_are_the_nearest_values_of_nf4():
    """Each block of 64 is scaled by its largest, and takes the nearest of 16 (Dettmers et al. 2023, appendix E)."""
    values = torch.tensor([
        -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
        -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
        0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
    ])  # fmt: skip
    torch.manual_seed(0)
    linear = torch.nn.Linear(64, 3, bias=False)
    scales = linear.weight.abs().amax(1, keepdim=True)
    nearest = values[(linear.weight[:, :, None] / scales[:, :, None] - values).abs().argmin(-1)] * scales
    torch.testing.assert_close(QuantizedLinear(linear, "4bit").weight, nearest, atol=1e-6, rtol=0)


def test_eight_bits_are_torchaos():
    from torchao.quantization import Int8WeightOnlyConfig, quantize_

    torch.manual_seed(0)
    linear, theirs = torch.nn.Linear(64, 3, bias=False), torch.nn.Linear(64, 3, bias=False)
    theirs.load_state_dict(linear.state_dict())
    quantize_(theirs, Int8WeightOnlyConfig())
    found = QuantizedLinear(linear, "8bit").weight
    assert torch.equal(found, theirs.weight.dequantize())
    assert (found - linear.weight).abs().max() <= linear.weight.abs().max() / 127 / 2 * 1.01


@pytest.mark.parametrize(("bits", "size"), [("4bit", 48 * 64 // 2 + 4 * 48), ("8bit", 48 * 64 + 4 * 48)])
def test_bytes_are_counted_by_hand_and_alike_without_data(bits, size):
    assert layer(bits).num_bytes == size
    assert QuantizedLinear(torch.nn.Linear(64, 48, device="meta"), bits).num_bytes == size


@pytest.mark.parametrize("bits", BITS)
def test_lora_beside_rounded_weights_is_lora_beside_the_dequantized_base(bits):
    model, plain = made("untied"), made("untied")
    LoRA(r=4, quantize=bits).wrap(model, head_of(model.config), seed=3)
    for name, quantized in model.named_modules():
        if isinstance(quantized, QuantizedLinear):
            plain.get_submodule(name.replace(".base_layer", "")).weight.data = quantized.weight
    LoRA(r=4).wrap(plain, head_of(plain.config), seed=3)
    assert trained_names(model) == trained_names(plain)
    found = []
    for each in (stirred(model), stirred(plain)):
        output = each(input_ids=IDS).logits
        output.square().sum().backward()
        found.append([output.detach(), *(p.grad for p in each.parameters() if p.requires_grad)])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("bits", BITS)
def test_it_is_saved_after_inference_and_merged_with_the_base_as_it_is(bits, tmp_path):
    base, folder = tmp_path / "base", tmp_path / "adapter"
    model = made("untied")
    model.save_pretrained(base)
    lora = LoRA(r=4, quantize=bits)
    lora.wrap(model, head_of(model.config))
    rounded = logits(stirred(model))
    lora.save(folder, model, Base(str(base), base_digest(base)))
    whole = made("untied")
    LoRA(r=4).wrap(whole, head_of(whole.config))
    wanted = logits(stirred(whole))
    torch.testing.assert_close(logits(load_model(folder)), wanted, atol=1e-5, rtol=0)
    assert not torch.allclose(rounded, wanted, atol=1e-4), "the rounding shows"
    restore(model, load_model(base).state_dict())
    assert not is_quantized(model)
    torch.testing.assert_close(logits(model), wanted, atol=1e-5, rtol=0)
    lora.merge(model)
    torch.testing.assert_close(logits(model), wanted, atol=1e-5, rtol=0)


def test_no_rounded_weight_is_in_a_checkpoint():
    model = made("untied")
    LoRA(r=4, quantize="8bit").wrap(model, head_of(model.config))
    assert not [name for name in model.state_dict() if "packed" in name or "scales" in name]
    assert quantized_bytes(model) > 0


@pytest.mark.parametrize("bits", BITS)
def test_a_model_in_which_nothing_would_be_rounded_is_refused(bits):
    model = made("conv1d")
    with pytest.raises(ConfigError, match=r"adapter\.quantize: none of the matrices of a GPT2LMHeadModel is a linear"):
        LoRA(r=4, quantize=bits).wrap(model, head_of(model.config))


@pytest.mark.parametrize(("bits", "module"), [("4bit", "bitsandbytes"), ("8bit", "torchao")])
def test_a_missing_library_is_named_with_the_line_to_type(monkeypatch, bits, module):
    monkeypatch.setitem(sys.modules, module, None)
    model = made("untied")
    with pytest.raises(SetupError) as raised:
        LoRA(r=4, quantize=bits).wrap(model, head_of(model.config))
    assert raised.value.hint == 'pip install "llmkit[quantized]"'
    assert not is_quantized(model)
