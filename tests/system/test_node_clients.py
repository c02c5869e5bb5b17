"""Exports to ONNX in transformers.js, under Node: texts, labels and vectors are those of transformers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import numpy as np
import pytest

from headed import BODY, SENTIMENT
from llmkit.modeling.pooling import Pooling, write_pooling
from llmkit.runtimes import Embed, Generate, Label
from llmkit.runtimes.transformers_js import PACKAGE, TransformersJs
from onnx_models import export, random_rows, save_reader, save_writer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed"),
]
VERSION = "4.3.2"
CELLS = pytest.mark.cells(format="onnx", runtime="transformers.js", version=VERSION)
ROWS = random_rows((9, 1, 17, 5))
TEXTS = ["The bread is good.", "No", "A boat, and the captain, and 9 sailors!"]
RUN = """
const { createRequire } = require('node:module');
const hf = createRequire(process.cwd() + '/')('@huggingface/transformers');
const [parent, kind, texts] = JSON.parse(process.argv[1]);
hf.env.allowRemoteModels = false;
hf.env.localModelPath = parent;
(async () => {
  const tokenizer = await hf.AutoTokenizer.from_pretrained('out');
  const model = await hf[kind].from_pretrained('out');
  const output = await model(tokenizer(texts, { padding: true }));
  const found = Object.entries(output).map(([name, tensor]) => [name, tensor.tolist()]);
  console.log(JSON.stringify(Object.fromEntries(found)));
})();
"""


@pytest.fixture(scope="module", autouse=True)
def node_modules(tmp_path_factory):
    """Install the package, once."""
    folder = tmp_path_factory.mktemp("node")
    install = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", f"{PACKAGE}@{VERSION}"]
    subprocess.run(install, cwd=folder, check=True, capture_output=True)
    before = os.environ.get("NODE_PATH")
    os.environ["NODE_PATH"] = str(folder / "node_modules")
    yield
    os.environ.pop("NODE_PATH") if before is None else os.environ.update(NODE_PATH=before)


@CELLS
@pytest.mark.parametrize(
    ("arch", "dtype"),
    [("llama", "float32"), ("llama", "int8"), ("llama", "float16"), ("gpt2", "float32"), ("gemma2", "float32"),
     ("mistral", "float32"), ("qwen3", "int8"), ("phi3", "float32"), ("opt", "float32"), ("t5", "float32"),
     ("t5", "int8"), ("bart", "float32"), ("marian", "float32")],
)  # fmt: skip
def test_what_it_writes_and_reads(tmp_path, arch, dtype):
    pair = export(save_writer(tmp_path / "model", arch), tmp_path / "out", dtype)
    running = TransformersJs().load(str(tmp_path / "out"))
    requests = [Generate(row, budget=10, exact=exact) for row in ROWS for exact in (True, False)]
    assert running.answer(requests) == [pair.theirs.answer([one])[0] for one in requests]
    if dtype == "float32":
        assert running.answer(requests) == pair.ours.answer(requests)
    for text in (*TEXTS, "渡轮 [SEP] x\n y"):
        assert running.read(text) == pair.ours.read(text)
    assert running.facts.ends == pair.ours.facts.ends
    assert running.facts.versions == {"transformers.js": VERSION}
    running.close()


def asked(tmp_path, kind):
    given = json.dumps([str(tmp_path), kind, TEXTS])
    done = subprocess.run(
        ["node", "-e", RUN, given], cwd=tmp_path, capture_output=True, text=True, env={**os.environ}, check=False
    )
    assert done.returncode == 0, done.stderr
    return {name: np.array(value, np.float32) for name, value in json.loads(done.stdout).items()}


@CELLS(head="labels")
@pytest.mark.parametrize("arch", ["bert", "modernbert", "distilbert"])
def test_labels(tmp_path, arch):
    pair = export(save_reader(tmp_path / "model", arch, SENTIMENT), tmp_path / "out")
    found = asked(tmp_path, "AutoModelForSequenceClassification")["logits"]
    np.testing.assert_allclose(found, pair.ours.answer([Label(text) for text in TEXTS]), rtol=1e-4, atol=1e-5)


@CELLS(model="bert", head="vectors")
def test_vectors(tmp_path):
    model = save_reader(tmp_path / "model", "bert", BODY)
    pooling = Pooling(("mean",), normalized=True)
    (tmp_path / "out").mkdir()
    for folder in (model, tmp_path / "out"):
        write_pooling(folder, pooling, 16)
    pair = export(model, tmp_path / "out")
    found = asked(tmp_path, "AutoModel")["sentence_embedding"]
    np.testing.assert_allclose(found, pair.ours.answer([Embed(text) for text in TEXTS]), rtol=1e-4, atol=1e-5)
