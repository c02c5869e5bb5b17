"""Exports to GGUF in node-llama-cpp, under Node: ids of texts and greedy tokens are those of transformers."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess

import pytest

import gguf_exports
from llmkit.evaluation.probes import TEXTS
from llmkit.exporters.gguf import Gguf
from llmkit.runtimes import Generate
from llmkit.runtimes.transformers import Transformers

VERSION, BUDGET = "3.22.1", 12
ROWS = ((5, 9, 20, 33, 61, 7), (7,), tuple(range(40, 60)))
BUILT = {"aarch64": "linux-arm64", "x86_64": "linux-x64"}
"""Its library as a package of its own, by the machine; all of them would be a gigabyte."""
RUN = """
import { getLlama } from 'node-llama-cpp';
const [modelPath, rows, texts, budget] = JSON.parse(process.argv[2]);
const llama = await getLlama({ gpu: false, build: 'never', logLevel: 'error', progressLogs: false });
const model = await llama.loadModel({ modelPath });
const read = texts.map((text) => model.tokenize(text, true));
const written = [];
for (const row of rows) {
  const context = await model.createContext({ contextSize: 128, threads: 1 });
  const ids = [];
  for await (const id of context.getSequence().evaluate(row, { temperature: 0, yieldEogToken: true })) {
    if (model.isEogToken(id)) break;
    if (ids.push(id) === budget) break;
  }
  written.push(ids);
  await context.dispose();
}
console.log(JSON.stringify({ read, written }));
process.exit(0);
"""
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed"),
    pytest.mark.skipif(platform.machine() not in BUILT, reason="node-llama-cpp has no library for this machine"),
]


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    """A folder with the package and the program, once; a program on the command line could not start what it tries."""
    folder = tmp_path_factory.mktemp("node")
    packages = [f"node-llama-cpp@{VERSION}", f"@node-llama-cpp/{BUILT[platform.machine()]}@{VERSION}"]
    install = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--omit=optional", *packages]
    subprocess.run(install, cwd=folder, check=True, capture_output=True)
    (folder / "ask.mjs").write_text(RUN, encoding="utf-8")
    return folder


@pytest.mark.cells(format="gguf", runtime="node-llama-cpp", version=VERSION)
@pytest.mark.parametrize("dtype", ["float32", "q8_0"])
@pytest.mark.parametrize("name", gguf_exports.DECODERS)
def test_what_it_writes_and_reads(tmp_path, node, name, dtype):
    model = gguf_exports.save(tmp_path / "model", name)
    written = Transformers().load(str(model))
    (tmp_path / "out").mkdir()
    Gguf(dtype=dtype).write(written.model, written.tokenizer, tmp_path / "out")
    asked = json.dumps([str(tmp_path / "out" / "model.gguf"), ROWS, TEXTS, BUDGET])
    done = subprocess.run(["node", "ask.mjs", asked], cwd=node, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found, ours = json.loads(done.stdout), Transformers().load(str(model))
    assert found["read"] == [list(ours.read(text)) for text in TEXTS]
    own = [list(answer.ids) for answer in ours.answer([Generate(row, BUDGET) for row in ROWS])]
    if dtype == "float32":
        assert found["written"] == own
    else:  # rounded weights, and kernels that add up in another order: a near tie may turn, and all after it
        assert [len(ids) for ids in found["written"]] == [len(ids) for ids in own]
        assert sum(one[0] == two[0] for one, two in zip(found["written"], own, strict=True) if two) >= 2
