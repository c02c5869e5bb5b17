from __future__ import annotations

import json
import shutil

import pytest
from toy_build import Toy, make, read, write

from llmkit.core.inputs import Inputs, RawFile
from llmkit.core.lineage import raw_files, trace
from llmkit.core.manifest import read_manifest


@pytest.fixture
def tree(tmp_path):
    """Make raw -> corpus -> tokens -> model, where the model reads the corpus as well."""
    write(tmp_path / "raw", {"a.txt": "first", "b.txt": "second"})
    files = [RawFile(str(path), path.name, path.stat().st_size) for path in sorted((tmp_path / "raw").iterdir())]
    inputs = Inputs()
    inputs.add_files(str(tmp_path / "raw"), files, role="files")
    make(tmp_path / "corpus", {"data-0": "firstsecond", "report.html": "x"}, inputs=inputs)
    make(tmp_path / "tokens", {"data-0": "1 2"}, kind="tokens", inputs=reads(tmp_path, "corpus"))
    make(tmp_path / "model", {"data-0": "w"}, kind="model", inputs=reads(tmp_path, "tokens", "corpus"))
    return tmp_path


def reads(root, *names):
    inputs = Inputs()
    for name in names:
        inputs.add_artifact(root / name, ("corpus", "tokens"), role="data")
    return inputs


def traced(root, *, verify=True, name="model"):
    return trace(root / name, read_manifest(root / name), verify=verify)


def problems(root, **how):
    found = {
        (node.path.removeprefix(f"{root}/"), text) for node in traced(root, **how).walk() for text in node.problems
    }
    return sorted((path, text.replace(f"{root}/", "")) for path, text in found)


def test_back_to_the_raw_files(tree):
    node = traced(tree)
    assert [(n.kind, n.role, n.path) for n in node.walk()] == [
        ("model", "", str(tree / "model")),
        ("tokens", "data", str(tree / "tokens")),
        ("corpus", "data", str(tree / "corpus")),
        ("files", "files", str(tree / "raw")),
        ("corpus", "data", str(tree / "corpus")),
        ("files", "files", str(tree / "raw")),
    ]
    raw = node.inputs[0].inputs[0].inputs[0]
    assert (raw.num_files, raw.num_bytes, raw.manifest, raw.inputs) == (2, 11, None, [])
    assert [(entry["name"], entry["bytes"]) for entry in raw_files(tree / "corpus")] == [("a.txt", 5), ("b.txt", 6)]
    assert raw_files(tree / "model") == []
    assert problems(tree) == []


def test_as_json(tree):
    found = json.loads(json.dumps(traced(tree, name="corpus").as_json()))
    assert found == {
        "path": str(tree / "corpus"), "kind": "corpus", "role": "", "id": read_manifest(tree / "corpus").id,
        "stage": "toy", "problems": [],
        "inputs": [{
            "path": str(tree / "raw"), "kind": "files", "role": "files",
            "id": read_manifest(tree / "corpus").inputs[0].digest, "stage": None,
            "num_files": 2, "num_bytes": 11, "problems": [], "inputs": [],
        }],
    }  # fmt: skip


def test_a_changed_raw_file(tree):
    (tree / "raw" / "b.txt").write_text("SECOND")
    assert problems(tree) == [("raw", "raw/b.txt has changed")]
    assert problems(tree, verify=False) == []
    (tree / "raw" / "a.txt").unlink()
    assert problems(tree) == [("raw", "raw/a.txt is missing"), ("raw", "raw/b.txt has changed")]


@pytest.mark.parametrize("file", ["data-0", "report.html", "inputs.jsonl"])
def test_a_changed_output(tree, file):
    path = tree / "corpus" / file
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])
    assert ("corpus", f"{file} has changed") in problems(tree)
    assert problems(tree, verify=False) == []
    if file == "inputs.jsonl":
        assert ("raw", "corpus/inputs.jsonl, which lists the files, cannot be read") in problems(tree)
    path.unlink()
    assert ("corpus", f"{file} is missing") in problems(tree)


def test_an_input_that_was_made_again(tree):
    make(tree / "corpus", {"data-0": "other"}, Toy(text="two"), force=True)
    now = read_manifest(tree / "corpus").id[:12]
    for verify in (False, True):  # the chain of ids is always checked
        assert problems(tree, verify=verify) == [("corpus", f"made again since: it is {now} now")]


def test_an_input_that_is_gone(tree):
    shutil.rmtree(tree / "tokens")
    assert problems(tree) == [("tokens", "no longer there")]


def test_made_again_with_the_same_result_is_no_drift(tree):
    files = read(tree / "corpus")
    make(tree / "corpus", {name: files[name] for name in ("data-0",)}, Toy(text="two"), force=True)
    assert problems(tree) == []


def test_cli(cli, tree):
    outcome = cli("lineage", tree / "model", "--verify")
    assert outcome.code == 0
    assert "verified: 6 nodes, nothing has changed" in outcome.out
    assert "data: tokens (tokens " in outcome.out  # below the current directory, so relative
    assert "files: raw (2 raw files, 0.0 MB)" in outcome.out
    (tree / "raw" / "b.txt").write_text("SECOND")
    assert cli("lineage", tree / "model").code == 0
    outcome = cli("lineage", tree / "model", "--verify")
    assert outcome.code == 7
    assert f"lineage has drifted:\n  {tree}/raw: {tree}/raw/b.txt has changed" in outcome.err
    outcome = cli("lineage", tree / "model", "--verify", "--json")
    assert (outcome.code, outcome.json["exit_code"], outcome.json["kind"]) == (7, 7, "check")
    assert "raw/b.txt has changed" in outcome.json["message"]
    outcome = cli("lineage", tree / "model", "--json")
    assert (outcome.code, outcome.json["verified"], outcome.json["lineage"]["kind"]) == (0, False, "model")


def test_cli_of_no_artifact(cli, tree):
    outcome = cli("lineage", tree / "raw", "--json")
    assert (outcome.code, outcome.json["kind"]) == (3, "data")
    assert outcome.json["message"] == f"{tree}/raw is not an llmkit artifact (it has no llmkit.json)"
    outcome = cli("lineage", tree / "modle")
    assert outcome.code == 3
    assert "did you mean 'model'?" in outcome.err


def test_cli_of_a_real_chain(cli, chain):
    outcome = cli("lineage", chain.model, "--verify", "--json")
    assert outcome.code == 0
    kinds = []
    place = outcome.json["lineage"]
    while place["inputs"]:
        kinds.append((place["kind"], place["stage"]))
        place = next(node for node in place["inputs"] if node["role"] != "data" or node["kind"] != "examples")
    assert kinds == [("model", "finetune"), ("model", "pretrain"), ("tokens", "tokenize"), ("corpus", "clean")]
    assert (place["path"], place["num_files"]) == (str(chain.root / "texts.jsonl"), 1)
