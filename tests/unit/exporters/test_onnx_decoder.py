"""A decoder as a graph, run by onnxruntime: padded, piece by piece, step by step, against transformers row by row."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from llmkit.core.errors import ConfigError, DataError
from llmkit.exporters import Limits, _onnx_files, _onnx_rounded
from llmkit.exporters._onnx_graphs import Graph
from llmkit.exporters.onnx import Onnx
from llmkit.runtimes import Embed, Fill, Generate, Label, Logits, Losses, Score
from llmkit.runtimes._onnx_sessions import Reading, Session, padded
from llmkit.runtimes.onnxruntime import OnnxRuntime
from llmkit.runtimes.transformers import Transformers
from onnx_models import export, random_rows, save_writer

ROWS = random_rows((9, 1, 17, 5, 2))


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A Llama of two layers, heads in groups, the last layer tied to the table."""
    root = tmp_path_factory.mktemp("decoder")
    return export(save_writer(root / "model", "llama"), root / "out")


def test_rows_of_all_lengths_in_one_batch(pair):
    requests = [Logits(row) for row in ROWS]
    for ours, theirs in zip(pair.ours.answer(requests), pair.theirs.answer(requests), strict=True):
        assert ours.shape == theirs.shape
        assert np.abs(ours - theirs).max() < 1e-4 * ours.std()


@pytest.mark.parametrize("cuts", [(0, 17), (0, 1, 2, 17), (0, 16, 17), (0, 5, 9, 17)])
def test_wherever_a_row_is_cut_the_past_makes_up_for_it(pair, cuts):
    ids, mask = padded([ROWS[2], ROWS[0]], 0, left=True)
    reading = Reading(pair.theirs.session, mask)
    found = np.concatenate([reading.read(ids[:, one:two]) for one, two in pairwise(cuts)], 1)
    for row, own in zip(found, pair.ours.answer([Logits(row) for row in (ROWS[2], ROWS[0])]), strict=True):
        assert np.abs(row[-len(own) :] - own).max() < 1e-4 * own.std()
    assert np.isfinite(found).all()  # padding on the left sees nothing, and its vectors are seen by nobody


def test_texts_are_those_of_transformers(pair):
    requests = [Generate(row, budget=8, exact=exact) for row in ROWS for exact in (True, False)]
    requests += [Generate(ROWS[0], budget=8, stop=("a",)), Generate(ROWS[0], budget=8, temperature=1.0, seed=3)]
    kinds = {request.temperature for request in requests}
    assert kinds == {0.0, 1.0}
    assert pair.theirs.answer(requests) == pair.ours.answer(requests)


