"""Every architecture, head and number format that is written to ONNX, in onnxruntime beside transformers.

The matrix in docs/export-matrix.md is that of these tests.
"""

from __future__ import annotations

import numpy as np
import pytest

from headed import BODY, NAMES, READER, SENTIMENT, STARS, TOPICS, save_headed
from llmkit.exporters import onnx
from llmkit.modeling.pooling import Pooling, write_pooling
from llmkit.runtimes import Embed, Fill, Generate, Label, Logits, Span, Tags
from onnx_models import DECODERS, ENCODERS, TWO_SIDED, export, random_rows, save_reader, save_writer

pytestmark = pytest.mark.slow
CELLS = pytest.mark.cells(format="onnx", runtime="onnxruntime")
ROWS = random_rows((9, 2, 30, 17, 5))
TEXTS = ["The bread is good.", "No", "A boat, and the captain, and 9 sailors!", "Wind from the sea"]
HEADS = {"labels": SENTIMENT, "several": TOPICS, "number": STARS, "tags": NAMES, "span": READER, "vectors": BODY}
MASKED, PRETRAINED = {"type": "masked_lm"}, {"type": "pretraining"}
# Mean differences over the spread. Random weights of a few numbers round worst: there is nothing to average over.
NEAR = {"float32": 1e-5, "float16": 5e-3, "int8": 0.1}


def test_everything_that_is_written_is_tried():
    assert DECODERS.keys() | TWO_SIDED.keys() | ENCODERS.keys() == onnx.KNOWN


def compare(pair, requests, dtype):
    for ours, theirs in zip(pair.ours.answer(requests), pair.theirs.answer(requests), strict=True):
        assert ours.shape == theirs.shape
        size = max(float(ours.std()), float(np.abs(ours).mean()))
        assert np.abs(ours - theirs).mean() <= NEAR[dtype] * size


@CELLS
@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
@pytest.mark.parametrize("arch", [*DECODERS, *TWO_SIDED])
def test_models_that_write(tmp_path, arch, dtype):
    pair = export(save_writer(tmp_path / "model", arch), tmp_path / "out", dtype)
    compare(pair, [Logits(row) for row in ROWS], dtype)
    requests = [Generate(row, budget=10, exact=True) for row in ROWS]
    ours, theirs = pair.ours.answer(requests), pair.theirs.answer(requests)
    if dtype == "float32":
        assert theirs == ours
    assert all(len(written.ids) == 10 for written in theirs)


@CELLS
@pytest.mark.parametrize("head", [*HEADS, "masked"])
@pytest.mark.parametrize("arch", ENCODERS)
def test_encoders(tmp_path, arch, head):
    model = save_reader(tmp_path / "model", arch, {**HEADS, "masked": MASKED}[head])
    compare_head(export(model, tmp_path / "out"), head, "float32")


@CELLS(model="bert")
@pytest.mark.parametrize("dtype", ["float16", "int8"])
@pytest.mark.parametrize("head", [*HEADS, "masked"])
def test_heads_in_other_formats(tmp_path, head, dtype):
    model = save_reader(tmp_path / "model", "bert", {**HEADS, "masked": MASKED}[head])
    compare_head(export(model, tmp_path / "out", dtype), head, dtype)


@pytest.mark.parametrize("arch", ["bert", "albert"])
def test_second_outputs(tmp_path, arch):
    pair = export(save_reader(tmp_path / "model", arch, PRETRAINED), tmp_path / "out")
    assert len(pair.theirs.session.outputs) == 2
    compare(pair, [Logits(row) for row in ROWS], "float32")


@CELLS(head="labels")
@pytest.mark.parametrize("arch", ["llama", "gpt2", "qwen3"])
def test_labels_of_decoders(tmp_path, arch):
    settings = {} if arch != "gpt2" else {"n_embd": 16, "n_layer": 2, "n_head": 2}
    pair = export(save_headed(tmp_path / "model", SENTIMENT, arch, **settings), tmp_path / "out")
    compare(pair, [Label(text) for text in TEXTS], "float32")


@pytest.mark.parametrize(
    "modes", [("mean",), ("cls",), ("max",), ("lasttoken",), ("weightedmean",), ("mean_sqrt_len",), ("mean", "max")]
)
def test_every_way_of_pooling_is_in_the_graph(tmp_path, modes):
    model = save_reader(tmp_path / "model", "bert", BODY)
    pooling = Pooling(modes, normalized=True, prompt="a: ", prompts={"query": "a: "})
    write_pooling(model, pooling, 16)
    (tmp_path / "out").mkdir()
    write_pooling(tmp_path / "out", pooling, 16)
    pair = export(model, tmp_path / "out")
    compare(pair, [Embed(text) for text in TEXTS], "float32")
    np.testing.assert_allclose(np.linalg.norm(pair.theirs.answer([Embed("a")])[0]), 1, rtol=1e-5)


@CELLS(model="t5", head="vectors")
def test_vectors_of_the_encoder_of_two(tmp_path):
    t5 = {"d_model": 16, "d_ff": 32, "d_kv": 8, "num_layers": 2, "num_heads": 2, "decoder_start_token_id": 0}
    pair = export(save_headed(tmp_path / "model", BODY, "t5", **t5), tmp_path / "out")
    compare(pair, [Embed(text) for text in TEXTS], "float32")


def compare_head(pair, head, dtype):
    compare(pair, [Logits(row) for row in ROWS], dtype)
    if head in ("labels", "several", "number"):
        compare(pair, [Label(text) for text in TEXTS], dtype)
    elif head == "tags":
        found = zip(*(side.answer([Tags(text) for text in TEXTS]) for side in (pair.ours, pair.theirs)), strict=True)
        assert all((one.offsets == two.offsets).all() and one.logits.shape == two.logits.shape for one, two in found)
    elif head == "span" and dtype == "float32":
        requests = [Span("Who is it?", text) for text in TEXTS]
        for one, two in zip(pair.ours.answer(requests), pair.theirs.answer(requests), strict=True):
            assert (one.start, one.end) == (two.start, two.end)
    elif head == "vectors":
        compare(pair, [Embed(text) for text in TEXTS], dtype)
    elif head == "masked":
        requests = [Fill(row, (1,), (7,)) for row in ROWS]
        np.testing.assert_allclose(
            pair.theirs.answer(requests), pair.ours.answer(requests), rtol=max(NEAR[dtype], 1e-3)
        )
