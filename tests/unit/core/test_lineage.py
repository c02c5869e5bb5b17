from __future__ import annotations

import json
import shutil

import pytest
from toy_build import KEPT, Toy, make, read, toy, write

from llmkit.core.inputs import Inputs, RawFile
from llmkit.core.lineage import raw_files, trace
from llmkit.core.manifest import read_manifest
from llmkit.core.seal import seal


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


def edit(folder, **changes):
    """Change a manifest as someone with an editor would."""
    path = folder / "llmkit.json"
    values = json.loads(path.read_text())
    for name, value in changes.items():
        values[name] = value(values[name]) if callable(value) else value
    path.write_text(json.dumps(values))
    return values


ID = "0123456789abcdef" * 2


@pytest.mark.parametrize(("changes", "found"), [
    ({"outputs": []}, ["llmkit.json lists no files: nothing says what it was made of"]),
    ({"outputs": lambda outputs: [{**item, "payload": False} for item in outputs]},
     ["llmkit.json lists no files: nothing says what it was made of"]),
    ({"kind": "examples"}, ["the id {id} is not that of the files that llmkit.json lists"]),
    ({"identity": ID}, ["the identity 0123456789ab is not that of the config in llmkit.json"]),
    ({"stage": "other"}, ["llmkit.json names another stage than the one that was asked"]),
    ({"inputs": []}, ["llmkit.json lists other inputs than the ones that were asked for"]),
])  # fmt: skip
def test_an_edited_manifest(cli, tree, changes, found):
    edited = edit(tree / "corpus", **changes)
    node = traced(tree, name="corpus")
    assert node.problems == [text.format(id=edited["id"][:12]) for text in found]
    outcome = cli("lineage", tree / "corpus", "--verify")
    assert outcome.code == 7
    assert f"{tree}/corpus: {node.problems[0]}" in outcome.err
    if edited["kind"] == "corpus":
        assert ("corpus", node.problems[0]) in problems(tree), "as an input as well"


@pytest.mark.parametrize(("changes", "words"), [
    ({"schema": 7}, "its schema is 7, and 1 is known"),
    ({"config": {}}, "config: it has no fingerprint"),
    ({"outputs": lambda outputs: [{**outputs[0], "path": "../raw/a.txt"}]}, "'../raw/a.txt' is no path inside the"),
])  # fmt: skip
def test_a_foreign_manifest(cli, tree, changes, words):
    edit(tree / "corpus", **changes)
    outcome = cli("lineage", tree / "corpus", "--verify")
    assert outcome.code == 7
    assert f"lineage has drifted:\n  {tree}/corpus/llmkit.json: not a manifest of this version" in outcome.err
    assert words in outcome.err
    assert cli("lineage", tree / "corpus").code == 3
    assert any(words in text for _, text in problems(tree)), "as an input as well"


def test_a_foreign_id(tree):
    edit(tree / "model", id=ID)
    assert problems(tree) == [("model", "the id 0123456789ab is not that of the files that llmkit.json lists")]
    edit(tree / "tokens", id=ID)
    assert ("tokens", "made again since: it is 0123456789ab now") in problems(tree)


def test_an_input_of_another_kind_than_was_recorded(tree):
    edit(tree / "corpus", kind="examples")
    assert ("corpus", "was a corpus when it was used, and is examples now") in problems(tree)


def test_an_input_whose_manifest_cannot_be_read(cli, tree):
    (tree / "tokens" / "llmkit.json").write_text("{}")
    assert any("llmkit.json: not a manifest of this version" in text for _, text in problems(tree))
    assert cli("lineage", tree / "model", "--verify").code == 7


def test_an_artifact_that_is_its_own_input(cli, tree):
    model = read_manifest(tree / "model")
    own = {**json.loads((tree / "model/llmkit.json").read_text())["inputs"][0], "path": str(tree / "model"),
           "kind": "model", "digest": model.id}  # fmt: skip
    edit(tree / "model", inputs=lambda inputs: [*inputs, own])
    assert ("model", "is named as made from itself") in problems(tree)
    assert cli("lineage", tree / "model").code == 0


def test_a_list_of_raw_files_that_was_emptied(tree):
    (tree / "corpus" / "inputs.jsonl").write_text("")
    assert ("raw", "corpus/inputs.jsonl lists none of its 2 files") in problems(tree)


def test_a_stage_of_a_newer_version(tree):
    edit(tree / "corpus", stage_version=3)
    found = trace(tree / "corpus", read_manifest(tree / "corpus"), verify=True, version={"toy": 2}.get).problems
    assert found[0] == "made by version 3 of toy, this llmkit has 2"


def test_kept_checkpoints_are_verified(tree):
    made = tree / "trained"
    with toy(made, Toy(steps=1), resumable=True, kept=KEPT) as build:
        write(build.dir, {"data-0": "w", "checkpoints/1/model": "one", "checkpoints/2/model": "two"})
        for step in (1, 2):
            seal(build.dir / f"checkpoints/{step}")
        build.finish("model", payload=["data-*"], metrics={})
    assert problems(tree, name="trained") == []
    (made / "checkpoints/1/model").write_text("ONE")
    (made / "checkpoints/2/model").unlink()
    found = [("trained", "checkpoints/1/model has changed"), ("trained", "checkpoints/2 is incomplete")]
    assert problems(tree, name="trained") == found
    assert problems(tree, name="trained", verify=False) == []


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
