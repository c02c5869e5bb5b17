"""GGUF in 8 and 4 bits: the weights that are left in the model, and a wrong graph told from coarse weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import gguf_exports
import gguf_files
from llmkit.evaluation.probes import Probes, Row
from llmkit.evaluation.rounded import ask_rounded
from llmkit.exporters import _gguf_inputs, _gguf_positions
from llmkit.exporters.gguf import Gguf
from llmkit.modeling.gguf import opened, weights_of
from llmkit.modeling.load import load_model
from llmkit.runtimes import Logits
from llmkit.runtimes._in_memory import InMemory
from llmkit.runtimes.llama_cpp import LlamaCpp

DRAW = np.random.default_rng(0)
ROWS = [Row(tuple(DRAW.integers(0, 320, length).tolist())) for length in (32, 120)]
ASKED = Probes(ROWS, [Logits(row.ids) for row in ROWS])


def graph(folder, name, dtype, **more):
    """Write a model, and compare llama.cpp with it and with its rounded weights."""
    model, tokenizer = gguf_exports.decoder(name, **more).eval(), gguf_files.tokenizer()
    exporter = Gguf(dtype=dtype)
    exporter.write(model, tokenizer, folder)
    running = InMemory(model, tokenizer, where="model", frozen=True)
    rounded = ask_rounded(ASKED, "tokens", running, "transformers", exporter.as_run(model))
    exported = LlamaCpp().load(str(folder))
    theirs = type(rounded.answers)(exported.answer(ASKED.requests), {})
    exported.close()
    return rounded.compare(theirs, exporter.limits("tokens", 1.0, model.config).graph)


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in gguf_exports.DECODERS if name not in ("llama", "gpt2")]


@pytest.mark.parametrize("dtype", ["q8_0", "q4_0", "q4_1"])
@pytest.mark.parametrize("name", ["llama", "gpt2", *SLOW])
def test_the_graph_is_that_of_the_rounded_weights(tmp_path, name, dtype):
    found = graph(tmp_path, name, dtype)
    assert found["off"] < found["limit"]


@pytest.mark.parametrize("dtype", ["q4_k", "q6_k", pytest.param("q2_k", marks=pytest.mark.slow)])
def test_k_quants_read_blocks_of_256(tmp_path, dtype):
    found = graph(tmp_path, "llama", dtype, hidden_size=256, intermediate_size=512)
    assert found["off"] < 0.5 * found["rounding"], "llama.cpp rounds what is read in the same way"


@pytest.mark.parametrize(("name", "dtype"), [("llama", "q4_0"), ("qwen3", "q8_0")])
def test_positions_that_turn_otherwise_are_seen_through_coarse_weights(tmp_path, monkeypatch, name, dtype):
    settings = _gguf_positions.settings
    monkeypatch.setattr(
        "llmkit.exporters._gguf_positions.settings", lambda config: {**settings(config), "rope.freq_base": 1e5}
    )
    found = graph(tmp_path, name, dtype)
    assert found["off"] > 2 * found["limit"]


@pytest.mark.parametrize("name", ["llama", "gpt2", "mistral"])
def test_the_weights_that_are_left_are_those_that_transformers_reads_from_the_file(tmp_path, name):
    model = gguf_exports.decoder(name).eval()
    Gguf(dtype="q4_0").write(model, gguf_files.tokenizer(), tmp_path)
    theirs = load_model(weights_of(opened(tmp_path / "model.gguf"))).state_dict()
    ours = model.state_dict()
    assert ours.keys() == theirs.keys()
    for weight, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[weight], rtol=1e-6, atol=1e-7)


def test_blocks_are_rounded_by_hand():
    numbers = torch.tensor([127.0, -0.6, 0.4, *[0.0] * 29, *[0.0] * 32])
    assert _gguf_inputs._in_blocks(numbers)[:3].tolist() == [127.0, -1.0, 0.0]
    numbers = torch.tensor([*[0.0] * 255, -254.0])
    numbers[0], numbers[1] = 3.1, 0.9
    rounded = _gguf_inputs._in_large_blocks(numbers)
    assert rounded[[0, 1, 255]].tolist() == pytest.approx([4.0, 0.0, -254.0])
    assert _gguf_inputs._in_large_blocks(torch.zeros(256)).abs().sum() == 0
