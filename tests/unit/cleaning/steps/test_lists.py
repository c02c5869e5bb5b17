from __future__ import annotations

import pytest

from llmkit.cleaning.steps._lists import read_list
from llmkit.core.errors import DataError


def test_entries_are_stripped_and_blank_lines_left_out(tmp_path):
    path = tmp_path / "words.txt"
    path.write_bytes("\ufeffone\r\n\n  two words \n赌博\n#tag".encode())
    assert read_list(str(path), role="x") == ["one", "two words", "赌博", "#tag"]


def test_missing_file_names_the_field_and_the_nearest_name(tmp_path):
    (tmp_path / "words.txt").touch()
    with pytest.raises(DataError, match=r"word_list\.path: .*wrods\.txt; did you mean 'words\.txt'"):
        read_list(str(tmp_path / "wrods.txt"), role="word_list.path")


def test_other_encodings_are_refused_with_the_position(tmp_path):
    path = tmp_path / "words.txt"
    path.write_bytes(b"ok\n" + "赌博".encode("gb18030"))
    with pytest.raises(DataError, match=r"not UTF-8 \(byte 3\)"):
        read_list(str(path), role="x")
