"""export to ONNX through the command line: what is written loads in onnxruntime and answers the same, or why not."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
import torch

from onnx_models import save_writer

PROBE = ["-s", "exporter=onnx", "-s", "parity_prompts=2", "-s", "parity_new_tokens=4"]
pytestmark = pytest.mark.usefixtures("reload_here")


def test_a_chat_model_is_proven_by_onnxruntime_and_then_evaluated_in_it(cli, chain):
    outcome = cli("export", "--model", chain.model, *PROBE, "-o", "out")
    assert outcome.code == 0, outcome.err
    assert "20 of 20 greedy tokens equal, in a fresh process" in outcome.out
    parity = json.loads(Path("out/parity.json").read_text())
    assert 0 < parity["max_logit_difference"] <= parity["tolerance"]
    assert parity["runtimes"]["export"]["runtime"] == {"type": "onnxruntime"}
    assert parity["runtimes"]["export"]["versions"].keys() == {"onnxruntime"}
    files = {path.relative_to("out").as_posix() for path in Path("out").rglob("*") if path.is_file()}
    assert files == {
        "onnx/model.onnx", "config.json", "generation_config.json", "genai_config.json", "tokenizer.json",
        "tokenizer_config.json", "parity.json", "README.md", "llmkit.json",
    }  # fmt: skip
    assert 'await pipeline("text-generation", "DIR", { dtype: "fp32" })' in Path("out/README.md").read_text()
    # transformers.js reads no chat_template.jinja.
    template = json.loads(Path("out/tokenizer_config.json").read_text())["chat_template"]
    assert template == (chain.model / "chat_template.jinja").read_text()

    tasks = f"tasks=[{{type: perplexity, data: {chain.tokens}, limit: 2}}]"
    scores = []
    for model, runtime in ((chain.model, "transformers"), ("out", "onnxruntime")):
        outcome = cli("eval", "--model", model, "-s", tasks, "-s", f"runtime={runtime}", "-o", runtime)
        assert outcome.code == 0, outcome.err
        results = json.loads(Path(runtime, "results.json").read_text())
        scores.append(results["tasks"]["perplexity"]["results"]["model"]["scores"])
    assert scores[0] == pytest.approx(scores[1], rel=1e-5, abs=1e-6)


@pytest.fixture
def copied(tmp_path):
    """A model of transformers' own, to be changed."""
    return save_writer(tmp_path / "model", "llama")


def test_an_architecture_that_was_not_tried_is_refused_with_those_that_were(cli):
    import transformers

    from headed import WORDS, tokenizer

    config = transformers.AutoConfig.for_model("mamba", vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=1)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained("model")
    tokenizer().save_pretrained("model")
    outcome = cli("export", "--model", "model", *PROBE, "-o", "out", "--json")
    assert outcome.code == outcome.json["exit_code"] == 2
    words = "exporter: onnx does not write model: the architecture 'mamba' is none that was tried; these were: albert, "
    assert outcome.json["message"].startswith(words)
    assert "-s exporter=safetensors" in outcome.json["hint"]


def test_weights_that_are_no_numbers(cli, copied):
    from safetensors.torch import load_file, save_file

    weights = load_file(copied / "model.safetensors")
    weights["model.norm.weight"][0] = torch.nan
    save_file(weights, copied / "model.safetensors", metadata={"format": "pt"})
    outcome = cli("export", "--model", copied, *PROBE, "-o", "out")
    assert outcome.code == 3
    assert "holds NaN or infinity in 1 of its" in outcome.err
    assert not Path("out/llmkit.json").exists()


@pytest.mark.parametrize("module", ["onnx", "onnxscript", "onnxruntime"])
def test_without_the_extra(cli, copied, monkeypatch, module):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == module else find(name, *more))
    outcome = cli("export", "--model", copied, *PROBE, "-o", "out")
    assert outcome.code == 4
    assert "error: this needs the 'onnx' extra, which is not installed" in outcome.err
    assert 'pip install "llmkit[onnx]"' in outcome.err


def test_a_model_whose_graph_depends_on_its_input(cli, copied, monkeypatch):
    from llmkit.exporters import _onnx_graphs

    forward = _onnx_graphs._Decoder.forward

    def branching(self, inputs):
        return forward(self, inputs) if inputs["input_ids"].sum() > 0 else ()

    monkeypatch.setattr(_onnx_graphs._Decoder, "forward", branching)
    outcome = cli("export", "--model", copied, *PROBE, "-o", "out")
    assert outcome.code == 2
    assert "error: exporter: the graph of LlamaForCausalLM cannot be traced: " in outcome.err
    assert "--format safetensors writes it" in outcome.err
    assert not Path("out/llmkit.json").exists()
