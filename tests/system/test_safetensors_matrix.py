"""Every architecture and number format as safetensors, and in the forms of 8 and 4 bits, read by `from_pretrained`."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from headed import BODY, SENTIMENT
from llmkit.exporters.quantized import Quantized
from llmkit.exporters.safetensors import Safetensors
from llmkit.runtimes import Embed, Generate, Label, Logits
from llmkit.runtimes.transformers import Transformers
from onnx_models import DECODERS, ENCODERS, TWO_SIDED, random_rows, save_reader, save_writer

pytestmark = pytest.mark.slow
ROWS = random_rows((9, 2, 30, 17, 5))
TEXTS = ["The bread is good.", "No", "A boat, and the captain, and 9 sailors!"]
# Mean differences over the spread. Random weights of a few numbers round worst: there is nothing to average over, and
# T5 does not scale what its attention chooses by.
NEAR = {"float32": 1e-6, "bfloat16": 0.2, "float16": 0.03, "int8": 0.1, "w8a8": 0.1, "w4a16": 0.6}
QUANTIZED = [(arch, "text") for arch in DECODERS if arch != "gpt2"] + [(arch, "labels") for arch in ENCODERS]
"""GPT-2's layers are transposed: it is refused."""
# What a process with transformers alone does with an export: nothing named llmkit is there to be imported.
ALONE = """
import json, sys
sys.modules["llmkit"] = None
import torch, transformers
folder, text = sys.argv[1:]
model = transformers.AutoModelForCausalLM.from_pretrained(folder)
tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
given = tokenizer(text, return_tensors="pt", return_token_type_ids=False)
print(json.dumps(model.generate(**given, max_new_tokens=10, do_sample=False)[0].tolist()))
"""


def both(exporter, model, folder):
    """The model, and its export, both loaded."""
    written = Transformers().load(str(model))
    folder.mkdir()
    exporter.write(written.model, written.tokenizer, folder)
    return Transformers().load(str(model)), exporter.runtime().load(str(folder))


def compare(pair, requests, dtype):
    ours, theirs = pair
    for one, two in zip(ours.answer(requests), theirs.answer(requests), strict=True):
        assert one.shape == two.shape
        size = max(float(one.std()), float(np.abs(one).mean()))
        assert np.abs(one - two).mean() <= NEAR[dtype] * size


@pytest.mark.cells(format="safetensors", runtime="transformers")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("arch", [*DECODERS, *TWO_SIDED])
def test_models_that_write(tmp_path, arch, dtype):
    pair = both(Safetensors(dtype=dtype), save_writer(tmp_path / "model", arch), tmp_path / "out")
    compare(pair, [Logits(row) for row in ROWS], dtype)
    requests = [Generate(row, budget=10, exact=True) for row in ROWS]
    ours, theirs = (side.answer(requests) for side in pair)
    if dtype == "float32":  # by ids: AutoTokenizer takes a qwen2's words for pieces of bytes, which texts show
        assert [written.ids for written in theirs] == [written.ids for written in ours]


@pytest.mark.cells(format="safetensors", runtime="transformers")
@pytest.mark.parametrize("head", ["labels", "vectors"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("arch", ENCODERS)
def test_encoders(tmp_path, arch, dtype, head):
    model = save_reader(tmp_path / "model", arch, SENTIMENT if head == "labels" else BODY)
    kind = Label if head == "labels" else Embed
    compare(both(Safetensors(dtype=dtype), model, tmp_path / "out"), [kind(text) for text in TEXTS], dtype)


@pytest.mark.cells(format="safetensors", runtime="transformers alone")
@pytest.mark.parametrize("arch", ["llama", "gpt2", "qwen3", "gemma2"])
def test_a_process_with_only_transformers(tmp_path, arch):
    model, _ = both(Safetensors(), save_writer(tmp_path / "model", arch), tmp_path / "out")
    done = subprocess.run(
        [sys.executable, "-c", ALONE, str(tmp_path / "out"), TEXTS[0]], capture_output=True, text=True, check=True
    )
    ids = tuple(model.read(TEXTS[0]))
    (written,) = model.answer([Generate(ids, budget=10)])
    found = tuple(json.loads(done.stdout))[len(ids) :]
    assert (found[:-1] if found[-1:] == (4,) else found) == written.ids


@pytest.mark.cells(format="quantized", runtime="compressed-tensors")
@pytest.mark.parametrize(
    ("arch", "head", "scheme"),
    [
        (*one, scheme)
        for one in QUANTIZED
        for scheme in ("w8a8", "w4a16")
        if (one[0], scheme) != ("modernbert", "w4a16")
    ],
)
def test_forms_of_compressed_tensors(tmp_path, arch, head, scheme):
    quantized(tmp_path, arch, head, Quantized(scheme=scheme, group_size=32, dtype="float32"))


@pytest.mark.cells(format="quantized", runtime="torchao", dtype="int8")
@pytest.mark.parametrize(("arch", "head"), QUANTIZED)
def test_form_of_torchao(tmp_path, arch, head):
    quantized(tmp_path, arch, head, Quantized(scheme="int8", dtype="float32"))


def quantized(folder, arch, head, exporter):
    if head == "text":
        model, requests = save_writer(folder / "model", arch), [Logits(row) for row in ROWS]
    else:
        model, requests = save_reader(folder / "model", arch, SENTIMENT), [Label(text) for text in TEXTS]
    compare(both(exporter, model, folder / "out"), requests, exporter.scheme)
    kinds = {weight.dtype for weight in load_file(folder / "out" / "model.safetensors").values()}
    assert kinds & {torch.int8, torch.int32}
