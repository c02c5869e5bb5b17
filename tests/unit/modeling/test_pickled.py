"""Pickled weights, where they are allowed: tensors are read, programs are not run."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from llmkit.core.errors import DataError
from llmkit.modeling.pickled import unpickled


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "scratch").mkdir()
    (tmp_path / "model/config.json").write_text("{}")
    return tmp_path / "model"


def test_tied_weights_become_tensors_of_their_own(folder, tmp_path):
    table = torch.arange(6.0).reshape(2, 3)
    torch.save({"table": table, "head": table, "turned": table.T}, folder / "pytorch_model.bin")
    made = unpickled(folder, tmp_path / "scratch")
    assert sorted(file.name for file in made.iterdir()) == ["config.json", "model.safetensors"]
    found = load_file(made / "model.safetensors")
    assert torch.equal(found["table"], table)
    assert torch.equal(found["head"], table)
    assert torch.equal(found["turned"], table.T)


def test_several_files_have_an_index(folder, tmp_path):
    names = [f"pytorch_model-0000{number}-of-00002.bin" for number in (1, 2)]
    for name, key in zip(names, "ab", strict=True):
        torch.save({key: torch.ones(1)}, folder / name)
    index = {"weight_map": {"a": names[0], "b": names[1]}}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    made = unpickled(folder, tmp_path / "scratch")
    found = json.loads((made / "model.safetensors.index.json").read_text())["weight_map"]
    assert found == {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    assert load_file(made / found["b"]).keys() == {"b"}


class Evil:
    def __reduce__(self):
        return Path.touch, (Path("ran"),)


@pytest.mark.parametrize("save", [torch.save, lambda what, file: file.write_bytes(pickle.dumps(what))])
def test_a_program_in_a_pickle_is_not_run(folder, tmp_path, monkeypatch, save):
    monkeypatch.chdir(tmp_path)
    save({"a": Evil()}, folder / "pytorch_model.bin")
    with pytest.raises(DataError, match="holds more than tensors: reading it would run code"):
        unpickled(folder, tmp_path / "scratch")
    assert not Path("ran").exists()


def test_what_is_no_pickle_is_damaged(folder, tmp_path):
    (folder / "pytorch_model.bin").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"pytorch_model\.bin"):
        unpickled(folder, tmp_path / "scratch")


def test_safetensors_beside_it_are_read(folder, tmp_path):
    (folder / "model.safetensors").write_bytes(b"")
    (folder / "pytorch_model.bin").write_bytes(b"")
    assert unpickled(folder, tmp_path / "scratch") == folder
