"""Weights in 8 and 4 bits: other libraries read what is written, and it is rounded by the user's own text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from llmkit.evaluation import limits
from llmkit.exporters.quantized import Quantized

PROBE = ["-s", "parity_prompts=2", "-s", "parity_new_tokens=4"]


@pytest.fixture
def quantize(cli, chain, reload_here):
    """Export the chain's model, with groups of 32 columns: it has no more."""

    def run(scheme, *more, out="out"):
        sets = ["-s", f"exporter.scheme={scheme}", "-s", "exporter.group_size=32"]
        return cli("export", "--model", chain.model, "--format", "quantized", *sets, *PROBE, "-o", out, *more)

    return run


def receipt(folder="out"):
    return json.loads(Path(folder, "parity.json").read_text())


def test_eight_bits_are_read_by_compressed_tensors_and_answer_alike(quantize, chain):
    outcome = quantize("w8a8", "-s", f"exporter.data={chain.corpus}", "-s", "exporter.calibration_tokens=1024")
    assert outcome.code == 0, outcome.err
    found = receipt()
    assert found["measured"]["text"]["top1_but_ties"] >= found["limits"]["top1"] == 0.98
    assert found["notes"] == ["weights were rounded by 1,024 tokens of text"], "no layer of so few is hard"
    assert abs(found["bits_per_byte"]["growth"]) < 0.01
    assert "the model's" in outcome.out
    assert "but for ties (at least 0.98)" in outcome.out
    weights = load_file("out/model.safetensors")
    ours = load_file(chain.model / "model.safetensors")
    name, norm = "model.layers.0.mlp.gate_proj.weight", "model.layers.0.post_attention_layernorm.weight"
    assert weights[name].dtype == torch.int8
    smooth = ours[norm] / weights[norm].float()  # what the layer reads was divided by, its columns are multiplied by
    assert smooth.min() < 0.9 * smooth.max()
    near = weights[name] * weights[f"{name}_scale"].float()
    assert near == pytest.approx(ours[name] * smooth, abs=float((ours[name] * smooth).abs().max()) / 50)
    form = json.loads(Path("out/config.json").read_text())["quantization_config"]
    assert (form["quant_method"], form["format"], form["ignore"]) == (
        "compressed-tensors", "int-quantized", ["lm_head"],
    )  # fmt: skip


def test_four_bits_are_held_to_bits_per_byte(quantize, monkeypatch):
    outcome = quantize("w4a16")
    assert outcome.code == 0, outcome.err
    found = receipt()
    assert found["limits"] == {"bits": 0.05, "graph": 2.0}
    assert 0 < found["graph"]["off"] <= found["graph"]["limit"] < 0.05
    assert "off the model with the same rounded weights (at most" in outcome.out
    assert found["bits_per_byte"]["growth"] <= 0.05
    assert found["notes"] == ["weights were rounded to the nearest: no text was given to round by"]
    name = "model.layers.0.mlp.up_proj.weight"
    weights = load_file("out/model.safetensors")
    assert weights[f"{name}_packed"].shape == (64, 4)  # eight of 32 columns in a word
    assert weights[f"{name}_shape"].tolist() == [64, 32]
    monkeypatch.setattr(limits, "BITS", -1.0)  # nothing less: what a model of eight steps knows is not lost in 4 bits
    failed = quantize("w4a16", "-s", "parity_new_tokens=5", out="other")
    assert failed.code == 7
    assert "more bits per byte (at most -100.0% allowed)" in failed.err
    assert Path("other.failed/parity.json").exists()


def test_layers_that_stay_hard_to_round_are_left_and_noted(quantize, chain, monkeypatch):
    monkeypatch.setattr(
        "llmkit.modeling.smoothing.hard_layers",
        lambda *_: ["model.layers.1.mlp.down_proj", "model.layers.0.mlp.down_proj"],
    )
    outcome = quantize("w8a8", "-s", f"exporter.data={chain.corpus}", "-s", "exporter.calibration_tokens=512")
    assert outcome.code == 0, outcome.err
    assert "rounding what they read would move probabilities by more than 0.006 nats: model.layers.1." in outcome.out
    weights = load_file("out/model.safetensors")
    assert weights["model.layers.0.mlp.down_proj.weight"].dtype == torch.bfloat16
    assert weights["model.layers.0.mlp.up_proj.weight"].dtype == torch.int8
    form = json.loads(Path("out/config.json").read_text())["quantization_config"]
    assert form["ignore"] == ["model.layers.0.mlp.down_proj", "model.layers.1.mlp.down_proj", "lm_head"]


def test_what_a_group_does_not_divide_stays_and_is_noted(quantize):
    assert quantize("w4a16", "-s", "exporter.group_size=64").code == 0
    (_, note) = receipt()["notes"]
    assert note.startswith("12 layers are bfloat16: 64 does not divide the width of model.layers.0.self_attn.q_proj")


def test_torchao_reads_its_own(quantize):
    outcome = quantize("int8")
    assert outcome.code == 0, outcome.err
    assert json.loads(Path("out/config.json").read_text())["quantization_config"]["quant_method"] == "torchao"
    assert 0 < receipt()["graph"]["off"] < 0.02


def test_transposed_layers_are_refused(cli, chain, tmp_path):
    import transformers

    config = transformers.GPT2Config(vocab_size=400, n_embd=32, n_layer=1, n_head=2, n_positions=64)
    transformers.GPT2LMHeadModel(config).save_pretrained("gpt2")
    transformers.AutoTokenizer.from_pretrained(chain.base).save_pretrained("gpt2")
    outcome = cli("export", "--model", "gpt2", "--format", "quantized", "-o", "out")
    assert outcome.code == 2
    assert "quantized does not write gpt2: the layers of gpt2 are transposed" in outcome.err
    assert "-s exporter=safetensors does" in outcome.err


def test_a_model_that_makes_texts_of_texts_is_written_in_a_form_that_each_layer_reads(cli, chain):
    import transformers

    sizes = {"d_model": 32, "d_ff": 64, "d_kv": 16, "num_layers": 1, "num_heads": 2, "decoder_start_token_id": 0}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = transformers.T5ForConditionalGeneration(transformers.T5Config(vocab_size=400, **sizes))
    model.save_pretrained("t5")
    transformers.AutoTokenizer.from_pretrained(chain.base).save_pretrained("t5")
    outcome = cli("export", "--model", "t5", "--format", "quantized", "-o", "out")
    assert outcome.code == 2
    assert "transformers unpacks w8a8 where a whole model is called" in outcome.err
    assert "exporter.scheme=int8 is read by each layer" in outcome.err
    exporter = Quantized(scheme="int8")
    exporter.write(model, transformers.AutoTokenizer.from_pretrained("t5"), Path("written"))
    names = load_file("written/model.safetensors").keys()
    rounded = {name.split(".weight")[0] for name in names if "qdata" in name}
    assert "encoder.block.0.layer.1.DenseReluDense.wo" in rounded or any("wo" in name for name in rounded)
    assert not any("lm_head" in name for name in names), "a head that is tied stays the embedding"
