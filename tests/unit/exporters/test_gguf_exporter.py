"""Models written to GGUF, read again, and asked through llama.cpp: the same numbers, the same ids, the same chats."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import gguf_exports
import gguf_files
from llmkit.core.errors import DataError, SetupError
from llmkit.evaluation.probes import TEXTS
from llmkit.exporters.gguf import Gguf
from llmkit.modeling.gguf_header import read_header
from llmkit.modeling.load import load_model
from llmkit.modeling.pooling import Pooling, write_pooling
from llmkit.modeling.tokenizer import load_tokenizer
from llmkit.runtimes import Embed, Generate, Logits
from llmkit.runtimes.llama_cpp import LlamaCpp
from llmkit.runtimes.transformers import Transformers

IDS = tuple(int(i) for i in np.random.default_rng(0).integers(4, 320, 90))
UNREAD = ("gemma",)
"""What transformers reads no GGUF file of."""


def logits(model) -> np.ndarray:
    with torch.no_grad():
        return model(input_ids=torch.tensor([IDS])).logits[0].numpy()


def written(folder, model, tokenizer=None, dtype="float32"):
    tokenizer = tokenizer or gguf_files.tokenizer()
    exporter = Gguf(dtype=dtype)
    assert exporter.supports(model.config, tokenizer) is None
    return exporter.write(model, tokenizer, folder)


@pytest.mark.parametrize("name", gguf_exports.DECODERS)
def test_the_file_is_the_model(tmp_path, name):
    model = gguf_exports.decoder(name)
    expected = logits(model)
    assert written(tmp_path, model) == []
    running = LlamaCpp().load(str(tmp_path))
    (found,) = running.answer([Logits(IDS)])
    limits = Gguf(dtype="float32").limits("tokens", expected.std(), model.config)
    assert np.abs(found - expected).max() <= limits.difference
    assert limits.exact
    np.testing.assert_array_equal(found.argmax(-1), expected.argmax(-1))
    running.close()
    if name not in UNREAD:  # and llmkit reads what it has written
        np.testing.assert_array_equal(logits(load_model(tmp_path / "model.gguf")), expected)


def test_weights_are_let_go_of_as_they_are_written(tmp_path):
    model = gguf_exports.decoder("llama")
    written(tmp_path, model)
    assert sum(weight.numel() for weight in model.parameters()) == 0


def test_tied_weights_are_written_once_and_others_twice(tmp_path):
    for tied, folder in ((True, tmp_path / "a"), (False, tmp_path / "b")):
        folder.mkdir()
        written(folder, gguf_exports.decoder("llama", tie_word_embeddings=tied))
        assert ("output.weight" in read_header(folder / "model.gguf").names) is not tied


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0"])
def test_rounded_weights_are_those_of_the_dequantizer(tmp_path, dtype):
    import gguf

    from llmkit.exporters._gguf_formats import FORMATS

    given = {name: weight.clone() for name, weight in gguf_exports.decoder("qwen3").state_dict().items()}
    notes = written(tmp_path, gguf_exports.decoder("qwen3"), dtype=dtype)
    plain, output = FORMATS[dtype].kind, FORMATS[dtype].output
    assert notes == ([f"token_embd.weight, which makes the logits, is {output}"] if output else [])
    for name, weight in load_model(tmp_path / "model.gguf").state_dict().items():
        values = given[name].numpy()
        if values.ndim > 1:
            kind = gguf.GGMLQuantizationType[(output or plain) if "embed" in name or "head" in name else plain]
            values = gguf.dequantize(gguf.quantize(values, kind), kind)
        np.testing.assert_array_equal(weight.numpy(), values, err_msg=name)


@pytest.mark.parametrize("dtype", ["q6_k", "q5_k", "q4_k", "q3_k", "q2_k"])
def test_k_quants_are_read_by_two_dequantizers_alike(dtype):
    import gguf
    import libgguf

    from llmkit.exporters._gguf_formats import FORMATS, rounded

    values = np.random.default_rng(1).standard_normal((3, 512), np.float32)
    kind = FORMATS[dtype].kind
    found = rounded(values, kind)
    of = gguf.GGMLQuantizationType[kind]
    read = gguf.dequantize(found, of)
    np.testing.assert_allclose(read, libgguf.dequantize_rows(found, of), rtol=1e-6, atol=1e-7)
    bits = int(dtype[1])
    assert np.abs(read - values).mean() < 2.0**-bits * 2


@pytest.mark.parametrize("dtype", ["q6_k", "q5_k", "q4_k", "q3_k", "q2_k"])
def test_k_quants_are_run_by_llama_cpp(tmp_path, dtype):
    wide = {"hidden_size": 256, "intermediate_size": 512}
    notes = written(tmp_path, gguf_exports.decoder("llama", **wide), dtype=dtype)
    assert notes == ([] if dtype == "q6_k" else ["token_embd.weight, which makes the logits, is Q6_K"])
    running = LlamaCpp().load(str(tmp_path))
    (found,) = running.answer([Logits(IDS)])
    running.close()
    expected = logits(load_model(tmp_path / "model.gguf"))  # the same weights: what layers read is rounded, too
    assert np.abs(found - expected).mean() < 0.05 * expected.std()


def test_rows_that_do_not_divide_are_said(tmp_path):
    notes = written(tmp_path, gguf_exports.decoder("llama", intermediate_size=40), dtype="q8_0")
    assert notes == ["2 tensors are F16, not Q8_0: rows of 40 do not divide by 32"]
    notes = written(tmp_path, gguf_exports.decoder("llama"), dtype="q4_k")
    assert notes == [
        "1 tensor is Q8_0, not Q4_K: rows of 32 do not divide by 256",
        "12 tensors are Q5_0, not Q4_K: rows of 32 do not divide by 256",
        "2 tensors are Q5_0, not Q4_K: rows of 64 do not divide by 256",
    ]
    LlamaCpp().load(str(tmp_path)).close()


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("mistral", {"sliding_window": 32}, "llama.cpp has no sliding window for a mistral: from 32 tokens on"),
        ("llama", {"hidden_act": "gelu"}, "llama.cpp computes a llama with silu, and this one has gelu"),
        ("llama", {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}},
         "llama.cpp has no way of stretching positions that is called 'dynamic'; valid: default, linear, yarn, llama3"),
        ("llama-yarn", {"rope_parameters": {"rope_type": "yarn", **gguf_exports.ROPE, "attention_factor": 2.0}},
         "llama.cpp scales attention under yarn by 1.139, and this config by 2"),
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "llama.cpp scales attention by the size of a head alone"),
        ("gemma2", {"query_pre_attn_scalar": 32}, "llama.cpp divides attention by the root of 16, and this config by"),
        ("gemma2", {"layer_types": ["full_attention", "full_attention"]}, "windows to all layers but every second"),
    ],
)  # fmt: skip
def test_what_llama_cpp_would_compute_otherwise_is_refused(name, settings, words):
    config = gguf_exports.decoder(name, **settings).config
    assert words in Gguf().supports(config, gguf_files.tokenizer())


def test_an_unknown_architecture_lists_the_known():
    words = Gguf().supports(gguf_exports.tiny.model("olmo2").config, gguf_files.tokenizer())
    assert words.startswith("it is a olmo2, which is not written to GGUF")
    assert words.endswith("bert, gemma, gemma2, gemma3_text, gpt2, llama, mistral, phi3, qwen2, qwen3")


def test_a_head_that_llama_cpp_does_not_run_is_refused():
    config = gguf_exports.decoder("llama").config
    config.architectures = ["LlamaForSequenceClassification"]
    words = Gguf().supports(config, gguf_files.tokenizer())
    assert words == "llama.cpp runs a llama that writes text, and this one was saved as LlamaForSequenceClassification"


def test_ends_are_named_and_more_than_three_are_refused(tmp_path):
    model = gguf_exports.decoder("llama")
    model.generation_config.eos_token_id = [1, 3, 7]
    written(tmp_path, model)
    running = LlamaCpp().load(str(tmp_path))
    assert running.facts.ends == {1, 3, 7}
    running.close()
    model = gguf_exports.decoder("llama")
    model.generation_config.eos_token_id = [1, 3, 7, 9]
    with pytest.raises(DataError, match=r"ends at 4 tokens \[1, 3, 7, 9\], and a GGUF file names 3"):
        written(tmp_path, model)


def test_a_weight_without_a_name_is_refused(tmp_path):
    model = gguf_exports.decoder("llama")
    model.model.layers[0].mlp.register_parameter("gain", torch.nn.Parameter(torch.ones(3)))
    with pytest.raises(DataError, match=r"llama.cpp has no name for the weight 'model.layers.0.mlp.gain' of a llama"):
        written(tmp_path, model)


def test_what_is_missing_is_said(monkeypatch):
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "libgguf" else find(name))
    Gguf(dtype="q8_0").check_installed()
    with pytest.raises(SetupError, match="this needs the 'gguf' extra") as caught:
        Gguf(dtype="q4_k").check_installed()
    assert caught.value.hint == 'pip install "llmkit[gguf]"'


def test_vectors(tmp_path):
    source = gguf_exports.encoder(tmp_path / "source")
    pooling = Pooling(modes=("mean",), normalized=True, max_tokens=32, prompt="search: ", prompts={"query": "search: "})
    for folder in (source, tmp_path / "out"):
        folder.mkdir(exist_ok=True)
        write_pooling(folder, pooling, 32)
    ours = Transformers().load(str(source))
    asked = [Embed(text) for text in TEXTS] + [Embed("river " * 60), Embed("the mill", prompt="")]
    expected = ours.answer(asked)
    written(tmp_path / "out", load_model(source), ours.tokenizer)
    running = LlamaCpp().load(str(tmp_path / "out"))
    for text in TEXTS:
        same = running.read(text) == ours.tokenizer(text).input_ids
        assert same or Gguf().leaves_out(text, ours.tokenizer), text
    assert running.cuts(asked[-2])
    for one, other in zip(expected, running.answer(asked), strict=True):
        np.testing.assert_allclose(other, one, atol=2e-3)
    assert "vectors alone" in running.takes(Generate((1,), 1))
    assert (running.facts.answer, running.facts.prompts["query"]) == ("vector", "search: ")
    running.close()


def test_a_way_of_pooling_that_llama_cpp_has_not_is_refused(tmp_path):
    source = gguf_exports.encoder(tmp_path / "source")
    write_pooling(tmp_path, Pooling(modes=("max",)), 32)
    with pytest.raises(DataError, match="makes a vector by one of mean, cls, lasttoken, and this model by max"):
        written(tmp_path, load_model(source), load_tokenizer(source))
