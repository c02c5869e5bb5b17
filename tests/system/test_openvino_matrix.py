"""Every architecture, head and number format that is written for OpenVINO, beside transformers.

The matrix in docs/export-matrix.md is that of these tests.
"""

from __future__ import annotations

import numpy as np
import pytest

from headed import BODY, NAMES, READER, SENTIMENT, STARS, TOPICS, save_headed
from llmkit.exporters import openvino
from llmkit.modeling.pooling import Pooling, write_pooling
from llmkit.runtimes import Embed, Fill, Generate, Label, Logits, Span, Tags
from llmkit.runtimes.transformers import Transformers
from onnx_models import DECODERS, ENCODERS, random_rows, save_reader, save_writer

pytestmark = pytest.mark.slow
CELLS = pytest.mark.cells(format="openvino", runtime="openvino")
ROWS = random_rows((9, 2, 30, 17, 5))
TEXTS = ["The bread is good.", "No", "A boat, and the captain, and 9 sailors!", "Wind from the sea"]
HEADS = {
    "labels": SENTIMENT, "several": TOPICS, "number": STARS, "tags": NAMES, "span": READER, "vectors": BODY,
    "masked": {"type": "masked_lm"},
}  # fmt: skip
# Mean differences over the spread. Random weights of a few numbers round worst: there is nothing to average over.
NEAR = {"float32": 1e-5, "float16": 5e-3, "int8": 0.1}


def test_everything_that_is_written_is_tried():
    assert DECODERS.keys() | ENCODERS.keys() == openvino.KNOWN


def exported(model, folder, dtype="float32"):
    """The model, and its export, both loaded."""
    traced = Transformers().load(str(model))
    folder.mkdir(exist_ok=True)
    openvino.Openvino(dtype=dtype).write(traced.model, traced.tokenizer, folder)
    return Transformers().load(str(model)), openvino.Openvino().runtime().load(str(folder))


def compare(pair, requests, dtype="float32"):
    ours, theirs = (side.answer(requests) for side in pair)
    every = np.concatenate([np.ravel(one) for one in ours])  # of one number for a text, the spread is among the texts
    size = max(float(every.std()), float(np.abs(every).mean()))
    for one, two in zip(ours, theirs, strict=True):
        assert one.shape == two.shape
        assert np.abs(one - two).mean() <= NEAR[dtype] * size


@CELLS
@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
@pytest.mark.parametrize("arch", DECODERS)
def test_models_that_write(tmp_path, arch, dtype):
    pair = exported(save_writer(tmp_path / "model", arch), tmp_path / "out", dtype)
    compare(pair, [Logits(row) for row in ROWS], dtype)
    requests = [Generate(row, budget=10, exact=True) for row in ROWS]
    ours, theirs = (side.answer(requests) for side in pair)
    if dtype == "float32":
        assert theirs == ours
    assert all(len(written.ids) == 10 for written in theirs)


@CELLS
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("arch", ENCODERS)
def test_encoders(tmp_path, arch, head):
    compare_head(exported(save_reader(tmp_path / "model", arch, HEADS[head]), tmp_path / "out"), head)


@CELLS(model="bert")
@pytest.mark.parametrize("dtype", ["float16", "int8"])
@pytest.mark.parametrize("head", HEADS)
def test_heads_in_other_formats(tmp_path, head, dtype):
    pair = exported(save_reader(tmp_path / "model", "bert", HEADS[head]), tmp_path / "out", dtype)
    compare(pair, [Logits(row) for row in ROWS], dtype)


@CELLS(head="labels")
@pytest.mark.parametrize("arch", ["llama", "gpt2", "qwen3"])
def test_labels_of_decoders(tmp_path, arch):
    own = {"gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2}, "qwen3": {"num_key_value_heads": 2}}
    pair = exported(save_headed(tmp_path / "model", SENTIMENT, arch, **own.get(arch, {})), tmp_path / "out")
    compare(pair, [Label(text) for text in TEXTS])


@pytest.mark.parametrize("modes", [("mean",), ("cls",), ("max",), ("lasttoken",), ("weightedmean",), ("mean", "max")])
def test_every_way_of_pooling_is_in_the_graph(tmp_path, modes):
    model, pooling = save_reader(tmp_path / "model", "bert", BODY), Pooling(modes, normalized=True)
    (tmp_path / "out").mkdir()
    for folder in (model, tmp_path / "out"):
        write_pooling(folder, pooling, 16)
    compare(exported(model, tmp_path / "out"), [Embed(text) for text in TEXTS])


def compare_head(pair, head):
    compare(pair, [Logits(row) for row in ROWS])
    if head in ("labels", "several", "number"):
        compare(pair, [Label(text) for text in TEXTS])
    elif head == "tags":
        found = zip(*(side.answer([Tags(text) for text in TEXTS]) for side in pair), strict=True)
        assert all((one.offsets == two.offsets).all() and one.logits.shape == two.logits.shape for one, two in found)
    elif head == "span":
        ours, theirs = (side.answer([Span("Who is it?", text) for text in TEXTS]) for side in pair)
        assert [(one.start, one.end) for one in ours] == [(two.start, two.end) for two in theirs]
    elif head == "vectors":
        compare(pair, [Embed(text) for text in TEXTS])
    elif head == "masked":
        ours, theirs = (side.answer([Fill(row, (1,), (7,)) for row in ROWS]) for side in pair)
        np.testing.assert_allclose(theirs, ours, rtol=1e-3)
