from __future__ import annotations

import json

import pytest
from toy_build import make, write

from llmkit.core.digest import digest_file
from llmkit.core.errors import DataError
from llmkit.core.inputs import Inputs, RawFile, missing_path
from llmkit.core.manifest import read_manifest


def raw(folder, files):
    write(folder, files)
    return [RawFile(str(folder / name), name, (folder / name).stat().st_size) for name in sorted(files)]


def digest(folder, files):
    inputs = Inputs()
    inputs.add_files(str(folder), raw(folder, files), role="files")
    return inputs.entries[0].digest


def test_files(tmp_path):
    inputs = Inputs()
    inputs.add_files(str(tmp_path / "a"), raw(tmp_path / "a", {"x.txt": "one", "sub/文.txt": "three"}), role="files")
    (entry,) = inputs.entries
    assert (entry.role, entry.path, entry.kind, entry.num_files, entry.num_bytes) == (
        "files", str(tmp_path / "a"), "files", 2, 8,
    )  # fmt: skip
    assert [json.loads(line) for line in inputs.listing] == [
        {
            "source": str(tmp_path / "a"), "name": name, "path": str(tmp_path / "a" / name), "bytes": size,
            "digest": digest_file(tmp_path / "a" / name),
        }
        for name, size in (("sub/文.txt", 5), ("x.txt", 3))
    ]  # fmt: skip


def test_the_digest_is_of_names_and_contents_not_of_the_place(tmp_path):
    same = digest(tmp_path / "a", {"x": "1", "y": "2"})
    assert digest(tmp_path / "b", {"x": "1", "y": "2"}) == same
    others = [{"x": "1", "z": "2"}, {"x": "1", "y": "3"}, {"x": "2", "y": "1"}, {"x": "1"}, {"xy": "12"}]
    assert len({same, *(digest(tmp_path / str(i), files) for i, files in enumerate(others))}) == 6


def test_an_artifact_goes_by_its_id(tmp_path, monkeypatch):
    make(tmp_path / "corpus", {"data-0": "x"})
    monkeypatch.chdir(tmp_path)
    inputs = Inputs()
    assert str(inputs.add_artifact("corpus", "corpus", role="data")) == "corpus"
    (entry,) = inputs.entries
    assert (entry.role, entry.path, entry.kind, entry.digest, entry.num_files) == (
        "data", str(tmp_path / "corpus"), "corpus", read_manifest(tmp_path / "corpus").id, 0,
    )  # fmt: skip
    assert inputs.listing == []


def test_a_directory_is_an_artifact_or_raw_files(tmp_path):
    inputs = Inputs()
    make(tmp_path / "model", {"data-0": "x"}, kind="model")
    write(tmp_path / "hub", {"config.json": "{}", "weights": "w", "folder/ignored": "x"})
    inputs.add_directory(tmp_path / "model", ("model",), role="model")
    inputs.add_directory(tmp_path / "hub", ("model",), role="model")
    ours, theirs = inputs.entries
    assert (ours.kind, ours.digest) == ("model", read_manifest(tmp_path / "model").id)
    assert (theirs.kind, theirs.num_files, theirs.num_bytes, theirs.path) == ("files", 2, 3, str(tmp_path / "hub"))
    assert [json.loads(line)["name"] for line in inputs.listing] == ["config.json", "weights"]


def test_directory_errors(tmp_path):
    def message(path, kinds=("model",)):
        with pytest.raises(DataError) as caught:
            Inputs().add_directory(path, kinds, role="model")
        assert caught.value.exit_code == 3
        return caught.value.message

    make(tmp_path / "corpus", {"data-0": "x"})
    (tmp_path / "empty").mkdir()
    (tmp_path / "half" / ".partial").mkdir(parents=True)
    assert message(tmp_path / "empty") == f"model: {tmp_path}/empty is empty"
    assert message(tmp_path / "half") == f"model: {tmp_path}/half is unfinished"
    assert message(tmp_path / "corpus") == f"model: {tmp_path}/corpus holds a corpus, not a model"
    assert message(tmp_path / "corpsu") == f"model: no such directory: {tmp_path}/corpsu; did you mean 'corpus'?"
    assert message(tmp_path / "no" / "where") == f"model: no such directory: {tmp_path}/no/where"


def test_missing_path(tmp_path):
    write(tmp_path, {"texts.jsonl": ""})
    error = missing_path(tmp_path / "text.jsonl", role="inputs")
    assert error.message == (f"inputs: no such file or directory: {tmp_path}/text.jsonl; did you mean 'texts.jsonl'?")
    assert missing_path(tmp_path / "no" / "x", role="i").message == f"i: no such file or directory: {tmp_path}/no/x"