def test_likelihoods_are_those_of_transformers(pair):
    requests = [
        Score(row[:cut], row[cut:]) for row in ROWS for cut in (1, len(row) // 2, len(row) - 1) if 0 < cut < len(row)
    ]
    assert len(requests) > 8
    np.testing.assert_allclose(pair.theirs.answer(requests), pair.ours.answer(requests), rtol=1e-5)


def test_the_facts_are_those_of_the_model(pair):
    ours, theirs = pair.ours.facts, pair.theirs.facts
    assert theirs.versions.keys() == {"onnxruntime"}
    for name in ("answer", "positions", "start", "two_sided", "labels", "ends"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert pair.theirs.conditions()["precision"] == "fp32"


def test_what_it_does_not_answer_it_says(pair):
    takes = pair.theirs.takes
    assert [takes(Logits((1,))), takes(Generate((1,), 1)), takes(Score((1,), (2,)))] == [None] * 3
    assert takes(Losses(None, {})) == "it computes no losses of training\nthe runtime transformers does"
    assert "reads text alone" in takes(Logits((1,), inputs={"pixel_values": np.zeros(1)}))
    assert "its head is causal_lm\n" in takes(Label("a"))
    assert "-s objective=embedding` makes one that does" in takes(Embed("a"))
    assert "is not a masked language model: it was saved as LlamaForCausalLM" in takes(Fill((1,), (0,), (1,)))


def test_the_names_are_those_that_runtimes_look_for(pair):
    session = pair.theirs.session
    past = [f"past_key_values.{i}.{kind}" for i in range(2) for kind in ("key", "value")]
    assert session.inputs == ["input_ids", "attention_mask", "position_ids", *past]
    assert list(session.outputs) == ["logits", *(name.replace("past_key_values", "present") for name in past)]
    shapes = {value.name: value.shape for value in session._session.get_inputs()}
    assert shapes["past_key_values.1.value"] == ["batch_size", 2, "past_sequence_length", 8]
    config = json.loads((pair.folder / "config.json").read_text())
    assert config["transformers.js_config"] == {"dtype": "fp32"}
    assert (config["model_type"], config["num_key_value_heads"]) == ("llama", 2)
    genai = json.loads((pair.folder / "genai_config.json").read_text())["model"]
    assert (genai["type"], genai["eos_token_id"], genai["bos_token_id"], genai["pad_token_id"]) == ("llama", 4, 2, 0)
    decoder = genai["decoder"]
    assert (decoder["filename"], decoder["head_size"], decoder["num_key_value_heads"]) == ("onnx/model.onnx", 8, 2)
    assert decoder["inputs"]["past_key_names"] == "past_key_values.%d.key"


def test_the_graph_says_nothing_of_this_machine(pair):
    content = (pair.folder / "onnx" / "model.onnx").read_bytes()
    assert b"site-packages" not in content
    assert b".py" not in content


def test_the_page_shows_how_to_run_it_without_torch(pair, capsys, monkeypatch):
    page = (Path(__file__).parents[3] / "docs" / "export-onnx.md").read_text(encoding="utf-8")
    (code,) = [code for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "InferenceSession" in code]
    monkeypatch.chdir(pair.folder.parent)
    exec(code.replace("onnx/onnx/", f"{pair.folder.name}/onnx/").replace('"onnx/', f'"{pair.folder.name}/'), {})
    prompt = tuple(pair.ours.read("The capital of France is"))
    (own,) = pair.ours.answer([Generate(prompt, budget=32, exact=True)])
    ids = [*prompt, *own.ids]
    stop = ids.index(4, len(prompt)) + 1 if 4 in own.ids else len(ids)
    shown = capsys.readouterr().out.strip()
    assert pair.ours.tokenizer.backend_tokenizer.decode(ids[:stop]).startswith(shown)
    assert len(shown) > len(pair.ours.tokenizer.backend_tokenizer.decode(list(prompt)))


def numbers(running, rows=ROWS):
    return np.concatenate(running.answer([Logits(row) for row in rows]))


def off(one, other):
    """Return by what numbers differ, as a share of their spread: a root of mean squares."""
    return np.sqrt(np.square(one - other).mean()) / other.std()


def test_int8_computes_what_the_model_would_with_its_bytes(pair, tmp_path):
    traced = Transformers().load(pair.ours.where)
    exporter = Onnx(dtype="int8")
    exporter.write(traced.model, traced.tokenizer, tmp_path)
    found, exact = numbers(exporter.runtime().load(str(tmp_path))), numbers(pair.ours)
    whole = numbers(traced)
    with exporter.as_run(traced.model):
        rounded = numbers(traced)
    np.testing.assert_array_equal(numbers(traced), whole)
    assert 1e-3 < off(found, exact) < 0.1
    assert off(rounded, whole) > 1e-3  # what layers read is rounded, and that is most of it
    assert off(found, rounded) < 1e-3 < off(found, whole)
    graph = onnx.load(tmp_path / "onnx" / "model_quantized.onnx").graph
    products = [node for node in graph.node if node.op_type == "MatMulNBits"]
    assert len(products) == 2 * 7 + 1  # of each layer four of attention and three behind it, and the last layer
    looked_up = {node.input[0] for node in graph.node if node.op_type == "Gather"}
    assert products[-1].input[1] in looked_up  # one table, as both


@pytest.mark.parametrize("columns", [64, 70])
def test_bytes_are_near_the_numbers(columns):
    layer = nn.Linear(columns, 3)
    codes, scales = _onnx_rounded._codes(layer.weight.detach())
    assert (codes.dtype, codes.shape, scales.shape) == (torch.uint8, (3, -(-columns // 32), 32), codes.shape[:2])
    product = _onnx_rounded.Product(codes, scales, columns, layer.bias)
    steps = scales.repeat_interleave(32, 1)[:, :columns]
    assert ((product.weight - layer.weight).abs() <= 0.51 * steps).all()
    read = torch.randn(2, 5, columns)
    torch.testing.assert_close(product(read), nn.functional.linear(read, product.weight, layer.bias))
    product.rounds = True
    blocks = torch.stack([read[..., start : start + 32].abs().amax(-1) for start in range(0, columns, 32)], -1)
    seen = _onnx_rounded._rounded(read)
    assert ((seen - read).abs() <= 0.51 / 127 * blocks.repeat_interleave(32, -1)[..., :columns]).all()
    torch.testing.assert_close(product(read), nn.functional.linear(seen, product.weight, layer.bias))


def test_a_rounded_table_is_near_the_table_times_its_factor():
    table = nn.Embedding(7, 64)
    table.embed_scale = 3.0
    ids = torch.arange(7)[None]
    exact = table(ids) * 3
    block = exact.view(1, 7, 2, 32).abs().amax(-1, keepdim=True) / 127
    rounded = _onnx_rounded.Table(table, *_onnx_rounded._codes(table.weight.detach()))
    assert ((rounded(ids) - exact).view(1, 7, 2, 32).abs() <= 0.51 * block).all()


def test_what_is_asked_of_each_number_format(pair):
    def limits(**fields):
        return Onnx(**fields).limits("tokens", 2.0, pair.theirs.config)

    assert limits() == Limits(difference=2e-4, exact=True)
    assert limits(dtype="float16") == Limits(difference=0.1)
    assert limits(dtype="float16", max_logit_difference=0.5) == Limits(difference=0.5)
    assert limits(dtype="int8") == Limits(top1=0.98, graph=2.0)
    assert limits(dtype="int8", min_top1=0.9) == Limits(top1=0.9, graph=2.0)


def test_one_tensor_for_two_inputs_is_refused():
    sample = torch.ones(2, 3, dtype=torch.long)
    with pytest.raises(AssertionError, match="each sample is a tensor of its own"):
        Graph("model", nn.Identity(), {"a": sample, "b": sample}, {"a": {}, "b": {}}, ["c"])


def test_a_graph_that_cannot_be_traced_is_an_error_in_words():
    class Branching(nn.Module):
        def forward(self, inputs):
            return inputs["input_ids"] + 1 if inputs["input_ids"].sum() > 0 else inputs["input_ids"]

    sample = {"input_ids": torch.ones(2, 3, dtype=torch.long)}
    graph = Graph("model", Branching(), sample, {"input_ids": {0: "batch_size"}}, ["logits"])
    with pytest.raises(
        ConfigError, match=r"exporter: the graph of Branching cannot be traced: .*data-dependent"
    ) as error:
        _onnx_files._traced(graph)
    assert error.value.hint == "--format safetensors writes it for runtimes that run its own code"


def test_a_directory_without_graphs_and_one_with_a_broken_graph(pair, tmp_path):
    with pytest.raises(DataError, match=r"holds no graph onnx/model.onnx") as error:
        OnnxRuntime().load(str(tmp_path))
    assert "--format onnx -o DIR writes one" in error.value.hint
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(DataError, match=r"onnxruntime does not load '.*model.onnx': "):
        Session(tmp_path / "model.onnx")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model_type": "mamba"}, "the architecture 'mamba' is none that was tried; these were: albert, bart, bert, "),
        ({"rope_parameters": {"rope_type": "longrope"}}, "its rotary embedding, longrope, changes with the length"),
    ],
)
def test_what_is_not_written_is_said(pair, change, words):
    config = type(pair.theirs.config)(**pair.theirs.config.to_dict())
    for name, value in change.items():
        object.__setattr__(config, name, value)
    assert words in Onnx().supports(config, pair.theirs.tokenizer)
