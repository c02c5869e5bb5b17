"""transformers.js as a runtime: what it says where something is missing, with a stand-in for Node."""

from __future__ import annotations

import json
import sys

import pytest

from llmkit.core.errors import DataError, SetupError
from llmkit.runtimes import Generate, Logits, Written
from llmkit.runtimes.transformers_js import PACKAGE, TransformersJs

NODE = """#!{python}
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    action = asked.pop("action")
    answers = {{
        "version": "4.0.0",
        "read": [len(asked.get("text", ""))],
        "generate": {{"ids": [7, 8, 3], "text": "x y"}},
    }}
    known = action in answers
    print(json.dumps({{"found": answers[action]}} if known else {{"error": f"no {{action}}"}}), flush=True)
"""


@pytest.fixture
def node(tmp_path, monkeypatch):
    """A folder with a stand-in for Node first on the path, and the package below the current one."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "node_modules" / PACKAGE).mkdir(parents=True)

    def write(code):
        program = tmp_path / "bin" / "node"
        program.write_text(code.format(python=sys.executable))
        program.chmod(0o755)

    write(NODE)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [3, 4]}))
    return write


def test_what_is_missing_is_said_with_how_to_get_it(node, tmp_path, monkeypatch):
    TransformersJs().check_installed()
    (tmp_path / "node_modules" / PACKAGE).rmdir()
    monkeypatch.setenv("NODE_PATH", "")
    with pytest.raises(SetupError, match=f"needs the Node package {PACKAGE}") as error:
        TransformersJs().check_installed()
    assert error.value.hint == f"npm install --ignore-scripts {PACKAGE}"
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SetupError, match="needs Node, which is not installed"):
        TransformersJs().load(str(tmp_path))


def test_it_reads_and_writes_greedily(node, tmp_path):
    running = TransformersJs().load(str(tmp_path))
    assert running.facts.versions == {"transformers.js": "4.0.0"}
    assert running.facts.ends == {3, 4}
    assert running.read("three") == [5]
    requests = [Generate((1,), budget=3), Generate((1,), budget=3, exact=True)]
    assert running.answer(requests) == [Written((7, 8), "x y", ended=True), Written((7, 8, 3), "x y", ended=False)]
    assert running.takes(requests[0]) is None
    assert running.takes(Generate((1,), 1, temperature=1.0)) == "it writes greedily, and without stop texts"
    assert running.takes(Logits((1,))).endswith("the runtime onnxruntime answers the rest")
    with pytest.raises(DataError, match=r"transformers.js fails on .*: no render"):
        running.render(({"role": "user", "content": "a"},), prompt=True)
    running.close()


def test_node_that_ends_says_why(node, tmp_path):
    node("#!{python}\nimport sys\nsys.exit('Error: no such tokenizer')\n")
    with pytest.raises(DataError, match=r"transformers.js does not load .*: Error: no such tokenizer"):
        TransformersJs().load(str(tmp_path))
