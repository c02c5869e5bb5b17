from __future__ import annotations

import json

import pytest

from llmkit.core.seal import SEAL, changed_files, is_whole, seal


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a").write_text("one")
    (tmp_path / "b").write_text("")
    seal(tmp_path)
    return tmp_path


def test_what_is_sealed_is_whole(folder):
    assert is_whole(folder)
    assert changed_files(folder) == []
    assert {name: entry["bytes"] for name, entry in json.loads((folder / SEAL).read_text()).items()} == {"a": 3, "b": 0}
    assert not is_whole(folder / "nowhere")


def test_other_bytes_of_the_same_size_are_found_by_reading(folder):
    (folder / "a").write_text("two")
    assert is_whole(folder), "no contents are read"
    assert changed_files(folder) == ["a"]


@pytest.mark.parametrize("text", ["", "{", "{}", "[]", '{"a": "3"}', '{"a": {"bytes": 3}}', '{"gone": 1}', '{"a": 4}'])
def test_torn(folder, text):
    (folder / SEAL).write_text(text)
    assert not is_whole(folder)


def test_a_seal_older_than_checksums_says_only_sizes(folder):
    (folder / SEAL).write_text('{"a": 3, "b": 0}')
    (folder / "a").write_text("two")
    assert is_whole(folder)
    assert changed_files(folder) == []
